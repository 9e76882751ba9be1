"""Vectors of texts, those of lately at hand: for whoever sent the text, and for nobody else.

Embedding takes a hundred times as long as finding a vector here. Were one caller's texts at hand
for another, the time of an answer would tell what others have asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from index.errors import EmbedderError
from index.shelf import Shelf
from policies import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.ports import Embedded, Embedder

RECENT = 4_096
# How far the square of a vector's length may be from 1.
OFF = 0.01


def sound(embedder: Embedder) -> Callable[[str], Embedded]:
    """The embedder's `embed`, which then raises `EmbedderError` for what is no vector of its own.

    One of another dimension, with what is no number, or of another length than 1 would be stored
    with an answer, or seem to be near everything.
    """

    def embed(prepared: str) -> Embedded:
        made = embedder.embed(prepared)
        vector = made.vector
        if vector.shape != (embedder.dimension,):
            raise EmbedderError(
                f"{embedder.id}: a vector of shape {vector.shape}, not ({embedder.dimension},)"
            )
        if not np.isfinite(vector).all():
            raise EmbedderError(f"{embedder.id}: a vector that is not a number throughout")
        if abs(float(vector @ vector) - 1.0) > OFF:
            raise EmbedderError(f"{embedder.id}: a vector that is not of length 1")
        return made

    return embed


class Texts:
    """Asks `embed` for the vectors of normalised texts. Thread-safe if `embed` is.

    `whose` is a digest of who sent a text, empty for what no caller did.
    """

    def __init__(self, embed: Callable[[str], Embedded], most: int = RECENT) -> None:
        self._embed = embed
        self._recent: Shelf[Embedded] = Shelf(most)

    def embedded(self, raw: str, whose: str) -> Embedded:
        """The text's vector. Raises `EmbedderError`."""
        prepared = text.normalise(raw)
        known = self._recent.get((whose, prepared))
        if known is None:
            known = self._embed(prepared)
            self._recent.put((whose, prepared), known)
        return known

    def known(self, raw: str, whose: str) -> Embedded | None:
        """Its vector, if it is at hand."""
        return self._recent.get((whose, text.normalise(raw)))

    def learn(self, raw: str, whose: str, embedded: Embedded) -> None:
        """Have a vector at hand that was made elsewhere."""
        self._recent.put((whose, text.normalise(raw)), embedded)
