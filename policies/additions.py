"""What one text adds to another that it otherwise repeats: an adjective, a passage, another's name.

`Is she an engineer?` and `Is she a real engineer?` hold one name and no number, and two answers.
"""

from __future__ import annotations

from collections import Counter

from policies.reading import remembered
from policies.text import lexicon, stem, words

_ARTICLE = "a"
_POSSESSIVE = frozenset(lexicon("his her hers their its"))
_IS = frozenset(lexicon("it's he's she's that's what's who's there's"))
_LIGHT = frozenset(
    lexicon(
        "a the is are was were be been being am do does did has have had can could will would "
        "should may might must i you me my your we our us it its this that these those there of "
        "in on at to for with by from as and or so but also then please just really very any some "
        "what which who whom how why when where if tell give thanks thank hi hello help "
        "heard hear know known want need best way i've i'm im appreciate answer advice"
    )
)
# Whoever asks for a thing means a good one; whether somebody is a good one is another question.
_BE = frozenset(lexicon("is are was were am"))
_BLAND = frozenset(lexicon("good great nice decent proper"))
_PASSAGE = 5
"""Words of content that make an addition a passage."""
_TOLD = 12
"""Words from which a text tells something that a passage can be added to."""
_DROPPED = 2
"""Words of content that the longer text may say otherwise. Shorter ones may lose one in 20."""
_SAID = 5


def difference(a: str, b: str) -> str | None:
    """`engineer against real engineer`, or the words of a passage that one text has alone."""
    ours, theirs = _said(a), _said(b)
    gap = len(ours) - len(theirs)
    if gap == 0:
        return _replaced(ours, theirs)
    if abs(gap) == 1:
        return _qualified(ours, theirs) if gap > 0 else _qualified(theirs, ours)
    if abs(gap) < _PASSAGE or min(len(ours), len(theirs)) < _TOLD:
        return None
    return _passage(ours, theirs) if gap > 0 else _passage(theirs, ours)


def _passage(long: tuple[str, ...], short: tuple[str, ...]) -> str | None:
    """Some words of content more, where the longer text says the shorter one's too."""
    told, asked = _content(long), _content(short)
    added, dropped = told - asked, asked - told
    if added.total() < _PASSAGE or dropped.total() > min(_DROPPED, len(short) // 20):
        return None
    return f'"{" ".join(list(added)[:_SAID])}" on one side only'


def _qualified(long: tuple[str, ...], short: tuple[str, ...]) -> str | None:
    """One more word, between an article and what it stands before."""
    at = _parting(long, short)
    if at < len(long) and long[at] in _BLAND and long[0] not in _BE:
        return None
    if at == 0 or at >= len(short) or long[at - 1] != _ARTICLE or long[at + 1 :] != short[at:]:
        return None
    return f"a {short[at]} against a {long[at]} {short[at]}"


def _replaced(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """`his family` against `Anna's family`, where all else is the same."""
    at = _parting(ours, theirs)
    if ours[at + 1 :] != theirs[at + 1 :] or at >= len(ours):
        return None
    for one, other in ((ours[at], theirs[at]), (theirs[at], ours[at])):
        if one in _POSSESSIVE and other.endswith("'s") and other not in _IS:
            return f"{ours[at]} against {theirs[at]}"
    return None


def _parting(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    """Where two texts begin to differ."""
    pairs = enumerate(zip(ours, theirs, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(ours), len(theirs)))


def _said(text: str) -> tuple[str, ...]:
    """The words with one article."""
    said = words(text)
    return tuple(_ARTICLE if w == "an" else w for w in said) if "an" in said else said


@remembered(1024)
def _content(said: tuple[str, ...]) -> Counter[str]:
    """The stems of words that carry meaning."""
    return Counter(stem(w) for w in said if w not in _LIGHT)
