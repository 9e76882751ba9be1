"""Numbers by keys of 16 bytes, in 24 bytes each where a dictionary takes about 150.

A table of numbers with room to spare, searched from where the key's hash points to; nobody who does
not know this process' multipliers can make keys crowd. One thread changes it. Another that reads
meanwhile may miss a key that has just been moved, and never gets the number of another key.
"""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 16
NONE = bytes(WIDTH)
# Cells for each number that there is room for. Zeros cost no memory until they are written to.
SPARE = 2
LEAST = 1_024
_HALVES = struct.Struct("<QQ")
_ONE, _OTHER = (secrets.randbits(64) | 1 for _ in range(2))
_BITS = 64


def key_of(name: str) -> bytes | None:
    """The key that a name of 32 hex digits is; None for any other name."""
    if len(name) != 2 * WIDTH:
        return None
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    # `fromhex` overlooks spaces, and takes capitals for what they are not.
    return key if key.hex() == name else None


class Finder:
    """Which number a key leads to. A number has one key, and a key the number put last."""

    def __init__(self, reserve: int = LEAST) -> None:
        self._size = 0
        self._keys = np.zeros(WIDTH * max(reserve, LEAST), np.uint8).data
        # A number plus one; 0 is a free cell.
        self._cells: memoryview[int] = np.zeros(_cells(reserve), np.int32).data

    def __len__(self) -> int:
        return self._size

    def key(self, number: int) -> bytes:
        """The key that was last put for a number; zeros where none was."""
        return self._keys[WIDTH * number : WIDTH * (number + 1)].tobytes()

    def keys(self, numbers: int) -> NDArray[np.uint8]:
        """The keys of the first so many numbers, one after the other."""
        return np.asarray(self._keys)[: WIDTH * numbers]

    def restore(self, keys: NDArray[np.uint8], numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Take over keys, of which those of these numbers count; the numbers that keys lead to."""
        self._make_room(len(keys) // WIDTH)
        np.asarray(self._keys)[: len(keys)] = keys
        halves = keys.view("<u8").reshape(-1, 2)[numbers]
        # The last number of equal keys, or of what looks like that here, is put after the others.
        mixed = halves[:, 0] * np.uint64(_ONE) + halves[:, 1] * np.uint64(_OTHER)
        first = np.unique(mixed, return_index=True)[1]
        self._size = len(first)
        self._cells = self._spread(
            _cells(max(self._size, len(self._keys) // WIDTH)), numbers[first]
        )
        for number in np.delete(numbers, first).tolist():
            self.put(self.key(number), number)
        cells = np.asarray(self._cells)
        found: NDArray[np.int32] = cells[cells > 0] - 1
        return found

    def get(self, key: bytes) -> int | None:
        cells = self._cells
        number = cells[self._cell(cells, key)] - 1
        return None if number < 0 else number

    def put(self, key: bytes, number: int) -> None:
        """Let a key lead to a number, and to no other from now on; a number has the last of its
        keys only."""
        self._make_room(number)
        old = self.key(number)
        if old not in (key, NONE):
            self.pop(old, number)
        at = self._cell(self._cells, key)
        self._keys[WIDTH * number : WIDTH * (number + 1)] = key
        self._size += self._cells[at] == 0
        self._cells[at] = number + 1

    def pop(self, key: bytes, number: int) -> None:
        """Forget a key, where it leads to that number."""
        at = self._cell(self._cells, key)
        if self._cells[at] == number + 1:
            self._size -= 1
            self._close(at)

    def _cell(self, cells: memoryview[int], key: bytes) -> int:
        """Where the key stands, else the free cell where it would."""
        mask = len(cells) - 1
        at = _home(key, len(cells))
        while (number := cells[at] - 1) >= 0 and self.key(number) != key:
            at = (at + 1) & mask
        return at

    def _close(self, gap: int) -> None:
        """Free a cell, and move up what stands behind it and began no later."""
        cells = self._cells
        mask = len(cells) - 1
        at = (gap + 1) & mask
        while (number := cells[at] - 1) >= 0:
            home = _home(self.key(number), len(cells))
            if (at - home) & mask >= (at - gap) & mask:
                cells[gap] = cells[at]
                gap = at
            at = (at + 1) & mask
        cells[gap] = 0

    def _make_room(self, number: int) -> None:
        rows = len(self._keys) // WIDTH
        if number >= rows:
            longer = np.zeros(WIDTH * max(2 * rows, number + 1), np.uint8)
            longer[: WIDTH * rows] = self._keys
            self._keys = longer.data
        if SPARE * (self._size + 1) > len(self._cells):
            held = np.asarray(self._cells)
            self._cells = self._spread(2 * len(held), held[held > 0] - 1)

    def _spread(self, size: int, numbers: NDArray[np.int32]) -> memoryview[int]:
        """Numbers of different keys in a table of that many cells, as if put one by one."""
        homes = _homes(np.asarray(self._keys).view("<u8").reshape(-1, 2)[numbers], size)
        order = np.argsort(homes, kind="stable")
        held, steps = numbers[order], np.arange(len(numbers))
        places = np.maximum.accumulate(homes[order] - steps) + steps
        table = np.zeros(size, np.int32)
        inside = places < size
        table[places[inside]] = held[inside] + 1
        cells = table.data
        for number in held[~inside].tolist():
            cells[self._cell(cells, self.key(number))] = number + 1
        return cells


def _home(key: bytes, cells: int) -> int:
    """The cell where a key is looked for first."""
    one, other = _HALVES.unpack(key)
    mixed = (one * _ONE + other * _OTHER) & (2**_BITS - 1)
    return int(mixed >> (_BITS + 1 - cells.bit_length()))


def _homes(keys: NDArray[np.uint64], cells: int) -> NDArray[np.int64]:
    """`_home` of each."""
    mixed = keys[:, 0] * np.uint64(_ONE) + keys[:, 1] * np.uint64(_OTHER)
    return (mixed >> np.uint64(_BITS + 1 - cells.bit_length())).astype(np.int64)


def _cells(numbers: int) -> int:
    """A power of two, so that a key's place is the highest bits of its hash."""
    return 1 << (SPARE * max(numbers, LEAST) - 1).bit_length()
