"""What a prompt's text is to the core: normal form, words, stems, and whether meaning may be used.

Only strings in and out. What two texts say differently is the guards' business.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from policies import languages
from policies.reading import remembered
from policies.verdicts import Reason

LONGEST = 32_000
"""Characters above which a text is not compared by meaning."""


def lexicon(text: str, between: str | None = None) -> tuple[str, ...]:
    """The words of a list that is kept as running text, in order."""
    return tuple(text.split(between))


_STRAIGHT = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")
_STRAIGHT |= dict.fromkeys(map(ord, "\u201c\u201d\u201e"), '"')
_WRAPS = {'"': '"', "'": "'", "(": ")", "[": "]", "«": "»"}
_CLOSING = " .?!…¿¡"
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# Letters that English prose borrows as unit signs; NFKC makes them Greek.
_SIGNS = frozenset("μΩ")
_ENGLISH = frozenset({languages.ENGLISH})


def fold(text: str) -> str:
    """Compatibility forms, curly quotes and invisible characters undone; case and spacing kept."""
    if text.isascii():
        return text
    seen = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", seen).translate(_STRAIGHT)


def normalise(text: str) -> str:
    """The text as it is embedded: folded, one case, single spaces, no closing punctuation."""
    flat = _SPACE.sub(" ", fold(text)).strip().casefold()
    while True:
        bare = flat.rstrip(_CLOSING).lstrip(" ¿¡")
        if len(bare) > 1 and _WRAPS.get(bare[0]) == bare[-1] and _alone(bare):
            bare = bare[1:-1]
        if bare == flat:
            return bare
        flat = bare


def _alone(text: str) -> bool:
    """True where the outer quotes or brackets hold the whole text and nothing of their kind."""
    inner = text[1:-1]
    return text[0] not in inner and text[-1] not in inner


def embeddable(text: str, spoken: frozenset[str] = _ENGLISH) -> Reason | None:
    """None where the text may be compared by meaning, else why only equal texts may match.

    `spoken` are the languages that the encoder carries and the guards read.
    """
    if len(text) > LONGEST:
        return Reason.TOO_LONG
    if not text.isascii() and _other_script(text):
        return Reason.LANGUAGE
    if not any(c.isalnum() for c in text):
        return Reason.UNSUPPORTED
    return None if languages.of(text) in spoken else Reason.LANGUAGE


def _other_script(text: str) -> bool:
    return any(
        c.isalpha()
        and not c.isascii()
        and c not in _SIGNS
        and "LATIN" not in unicodedata.name(c, "")
        for c in unicodedata.normalize("NFKC", text)
    )


@remembered(1024)
def words(text: str) -> tuple[str, ...]:
    """Words in reading order, casefolded, apostrophes straight: `France's` is one word."""
    return tuple(_WORD.findall(fold(text).casefold()))


@remembered(1024)
def stems(text: str) -> tuple[str, ...]:
    """The stems of its words, in reading order."""
    return tuple(map(stem, words(text)))


@remembered(1024)
def bag(text: str) -> frozenset[str]:
    """The stems of its words in no order."""
    return frozenset(stems(text))


_IRREGULAR = {
    form: root
    for line in lexicon(
        "use uses used using"
        "|buy bought|sell sold|bite bit bitten|eat ate eaten|write wrote written"
        "|see saw seen|give gave given|take took taken|beat beaten|win won|lose lost"
        "|teach taught|make made|keep kept|understand understood|think thought|bring brought"
        "|feel felt|hear heard|say said|run ran|begin began begun|sing sang sung|fight fought"
        "|lend lent|spend spent|lay laid|wear wore worn|throw threw thrown|draw drew drawn"
        "|grow grew grown|forget forgot forgotten|forgive forgave forgiven|speak spoke spoken"
        "|ride rode ridden|shake shook shaken|wake woke woken|hide hid hidden|shoot shot"
        "|bend bent|feed fed|seek sought|strike struck|swear swore sworn|tear tore torn"
        "|bear bore borne|dig dug|hang hung|shrink shrank shrunk|sink sank sunk|spin spun"
        "|stick stuck|sweep swept|swing swung|weave wove woven|blow blew blown|fly flew flown"
        "|become became|come came|fall fell fallen|get got gotten|lie lay lain|rise rose risen"
        "|build built|catch caught|break broke broken|choose chose chosen|hold held|find found"
        "|know knew known|leave left|kill killed|drive drove driven|steal stole stolen"
        "|pay paid|send sent|tell told|lead led|meet met|hit hit|hurt hurt|do does did done"
        "|go went gone|man men|woman women|child children|person people|mouse mice|foot feet"
        "|tooth teeth",
        "|",
    )
    for root, *forms in (line.split(),)
    for form in forms
}
_SHORTEST_STEM = 3


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A word without plural, possessive, -ed and -ing: enough to see that two forms are one."""
    word = word.removesuffix("'s").removesuffix("'")
    if word in _IRREGULAR:
        return _tidy(_IRREGULAR[word])
    for ending, put in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            if ending in {"s", "es"} and word.endswith(("ss", "us", "is")):
                return word
            return _tidy(word.removesuffix(ending) + put)
    return _tidy(word)


def _tidy(root: str) -> str:
    """Undo a doubled consonant (running) and drop the final e, so that `use` and `using` meet."""
    if len(root) > _SHORTEST_STEM and root[-1] == root[-2] and root[-1] not in "aeiouls":
        return root[:-1]
    return root.removesuffix("e") if len(root) > _SHORTEST_STEM else root
