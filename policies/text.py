"""What a prompt's text is to the core: normal form, words, stems, and whether meaning may be used.

Only strings in and out. What two texts say differently is the guards' business.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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

# Function words that English does not share. Two in a text that has no more English ones mean
# that lists made for English (negation, units, numbers) would not see what matters.
_FOREIGN = frozenset(
    lexicon(
        "der das und ist nicht ein eine einen wie kann ich wir sie mit für auf dem den von zu "
        "zum im welche welcher warum wann le la les des est une un pas que qui dans pour avec "
        "je vous nous comment pourquoi quelle quel du et sur el los las es por para como con "
        "cómo qué una mi su no cuál puedo hacer quiero o os uma não como eu meu minha você em "
        "da do il lo gli che di per non come è sono della nel perché het een van niet hoe kan "
        "ik op voor wat zijn waarom och att är jag det inte hur vad nie jak jest czy się na w "
        "z co bir ve değil"
    )
)
_ENGLISH = frozenset(
    lexicon(
        "the a an of to in on at by for from with and or is are was were be been do does did "
        "has have had can could will would should may i you he she it we they my your his her "
        "its our their me this that these those what which who whom whose when where why how "
        "if not as than then there am any some all more most please tell give show write "
        "explain list find get make use"
    )
)
_SHARED = frozenset(
    lexicon("a an in on at do me no was has will is come per con des o os as she am")
)
_SAMPLE = 60


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


def embeddable(text: str) -> Reason | None:
    """None where the text may be compared by meaning, else why only equal texts may match."""
    if len(text) > LONGEST:
        return Reason.TOO_LONG
    if not text.isascii() and _other_script(text):
        return Reason.LANGUAGE
    if not any(c.isalnum() for c in text):
        return Reason.UNSUPPORTED
    return Reason.LANGUAGE if _foreign(text) else None


def _other_script(text: str) -> bool:
    return any(
        c.isalpha()
        and not c.isascii()
        and c not in _SIGNS
        and "LATIN" not in unicodedata.name(c, "")
        for c in unicodedata.normalize("NFKC", text)
    )


def _foreign(text: str) -> bool:
    """True for prose in Latin letters that is plainly not English; short or mixed texts are not."""
    sample = words(text[:1000])[:_SAMPLE]
    marked = [w for w in sample if not w.isascii()]
    foreign = sum(1 for w in sample if w in _FOREIGN and w not in _SHARED)
    english = sum(1 for w in sample if w in _ENGLISH and w not in _FOREIGN)
    if foreign + len(marked) < 2:  # noqa: PLR2004 - one loan word or accented name is English
        return False
    return foreign > english or (english == 0 and len(marked) * 4 >= len(sample))


@lru_cache(maxsize=1024)
def words(text: str) -> tuple[str, ...]:
    """Words in reading order, casefolded, apostrophes straight: `France's` is one word."""
    return tuple(_WORD.findall(fold(text).casefold()))


_IRREGULAR = {
    form: root
    for line in lexicon(
        "use uses used using"
        "|buy bought|sell sold|bite bit bitten|eat ate eaten|write wrote written"
        "|see saw seen|give gave given|take took taken|beat beaten|win won|lose lost"
        "|teach taught|make made"
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


@lru_cache(maxsize=8192)
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
