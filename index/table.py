"""Facts and use of all entries, by number: packed, with a column for whatever is counted over all.

One thread writes. Others may read meanwhile: facts are one object, replaced whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from index import packing
from index.finder import WIDTH
from index.packing import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from index.snapshot import Reader, Writer
    from policies.values import Facts

LEAST = 1_024
# Bytes of one entry beside its packed facts: the columns, both of its keys, the object itself.
ROW = 144
# Rows that are written down at once.
TOGETHER = 10_000
_COLUMNS = {
    "gone": np.float64,
    "used": np.float64,
    "cost": np.float64,
    "weight": np.int64,
    "saved": np.int64,
    "hits": np.int32,
    "kind": np.int32,
    "pinned": np.bool_,
}


_SAVED = ("gone", "used", "cost", "weight", "saved", "hits", "pinned")


class Use(NamedTuple):
    """How an entry was used: when last, how often it answered, how many tokens that saved."""

    used: float
    hits: int
    saved: int


@dataclass(slots=True)
class _Kept:
    number: int
    entries: int = 0


class Kinds:
    """Each kind once, for as long as an entry has it; numbers are not used again."""

    def __init__(self) -> None:
        self._numbers = count()
        self._kept: dict[Kind, _Kept] = {}
        self._by_number: dict[int, Kind] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, number: int) -> Kind | None:
        return self._by_number.get(number)

    def take(self, kind: Kind) -> int:
        """The number of a kind that one more entry has."""
        kept = self._kept.get(kind)
        if kept is None:
            kept = self._kept[kind] = _Kept(next(self._numbers))
            self._by_number[kept.number] = kind
        kept.entries += 1
        return kept.number

    def give(self, number: int) -> None:
        """One entry fewer has it."""
        kind = self._by_number[number]
        kept = self._kept[kind]
        kept.entries -= 1
        if not kept.entries:
            del self._kept[kind], self._by_number[number]

    def save(self, out: Writer) -> None:
        known = dict(self._by_number)
        out.put_json("kinds", [[number, *kind] for number, kind in known.items()])

    def restore(self, kinds: Mapping[int, Kind], numbers: NDArray[np.int32]) -> None:
        """Take over kinds by number; `numbers` has the one of each entry."""
        some, counts = np.unique(numbers, return_counts=True)
        for number, entries in zip(some.tolist(), counts.tolist(), strict=True):
            self._by_number[number] = kinds[number]
            self._kept[kinds[number]] = _Kept(number, entries)
        self._numbers = count(max(kinds, default=-1) + 1)

    def counted(self) -> list[tuple[Kind, int]]:
        """Every kind, and how many entries have it."""
        return [(kind, kept.entries) for kind, kept in self._kept.items()]


class Table:
    """A row for each number; an empty one has no facts."""

    def __init__(self, reserve: int = LEAST) -> None:
        self.kinds = Kinds()
        self._packed: list[bytes | None] = []
        rows = max(reserve, LEAST)
        self._columns: dict[str, NDArray[Any]] = {
            name: np.zeros(rows, kind) for name, kind in _COLUMNS.items()
        }

    def __len__(self) -> int:
        """How many numbers there are rows for, empty ones included."""
        return len(self._packed)

    def packed(self, number: int) -> bytes | None:
        """The row's facts as they are kept: another object whenever they change."""
        return self._packed[number] if number < len(self._packed) else None

    def read(self, packed: bytes) -> Facts | None:
        """What was packed; None where it is no row's by now."""
        return packing.unpack(packed, self.kinds.get)

    def facts(self, number: int) -> Facts | None:
        packed = self.packed(number)
        return None if packed is None else self.read(packed)

    def use(self, number: int) -> Use:
        used, hits, saved = (self._columns[name].item(number) for name in ("used", "hits", "saved"))
        return Use(used, hits, saved)

    def put(self, number: int, facts: Facts, beside: int = 0) -> int:
        """Take in facts, or those that stand in their place; use goes on.

        Returns what the row costs in bytes from now on, `beside` included.
        """
        self._make_room(number)
        columns, old = self._columns, self._packed[number]
        kind = self.kinds.take(Kind.of(facts))
        packed = packing.pack(facts, kind)
        if old is None:
            columns["used"][number] = facts.stored
            columns["hits"][number] = columns["saved"][number] = 0
        else:
            self.kinds.give(columns["kind"].item(number))
            columns["used"][number] = max(columns["used"][number], facts.stored)
        columns["gone"][number], columns["cost"][number] = facts.gone, facts.cost_ms
        columns["pinned"][number] = facts.pinned
        weight = beside + ROW + len(packed)
        columns["kind"][number], columns["weight"][number] = kind, weight
        self._packed[number] = packed
        return weight

    def weight(self, number: int) -> int:
        """What the row costs in bytes; 0 where it is empty."""
        return 0 if number >= len(self._packed) else self._columns["weight"].item(number)

    def clear(self, number: int) -> None:
        if self.packed(number) is not None:
            self._packed[number] = None
            self._columns["weight"][number] = 0
            self.kinds.give(self._columns["kind"].item(number))

    def touch(self, number: int, now: float, tokens: int) -> None:
        """Count a hit."""
        columns = self._columns
        columns["used"][number] = now
        columns["hits"][number] += 1
        columns["saved"][number] += tokens

    def numbers(self) -> Iterator[int]:
        """Those that have facts, as it is walked."""
        return (n for n in range(len(self._packed)) if self._packed[n] is not None)

    def gone(self, now: float) -> list[int]:
        """The numbers of what is past its last use in any form."""
        past = np.flatnonzero(self._columns["gone"][: len(self._packed)] <= now)
        return [number for number in past.tolist() if self._packed[number] is not None]

    def grouped(self) -> list[int]:
        """The numbers of what is in an answer group."""
        rows = enumerate(list(self._packed))
        return [n for n, packed in rows if packed is not None and packing.grouped(packed)]

    def filled(self) -> NDArray[np.int64]:
        """The numbers that have facts; from any thread."""
        return np.flatnonzero(self._columns["weight"][: len(self._packed)])

    def column(self, name: str, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """One value for each of the numbers, at one moment."""
        values: NDArray[Any] = self._columns[name].take(numbers)
        return values

    def save(self, out: Writer, rows: int) -> None:
        """Write down the first so many rows."""
        lengths = np.zeros(rows, np.uint32)
        with out.section("facts") as write:
            for start in range(0, rows, TOGETHER):
                some = self._packed[start : min(start + TOGETHER, rows)]
                held = [packed or b"" for packed in some]
                lengths[start : start + len(held)] = list(map(len, held))
                write(b"".join(held))
        out.put("lengths", lengths)
        for name in _SAVED:
            out.put(name, self._columns[name][:rows])
        self.kinds.save(out)

    def restore(
        self, source: Reader, keys: NDArray[np.uint8], taken: NDArray[np.bool_]
    ) -> NDArray[np.int32]:
        """Take over the rows that were written down, are taken and hold the entry of that key.

        Returns their numbers.
        """
        lengths = source.get("lengths", np.uint32)
        facts, ends = source.get("facts", np.uint8), np.cumsum(lengths, dtype=np.int64)
        kinds = {number: Kind(*kind) for number, *kind in source.get_json("kinds")}
        self._make_room(len(lengths) - 1)
        for name in _SAVED:
            source.fill(name, self._columns[name])
        starts = ends - lengths
        some: NDArray[np.int32] = np.flatnonzero(taken & (lengths > 0)).astype(np.int32)
        same = (packing.entries(facts, starts[some]) == keys.reshape(-1, WIDTH)[some]).all(1)
        found = packing.kinds(facts, starts[some])
        same &= np.isin(found, list(kinds))
        some, found = some[same], found[same]
        self._columns["kind"][some] = found
        # A row is filled where it weighs something, and nowhere else.
        weights = np.maximum(self._columns["weight"][some], 1)
        self._columns["weight"][:] = 0
        self._columns["weight"][some] = weights
        self.kinds.restore(kinds, found)
        view = facts.data
        for number in some.tolist():
            self._packed[number] = view[starts.item(number) : ends.item(number)].tobytes()
        return some

    @property
    def total(self) -> int:
        """What all rows cost in bytes."""
        return int(self._columns["weight"].sum())

    def _make_room(self, number: int) -> None:
        rows = len(self._columns["kind"])
        if number >= rows:
            more = max(2 * rows, number + 1)
            for name, column in self._columns.items():
                longer = np.zeros(more, column.dtype)
                longer[:rows] = column
                self._columns[name] = longer
        self._packed.extend([None] * (number + 1 - len(self._packed)))
