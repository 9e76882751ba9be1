"""Whether two texts say the same words with the roles exchanged: dog bites man, man bites dog.

Only texts of one bag of words are looked at; moving a phrase as a whole, or the two sides of an
`and`, changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from policies.text import fold, lexicon, stem, words

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
# Between two words these give each its own role, whatever stands around.
_UNEVEN = frozenset(
    stem(w) for w in lexicon("than before after because if when while but then until since")
)
_BY = "by"
_PASSIVE_AUX = frozenset(lexicon("is are was were be been being get got gets"))
_LONGEST = 400
_PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[/&]|,(?=[^,.?!;]*(?:,|\b(?:and|or|&)\b))")
_SENTENCE = re.compile(r"[.?!;:\n]+(?:\s|$)")


@dataclass(frozen=True, slots=True)
class _Reading:
    """`said` are stems without fillers in order, `sentences` the same apart and sorted."""

    said: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]
    passive: bool


def difference(a: str, b: str) -> str | None:
    """`dog … man against man … dog` where one bag of words is said with roles exchanged."""
    ours, theirs = _read(a), _read(b)
    if ours.passive != theirs.passive:
        return _turned(ours, theirs)
    if len(ours.said) != len(theirs.said) or ours.sentences == theirs.sentences:
        return None
    if ours.said == theirs.said or sorted(ours.said) != sorted(theirs.said):
        return None
    return _exchanged(ours.said, theirs.said)


def _exchanged(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """X M Y against Y M X, M not empty: `dog bites man`. Any other shuffle is left alone.

    A phrase that moved as a whole (`in Python, how ...`) leaves no M.
    """
    start, end = _frame(ours, theirs)
    here, there = ours[start:end], theirs[start:end]
    right, left = _overlap(there, here), _overlap(here, there)
    first, middle, last = here[:left], here[left : len(here) - right], here[len(here) - right :]
    if not first or not last or not middle or there[right : len(there) - left] != middle:
        return None
    if _even(middle, before=ours[:start], after=ours[end:]):
        return None
    x, y = " ".join(first[:3]), " ".join(last[:3])
    return f"{x} … {y} against {y} … {x}"


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
    return not _EVEN.isdisjoint((*before, *middle, *after)) and not _UNEVEN.intersection(middle)


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


@lru_cache(maxsize=1024)
def _read(text: str) -> _Reading:
    parts = [_stems(part) for part in _SENTENCE.split(fold(text).casefold())]
    whole = tuple(w for part in parts for w in part)[:_LONGEST]
    said = words(text)
    passive = _BY in said and not _PASSIVE_AUX.isdisjoint(said)
    return _Reading(whole, tuple(sorted(part for part in parts if part)), passive)


def _stems(text: str) -> tuple[str, ...]:
    found = _PIECE.findall(text)
    plain = (w.removesuffix("'s") for w in found)
    return tuple(stem(w) for w in plain if w not in _STOP)
