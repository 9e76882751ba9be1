"""Two answers are the same when their vectors are close enough, and no number speaks against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from index.pool import NICEST, Pool
from index.texts import sound
from policies import sameness, text

if TYPE_CHECKING:
    from index.ports import Embedder
    from policies.values import Vector

# Nobody waits for a label, and one model call at a time is all that judging may take of a machine.
PATIENCE = 60.0
# How often a piece that is too long for the encoder is cut in two.
HALVINGS = 3


class EmbeddingJudge:
    """Compares answers by the encoder that prompts are compared by, chunk by chunk."""

    def __init__(self, embedder: Embedder, threshold: float) -> None:
        self._embed = sound(embedder)
        self._threshold = threshold
        self._pool = Pool(1, nice=NICEST)

    async def same(self, question: str, fresh: str, remembered: str) -> bool | None:  # noqa: ARG002 - the port's shape
        try:
            return await self._pool.within(PATIENCE, self.of, fresh, remembered)
        except Exception:  # noqa: BLE001 - whatever a model does, there is no label then
            return None

    def describe(self) -> str:
        short = max(0.0, self._threshold - sameness.SLACK)
        return f"judge: embedding >= {self._threshold:.2f} ({short:.2f} for a sentence or two)"

    def close(self) -> None:
        self._pool.close()

    def of(self, fresh: str, remembered: str) -> bool | None:
        """The judgement itself, at once: what the pool runs. Raises whatever the model raises."""
        told = [sameness.sentences(answer) for answer in (fresh, remembered)]
        one, other = (" ".join(sentences) for sentences in told)
        if not one or not other:
            return None
        if text.normalise(one) == text.normalise(other):
            return True
        if sameness.conflict(one, other) is not None:
            return False
        vectors = [self._vectors(sentences) for sentences in told]
        if vectors[0] is None or vectors[1] is None:
            return None
        words = [len(text.words(answer)) for answer in (one, other)]
        cut = sameness.cut(words[0], words[1], self._threshold)
        return sameness.similarity(vectors[0], vectors[1]) >= cut

    def _vectors(self, sentences: list[str]) -> list[tuple[Vector, int]] | None:
        """Each chunk's vector and length; None where the encoder does not read all of them."""
        pieces = sameness.chunks(sentences)
        if len(pieces) > sameness.MOST_CHUNKS:
            return None
        made: list[tuple[Vector, int]] = []
        for piece in pieces:
            read = self._read(piece, HALVINGS)
            if read is None:
                return None
            made += read
        return made

    def _read(self, piece: str, halvings: int) -> list[tuple[Vector, int]] | None:
        embedded = self._embed(text.normalise(piece))
        if embedded.unknown:
            return None
        if not embedded.truncated:
            return [(embedded.vector, len(piece))]
        if not halvings:
            return None
        half = len(piece) // 2
        one, other = (self._read(part, halvings - 1) for part in (piece[:half], piece[half:]))
        return None if one is None or other is None else one + other
