"""Byte-identical repeats of an exact hit, many of them in one row of the journal.

They differ in number, time and duration only, and come by the thousand: written one by one they
would cost more than the answers themselves. A row with repeats is the first of them; the others
lie packed beside it. Their numbers lie within `SPAN`, so that any of them is found.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import defaultdict
from itertools import starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from policies.record import Decision

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

# A second, as ids count it: milliseconds above 22 bits.
SPAN = 1_000 << 22
# The largest number that a column takes.
LAST = (1 << 63) - 1

STEP = (
    "ALTER TABLE decisions ADD COLUMN last INTEGER",
    "ALTER TABLE decisions ADD COLUMN more INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE decisions ADD COLUMN repeats BLOB",
    "CREATE INDEX decisions_repeats ON decisions (last, more) WHERE more > 0",
)
READ = ", ".join((*Decision._fields, "repeats"))
COUNT = """SELECT count(*) + (SELECT ifnull(sum(more), 0) FROM decisions WHERE more > 0),
           max(max(id), ifnull((SELECT max(last) FROM decisions WHERE more > 0), 0))
           FROM decisions"""
_AMONG = f"""SELECT {READ} FROM decisions INDEXED BY decisions_repeats
             WHERE more > 0 AND last >= ? AND last <= ? AND id < ?"""  # noqa: S608 - columns
_PARTS = {"id": "q", "at": "d", "ms": "f"}


class Again(NamedTuple):
    """One repeat of the decision `of`."""

    of: Decision
    id: int
    at: float
    ms: float


def whole(one: Decision | Again) -> Decision:
    if isinstance(one, Again):
        return one.of._replace(id=one.id, at=one.at, ms=one.ms)
    return one


_number = itemgetter(Again._fields.index("id"))


class Block(NamedTuple):
    """Repeats of one decision in the order of their numbers."""

    of: Decision
    ids: tuple[int, ...]
    at: tuple[float, ...]
    ms: tuple[float, ...]

    def row(self) -> tuple[Any, ...]:
        """The row's values, those of `COLUMNS` first."""
        first = self.of._replace(id=self.ids[0], at=self.at[0], ms=self.ms[0])
        return (*first, self.ids[-1], len(self.ids) - 1, self._packed())

    def _packed(self) -> bytes | None:
        more = len(self.ids) - 1
        if not more:
            return None
        form = f"<{more}{_PARTS['id']}{more}{_PARTS['at']}{more}{_PARTS['ms']}"
        return struct.pack(form, *self.ids[1:], *self.at[1:], *self.ms[1:])


def folded(rows: Iterable[Decision | Again]) -> tuple[list[Decision], list[Block]]:
    """Those that stand alone, and the repeats of each decision together, two or more."""
    alone: list[Decision] = []
    repeats: dict[int, list[Again]] = defaultdict(list)
    for row in rows:
        if type(row) is Again:
            repeats[id(row[0])].append(row)
        else:
            alone.append(cast("Decision", row))
    blocks: list[Block] = []
    for some in repeats.values():
        for part in _parts(some):
            if len(part) > 1:
                blocks.append(_block(part))
            else:
                alone.append(whole(part[0]))
    return alone, blocks


def _parts(some: list[Again]) -> Iterator[list[Again]]:
    """In the order of their numbers, those within a `SPAN` together."""
    some.sort(key=_number)
    while some:
        # As a rule all of them: a batch is what came within a fifth of a second.
        most = some[0].id + SPAN - 1
        end = len(some) if some[-1].id <= most else bisect_right(some, most, key=_number)
        yield some[:end]
        some = some[end:]


def _block(some: list[Again]) -> Block:
    _, ids, at, ms = zip(*some, strict=True)
    return Block(some[0].of, ids, at, ms)


def unfolded(row: tuple[Any, ...]) -> list[Decision]:
    """The decisions of a row that was read as `READ`."""
    *fields, packed = row
    read = Decision._make(fields)
    first = read._replace(stream=bool(read.stream), collapsed=bool(read.collapsed))
    if packed is None:
        return [first]
    more = len(packed) // struct.calcsize("<qdf")
    values = struct.unpack(f"<{more}q{more}d{more}f", packed)
    parts = zip(values[:more], values[more : 2 * more], values[2 * more :], strict=True)
    return [first, *starmap(lambda id_, at, ms: first._replace(id=id_, at=at, ms=ms), parts)]


# -- on disk ---------------------------------------------------------------------------------------


def newest(db: sqlite3.Connection, below: int, limit: int) -> list[Decision]:
    """The newest with an id below that, newest first."""
    sql = f"SELECT {READ} FROM decisions WHERE id < ? ORDER BY id DESC"  # noqa: S608 - columns
    found: list[Decision] = []
    for row in db.execute(sql, (below,)):
        if len(found) >= limit:
            break
        found += unfolded(row)
    else:
        return ordered(found, 0, below)[: max(0, limit)]
    lowest = min((one.id for one in found), default=below)
    found += [one for row in among(db, lowest) for one in unfolded(row)]
    return ordered(found, lowest, below)[: max(0, limit)]


def among(db: sqlite3.Connection, number: int) -> list[tuple[Any, ...]]:
    """The rows with a smaller number than that which hold repeats with it or with larger ones."""
    return db.execute(_AMONG, (number, min(number + SPAN, LAST), number)).fetchall()


def get(db: sqlite3.Connection, number: int) -> Decision | None:
    sql = f"SELECT {READ} FROM decisions WHERE id = ?"  # noqa: S608 - columns
    rows = [*db.execute(sql, (number,)), *among(db, number)]
    return next((one for row in rows for one in unfolded(row) if one.id == number), None)


def ordered(rows: Sequence[Decision], least: int, below: int) -> list[Decision]:
    """Those from `least` on and below the other, newest first."""
    some = [one for one in rows if least <= one.id < below]
    return sorted(some, key=lambda one: one.id, reverse=True)
