"""Several processes on one store as one cache: each follows what the others change.

A purge counts once every replica that was heard of in the last seconds has taken it in, which each
says with its next look at the log. A replica that cannot look keeps nothing and lets nobody wait
for calls under way, and so does no harm when it is waited for no longer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from math import isfinite
from typing import TYPE_CHECKING

from index.amending import alike
from index.ending import end
from index.errors import GapError, StoreError
from index.faults import Told
from index.fences import Replica
from index.ports import Mark, Revision, StepKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from index.memory import Memory
    from index.ports import Record, Shared, Step

LOG = logging.getLogger("likewise.replicas")

# From one look at the log to the next, and after one that failed.
PERIOD, REST = 0.1, 0.5
# Who has not seen the end of the log for so many seconds is out of touch. The others wait for it
# until it was silent for longer, by more than a write that was begun just before can take.
TOUCH, LOST = 2.0, 5.0
# How long a purge waits for the others: much longer than it takes, as to repeat it takes longer.
CONFIRM = 3.0
ASK_AGAIN = 0.01
LOOK_AT_ONCE = 256
# Entries that are taken over before requests get their turn.
TURN = 16


class Follower:
    """Keeps a memory in step with the store's log. Belongs to one event loop."""

    def __init__(
        self, memory: Memory, store: Shared, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.resyncs = 0
        self._memory = memory
        self._store = store
        self._clock = clock
        self._mark = self._end = Mark("", 0)
        self._sure = self._anew = float("-inf")
        self.heard: Callable[[bytes], None] = lambda _: None
        self._told = Told(LOG)
        self._comparing: asyncio.Task[None] | None = None
        memory.fences.others = self

    @property
    def in_touch(self) -> bool:
        return self._clock() - self._sure < TOUCH

    @property
    def lag(self) -> float:
        """Seconds since everything in the log was known here; infinite before it first was."""
        return self._clock() - self._sure

    @property
    def behind(self) -> int:
        """Steps that are in the log and not known here, when it was last looked at."""
        return max(0, self._end.seq - self._mark.seq)

    async def stands(self) -> Revision | None:
        if self.comparing or not self._mark.epoch:
            return None
        return Revision(self._mark.epoch, self._mark.seq)

    @property
    def own(self) -> Replica:
        lag = self.lag if isfinite(self.lag) else None
        return Replica(self._store.log.origin, lag, self.behind)

    async def roll(self) -> list[Replica]:
        own = self.own
        try:
            heard = (await self._store.log.roll()).heard
        except StoreError:
            return [own]
        others = (Replica(o.name, o.seconds, max(0, self._end.seq - o.seq)) for o in heard)
        return [own, *(one for one in others if one.name != own.name)]

    @property
    def comparing(self) -> bool:
        """Whether what is known is being compared with the whole store."""
        return self._comparing is not None and not self._comparing.done()

    async def start(self) -> None:
        """Begin before the memory is loaded, so that nothing is missed. Raises `StoreError`."""
        self._mark = await self._store.log.mark()
        await self.catch_up()

    async def catch_up(self) -> None:
        """Look until everything is known here, or a look fails."""
        while not self.in_touch:
            if await self._turn():
                return

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                pause = await self._turn()
                await asyncio.sleep(pause)
        finally:
            if self._comparing is not None:
                await end(self._comparing)

    async def follow(self) -> bool:
        """Take in what the log has next; whether there may be more, or others wait to hear of it.

        Raises `GapError` where the log does not say all, and `StoreError`.
        """
        asked = self._clock()
        news = await self._store.log.since(self._mark)
        self._end = news.end
        await self._take_in(news.steps)
        if news.steps:
            self._mark = Mark(news.end.epoch, news.steps[-1].seq)
        if news.heard and self._mark == self._end:
            self._sure = asked
        return bool(news.steps)

    def say(self, note: bytes) -> None:
        self._store.log.say(note)

    async def fence(self) -> str:
        try:
            mark = await self._store.log.fence()
            await self._memory.settled()
            return await self._confirmed(mark)
        except StoreError as fault:
            return f"the other replicas could not be told ({fault}); {_REPEAT}"

    async def _turn(self) -> float:
        """One look, whatever comes of it; seconds to the next."""
        try:
            try:
                more = await self.follow()
            except GapError as gap:
                LOG.info("%s; comparing with the whole store", gap)
                await self._resync()
                more = True
        except StoreError as fault:
            self._told.warn("replicas", str(fault))
            return REST
        except Exception:
            LOG.exception("following the other replicas failed")
            return REST
        return 0.0 if more else PERIOD

    async def _confirmed(self, mark: Mark) -> str:
        """Wait until all others have taken in `mark`; who has not, in words."""
        # A log that was begun anew does not know yet of all who still keep answers.
        await asyncio.sleep(max(0.0, self._anew + LOST - self._clock()))
        until = self._clock() + CONFIRM
        while silent := await self._silent(mark):
            if self._clock() >= until:
                return f"not confirmed by {', '.join(silent)}; {_REPEAT}"
            await asyncio.sleep(ASK_AGAIN)
        return ""

    async def _silent(self, mark: Mark) -> list[str]:
        """Who of the others was heard lately and has not taken in all up to `mark`."""
        epoch, heard = await self._store.log.roll()
        if epoch != mark.epoch:
            raise GapError("the log of changes was begun anew meanwhile")
        own = self._store.log.origin
        late = (one for one in heard if one.seq < mark.seq and one.seconds <= LOST)
        return [one.name for one in late if one.name != own]

    async def _take_in(self, steps: Sequence[Step]) -> None:
        """Know what the others did; what this process did it knows."""
        others = [step for step in steps if step.origin != self._store.log.origin]
        if any(step.kind is StepKind.FENCE for step in others):
            self._memory.fences.rise()
            await self._memory.settled()
            await self._memory.discard()
        self._hear(step.note for step in others if step.kind is StepKind.LEARNED)
        gone = list(_named(others, StepKind.GONE))
        if again := self._memory.fences.outdated(gone):
            await self._store.delete(again)
        names = list(dict.fromkeys([*gone, *_named(others, StepKind.PUT)]))
        for start in range(0, len(names), LOOK_AT_ONCE):
            await self._look(names[start : start + LOOK_AT_ONCE])

    def _hear(self, notes: Iterable[bytes]) -> None:
        for note in notes:
            try:
                self.heard(note)
            except Exception:
                LOG.exception("what another replica learned cannot be taken up")

    async def _look(self, names: list[str]) -> None:
        """Know of these what the store holds, which is newer than what the steps say."""
        before = [self._memory.facts(name) for name in names]
        records = await self._store.look(names)
        for number, (name, known, record) in enumerate(zip(names, before, records, strict=True)):
            if self._memory.facts(name) is known:  # else it was changed here meanwhile
                self._take(name, record)
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)

    def _take(self, entry: str, record: Record | None) -> None:
        """Know what the store holds under a name. What is being changed here is newer."""
        memory = self._memory
        if memory.changing(entry):
            return
        if record is None:
            memory.loading.forget([entry])
            memory.drop([entry])
            return
        known = memory.facts(entry)
        memory.loading.keep(entry)
        memory.catalog.hold(record.facts)
        # An amendment leaves the vector as it is.
        same = known and alike(known, record.facts) and known.embedding == record.facts.embedding
        if not same and record.vector is not None:
            memory.catalog.place([record.facts], [record.vector])

    def _standing(self) -> dict[str, float]:
        """What the store should hold as well, and since when."""
        slots = self._memory.catalog.slots()
        known = ((slot.facts.entry, slot.facts.stored) for slot in slots)
        return {entry: stored for entry, stored in known if not self._memory.changing(entry)}

    async def _resync(self) -> None:
        """Go on from the log's end; what was missed may have been a purge, or anything."""
        mark = await self._store.log.mark()
        self._memory.fences.rise()
        await self._memory.settled()
        self._mark, self._anew = mark, self._clock()
        self.resyncs += 1
        if self._comparing is not None:
            await end(self._comparing)
        self._comparing = asyncio.create_task(self._compare())

    async def _compare(self) -> None:
        """Know what the store holds, and nothing else."""
        while True:
            try:
                return await self._compared()
            except StoreError as fault:
                self._told.warn("replicas", str(fault))
                await asyncio.sleep(REST)

    async def _compared(self) -> None:
        missing = await asyncio.to_thread(self._standing)
        number = 0
        async for record in self._store.scan():
            missing.pop(record.facts.entry, None)
            self._take(record.facts.entry, record)
            number += 1
            if number % TURN == 0:
                await asyncio.sleep(0)
        for entry, stored in missing.items():
            known = self._memory.facts(entry)
            if known is not None and known.stored == stored:
                self._take(entry, None)


_REPEAT = (
    "what was chosen is removed, but an answer that another replica is waiting for may still be "
    "kept there: purge again"
)


def _named(steps: Iterable[Step], kind: StepKind) -> Iterator[str]:
    return (entry for step in steps if step.kind is kind for entry in step.entries)
