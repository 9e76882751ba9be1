"""Decisions summed up by minute, hour and quarter of a day: history that stays cheap to ask.

Sums are written into the journal in the transaction that writes their decisions, so neither is
ever without the other. Times and similarities are kept as counts in bins, which add up over any
stretch of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from index.repeats import Block
    from policies.record import Decision

MINUTE, HOUR, QUARTER = 60, 3_600, 6 * 3_600
# The most rows of each kind: a day of busy minutes, months of busy hours, a year of quarters.
KEPT = {MINUTE: 200_000, HOUR: 400_000, QUARTER: 200_000}
# Models are named by callers; beyond so many they are summed up together.
MODELS, OTHER = 200, "(other)"
# Neighbouring bins of milliseconds are this much apart.
WIDTH = 1.1
# Bins of similarity in one.
FINE = 200
# Repeats are counted one by one up to so many, beyond that as arrays.
FEW = 30
_SCALE = 1 / math.log(WIDTH)
_LEAST_MS = 1e-3

TABLE = """CREATE TABLE rollups (
             span INTEGER NOT NULL, at INTEGER NOT NULL, category TEXT NOT NULL,
             reason TEXT NOT NULL, outcome TEXT NOT NULL, model TEXT NOT NULL,
             count INTEGER NOT NULL, collapsed INTEGER NOT NULL, ms REAL NOT NULL,
             tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
             times TEXT NOT NULL, near TEXT NOT NULL,
             PRIMARY KEY (span, at, category, reason, outcome, model)) WITHOUT ROWID"""
_KEY = "span = ? AND at = ? AND category = ? AND reason = ? AND outcome = ? AND model = ?"
_SUMS = "count, collapsed, ms, tokens_in, tokens_out, times, near"
_HELD = f"SELECT {_SUMS} FROM rollups WHERE {_KEY}"  # noqa: S608 - columns
_PUT = "INSERT OR REPLACE INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SINCE = "SELECT * FROM rollups WHERE span = ? AND at >= ?"
_TRIM = """DELETE FROM rollups WHERE span = ?1 AND at <= (
             SELECT at FROM rollups WHERE span = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)"""
_UNSUMMED = """SELECT NOT EXISTS (SELECT 1 FROM rollups) AND EXISTS (SELECT 1 FROM decisions)"""
_ALL = """SELECT at, category, reason, outcome, model, collapsed, ms, tokens_in, tokens_out,
          similarity FROM decisions"""


class Key(NamedTuple):
    """What the decisions of one sum have in common. `at` is the second at which it begins."""

    span: int
    at: int
    category: str
    reason: str
    outcome: str
    model: str


@dataclass(slots=True)
class Sums:
    """`times` counts decisions by `bin_of` their milliseconds, `near` by their similarity in steps
    of one 200th; decisions without one are not in it."""

    count: int = 0
    collapsed: int = 0
    ms: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    times: dict[int, int] = field(default_factory=dict)
    near: dict[int, int] = field(default_factory=dict)

    def add(self, other: Sums) -> None:
        self.count += other.count
        self.collapsed += other.collapsed
        self.ms += other.ms
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        _pour(self.times, other.times)
        _pour(self.near, other.near)


class Rollup(NamedTuple):
    key: Key
    sums: Sums


class Counted(NamedTuple):
    """What of a decision is summed up."""

    at: float
    category: str
    reason: str
    outcome: str
    model: str
    collapsed: bool
    ms: float
    tokens_in: int
    tokens_out: int
    similarity: float | None


def counted(row: Decision) -> Counted:
    return Counted(
        row.at, row.category, row.reason, row.outcome, row.model, row.collapsed, row.ms,
        row.tokens_in, row.tokens_out, row.similarity,
    )  # fmt: skip


def bin_of(ms: float) -> int:
    return math.floor(math.log(max(ms, _LEAST_MS)) * _SCALE)


def quantile(times: Mapping[int, int], share: float) -> float | None:
    """Milliseconds that `share` (0 to 1) of the decisions stayed at or under, to about 5%."""
    target = share * sum(times.values())
    seen = 0
    for place in sorted(times):
        seen += times[place]
        if seen >= target:
            return math.exp((place + 0.5) / _SCALE)
    return None


def summed(rows: Iterable[Counted], blocks: Iterable[Block], models: set[str]) -> dict[Key, Sums]:
    """Sums of every span. `models` are those that have a name so far; it grows."""
    minutes: dict[Key, Sums] = {}
    for row in rows:
        _count(minutes.setdefault(_key(row, row.at, models), Sums()), row, row.ms)
    for block in blocks:
        _count_block(minutes, block, models)
    hours = coarser(minutes, HOUR)
    return minutes | hours | coarser(hours, QUARTER)


def _count_block(minutes: dict[Key, Sums], block: Block, models: set[str]) -> None:
    row = counted(block.of)
    if len(block.ids) <= FEW:
        for at, ms in zip(block.at, block.ms, strict=True):
            _count(minutes.setdefault(_key(row, at, models), Sums()), row, ms)
        return
    times, starts = np.array(block.ms), np.array(block.at) // MINUTE
    for start in np.unique(starts):
        key = _key(row, float(start) * MINUTE, models)
        _count_many(minutes.setdefault(key, Sums()), row, times[starts == start])


def coarser(fine: Mapping[Key, Sums], span: int) -> dict[Key, Sums]:
    made: dict[Key, Sums] = {}
    for key, sums in fine.items():
        wide = key._replace(span=span, at=key.at // span * span)
        made.setdefault(wide, Sums()).add(sums)
    return made


def _key(row: Counted, at: float, models: set[str]) -> Key:
    model = row.model
    if model not in models:
        if len(models) < MODELS:
            models.add(model)
        else:
            model = OTHER
    start = int(at // MINUTE) * MINUTE
    return Key(MINUTE, start, row.category, row.reason, row.outcome, model)


def _count_many(sums: Sums, row: Counted, times: NDArray[np.float64]) -> None:
    """Count so many that differ from the row in their milliseconds only."""
    count = len(times)
    sums.count += count
    sums.collapsed += count * row.collapsed
    sums.ms += float(times.sum())
    sums.tokens_in += count * row.tokens_in
    sums.tokens_out += count * row.tokens_out
    places = np.floor(np.log(np.maximum(times, _LEAST_MS)) * _SCALE).astype(int)
    kinds, counts = np.unique(places, return_counts=True)
    _pour(sums.times, dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
    if row.similarity is not None:
        _pour(sums.near, {int(row.similarity * FINE): count})


def _count(sums: Sums, row: Counted, ms: float) -> None:
    """Count one that took so many milliseconds, and is like the row in all else."""
    sums.count += 1
    sums.collapsed += row.collapsed
    sums.ms += ms
    sums.tokens_in += row.tokens_in
    sums.tokens_out += row.tokens_out
    place = bin_of(ms)
    sums.times[place] = sums.times.get(place, 0) + 1
    if row.similarity is not None:
        near = int(row.similarity * FINE)
        sums.near[near] = sums.near.get(near, 0) + 1


def _pour(into: dict[int, int], more: Mapping[int, int]) -> None:
    for place, count in more.items():
        into[place] = into.get(place, 0) + count


# -- on disk ---------------------------------------------------------------------------------------


def add(db: sqlite3.Connection, sums: Mapping[Key, Sums]) -> None:
    """Add to what the file holds; call inside a transaction."""
    for key, more in sums.items():
        held = db.execute(_HELD, key).fetchone()
        if held is not None:
            more.add(_read(held))
        db.execute(_PUT, (*key, *_columns(more)))


def since(db: sqlite3.Connection, span: int, at: float) -> list[Rollup]:
    """The sums of that span that begin at `at` or later."""
    width = len(Key._fields)
    return [
        Rollup(Key._make(row[:width]), _read(row[width:]))
        for row in db.execute(_SINCE, (span, math.floor(at)))
    ]


def trim(db: sqlite3.Connection) -> None:
    """Forget the oldest sums over `KEPT`."""
    for span, most in KEPT.items():
        db.execute(_TRIM, (span, most))


def unsummed(db: sqlite3.Connection) -> bool:
    """Whether an earlier release wrote decisions here of which there are no sums."""
    return bool(db.execute(_UNSUMMED).fetchone()[0])


def sum_up(db: sqlite3.Connection, models: set[str]) -> None:
    """Sum up every decision there is; call inside a transaction."""
    add(db, summed(map(Counted._make, db.execute(_ALL)), (), models))


def _columns(sums: Sums) -> tuple[int, int, float, int, int, str, str]:
    return (
        sums.count, sums.collapsed, sums.ms, sums.tokens_in, sums.tokens_out,
        _packed(sums.times), _packed(sums.near),
    )  # fmt: skip


def _packed(counts: Mapping[int, int]) -> str:
    return orjson.dumps(counts, option=orjson.OPT_NON_STR_KEYS).decode()


def _read(row: tuple[int, int, float, int, int, str, str]) -> Sums:
    count, collapsed, ms, tokens_in, tokens_out, times, near = row
    return Sums(count, collapsed, ms, tokens_in, tokens_out, _unpacked(times), _unpacked(near))


def _unpacked(text: str) -> dict[int, int]:
    return {int(place): count for place, count in orjson.loads(text).items()}
