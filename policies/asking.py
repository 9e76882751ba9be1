"""Whether two texts ask different things of one matter: when she was born, and where.

Only the question words that open a text count, and only where all else that it says is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from policies.reading import remembered
from policies.text import lexicon, stem, words

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT = "what"
_MANY = "how many"
_KINDS = {
    "who": "who", "who's": "who", "whom": "who", "whose": "whose", "when": "when", "when's": "when",
    "where": "where", "where's": "where", "why": "why", "how": "how", "how's": "how",
    "what": _WHAT, "what's": _WHAT, "which": _WHAT,
}  # fmt: skip
# `how many`, the slips of the keyboard that make another word of it, and other measures.
_MEASURED = dict.fromkeys(lexicon("many much any may"), _MANY)
_MEASURED |= {word: f"how {word}" for word in lexicon("long old far often deep fast heavy")}
_MEASURED |= {"come": "why", "soon": "when", "late": "when"}
_MEASURED |= {"tall": "how tall", "high": "how tall", "big": "how big", "large": "how big"}
# `How much time` and `how many days` ask how long.
_SPANS = frozenset(lexicon("time minutes hours days weeks months years"))
# What `what` and `which` ask for, told by the next word, or by the noun of `what is the ...`.
_NEXT = {
    "time": "when", "date": "when", "year": "when", "day": "when", "month": "when",
    "century": "when", "place": "where", "city": "where", "town": "where", "country": "where",
    "state": "where", "part": "where", "person": "who", "people": "who",
}  # fmt: skip
_NOUNS = {
    "time": "when", "date": "when", "year": "when", "place": "where", "location": "where",
    "person": "who", "reason": "why", "reasons": "why", "cause": "why", "causes": "why",
    "purpose": "why", "way": "how", "ways": "how", "method": "how", "methods": "how",
    "process": "how", "procedure": "how", "steps": "how", "number": _MANY, "amount": _MANY,
    "price": _MANY, "cost": _MANY, "age": "how old", "height": "how tall", "distance": "how far",
    "length": "how long", "size": "how big", "weight": "how heavy", "depth": "how deep",
}  # fmt: skip
_SORTS = _NEXT.keys() | _NOUNS.keys()
_BETWEEN = frozenset(
    lexicon(
        "is are was were the a an some any your best good better easiest fastest quickest simplest "
        "main major real exact different most common effective possible current average total"
    )
)
# Words that may stand in front of a question.
_LEADING = frozenset(
    lexicon(
        "so and but then ok okay well hi hello hey please tell me us explain say show do does can "
        "could would you i we know if wonder wondering want to like just also in on at for from "
        "since by about the actually exactly really anyone someone"
    )
)
_LIGHT = frozenset(
    lexicon(
        "a an the is are was were be been being am do does did has have had can could will would "
        "should may might must i you me my your we our us it its this that these those there of in "
        "on at to for with by from as and or so but also then please just really very any some "
        "what which who whom how why when where if tell give one ever actually exactly he she they "
        "him her them his their"
    )
)
# `How is it better?` asks why it is, `how is it like` what it is like.
_VALUED = frozenset(
    stem(w)
    for w in lexicon(
        "better worse than important importance worth useful useless good bad different necessary "
        "special great popular successful dangerous threat significant beneficial harmful"
    )
)
_BE = frozenset(lexicon("is are was were"))
_BEST = frozenset(lexicon("best most top nearest closest"))
_ALIKE = frozenset(stem(w) for w in lexicon("like think feel call called about look happen name"))


class _Asked(NamedTuple):
    """What a text asks for, and all words behind the words that say so."""

    kinds: frozenset[str]
    tail: tuple[str, ...]


def difference(a: str, b: str) -> str | None:
    """`when against where` where the two texts ask different things of one matter."""
    ours, theirs = _read(a), _read(b)
    if not ours.kinds or not theirs.kinds or not ours.kinds.isdisjoint(theirs.kinds):
        return None
    rest = _rest(ours)
    if rest != _rest(theirs) or _alike(ours, theirs, rest):
        return None
    return f"{' and '.join(sorted(ours.kinds))} against {' and '.join(sorted(theirs.kinds))}"


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _read(text)


def _rest(asked: _Asked) -> frozenset[str]:
    """The stems of content beside the words that say what is asked for."""
    return frozenset(stem(w) for w in asked.tail if w not in _LIGHT and w not in _SORTS)


def _alike(ours: _Asked, theirs: _Asked, rest: frozenset[str]) -> bool:
    """True for question words that come to the same: `how is it better` and `why is it better`.

    `what` asks for anything, so that all other words must be the same to tell it apart.
    """
    kinds = ours.kinds | theirs.kinds
    if _WHAT in kinds:
        return ours.tail != theirs.tail or not rest.isdisjoint(_ALIKE) or _shown(ours, kinds)
    return kinds == {"how", "why"} and not rest.isdisjoint(_VALUED)


def _shown(one: _Asked, kinds: frozenset[str]) -> bool:
    """True for `who` or `how is the ...` beside `what is the ...`, and for `where is the best`."""
    if _BE.isdisjoint(one.tail[:1]):
        return False
    return not kinds.isdisjoint({"who", "how"}) or not _BEST.isdisjoint(one.tail)


@remembered(1024)
def _read(text: str) -> _Asked:
    said = words(text)
    at = next((at for at, w in enumerate(said) if w not in _LEADING), len(said))
    kinds: set[str] = set()
    while at < len(said) and said[at] in _KINDS:
        kind, at = _kind(said, at)
        kinds.add(kind)
        if said[at : at + 1] == ("and",) and not _KINDS.keys().isdisjoint(said[at + 1 : at + 2]):
            at += 1
    if kinds:
        kinds.update(_further(said[at:], several=text.count("?") > 1))
    return _Asked(frozenset(kinds), said[at:])


def _further(tail: tuple[str, ...], *, several: bool) -> Iterator[str]:
    """What is asked besides: behind an `and`, or anywhere in a text of several questions."""
    for at, word in enumerate(tail):
        if word in _KINDS and (several or tail[at - 1] == "and"):
            yield _kind(tail, at)[0]


def _kind(said: tuple[str, ...], at: int) -> tuple[str, int]:
    """What the question word at that place asks for, and the place behind it."""
    kind, after = _KINDS[said[at]], said[at + 1 : at + 2]
    if kind == "how" and after and after[0] in _MEASURED:
        span = not _SPANS.isdisjoint(said[at + 2 : at + 3])
        return "how long" if span else _MEASURED[after[0]], at + 2
    if kind != _WHAT:
        return kind, at + 1
    if after and after[0] in _NEXT:
        return _NEXT[after[0]], at + 1
    noun = next((w for w in said[at + 1 :] if w not in _BETWEEN), "")
    return _NOUNS.get(noun, _WHAT), at + 1
