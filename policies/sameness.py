"""Do two answers say the same? What of that needs no model: plain words, chunks, cuts, vetoes.

Answers are longer than prompts and written differently each time, so they are compared chunk by
chunk, each with the most similar one of the other answer. The figures below were chosen on answers
in several wordings (docs/decisions.md).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from policies import guards, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.values import Vector

# Characters of a chunk: about 200 word pieces of English, inside the default encoder's window.
CHUNK = 800
# Chunks of one answer; longer ones are not compared, since what differs may stand anywhere.
MOST_CHUNKS = 32
# Short answers differ more by their wording alone: so much less is asked of them.
SLACK = 0.15
# Words up to which an answer is short, and from which on it is long.
SHORT, LONG = 25, 75
# Words up to which the numbers of an answer are what it says, rather than details of it.
FACTUAL = 60
_FACTS, _WORDINGS = ("numbers", "units"), ("negation",)

_MARKS = re.compile(
    r"^[ \t]*(?:[-*+•>]|#{1,6}|\d{1,2}[.)])[ \t]+|[*_`~]{1,3}|^[ \t|:-]{3,}$", re.MULTILINE
)
_SYMBOLS = ("So", "Sk", "Cn", "Co")
_BREAK = re.compile(r"(?<=[.!?:;])\s+|\n+")
_OPENING = re.compile(
    r"(?:(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|no problem|"
    r"(?:great|good) question|(?:happy|glad) to help|here you (?:go|are)|"
    r"here(?:'s| is) (?:the answer|what you need to know)|thanks for asking)\b[\s,.!:-]*)+",
    re.IGNORECASE,
)
_CLOSING = re.compile(
    r"(?:i )?hope (?:this|that)|(?:please )?(?:let me know|feel free|do(?:n't| not) hesitate)|"
    r"is there anything else|if you (?:have|need) (?:any|more|further)|"
    r"(?:would|do) you (?:like|want) me",
    re.IGNORECASE,
)


def sentences(answer: str) -> list[str]:
    """An answer's sentences without list marks, emphasis, symbols, and the phrases around it."""
    bare = _MARKS.sub(" ", text.fold(answer))
    bare = "".join(" " if unicodedata.category(c) in _SYMBOLS else c for c in bare).strip()
    kept = [one for one in _BREAK.split(bare[_opening(bare) :]) if one.strip()]
    while len(kept) > 1 and _CLOSING.match(kept[-1].lstrip()):
        kept.pop()
    return kept


def _opening(answer: str) -> int:
    """Where the answer begins behind its polite opening; 0 where it is nothing else."""
    found = _OPENING.match(answer)
    return found.end() if found and found.end() < len(answer) else 0


def plain(answer: str) -> str:
    """What an answer says whatever its case, spacing, marks and polite phrases."""
    return text.normalise(" ".join(sentences(answer)))


def chunks(told: Sequence[str], size: int = CHUNK) -> list[str]:
    """Sentences joined to pieces of at most `size` characters; a longer sentence is cut."""
    made: list[str] = []
    for sentence in told:
        for start in range(0, len(sentence), size):
            piece = sentence[start : start + size]
            if made and len(made[-1]) + 1 + len(piece) <= size:
                made[-1] = f"{made[-1]} {piece}"
            else:
                made.append(piece)
    return made


def similarity(a: Sequence[tuple[Vector, int]], b: Sequence[tuple[Vector, int]]) -> float:
    """How alike two answers are, in [0, 1], from each chunk's vector and length.

    Each chunk counts by its length and with its most similar chunk over there; the worse
    direction counts, so that an answer is not like another one that merely contains it.
    """
    return min(_covered(a, b), _covered(b, a))


def _covered(these: Sequence[tuple[Vector, int]], those: Sequence[tuple[Vector, int]]) -> float:
    total = sum(length for _, length in these)
    best = sum(max(float(v @ w) for w, _ in those) * length for v, length in these)
    return min(1.0, max(0.0, best / total)) if total else 0.0


def cut(a: int, b: int, long: float) -> float:
    """The similarity that answers of so many words must reach: that of `long` ones, or less."""
    share = (min(a, b) - SHORT) / (LONG - SHORT)
    return long - SLACK * (1 - min(1.0, max(0.0, share)))


def conflict(a: str, b: str) -> str | None:
    """What two short answers say differently although they sound alike; None for long ones.

    A `not` more or less is a matter of wording but in the shortest.
    """
    words = max(len(text.words(a)), len(text.words(b)))
    if words > FACTUAL:
        return None
    veto = guards.veto(a, b, (*_FACTS, *(_WORDINGS if words <= SHORT else ())))
    return None if veto is None else veto.seen
