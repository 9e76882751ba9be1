"""Decisions that fit a filter, newest first, out of a million without an index for each column.

The journal is read backwards in slices until a page is full or the time is up; where it stopped is
told, so that the next question goes on from there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from index import repeats
from index.repeats import READ, unfolded
from policies.record import Decision, Filter, holds

if TYPE_CHECKING:
    import sqlite3

# Rows that are looked at in one step, and seconds after which a page is handed over as it is.
SLICE = 20_000
PATIENCE = 0.7

_EQUAL = ("category", "outcome", "reason", "owner", "model")
_NEAR = "? IN (entry, neighbour, would)"
_GET = "SELECT {} FROM decisions WHERE id IN ({})"


class Sifted(NamedTuple):
    """`next` is the id below which to go on, None at the end; `searched` the time of the oldest
    decision that was looked at."""

    rows: list[Decision]
    next: int | None
    searched: float | None


class _Seen(NamedTuple):
    """The rows that fit, down to the one numbered `lowest`; whether there are no more below."""

    ids: list[int]
    lowest: int
    searched: float | None
    end: bool


def sift(db: sqlite3.Connection, wanted: Filter, below: int, limit: int) -> Sifted:
    """Up to `limit` decisions with an id below `below`."""
    db.create_function("holds", 3, holds, deterministic=True)
    seen = _seen(db, wanted, below, limit)
    rows = [one for row in _rows(db, seen.ids) for one in unfolded(row)]
    least = 0
    if not seen.end:
        # Older rows may hold repeats that are younger than the last row.
        least = seen.lowest
        beside = (one for row in repeats.among(db, least) for one in unfolded(row))
        rows += [one for one in beside if wanted.fits(one)]
    found = repeats.ordered(rows, least, below)
    if len(found) >= limit:
        return Sifted(found[:limit], found[limit - 1].id, seen.searched)
    return Sifted(found, None if seen.end else seen.lowest, seen.searched)


def _seen(db: sqlite3.Connection, wanted: Filter, below: int, limit: int) -> _Seen:
    conditions, values = _conditions(wanted)
    sql = f"""SELECT id, at, more, {conditions} FROM decisions WHERE id < ? {_by_reason(wanted)}
              ORDER BY id DESC LIMIT {SLICE}"""  # noqa: S608 - columns and marks
    until = time.monotonic() + PATIENCE
    reason = [] if wanted.reason is None else [wanted.reason]
    ids: list[int] = []
    count, searched = 0, None
    while True:
        rows = db.execute(sql, (*values, below, *reason)).fetchall()
        for number, at, more, fits in rows:
            below, searched = number, at
            if fits:
                ids.append(number)
                count += 1 + more
            if count >= limit:
                return _Seen(ids, below, searched, end=False)
        if len(rows) < SLICE or time.monotonic() > until:
            return _Seen(ids, below, searched, end=len(rows) < SLICE)


def _by_reason(wanted: Filter) -> str:
    """There is an index for reasons; it holds their rows in the order of time."""
    return "" if wanted.reason is None else "AND reason = ?"


def _conditions(wanted: Filter) -> tuple[str, list[Any]]:
    terms, values = ["1"], []
    for name in _EQUAL:
        value = getattr(wanted, name)
        if value is not None:
            terms.append(f"{name} = ?")
            values.append(value)
    for sign, bound in ((">=", wanted.least), ("<=", wanted.most)):
        if bound is not None:
            terms.append(f"ifnull(similarity {sign} ?, 0)")
            values.append(bound)
    if wanted.entry is not None:
        terms.append(_NEAR)
        values.append(wanted.entry)
    if wanted.text is not None:
        terms.append("holds(prompt, matched, ?)")
        values.append(wanted.text)
    return f"({' AND '.join(terms)})", values


def _rows(db: sqlite3.Connection, ids: list[int]) -> list[tuple[Any, ...]]:
    return db.execute(_GET.format(READ, ", ".join("?" * len(ids))), ids).fetchall()
