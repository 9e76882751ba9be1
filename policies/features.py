"""What a cache knows about one would-be hit besides its cosine.

Read from the neighbours alone: whether they hold the same answer (answer groups), how near the
nearest one is that does not, what became of the entry before. Pure; nothing here is learned.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from policies import groups, text
from policies.reading import remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.values import Candidate, Facts

NAMES = (
    "always", "similarity", "margin", "share", "agreeing", "closeness", "words", "record", "votes",
    "passed",
)  # fmt: skip
# A neighbour this much further away than the nearest counts e times less.
SPREAD = 0.05
# Where no neighbour holds another answer, one may stand here all the same.
ELSEWHERE = 0.3
MARGIN = 0.4
CLOSEST = 4
# Words that two ways of saying the same may differ in.
_BINDING = frozenset(
    text.lexicon(
        "a an the of to in on at by for from with and or is are was were be been am do does did "
        "has have had can could will would should may might i you he she it we they me my your "
        "his her its our their this that these those there please tell give show explain what "
        "which who how why when where if so as than then just any some"
    )
)
# The votes that an answer nobody remembers has.
UNSEEN = 0.3


def scaled(similarity: float) -> float:
    """A cosine as the feature `similarity` tells it."""
    return (similarity - 0.85) * 10


def read(
    prompt: str, chosen: Candidate, near: Sequence[Candidate], passed: int = 0
) -> tuple[float, ...]:
    """The features of answering `prompt` from `chosen`, in the order of `NAMES`.

    `near` are the neighbours, best first, the chosen one among them; `passed` of those that were
    nearer were refused by a guard and are not in it. Each feature is about -3 to 5, higher speaks
    for the answer.
    """
    group = groups.of(chosen.facts)
    top = near[0].score
    votes: dict[str, float] = {}
    agreeing: list[float] = []
    rival = ELSEWHERE
    for candidate in near:
        other, score = groups.of(candidate.facts), candidate.score
        votes[other] = votes.get(other, 0.0) + math.exp((score - top) / SPREAD)
        if other == group:
            agreeing.append(score)
        else:
            rival = max(rival, score)
    own = votes.pop(group)
    against = max(votes.values(), default=0.0)
    closest = agreeing[:CLOSEST]
    right = sum(same for _, same in chosen.facts.labels)
    wrong = len(chosen.facts.labels) - right
    return (
        1.0,
        scaled(chosen.score),
        max(-MARGIN, min(chosen.score - rival, MARGIN)) * 10,
        2 * own / (own + sum(votes.values())) - 1,
        math.log(len(agreeing)),
        (sum(closest) / len(closest) - 0.8) * 10,
        2 * _overlap(prompt, chosen.facts.text) - 1,
        math.log((right + 1) / (wrong + 1)),
        math.log((own + UNSEEN) / (against + UNSEEN)),
        -math.log(1 + passed),
    )


def rivals(chosen: Candidate, near: Sequence[Candidate], most: int) -> tuple[Facts, ...]:
    """The nearest entry of each other answer group, nearest first, `most` at most."""
    found: dict[str, Facts] = {groups.of(chosen.facts): chosen.facts}
    for candidate in near:
        found.setdefault(groups.of(candidate.facts), candidate.facts)
    return tuple(found.values())[1 : most + 1]


def _overlap(one: str, other: str) -> float:
    """The share of telling words that two texts have in common, 0 to 1 (Jaccard)."""
    a, b = _telling(one), _telling(other)
    return len(a & b) / len(a | b) if a or b else 1.0


@remembered(8192)
def _telling(prompt: str) -> frozenset[str]:
    """A text's words in their stems, without those that hold sentences together."""
    return frozenset(text.stem(w) for w in text.words(prompt[:4_000]) if w not in _BINDING)
