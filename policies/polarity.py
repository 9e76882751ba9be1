"""Whether one text denies what the other states, or says the opposite word.

Three readings: words under a negator against the same words without one, a negator on one side
only, and words of one class of opposites (on/off, symptoms/treatment) that the texts do not share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import NamedTuple

from policies.opposites import CLASSES, inflect
from policies.reading import remembered
from policies.text import fold, lexicon, stem, words

_BRIEF = 40
"""Words up to which a lone negator vetoes. In longer prose paraphrases state a fact either way."""
_NON = 9
"""Letters from which a word in `non` is taken apart, so that `none` and `nonsense` stay whole."""
_TOLD = 16
"""Words from which a text of several sentences tells a story, whose asides may deny something."""
_SCOPE = 3
"""Content words that a negator reaches."""
_CLAUSE = 9
"""How many one reaches that stands before its subject: `why don't most people know`."""

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
        "exclude except quit impossible instead rather absence deny hate difficulty trouble "
        "struggle few poorly too"
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
_ASK = "?"
_ENDS = frozenset({".", "!", _ASK})
_FRONT = frozenset(lexicon("what which who why when where how so and but . ? ! , ; :"))

_AUX = r"(?:do|does|did|is|are|was|were|has|have|had|ca|could|wo|would|should|ai)"
_PLAIN_AUX = r"(?:do|does|did|is|are|was|were|has|have)"
_ASKED = r"(?:i|you|he|she|it|we|they|this|that|these|those|there|the|my|your|our|people)"
_START = r"(?:^|[.?!,;:]\s*)(?:so |and |but )?"
_KNOWING = r"(?:know|understand|remember|(?:see|get|recall|mean|care) (?=how|what|why|if|which|to))"
_GRASPING = r"(?:figure|find out|understand|remember|decide|wait|help|tell (?=if|how|wh))"
_UNABLE = r"(?:can'?t|cannot|can not|could ?n[o']t|couldnt|(?:not |un)able to)"
# Turns of phrase that hold a negator and deny nothing, with what they read as instead.
_EMPTY_PHRASES = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        # "don't you think", "isn't it so" ask the same as their positive
        (rf"((?:^|[.?!,;:]\s*)(?:so |and |but )?){_AUX}n'?t (?={_ASKED}\b)", r"\1is "),
        (rf"((?:^|[.?!,;:]\s*)(?:so |and |but )?{_PLAIN_AUX} (?:i|you|he|she|it|we|they)) not\b",
         r"\1"),
        # "is there no cure" asks whether there is one, "should or shouldn't it" whether it should
        (rf"({_START}(?:is|are|was|were) there) no\b", r"\1 any"),
        (r"\b(should|can|could|do|does|is|are|will|would) ?(?:/|or|and) ?\1(?:n'?t| not)\b",
         r"\1"),
        (r"^no,? (?:seriously|really)\b", ""),
        (r"\b(?:or|if|why) not(?=\s*[?.,;]|\s*$)", ""),
        (r"\bwhether or not\b", "whether"),
        (r"\bor not\b", ""),
        (r"\bnot (?:only|just|merely|to mention)\b", ""),
        (r"\bno (?:doubt|matter|problem|worries|wonder|offen[cs]e)\b", ""),
        (r"\byes ?(?:or|/) ?no\b", ""),
        (rf"\b(?:i|we) (?:do not|don'?t|did not|didn'?t)(?: really| quite| even)? {_KNOWING}", ""),
        (r"\b(?:i'?m|i am|we are|we're)? ?not (?:so |really |quite |very )?(?:sure|certain)\b", ""),
        (r"\bno idea\b", ""),
        (rf"\b{_UNABLE}(?: seem to)? {_GRASPING}\b", ""),
        (r"\b(?:don'?t|do not) (?:worry|forget|hesitate)\b", ""),
        (r"\bno\.? ?(?=\d)|#", ""),
    )
)  # fmt: skip
_LINKS = r"(?:of|after|to|for|in|about|from|by)\b"
# What makes another thing of a statement without denying it: told on one side only, it vetoes.
_MARKS = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"\bused? to be\b|\bformerly\b", "used to be"),
        (rf"\b(?:is|are|am|was|were)\b(?: (?!{_LINKS})[a-z']+){{0,3}} becoming\b", "becoming"),
        (r"\b(?:simultaneously|concurrently|at (?:the )?same time)\b", "simultaneously"),
        (r"\b(?:except|excluding|other than|apart from)\b", "except"),
    )
)
# Words of the other text that say as much as a mark.
_AS_MUCH = {"simultaneously": frozenset({"together", "both"})}
_MARKED = re.compile(r"used? to|former|becoming|taneous|concurr|same time|except|exclud|than|apart")
# Two-word verbs whose particle alone says too little: `logged out` is read as `logout`.
_PARTICLES = frozenset({"in", "out", "off"})
_PARTED = {
    form: verb
    for verb in lexicon("log sign check opt zoom clock lock plug")
    for form in inflect(verb)
}
# Signs that hide a word, and words in two pieces, each with what a text must hold for it.
_JOINED = tuple(
    (hint, re.compile(pattern), put)
    for hint, pattern, put in (
        ("n t ", r"\b((?:is|are|was|were|do|does|did|ha[sd]|have|ca|wo|could|would|should)n) t\b",
         r"\1't"),
        ("non-", r"\bnon- ?", "non"),
        ("non ", r"\bnon ", "non"),
        ("side effect", r"\bside effect", "sideeffect"),
        ("at least", r"\bat least\b", "atleast"),
        ("at most", r"\bat most\b", "atmost"),
        ("w/o", r"\bw/o\b", "without"),
        ("with ", r"\bwith (?:no|zero|not any)\b", "without"),
    )
)  # fmt: skip
_TOKEN = re.compile(r"[a-z0-9]+(?:'[a-z]+)?|[.;?!,:]")


class _Held(NamedTuple):
    """A word that stands on one side of a class of opposites: where, and how often that side is
    held."""

    word: str
    at: int
    times: int = 1


class _Reading(NamedTuple):
    """What a text states and denies, in stems.

    `asked` is whether a negator stands in a question, `lexical` are roots denied by a prefix
    (`illegal`), `soft` those and words like `refuse`;
    `sides` maps a class of opposites to the sides that the text holds.
    """

    tokens: list[str]
    negators: int
    sentences: int
    asked: bool
    soft: set[str]
    lexical: set[str]
    denied: dict[str, str]
    stated: set[str]
    sides: dict[int, dict[int, _Held]]
    marks: frozenset[str]

    @property
    def size(self) -> int:
        return len(self.tokens)

    def beside(self, held: _Held) -> set[str]:
        """The words on both sides of one."""
        around = self.tokens[max(0, held.at - 1) : held.at + 2]
        return {*around} - {held.word} - _BREAKS


def difference(a: str, b: str) -> str | None:
    """`"enable" against "disable"`, `not "work" against "work"` or `"not" on one side only`."""
    if _inert(a, b):
        return None
    ours, theirs = _read(a), _read(b)
    return (
        _opposed(ours, theirs)
        or _denied(ours, theirs)
        or _lone(ours, theirs)
        or _marked(ours, theirs)
    )


def study(text: str) -> None:
    """Read a text ahead of its comparisons."""
    _read(text)


def _inert(a: str, b: str) -> bool:
    """True where neither text denies anything, and not both hold words that have opposites."""
    if "'" in a or "'" in b or "non" in a or "non" in b or not (a.isascii() and b.isascii()):
        return False
    ours, theirs = words(a), words(b)
    if not (_LOADED.isdisjoint(ours) and _LOADED.isdisjoint(theirs)):
        return False
    return _OPPOSITES.isdisjoint(ours) or _OPPOSITES.isdisjoint(theirs)


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
        if brief or ours.beside(one) & theirs.beside(other):
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
    if denying.size >= _TOLD and denying.sentences > 1 and not denying.asked:
        return None
    return None if _excused(denying, plain) else '"not" on one side only'


def _marked(ours: _Reading, theirs: _Reading) -> str | None:
    if ours.marks == theirs.marks or max(ours.size, theirs.size) > _BRIEF:
        return None
    for one, other in ((ours, theirs), (theirs, ours)):
        for mark in sorted(one.marks - other.marks):
            if other.stated.isdisjoint(_AS_MUCH.get(mark, ())):
                return f'"{mark}" on one side only'
    return None


def _excused(denying: _Reading, plain: _Reading) -> bool:
    """True where the text without a negator denies in its own words: `refuses to eat`."""
    return plain.negators == 0 and bool(plain.soft - denying.soft)


@remembered(1024)
def _read(text: str) -> _Reading:
    flat = f"{fold(text).lower()} "
    for hint, pattern, put in _JOINED:
        if hint in flat:
            flat = pattern.sub(put, flat)
    tokens = _TOKEN.findall(flat)
    if "n't" in flat or not _NEGATORS.isdisjoint(tokens):
        for pattern, put in _EMPTY_PHRASES:
            flat = pattern.sub(put, flat)
        tokens = _TOKEN.findall(flat)
    if not _PARTICLES.isdisjoint(tokens):
        tokens = _parted(tokens)
    return _scoped(tokens, _marks(flat))


def _parted(tokens: list[str]) -> list[str]:
    joined: list[str] = []
    for token in tokens:
        if token in _PARTICLES and joined and joined[-1] in _PARTED:
            joined[-1] = _PARTED[joined[-1]] + token
        else:
            joined.append(token)
    return joined


def _marks(flat: str) -> frozenset[str]:
    if not _MARKED.search(flat):
        return frozenset()
    return frozenset(said for pattern, said in _MARKS if pattern.search(flat))


def _scoped(tokens: list[str], marks: frozenset[str]) -> _Reading:
    """One walk: a negator opens a scope of a few content words, a break closes it."""
    denied: dict[str, str] = {}
    stated: set[str] = set()
    soft: set[str] = set()
    lexical: set[str] = set()
    sides: dict[int, dict[int, _Held]] = {}
    reach = negators = 0
    for at, token in enumerate(tokens):
        if token in _SIDES:
            _hold(sides, token, at)
        kind = _KINDS.get(token)
        if kind is _PASSED:
            continue
        if kind is _NEGATOR or token.endswith("n't"):
            fronted = at == 0 or tokens[at - 1] in _FRONT
            negators, reach = negators + 1, _CLAUSE if fronted else _SCOPE
        elif kind is _BREAK:
            reach = 0
        else:
            word, root, quiet = _content(token)
            if quiet:
                soft.add(root)
            if word != token and not reach:
                lexical.add(root)
            if (word != token) != (reach > 0):
                denied.setdefault(root, word)
            else:
                stated.add(root)
            reach = max(0, reach - 1)
    sentences, asked = _told(tokens) if negators else (1, False)
    return _Reading(tokens, negators, sentences, asked, soft, lexical, denied, stated, sides, marks)


def _told(tokens: list[str]) -> tuple[int, bool]:
    """How many sentences there are, and whether one that denies is a question."""
    sentences, asked, denies = 1, False, False
    for token in tokens[:-1]:
        denies |= token in _NEGATORS or token.endswith("n't")
        if token in _ENDS:
            sentences, asked, denies = sentences + 1, asked or (denies and token == _ASK), False
    return sentences, asked or (denies and tokens[-1] == _ASK)


@lru_cache(maxsize=8192)
def _content(token: str) -> tuple[str, str, bool]:
    """What a word states, the stem of that, and whether it is negative in meaning.

    `illegal` states `legal`, `nonparametric` `parametric`; other words state themselves.
    """
    word = _NEGATIVE_FORMS.get(token, token)
    if token.startswith("non") and len(token) >= _NON:
        word = token.removeprefix("non")
    root = stem(word)
    return word, root, word != token or root in _SOFT


def _hold(sides: dict[int, dict[int, _Held]], token: str, at: int) -> None:
    for name, side in _SIDES[token]:
        held = sides.setdefault(name, {})
        first = held.get(side)
        held[side] = _Held(token, at) if first is None else first._replace(times=first.times + 1)


def _by_word() -> dict[str, tuple[tuple[int, int], ...]]:
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, sides in enumerate(CLASSES):
        for side, forms in enumerate(sides):
            for form in forms:
                found[form].append((name, side))
    return {word: tuple(places) for word, places in found.items()}


_SIDES = _by_word()
_PASSED, _NEGATOR, _BREAK = "passed", "negator", "break"
_OPPOSITES = frozenset((*_SIDES, *_PARTED))
# Without these, an apostrophe and `non`, a text denies nothing and holds no mark.
_LOADED = frozenset((
    *_NEGATORS, *_NEGATIVE_FORMS, "t", "w", "used", "use", "formerly", "becoming", "time",
    "simultaneously", "concurrently", "except", "excluding", "than", "apart",
))  # fmt: skip
_KINDS = (
    dict.fromkeys(_STOP, _PASSED)
    | dict.fromkeys(_BREAKS, _BREAK)
    | dict.fromkeys(_NEGATORS, _NEGATOR)
)
