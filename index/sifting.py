"""Decisions that fit a filter, newest first, out of a million without an index for each column.

The journal is read backwards in slices until a page is full or the time is up; where it stopped is
told, so that the next question goes on from there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from policies.record import Decision, Filter, holds

if TYPE_CHECKING:
    import sqlite3

# Rows that are looked at in one step, and seconds after which a page is handed over as it is.
SLICE = 20_000
PATIENCE = 0.7

COLUMNS = ", ".join(Decision._fields)
_EQUAL = ("category", "outcome", "reason", "owner", "model")
_NEAR = "? IN (entry, neighbour, would)"
_GET = "SELECT {} FROM decisions WHERE id IN ({}) ORDER BY id DESC"


class Sifted(NamedTuple):
    """`next` is the id below which to go on, None at the end; `searched` the time of the oldest
    decision that was looked at."""

    rows: list[Decision]
    next: int | None
    searched: float | None


def sift(db: sqlite3.Connection, wanted: Filter, below: int, limit: int) -> Sifted:
    """Up to `limit` decisions with an id below `below`."""
    db.create_function("holds", 3, holds, deterministic=True)
    conditions, values = _conditions(wanted)
    sql = f"""SELECT id, at, {conditions} FROM decisions WHERE id < ? {_by_reason(wanted)}
              ORDER BY id DESC LIMIT {SLICE}"""  # noqa: S608 - columns and marks
    until = time.monotonic() + PATIENCE
    ids: list[int] = []
    searched: float | None = None
    while True:
        reason = [] if wanted.reason is None else [wanted.reason]
        rows = db.execute(sql, (*values, below, *reason)).fetchall()
        for number, at, fits in rows:
            below, searched = number, at
            if fits:
                ids.append(number)
            if len(ids) == limit:
                return Sifted(_rows(db, ids), below, searched)
        if len(rows) < SLICE:
            return Sifted(_rows(db, ids), None, searched)
        if time.monotonic() > until:
            return Sifted(_rows(db, ids), below, searched)


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


def _rows(db: sqlite3.Connection, ids: list[int]) -> list[Decision]:
    marks = ", ".join("?" * len(ids))
    return [decision(row) for row in db.execute(_GET.format(COLUMNS, marks), ids)]


def decision(row: tuple[Any, ...]) -> Decision:
    """A row as it was recorded."""
    read = Decision._make(row)
    return read._replace(stream=bool(read.stream), collapsed=bool(read.collapsed))
