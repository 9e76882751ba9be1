"""Whether two texts say the same words with the roles exchanged: dog bites man, man bites dog.

Only texts of one bag of words are looked at; moving a phrase as a whole, or the two sides of an
`and`, changes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from policies.reading import remembered
from policies.text import bag, fold, lexicon, stem, words

_STOP = frozenset(
    lexicon(
        "a an the is are was were be been being am do does did has have had can could will "
        "would should may might must i you me my your we our it its this that these those "
        "there please tell give show what which who whom how why when where i'm i've i'd "
        "you're it's isn't s t"
    )
)
_JOINS = frozenset(lexicon(", / and or nor vs versus &"))
# Relations that hold both ways, and questions that put their two sides on one level.
_EVEN = frozenset(
    stem(w)
    for w in lexicon(
        "vs versus between both either compare comparison similar similarity same different "
        "difference differ relate relation relationship married dating engaged connected equal "
        "equivalent compatible interchangeable distance friend sibling cousin neighbor "
        "neighbour twin acquaintance close colleague partner"
    )
)
# What may stand between two sides of equal rank: `X is married to Y`, `X differs from Y`. With
# `X compared to Y` the talk is of X.
_BETWEEN = (
    _JOINS
    | (_EVEN - {stem("compare"), stem("comparison")})
    | {stem(w) for w in lexicon("is are was were be been being get to with from of a an the as by")}
)
# One person in all cases: `he rejects her` and `she rejects him` exchange the two.
_GENDER = dict.fromkeys(lexicon("he him his himself"), "he")
_GENDER |= dict.fromkeys(lexicon("she her hers herself"), "she")
_ARTICLES = frozenset(lexicon("a an the please"))
# Words of grammar, by what they do. Exchanged with a word that does something else, they leave no
# sentence that anybody could have meant: a slip of the keyboard, not another question.
_GRAMMAR = {
    stem(word): place
    for place, row in enumerate(
        lexicon(
            "is are was were be been being am do does did has have had can could will would"
            " should may might must"
            "|what which who whom how why when where"
            "|of in on at to from for with by about into onto over under up down out off as than"
            " through after before against without toward via per"
            "|and or nor but vs versus",
            "|",
        )
    )
    for word in row.split()
}
_AUXILIARY, _ASKING = 0, 1
# What may differ without a word of content being another: an article, a form of he or she.
_FILLERS = frozenset(map(stem, (*_ARTICLES, *_GENDER, "s", "by")))
# Words that either text may have alone, at most, and how many times as many it must have in all.
_SLACK = 2
_SLACK_SHARE = 10
# Words from which a text is so long that its order counts although a word or two were changed.
_ROOMY = 20
_SAID = 6
_BY = "by"
_PASSIVE_AUX = frozenset(lexicon("is are was were be been being get got gets"))
_LONGEST = 400
_PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[/&]|,(?=[^,.?!;]*(?:,|\b(?:and|or|&)\b))")
_SENTENCE = re.compile(r"[.?!;:\n]+(?:\s|$)")


@dataclass(frozen=True, slots=True)
class _Reading:
    """`said` are stems without fillers in order, `full` all but articles, `sentences` sorted."""

    said: tuple[str, ...]
    full: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]
    passive: bool


def difference(a: str, b: str) -> str | None:
    """`dog … man against man … dog` where one bag of words is said with roles exchanged."""
    if len((bag(a) ^ bag(b)) - _FILLERS) > 2 * _SLACK:
        return None
    ours, theirs = _read(a), _read(b)
    if ours.passive != theirs.passive:
        return _turned(ours, theirs)
    if ours.sentences == theirs.sentences:
        return None
    return _shuffled(ours.said, theirs.said, wild=False) or _shuffled(
        ours.full, theirs.full, wild=True
    )


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _read(text)


def _shuffled(ours: tuple[str, ...], theirs: tuple[str, ...], *, wild: bool) -> str | None:
    """The same words in an order that no move of one phrase explains.

    `wild` counts every such order, else only two phrases that changed places. A few words may
    stand on one side alone; in a short text they would be too many of it.
    """
    if ours == theirs or abs(len(ours) - len(theirs)) > _SLACK:
        return None
    if sorted(ours) != sorted(theirs):
        shared = Counter(ours) & Counter(theirs)
        lost = max(len(ours), len(theirs)) - shared.total()
        if lost > _SLACK or lost * _SLACK_SHARE > len(ours):
            return None
        ours, theirs = _kept(ours, shared), _kept(theirs, shared)
        wild = wild and len(ours) >= _ROOMY
    return None if ours == theirs else _exchanged(ours, theirs, wild=wild)


def _kept(said: tuple[str, ...], shared: Counter[str]) -> tuple[str, ...]:
    """The words that the other text holds too, as often as it holds them."""
    rest = Counter(shared)
    kept = []
    for word in said:
        if rest[word] > 0:
            rest[word] -= 1
            kept.append(word)
    return tuple(kept)


def _exchanged(ours: tuple[str, ...], theirs: tuple[str, ...], *, wild: bool) -> str | None:
    """X M Y against Y M X, M not empty: `dog bites man`, and any wilder shuffle where told to.

    A phrase that moved as a whole (`in Python, how ...`) leaves no M, and the members of a list
    may stand in any order.
    """
    start, end = _frame(ours, theirs)
    here, there = ours[start:end], theirs[start:end]
    if _members(here) == _members(there):
        return None
    right, left = _overlap(there, here), _overlap(here, there)
    first, middle, last = here[:left], here[left : len(here) - right], here[len(here) - right :]
    if here[: len(here) - right] == there[right:] or here[left:] == there[: len(there) - left]:
        return None
    if first and last and middle and there[right : len(there) - left] == middle:
        if _even(middle, before=ours[:start], after=ours[end:]):
            return None
        if _kind(first, ours[:start]) != _kind(last, ours[:start]):
            return None
        x, y = " ".join(first[:3]), " ".join(last[:3])
        return f"{x} … {y} against {y} … {x}"
    return f"{' '.join(here[:_SAID])} against {' '.join(there[:_SAID])}" if wild else None


def _kind(said: tuple[str, ...], before: tuple[str, ...]) -> frozenset[int]:
    """What words of grammar do together; empty where there is a word of content among them.

    `do` and `have` are verbs of content except behind a question word.
    """
    front = bool(before) and _GRAMMAR.get(before[-1]) == _ASKING
    kinds = {_GRAMMAR.get(word, -1) for word in said}
    content = -1 in kinds or (_AUXILIARY in kinds and not front)
    return frozenset() if content else frozenset(kinds)


def _members(said: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The parts between joining words, sorted."""
    parts: list[tuple[str, ...]] = [()]
    for word in said:
        if word in _JOINS:
            parts.append(())
        else:
            parts[-1] += (word,)
    return sorted(parts)


def _even(middle: tuple[str, ...], before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Both sides have equal rank: `X and Y`, `an X bond or a Y one`, `X differs from Y`.

    With no word of equality around, what stands between must be the joining word and what the
    two sides share.
    """
    if _listed(middle):
        return True
    joins = [w for w in middle if w in _JOINS]
    shared = tuple(w for w in middle if w not in _JOINS)
    if joins and (shared == after[: len(shared)] or shared == before[len(before) - len(shared) :]):
        return True
    if not _BETWEEN.issuperset(middle):
        return False
    return not _EVEN.isdisjoint((*before, *middle, *after))


def _listed(middle: tuple[str, ...]) -> bool:
    """True for the inside of a list: `, B and`, `/ B /`, `or`."""
    ends = middle[0] in _JOINS and middle[-1] in _JOINS
    return ends and all(w in _JOINS or after in _JOINS for w, after in pairwise(middle))


def _frame(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[int, int]:
    """Where the texts begin and cease to differ; they are equally long."""
    size = len(ours)
    start = 0
    while ours[start] == theirs[start]:
        start += 1
    end = size
    while ours[end - 1] == theirs[end - 1]:
        end -= 1
    return start, end


def _overlap(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    """Length of the shortest run that begins `left` and ends `right`."""
    size = len(left)
    return next((n for n in range(1, size) if left[:n] == right[size - n :]), 0)


def _turned(ours: _Reading, theirs: _Reading) -> str | None:
    """An active and a passive sentence of one bag say the same only with the roles exchanged."""
    active = tuple(w for w in ours.said if w != _BY)
    passive = tuple(w for w in theirs.said if w != _BY)
    if active == passive and len(active) > 2:  # noqa: PLR2004 - doer, deed, object
        return f"{active[0]} … {active[-1]} against … by {active[-1]}"
    return None


@remembered(1024)
def _read(text: str) -> _Reading:
    flat = fold(text).casefold()
    parts = [_stems(part) for part in _SENTENCE.split(flat)]
    whole = tuple(w for part in parts for w in part)[:_LONGEST]
    said = words(text)
    passive = _BY in said and not _PASSIVE_AUX.isdisjoint(said)
    every = (w.removesuffix("'s") for w in _PIECE.findall(flat))
    full = tuple(_GENDER.get(w) or stem(w) for w in every if w not in _ARTICLES)[:_LONGEST]
    return _Reading(whole, full, tuple(sorted(part for part in parts if part)), passive)


def _stems(text: str) -> tuple[str, ...]:
    found = _PIECE.findall(text)
    plain = (w.removesuffix("'s") for w in found)
    return tuple(_GENDER.get(w) or stem(w) for w in plain if w not in _STOP)
