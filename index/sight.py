"""What the encoder and the index say of a text: its vector, its category, the entries nearest.

Runs in threads of low priority; nobody waits longer than `budget`, and a fault of the encoder is
counted and ends here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.errors import EmbedderError, MemoryFault
from index.pool import STALL
from index.texts import Texts, sound
from index.turns import Turns
from policies import category as categories
from policies import decide, guards, text
from policies.category import Centroids
from policies.verdicts import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.catalog import Catalog
    from index.faults import Faults
    from index.pool import Pool
    from index.ports import Embedded, Embedder
    from policies.category import Guess
    from policies.values import Candidate, CategoryRules, Facts, Query, Rules, Turn, Vector
    from policies.verdicts import Lookup


@dataclass(frozen=True, slots=True)
class Seen:
    """What the encoder and the index said about one text."""

    lookup: Lookup
    near: tuple[Candidate, ...]
    vector: Vector | None
    fault: Reason | None
    guess: Guess | None
    embed_ms: float
    search_ms: float


class Sight:
    """`centroids` are where the categories' examples lie. `catalog` says in which entries to
    search, as it may be exchanged whole."""

    def __init__(
        self,
        embedder: Embedder,
        catalog: Callable[[], Catalog],
        faults: Faults,
        *,
        pool: Pool,
        budget: float,
    ) -> None:
        self.centroids = Centroids((), np.zeros((0, 1), np.float32))
        self._embed = sound(embedder)
        self._catalog = catalog
        self._faults = faults
        self._pool = pool
        self._budget = budget
        self._texts = Texts(self._embed)
        self._turns = Turns(self._texts, self._facts, self._saying)

    @property
    def stalled(self) -> bool:
        return self._pool.stalled

    @property
    def queued(self) -> int:
        """How many requests wait for the encoder."""
        return self._pool.waiting

    async def learn_examples(self, rules: Rules) -> Centroids:
        """Embed the categories' examples; empty when the model cannot."""
        wanted = {c.name: c.examples for c in rules.categories if c.examples}
        return await self._pool.whenever(self._centroids, wanted)

    async def nearest_anywhere(self, prompt: str, k: int) -> tuple[list[Candidate], Guess | None]:
        """The best neighbours over all spaces, for explaining; slow with many spaces."""
        return await self._pool.whenever(self._all, prompt, k)

    async def embed(self, raw: str) -> Embedded:
        """A text's vector, behind the requests. Raises `EmbedderError`."""
        return await self._pool.whenever(self._embed, text.normalise(raw))

    async def compared(
        self, query: Query, category: CategoryRules, rules: Rules, near: list[Candidate]
    ) -> list[Candidate]:
        """Candidates with the similarities of their earlier turns, for explaining."""
        return await self._pool.whenever(self._turns.compared, query, category, rules, near)

    async def vector_of(self, facts: Facts) -> Vector | None:
        whose = facts.owner.partition(":")[0]
        try:
            embedded = await self._pool.within(STALL, self._texts.embedded, facts.text, whose)
        except Exception as fault:  # noqa: BLE001 - the answer is kept without a vector
            self._faults.note("embed", str(fault) or type(fault).__name__)
            return None
        return None if _unreadable(embedded) else embedded.vector

    async def see(self, lookup: Lookup, query: Query, rules: Rules) -> Seen | None:
        try:
            return await self._pool.within(
                self._budget,
                self._look,
                lookup,
                query,
                rules,
                meanwhile=lambda: guards.study(query.text),
            )
        except TimeoutError as fault:
            self._faults.note("embed_timeout", str(fault))
        except MemoryFault as fault:
            self._faults.note("embed", str(fault))
        except Exception as fault:  # noqa: BLE001 - whatever a model does, the request goes on
            self._faults.note("embed", f"{type(fault).__name__}: {fault}")
        return None

    def _look(self, lookup: Lookup, query: Query, rules: Rules) -> Seen:
        """Embed, tell the category, search its space. Runs in the pool."""
        started = time.perf_counter()
        embedded = self._texts.embedded(query.text, query.owners.key)
        embed_ms = (time.perf_counter() - started) * 1000
        guess = None
        if lookup.category is None:
            guess = categories.nearest(embedded.vector, self.centroids)
            if guess is not None and guess.name is not None:
                lookup = decide.scope(query, rules.named(guess.name), rules)
        fault = _unreadable(embedded) or lookup.semantic
        if fault is not None:
            return Seen(lookup, (), None, fault, guess, embed_ms, 0.0)
        space = self._catalog().spaces.within(lookup.space)
        category = lookup.category or rules.defaults
        vector = embedded.vector
        near = self._turns.nearest(query, category, rules, vector, space) if space else ()
        search_ms = (time.perf_counter() - started) * 1000 - embed_ms
        return Seen(lookup, near, embedded.vector, None, guess, embed_ms, search_ms)

    def _centroids(self, wanted: dict[str, tuple[str, ...]]) -> Centroids:
        try:
            return categories.centroids(
                {
                    name: [self._texts.embedded(e, "").vector for e in examples]
                    for name, examples in wanted.items()
                }
            )
        except EmbedderError as fault:
            self._faults.note("embed", str(fault))
            return Centroids((), np.zeros((0, 1), np.float32))

    def _all(self, prompt: str, k: int) -> tuple[list[Candidate], Guess | None]:
        embedded = self._texts.embedded(prompt, "")
        guess = categories.nearest(embedded.vector, self.centroids)
        spaces = self._catalog().spaces.every()
        pairs = [pair for space in spaces for pair in space.search(embedded.vector, k)]
        pairs.sort(key=lambda pair: -pair[1])
        return self._turns.candidates(pairs[:k]), guess

    def _facts(self, entry: str) -> Facts | None:
        return self._catalog().facts(entry)

    def _saying(self, said: Turn) -> Facts | None:
        return self._catalog().saying(said)


def _unreadable(embedded: Embedded) -> Reason | None:
    if embedded.unknown:
        return Reason.LANGUAGE
    return Reason.TRUNCATED if embedded.truncated else None
