"""Which keys upstream refused: they get nothing from memory until it accepts them again.

Only upstream's own word counts: 401 and 403 refuse, a success accepts. While it is down nothing
changes, so nobody comes in or loses anything by an outage. The store remembers it for every replica
and over restarts, under digests. A key of which nothing is remembered goes on a list of its own, so
that nobody can push the others out with made-up keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING

from index.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.memory import Memory
    from policies.values import Query

LOG = logging.getLogger("likewise.refusals")

REFUSING = frozenset({401, 403})
ACCEPTING = range(200, 300)
KNOWN, STRANGERS = "refused", "refused-strangers"
# Keys on each list; past that the longest refused are forgotten.
MOST = 10_000
# Seconds between two looks for something to tell, and how many of them to one at what others told.
PAUSE, HEARS = 0.1, 10


class Refusals:
    """The refused keys, as this process knows them."""

    def __init__(
        self, memory: Memory, *, most: int = MOST, clock: Callable[[], float] = time.time
    ) -> None:
        self._memory = memory
        self._most = most
        self._clock = clock
        self._lists: dict[str, dict[str, float]] = {KNOWN: {}, STRANGERS: {}}
        # What the store has not been told yet; None takes a key off the list.
        self._untold: dict[tuple[str, str], float | None] = {}
        self._fault = ""

    def __len__(self) -> int:
        return sum(map(len, self._lists.values()))

    def stands(self, query: Query) -> bool:
        """Whether the caller's key was refused by this upstream, and not accepted since."""
        if not any(self._lists.values()):
            return False
        who = name(query)
        return any(who in refused for refused in self._lists.values())

    def heard(self, query: Query, status: int) -> None:
        """Take note of an answer from upstream."""
        if status in REFUSING:
            self._set(self._list(query), name(query), self._clock())
        elif status in ACCEPTING and self.stands(query):
            for each in self._lists:
                self._set(each, name(query), None)

    async def load(self) -> None:
        """Take over what the store remembers. Raises `StoreError`."""
        for each in self._lists:
            told: dict[str, float | None] = {**await self._memory.bodies.marked(each)}
            told |= {who: at for (where, who), at in self._untold.items() if where == each}
            every = [(at, who) for who, at in told.items() if at is not None]
            self._lists[each] = {who: at for at, who in sorted(every)}

    async def run(self) -> None:
        """Tell the store, and hear what others told it, until cancelled."""
        turns = 0
        try:
            while True:
                await asyncio.sleep(PAUSE)
                turns += 1
                await self._exchange(hear=self._memory.shared and turns % HEARS == 0)
        finally:
            await self._exchange(hear=False)

    async def flush(self) -> None:
        """Tell the store what it does not know yet. Raises `StoreError`."""
        untold, self._untold = self._untold, {}
        try:
            for each in self._lists:
                changed = {who: at for (where, who), at in untold.items() if where == each}
                await self._tell(each, changed)
        except BaseException:
            self._untold = untold | self._untold
            raise

    async def _exchange(self, *, hear: bool) -> None:
        try:
            if self._untold:
                await self.flush()
            if hear:
                await self.load()
            self._fault = ""
        except StoreError as fault:
            if str(fault) != self._fault:
                LOG.warning("refused keys: %s", fault)
            self._fault = str(fault)

    async def _tell(self, each: str, changed: dict[str, float | None]) -> None:
        added = {who: at for who, at in changed.items() if at is not None}
        if added:
            await self._memory.bodies.mark(each, added, self._most)
        if taken := [who for who, at in changed.items() if at is None]:
            await self._memory.bodies.unmark(each, taken)

    def _list(self, query: Query) -> str:
        has_some = query.owners.tenant is not None or self._memory.owners[query.owners.key] > 0
        return KNOWN if has_some else STRANGERS

    def _set(self, each: str, who: str, at: float | None) -> None:
        refused = self._lists[each]
        if (at is None) != (who in refused):
            return
        self._untold[each, who] = at
        if at is None:
            del refused[who]
            return
        refused[who] = at
        if len(refused) > self._most:
            oldest = next(iter(refused))
            del refused[oldest]
            self._untold.pop((each, oldest), None)


def name(query: Query) -> str:
    """A key at an upstream, as the lists know it; tells nothing of either."""
    told = hashlib.sha256(query.owners.key.encode() + b"\0" + query.upstream.encode())
    return told.hexdigest()[:32]
