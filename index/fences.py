"""Which answers may be kept: those that were asked for after the last purge, wherever it was made.

A purge stands for a source that has changed. So it ends not only what is remembered, but also what
is on its way: in this process by a number that every request takes along, elsewhere by asking the
others to do the same.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from index.errors import StoreError
from index.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from index.ports import Revision

# The newest entries of this process, whose writes may still be on their way to the store.
LATELY = 4_096


class Replica(NamedTuple):
    """One process on the store: seconds since it was known to be up to date, and how many steps of
    the log it had not taken in then. `lag` is None where it never was."""

    name: str
    lag: float | None
    behind: int


class Others(Protocol):
    """The other processes on the same store.

    `resyncs`: how often all had to be compared. `heard` is called with what the others learned.
    """

    resyncs: int
    heard: Callable[[bytes], None]

    @property
    def in_touch(self) -> bool:
        """Whether everything is known here that they have told until a moment ago."""

    async def stands(self) -> Revision | None:
        """Up to where all that was told is known here; None while that is being found out."""

    async def fence(self) -> str:
        """Have them keep nothing that was asked for before; why that is not sure, if it is not."""

    def say(self, note: bytes) -> None:
        """Have the others hear what was learned here."""

    async def roll(self) -> list[Replica]:
        """How far each replica is, this one first; it alone where the store does not answer."""

    @property
    def own(self) -> Replica:
        """How far this process is."""


class Fences:
    """The purges that this process knows of. `others`: None where there can be none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.others: Others | None = None
        self._clock = clock
        self._count = 0
        self._kept: Shelf[int] = Shelf(LATELY)

    @property
    def in_touch(self) -> bool:
        """Whether purges made elsewhere are heard of."""
        return self.others is None or self.others.in_touch

    @property
    def generation(self) -> int:
        """What a request takes along. An answer asked for under another one is neither kept nor
        joined; while purges are not heard of, each second is one of its own."""
        return self._count if self.in_touch else -1 - int(self._clock())

    def require_touch(self) -> None:
        """Raise `StoreError` unless purges made elsewhere are heard of."""
        if not self.in_touch:
            raise StoreError("purges made elsewhere cannot be heard of: nothing is kept")

    def rise(self) -> None:
        """A purge: what was asked for before is not kept."""
        self._count += 1

    def kept(self, entry: str) -> None:
        """Hear of an entry that is now to be written."""
        self._kept.put(entry, self._count)

    def outdated(self, entries: Iterable[str]) -> list[str]:
        """Those that were kept here before the last purge, and may have been written after it.

        Each is named once, or two processes would have each other delete it for ever.
        """
        known = ((entry, self._kept.get(entry)) for entry in entries)
        old = [entry for entry, count in known if count is not None and count < self._count]
        for entry in old:
            self._kept.pop(entry)
        return old

    @asynccontextmanager
    async def purging(self) -> AsyncIterator[None]:
        """What is forgotten within comes back nowhere from what was asked for before.

        Raises `StoreError` at the end where that is not sure.
        """
        self.rise()
        unsure = "" if self.others is None else await self.others.fence()
        yield
        if unsure:
            raise StoreError(unsure)
