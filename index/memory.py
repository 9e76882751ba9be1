"""Find, read, keep, forget: the one door through which the shell uses memory.

Facts of every entry are held in RAM, so an exact hit is a dictionary look-up and hops no thread.
Embedding and searching are one job in a small pool of low priority. Decides nothing: whether a
candidate may be served is `policies`' verdict. Every failure of a part ends here as a fault in
`Found`, a None, or a False.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from index.amending import Change, alike
from index.catalog import Catalog, Slot
from index.errors import StoreError
from index.faults import Faults, Told
from index.fences import Fences
from index.loading import Loading
from index.pool import Pool
from index.ports import Record
from index.recovery import WORTH, Recovery
from index.shelf import Shelf
from index.sight import Sight
from index.snapshot import Files
from index.stores.absent import AbsentBodies
from index.vectors import RESERVE
from policies.values import Found
from policies.verdicts import Lookup, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from index.ports import Bodies, Embedder
    from policies.eviction import Bounds, Rule
    from policies.values import Facts, Query, Rules, Vector

LOG = logging.getLogger("likewise.memory")

T = TypeVar("T")

# Entries that are dropped together: a few milliseconds, between which others have
# their turn.
BATCH = 64
# How long a request may wait for its embedding before it goes on without.
EMBED_BUDGET = 0.25


class Memory:
    """The entries of one process, over a store that outlives it."""

    def __init__(
        self,
        embedder: Embedder,
        bodies: Bodies,
        *,
        clock: Callable[[], float] = time.time,
        hot_bytes: int = 64_000_000,
        storage: str = "int8",
        pca: int | None = None,
        reserve: int = RESERVE,
        snapshot: Path | None = None,
        workers: int = 2,
        embed_budget: float = EMBED_BUDGET,
    ) -> None:
        self.embedder = embedder
        self.bodies = bodies
        self.faults = Faults(Told(LOG))
        self.fences = Fences()
        self._blank = partial(Catalog, embedder, storage=storage, reserve=reserve, pca=pca)
        self.catalog = self._blank()
        kept = {"storage": storage, "pca": pca}
        told = {"encoder": embedder.id, "dimension": embedder.dimension, **kept}
        self._recovery = None if snapshot is None else Recovery(Files(snapshot), told)
        self._clock = clock
        self._pool = Pool(workers)
        self.sight = Sight(
            embedder, lambda: self.catalog, self.faults, pool=self._pool, budget=embed_budget
        )
        self._hot: Shelf[bytes] = Shelf(hot_bytes, len)
        self._pending: dict[str, Record] = {}
        self._amends: Counter[str] = Counter()
        self._writes: dict[asyncio.Task[Any], str] = {}
        self.loading = Loading()
        self._growing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def shared(self) -> bool:
        """Whether others write to the same store, so that it alone says what exists."""
        return self.bodies.shared

    @property
    def missing(self) -> str:
        """Why there is no store as yet; empty where there is one."""
        return self.bodies.why if isinstance(self.bodies, AbsentBodies) else ""

    @property
    def size(self) -> int:
        """Bytes of all entries, what RAM holds of them included."""
        return self.catalog.size

    @property
    def counts(self) -> Counter[str]:
        """How many entries each category has."""
        return self.catalog.counts

    @property
    def owners(self) -> Counter[str]:
        """How many entries each key has, end users included."""
        return self.catalog.owners

    @property
    def groups(self) -> Counter[str]:
        """How many of each answer group are searched besides its founder."""
        return self.catalog.groups

    @property
    def generation(self) -> int:
        """Under which purges a request is answered."""
        return self.fences.generation

    def facts(self, entry: str) -> Facts | None:
        return self.catalog.facts(entry)

    def changing(self, entry: str) -> bool:
        """Whether it is being written or amended here, and the store's own is older."""
        return entry in self._pending or self._amends[entry] > 0

    def touch(self, entry: str, now: float, tokens: int) -> None:
        """Count a hit."""
        self.catalog.touch(entry, now, tokens)

    async def find(self, lookup: Lookup, query: Query, rules: Rules) -> Found:
        """The entry of equal key, else the neighbours in the lookup's own space, best first."""
        try:
            exact = await self.recall(lookup.entry)
            if exact is not None:
                used = self._used(exact)
                return Found(lookup.entry, lookup.space, lookup.category, exact=exact, used=used)
            if lookup.semantic is not None:
                return Found(lookup.entry, lookup.space, lookup.category, fault=lookup.semantic)
            seen = await self.sight.see(lookup, query, rules)
            if seen is None:
                fault = Reason.EMBED_TIMEOUT
                return Found(lookup.entry, lookup.space, lookup.category, fault=fault)
            if seen.lookup.entry != lookup.entry:
                exact = await self.recall(seen.lookup.entry)
        except StoreError as error:
            self.faults.note("store_read", str(error))
            return Found(lookup.entry, lookup.space, lookup.category, fault=Reason.STORE_DOWN)
        return Found(
            seen.lookup.entry,
            seen.lookup.space,
            seen.lookup.category,
            exact=exact,
            used=self._used(exact),
            near=seen.near,
            vector=seen.vector,
            fault=seen.fault,
            embed_ms=seen.embed_ms,
            search_ms=seen.search_ms,
        )

    async def read(self, facts: Facts) -> Record | None:
        """The answer that stands under `facts.entry` now, with its own facts.

        It may be newer than what was found. None when the store no longer has one, or cannot say.
        """
        entry = facts.entry
        if (pending := self._unwritten(entry)) is not None:
            return replace(pending, facts=self.facts(entry) or pending.facts)
        if not self.bodies.shared:
            current = self.facts(entry)
            if current is None:
                return None  # forgotten since it was found
            body = self._hot.get(entry)
            if body is not None:
                return Record(current, body)
        try:
            record = await self.bodies.read(entry)
        except StoreError as fault:
            self.faults.note("store_read", str(fault))
            return None
        record = None if record is None else self._current(record)
        if record is None:
            if alike(self.facts(entry), facts):
                self.drop([entry])
            return None
        if not self.bodies.shared:
            self._hot.put(entry, record.body)
        return record

    async def recall(self, entry: str) -> Facts | None:
        """The facts under that key, from the store where others write to it too or RAM lacks some.

        Raises `StoreError`.
        """
        known = self.facts(entry)
        told = known is not None or not self.loading.awaits(entry)
        if self._unwritten(entry) is not None or (told and not self.bodies.shared):
            return known
        record = await self.bodies.read(entry)
        record = None if record is None else self._current(record)
        return None if record is None else record.facts

    async def keep(
        self, facts: Facts, body: bytes, vector: Vector | None, *, meaning: bool
    ) -> None:
        """Remember an answer: visible at once, durable soon after (see `settled`).

        With `meaning` and no vector the text is embedded first, in the background.
        """
        old = self.facts(facts.entry)
        facts = replace(
            facts,
            embedding=self.embedder.id if meaning else "",
            pinned=facts.pinned or (old is not None and old.pinned),
        )
        record = Record(facts, body, vector)
        self.loading.keep(facts.entry)
        self._hold(record)
        if not self.bodies.shared:
            self._hot.put(facts.entry, body)
        self._pending[facts.entry] = record
        self.fences.kept(facts.entry)
        task = asyncio.create_task(self._persist(record, meaning=meaning))
        self._writes[task] = facts.entry
        task.add_done_callback(self._writes.pop)

    def amend(
        self,
        entry: str,
        *,
        group: str | None = None,
        label: tuple[float, bool] | None = None,
        flagged: bool | None = None,
        exact: bool = False,
    ) -> bool:
        """Change what is known of an entry, at once here and soon in the store; False where it is
        not held. An answer that is gone, or has been replaced, stays so."""
        facts = self.facts(entry)
        if facts is not None:
            self._amend(entry, Change(facts.stored, group, label, flagged, exact))
        return facts is not None

    async def renew(self, entry: str) -> bool:
        """Give what another encoder read a vector of this one; False where there is no need, or no
        way. Raises `StoreError`."""
        facts = self.facts(entry)
        if facts is None or facts.embedding in ("", self.embedder.id):
            return False
        vector = await self.sight.vector_of(facts)
        if vector is None:
            return False
        change = Change(facts.stored, encoder=self.embedder.id)
        # The store first: what it does not take is to be done again.
        told = await self.bodies.amend(entry, change.onto, vector)
        current = self.facts(entry)
        if told is None or current is None or not alike(current, facts):
            return False
        self.catalog.hold(change.onto(current))
        self.catalog.place([change.onto(current)], [vector])
        return True

    async def flag(self, entries: Iterable[str], *, flagged: bool) -> int:
        """Mark entries, held here or not, as bad or as good again; how many there are.

        Returns when everybody can know. Raises `StoreError`.
        """
        tasks = []
        for entry in set(entries):
            facts = self.facts(entry)
            until = math.inf if facts is None else facts.stored
            tasks.append(self._amend(entry, Change(until, flagged=flagged)))
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for fault in done:
            if isinstance(fault, BaseException):
                raise fault
        return sum(facts is not None for facts in done)

    async def change(
        self, entry: str, *, expires: float | None = None, pinned: bool | None = None
    ) -> bool:
        """Let an entry live until another time, or never make room; False where it is not there.

        Returns when everybody can know. Raises `StoreError`.
        """
        change = Change(expires=expires, pinned=pinned)
        return await self._amend(entry, change) is not None

    async def whole(self, entry: str) -> Record | None:
        """An entry with all that is stored of it, vector included. Raises `StoreError`."""
        if entry in self._pending or self._amends[entry]:
            await self.settled()
        return await self.bodies.read(entry)

    async def twins(self, facts: Facts) -> list[str]:
        """The other entries of an answer's group, held here or not. Raises `StoreError`."""
        group = facts.group or facts.entry
        held = await asyncio.to_thread(self.catalog.members, group)
        more = self.bodies.shared or self.loading.under_way
        told = await self.bodies.members(group) if more else []
        return sorted({group, *held, *told} - {facts.entry})

    async def settled(self) -> None:
        """Wait until everything kept so far is durable, or was given up."""
        # Those of this moment only: under steady traffic there is always another.
        if self._writes:
            await asyncio.wait(list(self._writes))

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """Forget within on somebody's word: answers asked for before this are not kept either, here
        or by another replica. Raises `StoreError` at the end where that is not sure."""
        async with self.fences.purging():
            yield
            await self.discard()

    async def purge(self, entries: Iterable[str]) -> int:
        """Forget on somebody's word."""
        async with self.purging():
            return await self.forget(entries)

    async def every(self) -> Iterable[Slot]:
        """All entries: those of RAM, or of the whole store where that may hold more.

        Raises `StoreError`.
        """
        if not (self.bodies.shared or self.loading.under_way):
            return self.catalog.slots()
        known = self.catalog
        return [
            known.slot(r.facts.entry) or Slot(r.facts, used=r.facts.stored)
            async for r in self.bodies.scan()
        ]

    async def forget(self, entries: Iterable[str]) -> int:
        """Remove entries everywhere this process can; raises `StoreError` if the store cannot."""
        old: dict[str, Facts | None] = {}
        for part in _parts(list(entries)):
            old |= {entry: self.facts(entry) for entry in part}
            self.loading.forget(part)
            self.drop(part)
            await asyncio.sleep(0)  # others have their turn
        writes = [task for task, entry in self._writes.items() if entry in old]
        if writes:
            await asyncio.wait(writes)
        # What was kept anew during that wait is another answer.
        gone = [entry for entry, facts in old.items() if not self._renewed(entry, facts)]
        known = sum(facts is not None for facts in old.values())
        return max(known, await self.bodies.delete(gone)) if gone else known

    async def evict(self, bounds: Bounds, rule: Rule) -> int:
        """Forget the least valuable of what is over the bounds; how many. Raises `StoreError`."""
        # Weighing a million entries takes a while: it must hold up nobody's hit.
        chosen = await asyncio.to_thread(self.catalog.worst, bounds, rule)
        gone = 0
        for some in _parts(chosen):
            # What answered somebody meanwhile has earned another turn.
            gone += await self.forget([e for e, used in some if self.catalog.used(e) == used])
        return gone

    async def load(self) -> int:
        """Bring facts and vectors of the store into RAM; entries of another embedding stay exact.

        Whatever else goes on meanwhile counts. May be done again after a `StoreError`.
        """
        self.loading.begin()
        recovered = (
            None
            if self._recovery is None
            else await self._recovery.recover(self.bodies, self._blank)
        )
        if recovered is None:
            await self.loading.scan(self.bodies, self.catalog)
        else:
            self.catalog = await self.loading.join(recovered, self.catalog, self._clock())
        await self.tend()
        self.loading.end()
        return self.loading.count

    async def save(self, least: int = WORTH) -> None:
        """Write down what RAM holds, unless that has hardly changed since it last was."""
        unworthy = self.loading.under_way or self.catalog.changes < least
        if self._recovery is None or unworthy:
            return
        others = self.fences.others
        stands = self.bodies.revision if others is None else others.stands
        async with self._growing:
            await self._recovery.save(stands, self.bodies, self.catalog, self._pool)

    async def discard(self) -> None:
        """Remove what is written down of RAM: it tells of what was to be forgotten."""
        if self._recovery is not None:
            await asyncio.to_thread(self._recovery.discard)
            self.catalog.changes += WORTH  # what is left to start from is the whole store

    async def tend(self) -> None:
        """Grow every crowded space, off the request path; one at a time, as others need threads."""
        async with self._growing:
            for space in self.catalog.spaces.crowded():
                await self._pool.whenever(space.grow)

    def sweep(self, now: float) -> list[str]:
        """Entries past their last use in any form."""
        return self.catalog.gone(now)

    async def close(self) -> None:
        await self.settled()
        await self.save()
        self._pool.close()
        await self.bodies.close()

    # -- holding ---------------------------------------------------------------------------------

    def _used(self, exact: Facts | None) -> float:
        """When an entry last answered somebody."""
        return 0.0 if exact is None else self.catalog.used(exact.entry)

    def _unwritten(self, entry: str) -> Record | None:
        """What is not in the store yet, and may be answered from all the same."""
        return self._pending.get(entry) if self.fences.in_touch else None

    def _current(self, record: Record) -> Record | None:
        """What counts of what the store holds; takes over what another process wrote."""
        entry, known = record.facts.entry, self.facts(record.facts.entry)
        if known is not None and alike(known, record.facts):
            if self.bodies.shared and not self._amends[entry]:
                self.catalog.hold(record.facts)
                return record
            # What is being amended here is newer than what the store says.
            return replace(record, facts=known)
        if not (self.bodies.shared or self.loading.awaits(entry)):
            return None
        if entry not in self._pending:
            self._hold(record)
        return record

    async def _persist(self, record: Record, *, meaning: bool) -> None:
        facts, vector = record.facts, record.vector
        try:
            if meaning and vector is None:
                vector = await self.sight.vector_of(facts)
            if self._pending.get(facts.entry) is not record:
                return  # replaced or forgotten meanwhile
            if vector is not None and record.vector is None:
                self.catalog.place([facts], [vector])
            self.fences.require_touch()
            await self.bodies.write(replace(record, vector=vector))
        except StoreError as fault:
            self.faults.note("store_write", str(fault))
        except Exception as fault:
            LOG.exception("keeping an entry failed")
            self.faults.note("store_write", f"{type(fault).__name__}: {fault}")
        finally:
            if self._pending.get(facts.entry) is record:
                del self._pending[facts.entry]

    def _amend(self, entry: str, change: Change) -> asyncio.Task[Facts | None]:
        facts = self.facts(entry)
        if facts is not None:
            self.catalog.hold(change.onto(facts))
        earlier = [task for task, name in self._writes.items() if name == entry]
        self._amends[entry] += 1
        task = asyncio.create_task(self._amended(entry, change, earlier))
        self._writes[task] = entry
        task.add_done_callback(self._writes.pop)
        # Also looked at where nobody waits for it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _amended(
        self, entry: str, change: Change, earlier: list[asyncio.Task[Any]]
    ) -> Facts | None:
        """Bring a change to the store, behind those of the same entry that were made before."""
        try:
            if earlier:
                await asyncio.wait(earlier)
            facts = await self.bodies.amend(entry, change.onto)
        except StoreError as fault:
            self.faults.note("store_write", str(fault))
            raise
        finally:
            self._amends[entry] -= 1
            if not self._amends[entry]:
                del self._amends[entry]
        latest = self.bodies.shared and not self._amends[entry]
        known = self.facts(entry)
        missing = known is None and self.loading.awaits(entry)
        if facts is not None and (missing or (latest and alike(known, facts))):
            self._hold(Record(facts, b""))
        return facts

    def _hold(self, record: Record) -> None:
        self.catalog.hold(record.facts)
        if record.vector is not None:
            self.catalog.place([record.facts], [record.vector])

    def _renewed(self, entry: str, old: Facts | None) -> bool:
        new = self.facts(entry)
        return old is not None and new is not None and new.stored > old.stored

    def drop(self, entries: Iterable[str]) -> None:
        """Know of these no longer, whatever the store holds."""
        gone = list(entries)
        for entry in gone:
            self._hot.pop(entry)
            self._pending.pop(entry, None)
        self.catalog.drop(gone)


def _parts(many: Sequence[T]) -> Iterator[Sequence[T]]:
    return (many[start : start + BATCH] for start in range(0, len(many), BATCH))
