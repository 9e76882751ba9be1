"""What the journal's file holds of one end user: counted, and taken out. SQL only.

A user's own requests go with their notes. Requests of others that met an erased entry stay, and
lose what they quote of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from policies.record import Decision

# Rows looked at in one transaction; between two, others write.
SLICE = 20_000

STEP = (
    "ALTER TABLE decisions ADD COLUMN user TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX decisions_user ON decisions (user) WHERE user <> ''",
)
_OWN = "FROM decisions WHERE user = ? AND user <> ''"
_END = "SELECT id FROM decisions WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?"
_QUOTING = """
    UPDATE decisions SET matched = '', seen = '', evidence = '' WHERE id >= ? AND id < ? AND (
        entry IN temp.erased OR neighbour IN temp.erased OR would IN temp.erased
        OR (evidence <> '' AND EXISTS (
            SELECT 1 FROM json_each(evidence, '$.refused') AS refused
            WHERE json_extract(refused.value, '$.entry') IN temp.erased)))"""


def count(db: sqlite3.Connection, user: str) -> int:
    """How many requests of that user's digest are written down."""
    (found,) = db.execute(f"SELECT count(*) {_OWN}", (user,)).fetchone()
    return int(found)


def own(db: sqlite3.Connection, user: str) -> int:
    """Delete the user's requests, and what was noted of them; how many there were."""
    notes = f"UPDATE verdicts SET note = '' WHERE id IN (SELECT id {_OWN})"  # noqa: S608 - ours
    db.execute(notes, (user,))
    return db.execute(f"DELETE {_OWN}", (user,)).rowcount


def remember(db: sqlite3.Connection, entries: Iterable[str]) -> None:
    """Note which entries are erased, for `quotes`."""
    db.execute("DROP TABLE IF EXISTS temp.erased")
    db.execute("CREATE TEMP TABLE erased (entry TEXT PRIMARY KEY) WITHOUT ROWID")
    db.executemany("INSERT OR IGNORE INTO temp.erased VALUES (?)", ((one,) for one in entries))


def quotes(db: sqlite3.Connection, start: int) -> int | None:
    """Blank what some rows quote of those entries; the id to go on from, None at the end."""
    found = db.execute(_END, (start, SLICE)).fetchone()
    end = None if found is None else int(found[0])
    db.execute(_QUOTING, (start, (1 << 63) - 1 if end is None else end))
    return end


def fresh(row: Decision, user: str, erased: frozenset[str]) -> Decision | None:
    """The same for a row in RAM: None where it is the user's own."""
    if user and row.user == user:
        return None
    met = {row.entry, row.neighbour, row.would} & erased
    if met or any(entry in row.evidence for entry in erased if row.evidence):
        return row._replace(matched="", seen="", evidence="")
    return row
