"""Purged entries that can still be had back for a minute.

They are deleted from the store at once, as any purge does, so that they leave service everywhere
and do not come back should this process end; what could bring them back is held in RAM alone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from admin_ui.facts import Aside, Undo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.memory import Memory
    from index.ports import Record
    from policies.values import Facts

MINUTE = 60.0
# Bytes of entries that are held aside at once; more are purged for good, or in parts.
MOST_BYTES = 256_000_000
# Entries that are written back together: the store's queue is bounded.
BATCH = 200


@dataclass(slots=True)
class _Held:
    aside: Aside
    records: list[Record]
    size: int
    end: asyncio.TimerHandle


class Asides:
    """Belongs to one event loop. Every method that purges or restores raises `StoreError`."""

    def __init__(self, memory: Memory, clock: Callable[[], float] = time.time) -> None:
        self._memory = memory
        self._clock = clock
        self._held: dict[str, _Held] = {}

    async def take(self, some: Sequence[Facts]) -> Aside:
        """Forget entries, and hold them aside. To be called while purging.

        Raises ValueError where they are too many.
        """
        size = sum(facts.size for facts in some)
        if size + sum(held.size for held in self._held.values()) > MOST_BYTES:
            raise ValueError(
                f"more than {MOST_BYTES // 1_000_000} MB cannot be held aside; purge a part of it "
                "first, or purge without undo"
            )
        found = [await self._memory.whole(facts.entry) for facts in some]
        await self._memory.forget([facts.entry for facts in some])
        now, name = self._clock(), secrets.token_hex(8)
        aside = Aside(name, len(some), now, now + MINUTE)
        end = asyncio.get_running_loop().call_later(MINUTE, self.let_go, name)
        records = [record for record in found if record is not None]
        self._held[name] = _Held(aside, records, size, end)
        return aside

    def held(self) -> list[Aside]:
        """What can still be had back, newest first."""
        return [held.aside for held in reversed(self._held.values())]

    async def undo(self, name: str) -> Undo | None:
        """Bring entries back, unless they were answered anew; None where it is too late."""
        held = self._held.get(name)
        if held is None:
            return None
        self.let_go(name)
        restored = 0
        for record in held.records:
            facts = record.facts
            if await self._memory.recall(facts.entry) is not None:
                continue
            await self._memory.keep(
                facts, record.body, record.vector, meaning=record.vector is not None
            )
            restored += 1
            if restored % BATCH == 0:
                await self._memory.settled()
        await self._memory.settled()
        return Undo(restored, len(held.records) - restored)

    def let_go(self, name: str) -> bool:
        """Forget them now. False where that was done before."""
        held = self._held.pop(name, None)
        if held is not None:
            held.end.cancel()
        return held is not None

    def strike(self, fits: Callable[[Facts], bool]) -> None:
        """Forget those that fit, wherever they are held: what is purged for good stays so."""
        for held in self._held.values():
            held.records = [record for record in held.records if not fits(record.facts)]
