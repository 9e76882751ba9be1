"""Entries by number: small and dense, so that a number can be a row in every table.

A number that was given back rests until each search that was under way has ended: what such a
search brings back must not be taken for another entry. One thread gives out and takes back, others
may look up meanwhile.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Register:
    """Which entry has which number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._entries: list[str | None] = []
        self._free: list[int] = []
        # Numbers given back, each with the turn in which it was.
        self._resting: deque[tuple[int, int]] = deque()
        self._turn = 0
        self._running: Counter[int] = Counter()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, entry: str) -> int | None:
        return self._numbers.get(entry)

    def entry(self, number: int) -> str | None:
        """Whose number it is; None where it is nobody's by now."""
        return self._entries[number]

    def take(self, entry: str) -> int:
        """The entry's number, a new one where it has none yet."""
        number = self._numbers.get(entry)
        if number is not None:
            return number
        self._wake()
        if self._free:
            number = self._free.pop()
            self._entries[number] = entry
        else:
            number = len(self._entries)
            self._entries.append(entry)
        self._numbers[entry] = number
        return number

    def give(self, entry: str) -> None:
        """The entry is gone, and nothing finds its number any more."""
        number = self._numbers.pop(entry, None)
        if number is None:
            return
        self._entries[number] = None
        with self._lock:
            self._resting.append((self._turn, number))
            self._turn += 1

    @contextmanager
    def search(self) -> Iterator[None]:
        """While it lasts, no number that was in use at its start becomes another entry's."""
        with self._lock:
            turn = self._turn
            self._running[turn] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[turn] -= 1
                if not self._running[turn]:
                    del self._running[turn]

    def _wake(self) -> None:
        with self._lock:
            oldest = min(self._running, default=self._turn)
            while self._resting and self._resting[0][0] < oldest:
                self._free.append(self._resting.popleft()[1])
