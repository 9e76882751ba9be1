"""How far the entries of the store are in RAM; until all are, the store is asked for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Loading:
    """The state of it, for whoever finds, forgets and keeps meanwhile."""

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
