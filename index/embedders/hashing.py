"""An embedder without a model: hashed words and letter trigrams. Deterministic, quick, no meaning.

The shipped stand-in for tests and trials; it knows spelling, not sense.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

from index.errors import SetupError
from index.ports import Embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.values import Vector

_WORD = re.compile(r"\w+|[^\w\s]")
_WORD_WEIGHT = 1.0
_TRIGRAM_WEIGHT = 0.4


class HashingEmbedder:
    """Texts that share words or word parts are near; the same text is always the same vector."""

    def __init__(self, dimension: int = 256) -> None:
        if dimension < 1:
            raise SetupError(f"embedding: dimension {dimension} is not positive; 256 is usual")
        self._dimension = dimension

    @property
    def id(self) -> str:
        return f"hashing/1/{self._dimension}"

    @property
    def dimension(self) -> int:
        return self._dimension

    def embed(self, text: str) -> Embedded:
        vector: Vector = np.zeros(self._dimension, dtype=np.float32)
        for feature, weight in _features(text):
            code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            # The top bit is the sign, so that collisions cancel rather than pile up.
            vector[(code & 0x7FFFFFFF) % self._dimension] += weight if code >> 31 else -weight
        length = np.linalg.norm(vector)
        if length == 0:
            vector[0] = length = np.float32(1.0)
        return Embedded(vector / length)


def _features(text: str) -> Iterator[tuple[str, float]]:
    for word in _WORD.findall(text.lower()):
        yield word, _WORD_WEIGHT
        edged = f"<{word}>"
        for start in range(len(edged) - 2):
            yield f"3{edged[start : start + 3]}", _TRIGRAM_WEIGHT
