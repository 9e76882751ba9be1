"""`likewise serve` whose encoder and index do as a file says: how a fault gets into that process.

`python -m tests.chaos.launcher serve` looks for the file `trouble` in its folder whenever it embeds
or searches; the file holds a word of `WORDS`, and without it all is well.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index import build, spaces
from proxy.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from index.ports import Embedded, Embedder
    from policies.values import Vector

TROUBLE = Path("trouble")
STALLS, RAISES = "embedder stalls", "embedder raises"
INDEX_STALLS, INDEX_RAISES = "index stalls", "index raises"
# What an encoder that has lost its senses says in place of its vector.
SAYS: Mapping[str, Callable[[Vector], Vector]] = {
    "not numbers": lambda vector: np.full_like(vector, np.nan),
    "too short": lambda vector: vector[:-1],
    "too long": lambda vector: np.concatenate([vector, vector]),
    "nothing": np.zeros_like,
    "ten times as much": lambda vector: vector * 10,
}
WORDS = frozenset({STALLS, RAISES, INDEX_STALLS, INDEX_RAISES, *SAYS})
LOOKS_EVERY = 0.02


def told() -> str:
    """The word that rules now; empty where all is well."""
    try:
        return TROUBLE.read_text()
    except OSError:
        return ""


class Bent:
    """An embedder that does as it is told."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.id, self.dimension = inner.id, inner.dimension

    def embed(self, text: str) -> Embedded:
        _suffer(STALLS, RAISES)
        made = self._inner.embed(text)
        says = SAYS.get(told())
        return made if says is None else replace(made, vector=says(made.vector))


def bend() -> None:
    """Have whatever this process builds from now on do as it is told."""
    embedder, search = build.embedder, spaces.Neighbours.search

    def bent(model: str, **rest: Any) -> Embedder:
        return Bent(embedder(model, **rest))

    def searched(self: spaces.Neighbours, vector: Vector, k: int) -> list[tuple[str, float]]:
        _suffer(INDEX_STALLS, INDEX_RAISES)
        return search(self, vector, k)

    build.embedder = bent
    spaces.Neighbours.search = searched  # type: ignore[method-assign]


def _suffer(stalls: str, raises: str) -> None:
    while (now := told()) == stalls:
        time.sleep(LOOKS_EVERY)
    if now == raises:
        raise RuntimeError("broken on purpose")


if __name__ == "__main__":
    bend()
    cli()
