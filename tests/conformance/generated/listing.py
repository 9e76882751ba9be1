"""The APIs and how many answers are made up of each."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.conformance.generated import chat, completions, embeddings, messages, responses

if TYPE_CHECKING:
    from tests.conformance.cases import Case

COUNTS = (
    (chat.case, 60),
    (completions.case, 40),
    (responses.case, 50),
    (messages.case, 50),
    (embeddings.case, 20),
)
"""200 streams, and the embeddings, which know none."""


def generated(seed: int, share: float = 1.0) -> list[Case]:
    """Every case of a seed, or about a `share` of each API's."""
    made: list[Case] = []
    for make, count in COUNTS:
        rng = Random(f"{seed} {make.__module__}")  # noqa: S311 - repeatable, not secret
        made += [make(rng, number) for number in range(max(1, round(count * share)))]
    return made
