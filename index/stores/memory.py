"""Entries in a dictionary: for trials and tests, gone with the process.

Keeps sealed bytes as the other stores do, so what passes here has been through the codec.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from index.codec import Sealed, seal, unseal, unseal_facts
from index.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from index.ports import Record


class MemoryBodies:
    """The `Bodies` port over a dictionary. Single-threaded, like the event loop that calls it."""

    shared = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, Sealed]] = {}
        self._settings: dict[str, bytes] = {}
        self._closed = False

    async def read(self, entry: str) -> Record | None:
        self._require_open()
        gone, sealed = self._entries.get(entry, (0.0, None))
        if sealed is None or gone <= self._clock():
            return None
        return unseal(entry, sealed)

    async def write(self, record: Record) -> None:
        self._require_open()
        self._entries[record.facts.entry] = (record.facts.gone, seal(record))

    async def delete(self, entries: Sequence[str]) -> int:
        self._require_open()
        return sum(self._entries.pop(entry, None) is not None for entry in entries)

    async def scan(self) -> AsyncIterator[Record]:
        self._require_open()
        for entry, (gone, sealed) in list(self._entries.items()):
            if gone > self._clock():
                record = unseal_facts(entry, sealed.facts, sealed.vector)
                if record is not None:
                    yield record

    async def settle(self, name: str, value: bytes) -> bytes:
        self._require_open()
        return self._settings.setdefault(name, value)

    async def sweep(self, now: float) -> int:
        """Delete what is past its `gone` time; how many."""
        self._require_open()
        past = [entry for entry, (gone, _) in self._entries.items() if gone <= now]
        return await self.delete(past)

    async def check(self) -> None:
        self._require_open()

    async def close(self) -> None:
        self._closed = True
        self._entries.clear()
        self._settings.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("store memory: closed; open it again")
