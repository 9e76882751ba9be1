"""Find, read, keep, forget: the one door through which the shell uses memory.

Facts of every entry are held in RAM, so an exact hit is a dictionary look-up and hops no thread.
Embedding and searching are one job in a small pool of low priority. Decides nothing: whether a
candidate may be served is `policies`' verdict. Every failure of a part ends here as a fault in
`Found`, a None, or a False.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from index.errors import EmbedderError, MemoryFault, StoreError
from index.hnsw import Space
from index.ports import Record
from index.shelf import Shelf
from policies import category as categories
from policies import decide, guards, text
from policies.category import Centroids
from policies.eviction import Held
from policies.values import Candidate, Found
from policies.verdicts import Lookup, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from index.ports import Bodies, Embedded, Embedder
    from policies.category import Guess
    from policies.values import Facts, Query, Rules, Vector

LOG = logging.getLogger("likewise.memory")
T = TypeVar("T")

NEIGHBOURS = 8
# One conversation's turns can hide behind many equal ones of others: then look this much further.
NEIGHBOURS_WIDE = 256
RECENT_TEXTS = 4_096
# How long a request may wait for its embedding before it goes on without.
EMBED_BUDGET = 0.25
# A pool that finished nothing for this long while work waits is taken for hung: nobody waits on it.
EMBED_STALL = 1.0
NICE = 10
# Seconds after which the model itself runs, without the interpreter lock.
HEAD_START = 0.001
# Facts, names and table rows of one entry in RAM, measured over 100,000 entries.
OVERHEAD = 2_048


@dataclass(slots=True)
class Slot:
    """An entry as RAM holds it. `hits` and `used` only order evictions and lists."""

    facts: Facts
    used: float
    hits: int = 0
    tokens_saved: int = 0


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


@dataclass
class Faults:
    """Counted failures of memory's parts, for metrics and health."""

    embed: int = 0
    embed_timeout: int = 0
    store_read: int = 0
    store_write: int = 0
    last: dict[str, str] = field(default_factory=dict)


class Memory:
    """The entries of one process, over a store that outlives it."""

    def __init__(
        self,
        embedder: Embedder,
        bodies: Bodies,
        *,
        clock: Callable[[], float] = time.time,
        hot_bytes: int = 64_000_000,
        workers: int = 2,
        embed_budget: float = EMBED_BUDGET,
    ) -> None:
        self.embedder = embedder
        self.bodies = bodies
        self.faults = Faults()
        self.centroids = Centroids((), np.zeros((0, 1), np.float32))
        self.size = 0
        self.generation = 0
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._budget = embed_budget
        self._slots: dict[str, Slot] = {}
        self._spaces: dict[str, Space] = {}
        self._spaces_lock = threading.Lock()
        self._recent: Shelf[Embedded] = Shelf(RECENT_TEXTS)
        self._hot: Shelf[bytes] = Shelf(hot_bytes, len)
        self._pool = ThreadPoolExecutor(workers, "embed", initializer=_be_nice)
        self._waiting = 0
        self._finished = time.monotonic()
        self._pending: dict[str, Record] = {}
        self._writes: dict[asyncio.Task[None], str] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def shared(self) -> bool:
        """Whether others write to the same store, so that it alone says what exists."""
        return self.bodies.shared

    @property
    def embedding_stalled(self) -> bool:
        return self._waiting > 0 and time.monotonic() - self._finished > EMBED_STALL

    def facts(self, entry: str) -> Facts | None:
        slot = self._slots.get(entry)
        return None if slot is None else slot.facts

    def slots(self) -> Iterator[Slot]:
        return iter(list(self._slots.values()))

    def held(self) -> list[Held]:
        """What eviction weighs, for every entry."""
        return [
            Held(s.facts.entry, s.facts.category, self._weight(s.facts), s.used)
            for s in self._slots.values()
        ]

    async def find(self, lookup: Lookup, query: Query, rules: Rules) -> Found:
        """The entry of equal key, else the neighbours in the lookup's own space, best first."""
        try:
            exact = await self._exact(lookup.entry)
            if exact is not None:
                used = self._used(exact)
                return Found(lookup.entry, lookup.space, lookup.category, exact=exact, used=used)
            if lookup.semantic is not None:
                return Found(lookup.entry, lookup.space, lookup.category, fault=lookup.semantic)
            seen = await self._see(lookup, query, rules)
            if seen is None:
                fault = Reason.EMBED_TIMEOUT
                return Found(lookup.entry, lookup.space, lookup.category, fault=fault)
            if seen.lookup.entry != lookup.entry:
                exact = await self._exact(seen.lookup.entry)
        except StoreError as error:
            self._fault("store_read", str(error))
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
        if entry in self._pending:
            return self._pending[entry]
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
            self._fault("store_read", str(fault))
            return None
        if record is None or not self._current(record):
            if self.facts(entry) == facts:
                self._drop([entry])
            return None
        if not self.bodies.shared:
            self._hot.put(entry, record.body)
        return record

    def touch(self, entry: str, now: float, tokens: int) -> None:
        """Count a hit."""
        slot = self._slots.get(entry)
        if slot is not None:
            slot.used = now
            slot.hits += 1
            slot.tokens_saved += tokens

    async def keep(
        self, facts: Facts, body: bytes, vector: Vector | None, *, meaning: bool
    ) -> None:
        """Remember an answer: visible at once, durable soon after (see `settled`).

        With `meaning` and no vector the text is embedded first, in the background.
        """
        facts = replace(facts, embedding=self.embedder.id if meaning else "")
        record = Record(facts, body, vector)
        self._hold(record)
        if not self.bodies.shared:
            self._hot.put(facts.entry, body)
        self._pending[facts.entry] = record
        task = asyncio.create_task(self._persist(record, meaning=meaning))
        self._writes[task] = facts.entry
        task.add_done_callback(self._writes.pop)

    async def settled(self) -> None:
        """Wait until everything kept so far is durable, or was given up."""
        # Those of this moment only: under steady traffic there is always another.
        if self._writes:
            await asyncio.wait(list(self._writes))

    async def purge(self, entries: Iterable[str]) -> int:
        """Forget on somebody's word: answers asked for before this are not kept either."""
        self.generation += 1
        return await self.forget(entries)

    async def every(self) -> list[Slot]:
        """All entries: those of RAM, or of the whole store where others write to it too.

        Raises `StoreError`.
        """
        if not self.bodies.shared:
            return list(self._slots.values())
        known = self._slots
        return [
            known.get(r.facts.entry) or Slot(r.facts, used=r.facts.stored)
            async for r in self.bodies.scan()
        ]

    async def forget(self, entries: Iterable[str]) -> int:
        """Remove entries everywhere this process can; raises `StoreError` if the store cannot."""
        old = {entry: self.facts(entry) for entry in entries}
        self._drop(old)
        writes = [task for task, entry in self._writes.items() if entry in old]
        if writes:
            await asyncio.wait(writes)
        # What was kept anew during that wait is another answer.
        gone = [entry for entry, facts in old.items() if not self._renewed(entry, facts)]
        known = sum(facts is not None for facts in old.values())
        return max(known, await self.bodies.delete(gone)) if gone else known

    async def load(self, progress: Callable[[int], None] | None = None) -> int:
        """Rebuild facts and spaces from the store; entries of another embedding stay exact."""
        # By name, as a store may hand out an entry twice.
        batches: dict[str, dict[str, Vector]] = {}
        count = 0
        async for record in self.bodies.scan():
            facts = record.facts
            self._account(facts)
            if record.vector is not None and facts.embedding == self.embedder.id:
                batches.setdefault(facts.space, {})[facts.entry] = record.vector
            count += 1
            if progress is not None and count % 1000 == 0:
                progress(count)
        for space, vectors in batches.items():
            into = self._space(space)
            into.extend(list(vectors), np.stack(list(vectors.values())))
            if into.crowded:
                await asyncio.get_running_loop().run_in_executor(self._pool, into.grow)
        return count

    async def learn_examples(self, rules: Rules) -> Centroids:
        """Embed the categories' examples; empty when the model cannot."""
        wanted = {c.name: c.examples for c in rules.categories if c.examples}
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._centroids, wanted)

    async def nearest_anywhere(self, prompt: str, k: int) -> tuple[list[Candidate], Guess | None]:
        """The best neighbours over all spaces, for explaining; slow with many spaces."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._all, prompt, k)

    async def tend(self) -> None:
        """Build the next graph of every crowded space, off the request path."""
        with self._spaces_lock:
            crowded = [space for space in self._spaces.values() if space.crowded]
        for space in crowded:
            await asyncio.get_running_loop().run_in_executor(self._pool, space.grow)

    def sweep(self, now: float) -> list[str]:
        """Entries past their last use in any form."""
        return [s.facts.entry for s in self._slots.values() if s.facts.gone <= now]

    async def close(self) -> None:
        await self.settled()
        self._pool.shutdown(wait=False, cancel_futures=True)
        await self.bodies.close()

    # -- finding ---------------------------------------------------------------------------------

    async def _see(self, lookup: Lookup, query: Query, rules: Rules) -> Seen | None:
        try:
            return await self._pooled(
                self._budget,
                self._look,
                lookup,
                query,
                rules,
                meanwhile=lambda: guards.study(query.text),
            )
        except TimeoutError as fault:
            self._fault("embed_timeout", str(fault))
        except MemoryFault as fault:
            self._fault("embed", str(fault))
        except Exception as fault:  # noqa: BLE001 - whatever a model does, the request goes on
            self._fault("embed", f"{type(fault).__name__}: {fault}")
        return None

    async def _pooled(
        self,
        seconds: float,
        work: Callable[..., T],
        *args: Any,
        meanwhile: Callable[[], None] | None = None,
    ) -> T:
        """Run in the pool; TimeoutError after `seconds`, and at once while the pool is hung.

        `meanwhile` runs here while the pool is busy.
        """
        if self.embedding_stalled:
            raise TimeoutError("the embedder is not finishing its work")
        if self._waiting == 0:
            self._finished = time.monotonic()
        self._waiting += 1
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        job = self._pool.submit(work, *args)
        # One hop back to the loop: the library's own bridge, shield and timeout make four.
        job.add_done_callback(lambda done: _tell(loop, self._done, waiter, done))
        late = loop.call_later(seconds, _expire, waiter, seconds)
        if meanwhile is not None:
            # At once, it would hold the interpreter lock that the pool needs to begin.
            loop.call_later(HEAD_START, meanwhile)
        try:
            return await waiter
        finally:
            late.cancel()
            # Not begun yet, it would only keep those waiting whom it can still serve.
            job.cancel()

    def _done(self, waiter: asyncio.Future[T], job: Future[T]) -> None:
        """Back on the loop: pass on what the pool made, if somebody still waits."""
        self._waiting -= 1
        if job.cancelled():
            return
        self._finished = time.monotonic()
        fault = job.exception()
        if waiter.done():
            return
        if fault is not None:
            waiter.set_exception(fault)
        else:
            waiter.set_result(job.result())

    def _look(self, lookup: Lookup, query: Query, rules: Rules) -> Seen:
        """Embed, tell the category, search its space. Runs in the pool."""
        started = time.perf_counter()
        embedded = self._embed(query.text)
        embed_ms = (time.perf_counter() - started) * 1000
        guess = None
        if lookup.category is None:
            guess = categories.nearest(embedded.vector, self.centroids)
            if guess is not None and guess.name is not None:
                lookup = decide.scope(query, rules.named(guess.name), rules)
        fault = _unreadable(embedded) or lookup.semantic
        if fault is not None:
            return Seen(lookup, (), None, fault, guess, embed_ms, 0.0)
        near = self._near(lookup.space, embedded.vector, query.chain)
        search_ms = (time.perf_counter() - started) * 1000 - embed_ms
        return Seen(lookup, near, embedded.vector, None, guess, embed_ms, search_ms)

    def _near(self, name: str, vector: Vector, chain: str) -> tuple[Candidate, ...]:
        space = self._spaces.get(name)
        if space is None:
            return ()
        near = self._candidates(space.search(vector, NEIGHBOURS))
        if len(near) == NEIGHBOURS and all(c.facts.chain != chain for c in near):
            wide = self._candidates(space.search(vector, NEIGHBOURS_WIDE))
            same = [c for c in wide if c.facts.chain == chain][:NEIGHBOURS]
            near = sorted([*same, near[0]], key=lambda c: -c.score) if same else near
        return tuple(near)

    def _candidates(self, pairs: list[tuple[str, float]]) -> list[Candidate]:
        return [
            Candidate(slot.facts, score)
            for entry, score in pairs
            if (slot := self._slots.get(entry)) is not None
        ]

    def _embed(self, raw: str) -> Embedded:
        prepared = text.normalise(raw)
        known = self._recent.get(prepared)
        if known is None:
            known = self.embedder.embed(prepared)
            if not np.isfinite(known.vector).all():
                raise EmbedderError(f"{self.embedder.id}: the vector is not a number throughout")
            self._recent.put(prepared, known)
        return known

    def _centroids(self, wanted: dict[str, tuple[str, ...]]) -> Centroids:
        try:
            return categories.centroids(
                {
                    name: [self._embed(e).vector for e in examples]
                    for name, examples in wanted.items()
                }
            )
        except EmbedderError as fault:
            self._fault("embed", str(fault))
            return Centroids((), np.zeros((0, 1), np.float32))

    def _all(self, prompt: str, k: int) -> tuple[list[Candidate], Guess | None]:
        embedded = self._embed(prompt)
        guess = categories.nearest(embedded.vector, self.centroids)
        with self._spaces_lock:
            spaces = list(self._spaces.values())
        pairs = [pair for space in spaces for pair in space.search(embedded.vector, k)]
        pairs.sort(key=lambda pair: -pair[1])
        return self._candidates(pairs[:k]), guess

    # -- holding ---------------------------------------------------------------------------------

    async def _exact(self, entry: str) -> Facts | None:
        """The facts under that key, from the store where others write to it too."""
        if not self.bodies.shared or entry in self._pending:
            return self.facts(entry)
        record = await self.bodies.read(entry)
        return record.facts if record is not None and self._current(record) else None

    def _used(self, exact: Facts | None) -> float:
        """When an entry last answered somebody."""
        slot = None if exact is None else self._slots.get(exact.entry)
        return 0.0 if slot is None else slot.used

    def _current(self, record: Record) -> bool:
        """Whether what the store holds is what counts; takes over what another process wrote."""
        same = self.facts(record.facts.entry) == record.facts
        if self.bodies.shared and not same and record.facts.entry not in self._pending:
            self._hold(record)
        return same or self.bodies.shared

    async def _persist(self, record: Record, *, meaning: bool) -> None:
        facts, vector = record.facts, record.vector
        try:
            if meaning and vector is None:
                vector = await self._vector_of(facts.text)
            if self._pending.get(facts.entry) is not record:
                return  # replaced or forgotten meanwhile
            if vector is not None and record.vector is None:
                self._space(facts.space).add(facts.entry, vector)
            await self.bodies.write(replace(record, vector=vector))
        except StoreError as fault:
            self._fault("store_write", str(fault))
        except Exception as fault:
            LOG.exception("keeping an entry failed")
            self._fault("store_write", f"{type(fault).__name__}: {fault}")
        finally:
            if self._pending.get(facts.entry) is record:
                del self._pending[facts.entry]

    async def _vector_of(self, raw: str) -> Vector | None:
        try:
            embedded = await self._pooled(EMBED_STALL, self._embed, raw)
        except Exception as fault:  # noqa: BLE001 - the answer is kept without a vector
            self._fault("embed", str(fault) or type(fault).__name__)
            return None
        return None if _unreadable(embedded) else embedded.vector

    def _hold(self, record: Record) -> None:
        facts = record.facts
        self._account(facts)
        if record.vector is not None and facts.embedding == self.embedder.id:
            self._space(facts.space).add(facts.entry, record.vector)
        elif not facts.embedding and facts.space in self._spaces:
            self._spaces[facts.space].remove([facts.entry])

    def _renewed(self, entry: str, old: Facts | None) -> bool:
        new = self.facts(entry)
        return old is not None and new is not None and new.stored > old.stored

    def _account(self, facts: Facts) -> None:
        old = self._slots.get(facts.entry)
        self.size += self._weight(facts)
        self.counts[facts.category] += 1
        if old is None:
            self._slots[facts.entry] = Slot(facts, used=facts.stored)
        else:
            self._unaccount(old.facts)
            old.facts, old.used = facts, max(old.used, facts.stored)

    def _unaccount(self, facts: Facts) -> None:
        self.size -= self._weight(facts)
        self.counts[facts.category] -= 1

    def _weight(self, facts: Facts) -> int:
        """Bytes that an entry costs, what RAM holds of it included."""
        return facts.size + OVERHEAD + (4 * self.embedder.dimension if facts.embedding else 0)

    def _space(self, name: str) -> Space:
        with self._spaces_lock:
            space = self._spaces.get(name)
            if space is None:
                space = self._spaces[name] = Space(self.embedder.dimension)
            return space

    def _drop(self, entries: Iterable[str]) -> None:
        by_space: dict[str, list[str]] = {}
        for entry in entries:
            self._hot.pop(entry)
            self._pending.pop(entry, None)
            slot = self._slots.pop(entry, None)
            if slot is not None:
                self._unaccount(slot.facts)
                by_space.setdefault(slot.facts.space, []).append(entry)
        for name, gone in by_space.items():
            space = self._spaces.get(name)
            if space is None:
                continue
            space.remove(gone)
            with self._spaces_lock:
                if not len(space):
                    self._spaces.pop(name, None)

    def _fault(self, part: str, message: str) -> None:
        setattr(self.faults, part, getattr(self.faults, part) + 1)
        if self.faults.last.get(part) != message:
            LOG.warning("%s: %s", part.replace("_", " "), message)
        self.faults.last[part] = message


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: Callable[[asyncio.Future[T], Future[T]], None],
    waiter: asyncio.Future[T],
    job: Future[T],
) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
        loop.call_soon_threadsafe(done, waiter, job)


def _expire(waiter: asyncio.Future[T], seconds: float) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError(f"no embedding within {seconds * 1000:.0f} ms"))


def _unreadable(embedded: Embedded) -> Reason | None:
    if embedded.unknown:
        return Reason.LANGUAGE
    return Reason.TRUNCATED if embedded.truncated else None


def _be_nice() -> None:
    """Exact hits on the event loop go before embeddings (Linux: niceness is per thread)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
