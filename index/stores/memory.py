"""Entries in a dictionary: for trials and tests, gone with the process.

Keeps sealed bytes as the other stores do, so what passes here has been through the codec.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from index import codec
from index.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from index.ports import Codec, Record, Revision, Sealed
    from policies.values import Facts, Vector


class MemoryBodies:
    """The `Bodies` port over a dictionary. Single-threaded, like the event loop that calls it."""

    shared = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.codec: Codec = codec
        self._clock = clock
        self._entries: dict[str, tuple[float, Sealed]] = {}
        self._settings: dict[str, bytes] = {}
        self._counts: dict[str, tuple[int, float]] = {}
        self._marks: dict[str, dict[str, float]] = {}
        self._closed = False

    async def read(self, entry: str) -> Record | None:
        self._require_open()
        gone, sealed = self._entries.get(entry, (0.0, None))
        if sealed is None or gone <= self._clock():
            return None
        return self.codec.unseal(entry, sealed)

    async def write(self, record: Record) -> None:
        self._require_open()
        self._entries[record.facts.entry] = (record.facts.gone, self.codec.seal(record))

    async def amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None = None
    ) -> Facts | None:
        self._require_open()
        gone, sealed = self._entries.get(entry, (0.0, None))
        if sealed is None or gone <= self._clock():
            return None
        new = self.codec.revised(entry, sealed.facts, change, vector)
        if new is None:
            return None
        beside = sealed.vector if new.vector is None else new.vector
        revision = sealed._replace(facts=new.facts, vector=beside)
        self._entries[entry] = (new.known.gone, revision)
        return new.known

    async def members(self, group: str) -> list[str]:
        return [record.facts.entry async for record in self.scan() if record.facts.group == group]

    async def delete(self, entries: Sequence[str]) -> int:
        self._require_open()
        return sum(self._entries.pop(entry, None) is not None for entry in entries)

    async def scan(self) -> AsyncIterator[Record]:
        self._require_open()
        for entry, (gone, sealed) in list(self._entries.items()):
            if gone > self._clock():
                record = self.codec.unseal_facts(entry, sealed.facts, sealed.vector)
                if record is not None:
                    yield record

    async def settle(self, name: str, value: bytes) -> bytes:
        self._require_open()
        return self._settings.setdefault(name, value)

    async def put(self, name: str, value: bytes) -> None:
        self._require_open()
        self._settings[name] = value

    async def get(self, name: str) -> bytes | None:
        self._require_open()
        return self._settings.get(name)

    async def count(self, name: str, until: float) -> int:
        self._require_open()
        times, gone = self._counts.get(name, (0, 0.0))
        times = times if gone > self._clock() else 0
        self._counts[name] = (times + 1, until)
        return times

    async def mark(self, name: str, members: Mapping[str, float], most: int) -> None:
        self._require_open()
        every = self._marks.get(name, {}) | dict(members)
        newest = sorted(every, key=lambda member: (every[member], member), reverse=True)[:most]
        self._marks[name] = {member: every[member] for member in newest}

    async def unmark(self, name: str, members: Sequence[str]) -> None:
        self._require_open()
        for member in members:
            self._marks.get(name, {}).pop(member, None)

    async def marked(self, name: str) -> dict[str, float]:
        self._require_open()
        return dict(self._marks.get(name, {}))

    async def revision(self) -> Revision | None:
        return None

    async def changed(self, since: Revision) -> list[str] | None:  # noqa: ARG002 - not written down
        return None

    async def forget_changes(self, until: Revision) -> None:
        """There is nothing to forget."""

    async def sweep(self, now: float) -> int:
        """Delete what is past its `gone` time; how many entries."""
        self._require_open()
        self._counts = {name: held for name, held in self._counts.items() if held[1] > now}
        past = [entry for entry, (gone, _) in self._entries.items() if gone <= now]
        return await self.delete(past)

    async def check(self) -> None:
        self._require_open()

    async def close(self) -> None:
        self._closed = True
        self._entries.clear()
        self._settings.clear()
        self._counts.clear()
        self._marks.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("store memory: closed; open it again")
