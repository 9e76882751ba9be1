"""Whether one text denies what the other states, or says the opposite word.

Three readings: words under a negator against the same words without one, a negator on one side
only, and words of one class of opposites (on/off, symptoms/treatment) that the texts do not share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

from policies.opposites import CLASSES
from policies.text import fold, lexicon, stem

_BRIEF = 40
"""Words up to which a lone negator vetoes. In longer prose paraphrases state a fact either way."""
_NON = 9
"""Letters from which a word in `non` is taken apart, so that `none` and `nonsense` stay whole."""
_SCOPE = 3
"""Content words that a negator reaches."""

_NEGATORS = frozenset(
    lexicon(
        "not cannot never no none nobody nothing nowhere neither nor without dont doesnt didnt "
        "cant wont isnt arent wasnt werent couldnt shouldnt wouldnt hasnt havent hadnt aint "
        "non"
    )
)
# Negative in meaning without denying: they excuse a negator on the other side.
_SOFT = frozenset(
    stem(w)
    for w in lexicon(
        "avoid prevent stop refuse fail lack miss missing unable hardly barely rarely seldom "
        "exclude except quit impossible instead rather absence"
    )
)
_NEGATIVE_FORMS = {
    f"{prefix}{root}": root
    for prefix, roots in {
        "un": "able safe healthy happy common usual likely known even fair stable reliable "
        "necessary important limited signed sorted stressed married educated employed paid "
        "aware clear comfortable conscious constitutional familiar friendly ethical lucky "
        "popular predictable professional protected realistic reasonable related successful "
        "supervised verified wanted touched tested used finished official installed locked",
        "in": "correct valid active complete direct visible secure sane consistent efficient "
        "dependent accurate adequate appropriate capable convenient effective eligible expensive "
        "finite formal frequent human organic sensitive significant sufficient tolerant voluntary",
        "im": "possible perfect mature moral mortal patient polite proper pure probable mutable "
        "material balanced",
        "il": "legal logical legitimate literate liberal",
        "ir": "regular relevant rational responsible reversible replaceable religious",
        "dis": "honest loyal abled similar obedient respectful satisfied advantaged continuous",
        "non": "fiction vegetarian profit stop toxic linear verbal smoker",
    }.items()
    for root in roots.split()
}
_STOP = frozenset(
    lexicon(
        "a an the i you he she it we they me my your his her its our their this that these "
        "those is am are was were be been being do does did have has had will would can could "
        "should may might must of to in on at for by with from as so very really any some just "
        "ever also more than there here what which who why how when where if or and s t re ve "
        "ll d m get got"
    )
)
_BREAKS = frozenset(lexicon(". ; ? ! but because although though while however : ,"))

_AUX = r"(?:do|does|did|is|are|was|were|has|have|had|ca|could|wo|would|should|ai)"
_PLAIN_AUX = r"(?:do|does|did|is|are|was|were|has|have)"
_ASKED = r"(?:i|you|he|she|it|we|they|this|that|these|those|there|the|my|your|our|people)"
_START = r"(?:^|[.?!,;:]\s*)(?:so |and |but )?"
_KNOWING = r"(?:know|understand|remember|(?:see|get|recall|mean|care) (?=how|what|why|if|which|to))"
_GRASPING = r"(?:figure|find out|understand|remember|decide|tell|wait|help)"
# Turns of phrase that hold a negator and deny nothing, with what they read as instead.
_EMPTY_PHRASES = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        # "don't you think", "isn't it so" ask the same as their positive
        (rf"((?:^|[.?!,;:]\s*)(?:so |and |but )?){_AUX}n'?t (?={_ASKED}\b)", r"\1is "),
        (rf"((?:^|[.?!,;:]\s*)(?:so |and |but )?{_PLAIN_AUX} (?:i|you|he|she|it|we|they)) not\b",
         r"\1"),
        (r"\b(?:or|if|why) not(?=\s*[?.,;]|\s*$)", ""),
        (r"\bwhether or not\b", "whether"),
        (r"\bor not\b", ""),
        (r"\bnot (?:only|just|merely|to mention)\b", ""),
        (r"\bno (?:doubt|matter|problem|worries|wonder|offen[cs]e)\b", ""),
        (r"\byes ?(?:or|/) ?no\b", ""),
        (rf"\b(?:i|we) (?:do not|don'?t|did not|didn'?t)(?: really| quite| even)? {_KNOWING}", ""),
        (r"\b(?:i'?m|i am|we are|we're)? ?not (?:so |really |quite |very )?(?:sure|certain)\b", ""),
        (r"\bno idea\b", ""),
        (rf"\b(?:can'?t|cannot|can not|could ?n[o']t|couldnt)(?: seem to)? {_GRASPING}\b", ""),
        (r"\b(?:don'?t|do not) (?:worry|forget|hesitate)\b", ""),
        (r"\bno\.? ?(?=\d)|#", ""),
    )
)  # fmt: skip
# Two-word verbs whose particle alone says too little, and signs that hide a word.
_JOINED = (
    (re.compile(r"\b(log|sign|check|opt|zoom|clock|fade|lock|plug|tun|cash|phas)(g?ing|ged|n?ed|s)?"
                r" (in|out|off)\b"), r"\1\3"),
    (re.compile(r"\bnon-"), "non"),
    (re.compile(r"\bat (least|most)\b"), r"at\1"),
    (re.compile(r"\bw/o\b|\bwith (?:no|zero|not any)\b"), "without"),
)  # fmt: skip
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[.;?!,:]")


@dataclass(frozen=True, slots=True)
class _Held:
    """A word that stands on one side of a class of opposites, the words beside it, and how often
    the text holds that side."""

    word: str
    beside: frozenset[str]
    times: int = 1


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a text states and denies, in stems.

    `lexical` are roots denied by a prefix (`illegal`), `soft` those and words like `refuse`;
    `sides` maps a class of opposites to the sides that the text holds.
    """

    size: int
    negators: int
    soft: frozenset[str]
    lexical: frozenset[str]
    denied: dict[str, str]
    stated: frozenset[str]
    sides: dict[int, dict[int, _Held]]


def difference(a: str, b: str) -> str | None:
    """`"enable" against "disable"`, `not "work" against "work"` or `"not" on one side only`."""
    ours, theirs = _read(a), _read(b)
    return _opposed(ours, theirs) or _denied(ours, theirs) or _lone(ours, theirs)


def _opposed(ours: _Reading, theirs: _Reading) -> str | None:
    """Opposites that do not share a side; in long texts only where they stand in one place."""
    brief = max(ours.size, theirs.size) <= _BRIEF
    for name, sides in ours.sides.items():
        others = theirs.sides.get(name)
        if others is None:
            continue
        # `turn on … on` against `turn off … on`: as many words of the class, not the same ones
        more = [held for side, held in sides.items() if held.times > _times(others, side)]
        less = [held for side, held in others.items() if held.times > _times(sides, side)]
        if sides.keys() & others.keys() and not (
            brief and _total(sides) == _total(others) and more
        ):
            continue
        one, other = more[0], less[0]
        if brief or one.beside & other.beside:
            return f'"{one.word}" against "{other.word}"'
    return None


def _times(sides: dict[int, _Held], side: int) -> int:
    return sides[side].times if side in sides else 0


def _total(sides: dict[int, _Held]) -> int:
    return sum(held.times for held in sides.values())


def _denied(ours: _Reading, theirs: _Reading) -> str | None:
    """A word that is only denied here and only stated there.

    With equally many negators on both sides the scopes must be apart altogether: `isn't the sky
    green` reaches over `sky`, `the sky is not green` does not, and both deny the same.
    """
    for one, other in ((ours, theirs), (theirs, ours)):
        for root in one.lexical & other.stated:
            if root not in one.stated and root not in other.denied:
                return f'not "{root}" against "{root}"'
    if ours.negators == theirs.negators and ours.denied.keys() & theirs.denied.keys():
        return None
    for one, other in ((ours, theirs), (theirs, ours)):
        if _excused(one, other):
            continue
        for root, word in one.denied.items():
            if root in other.stated and root not in other.denied and root not in one.stated:
                return f'not "{word}" against "{word}"'
    return None


def _lone(ours: _Reading, theirs: _Reading) -> str | None:
    if bool(ours.negators) == bool(theirs.negators) or max(ours.size, theirs.size) > _BRIEF:
        return None
    denying, plain = (ours, theirs) if ours.negators else (theirs, ours)
    return None if _excused(denying, plain) else '"not" on one side only'


def _excused(denying: _Reading, plain: _Reading) -> bool:
    """True where the text without a negator denies in its own words: `refuses to eat`."""
    return plain.negators == 0 and bool(plain.soft - denying.soft)


@lru_cache(maxsize=1024)
def _read(text: str) -> _Reading:
    flat = fold(text).lower()
    if "n't" in flat or "no" in flat or "nt" in flat:
        for pattern, put in _EMPTY_PHRASES:
            flat = pattern.sub(put, flat)
    for pattern, put in _JOINED:
        flat = pattern.sub(put, flat)
    return _scoped(_TOKEN.findall(flat))


def _scoped(tokens: list[str]) -> _Reading:
    """One walk: a negator opens a scope of a few content words, a break closes it."""
    denied: dict[str, str] = {}
    stated: set[str] = set()
    soft: set[str] = set()
    lexical: set[str] = set()
    reach = negators = 0
    for token in tokens:
        if token in _NEGATORS or token.endswith("n't"):
            negators, reach = negators + 1, _SCOPE
        elif token in _BREAKS:
            reach = 0
        elif token not in _STOP:
            word = _positive(token)
            root = stem(word)
            if word != token or root in _SOFT:
                soft.add(root)
            if word != token and not reach:
                lexical.add(root)
            if (word != token) != (reach > 0):
                denied.setdefault(root, word)
            else:
                stated.add(root)
            reach = max(0, reach - 1)
    return _Reading(
        len(tokens),
        negators,
        frozenset(soft),
        frozenset(lexical),
        denied,
        frozenset(stated),
        _held(tokens),
    )


def _positive(token: str) -> str:
    """`legal` for `illegal` and `parametric` for `nonparametric`; other words unchanged."""
    if token.startswith("non") and len(token) >= _NON:
        return token.removeprefix("non")
    return _NEGATIVE_FORMS.get(token, token)


def _held(tokens: list[str]) -> dict[int, dict[int, _Held]]:
    sides: dict[int, dict[int, _Held]] = defaultdict(dict)
    for at, token in enumerate(tokens):
        if token in _SIDES:
            beside = frozenset(tokens[max(0, at - 1) : at] + tokens[at + 1 : at + 2])
            for name, side in _SIDES[token]:
                times = _times(sides[name], side)
                first = sides[name].get(side, _Held(token, beside - _BREAKS))
                sides[name][side] = replace(first, times=times + 1)
    return dict(sides)


def _by_word() -> dict[str, tuple[tuple[int, int], ...]]:
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, sides in enumerate(CLASSES):
        for side, forms in enumerate(sides):
            for form in forms:
                found[form].append((name, side))
    return {word: tuple(places) for word, places in found.items()}


_SIDES = _by_word()
