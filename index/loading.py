"""How far the entries of the store are in RAM; until all are, the store is asked for the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from index.amending import alike

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.catalog import Catalog
    from index.ports import Bodies, Record
    from policies.values import Facts, Vector

# Entries of the store that are taken in together: a few milliseconds, between which others have
# their turn.
BATCH = 64


class Loading:
    """The work, and the state of it for whoever finds, forgets and keeps meanwhile."""

    def __init__(self) -> None:
        self.under_way = False
        self.count = 0
        self._forgotten: set[str] = set()

    def __str__(self) -> str:
        return f"loading, {self.count:,} entries so far"

    def begin(self) -> None:
        """From now on the store may hold entries that RAM does not."""
        self.under_way, self.count = True, 0

    def end(self) -> None:
        self.under_way = False
        self._forgotten.clear()

    def forget(self, entries: Iterable[str]) -> None:
        """What the store still tells of these is past."""
        if self.under_way:
            self._forgotten.update(entries)

    def keep(self, entry: str) -> None:
        self._forgotten.discard(entry)

    def forgotten(self, entry: str) -> bool:
        return entry in self._forgotten

    def awaits(self, entry: str) -> bool:
        """Whether the store may know of an entry that RAM does not."""
        return self.under_way and entry not in self._forgotten

    async def scan(self, bodies: Bodies, catalog: Catalog) -> None:
        """Take in all records of the store, a few at a time. Raises `StoreError`."""
        batch: list[Record] = []
        async for record in bodies.scan():
            batch.append(record)
            if len(batch) == BATCH:
                self._take(batch, catalog)
                batch.clear()
                await asyncio.sleep(0)
        self._take(batch, catalog)

    async def join(self, made: Catalog, current: Catalog, now: float) -> Catalog:
        """A catalog made aside, with what became of entries in the current one meanwhile."""
        made.drop(made.gone(now))
        for _ in made.joined(current):
            await asyncio.sleep(0)
        # Once more, now without a pause, for what changed while others had their turn.
        for _ in made.joined(current):
            pass
        made.drop(self._forgotten)
        self.count = len(made)
        return made

    def _take(self, records: list[Record], catalog: Catalog) -> None:
        """Hold what the store tells, unless more is known by now."""
        found: dict[str, tuple[Facts, Vector]] = {}
        for record in records:
            facts = self._taken(record.facts, catalog)
            if facts is not None and record.vector is not None:
                found[facts.entry] = (facts, record.vector)
        catalog.place([f for f, _ in found.values()], [v for _, v in found.values()])
        self.count += len(records)

    def _taken(self, facts: Facts, catalog: Catalog) -> Facts | None:
        """What is held of an answer of the store; None where there is another by now, or none."""
        known = catalog.facts(facts.entry)
        if self.forgotten(facts.entry):
            return None
        if known is not None and known.stored >= facts.stored:
            return known if alike(known, facts) else None
        catalog.hold(facts)
        return facts
