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

import numpy as np

from index.finder import LEAST, WIDTH, Finder, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from index.snapshot import Writer


class Register:
    """Which entry has which number."""

    def __init__(self, reserve: int = LEAST) -> None:
        self._numbers = Finder(reserve)
        self._taken = bytearray()
        self._free: list[int] = []
        # Numbers given back, each with the turn in which it was.
        self._resting: deque[tuple[int, int]] = deque()
        self._turn = 0
        self._running: Counter[int] = Counter()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def reach(self) -> int:
        """How many numbers there are: all lie below it, those that wait to be given again too."""
        return len(self._taken)

    def of(self, entry: str) -> int | None:
        key = key_of(entry)
        return None if key is None else self._numbers.get(key)

    def entry(self, number: int) -> str | None:
        """Whose number it is; None where it is nobody's by now."""
        return self._numbers.key(number).hex() if self._taken[number] else None

    def take(self, entry: str) -> int:
        """The entry's number, a new one where it has none yet.

        Raises `ValueError` where the name is not 32 hex digits.
        """
        key = key_of(entry)
        if key is None:
            raise ValueError(f"{entry!a} is not the name of an entry")
        number = self._numbers.get(key)
        if number is not None:
            return number
        self._wake()
        if self._free:
            number = self._free.pop()
        else:
            number = len(self._taken)
            self._taken.append(0)
        self._numbers.put(key, number)
        self._taken[number] = 1
        return number

    def give(self, entry: str) -> None:
        """The entry is gone, and nothing finds its number any more."""
        key = key_of(entry)
        number = None if key is None else self._numbers.get(key)
        if key is None or number is None:
            return
        self._taken[number] = 0
        self._numbers.pop(key, number)
        with self._lock:
            self._resting.append((self._turn, number))
            self._turn += 1

    def save(self, out: Writer) -> int:
        """Write down who has which number; how many numbers there are."""
        taken = np.frombuffer(bytes(self._taken), np.uint8)
        out.put("taken", taken)
        out.put("entries", self._numbers.keys(len(taken)))
        return len(taken)

    def restore(self, keys: NDArray[np.uint8], numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Take over what was written down of these numbers; which are taken from now on.

        An entry that moved to another number meanwhile has one of the two.
        """
        taken = np.zeros(len(keys) // WIDTH, bool)
        taken[self._numbers.restore(keys, numbers)] = True
        self._taken = bytearray(taken.tobytes())
        self._free = np.flatnonzero(~taken).tolist()
        return taken

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
