"""What people did: texts of the policy that were in force, changes, reviews. One small local file.

Written on somebody's click, never on a request's way; every method is one short hop to a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from index import database
from index.errors import NoRoomError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

EDITIONS = 200
ACTS = 10_000
REVIEWS = 100_000

LAYOUT = database.Layout(
    what="ledger",
    mark=0x4C4B574C,  # LKWL
    steps=(
        (
            """CREATE TABLE editions (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL,
                 how TEXT NOT NULL, revision TEXT NOT NULL, text TEXT NOT NULL)""",
            """CREATE TABLE acts (
                 id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL,
                 role TEXT NOT NULL, address TEXT NOT NULL, what TEXT NOT NULL,
                 detail TEXT NOT NULL, outcome TEXT NOT NULL)""",
            """CREATE TABLE reviews (
                 id INTEGER PRIMARY KEY, at REAL NOT NULL, good INTEGER NOT NULL)""",
        ),
    ),
)
_EDIT = "INSERT INTO editions (at, who, how, revision, text) VALUES (?, ?, ?, ?, ?)"
_EDITIONS = "SELECT id, at, who, how, revision FROM editions ORDER BY id DESC LIMIT ?"
_ACT = """INSERT INTO acts (at, who, role, address, what, detail, outcome)
          VALUES (?, ?, ?, ?, ?, ?, ?)"""
_ACTS = """SELECT id, at, who, role, address, what, detail, outcome FROM acts
           WHERE id < ? ORDER BY id DESC LIMIT ?"""
_REVIEW = "INSERT INTO reviews VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
_TRIM = "DELETE FROM {0} WHERE id <= (SELECT id FROM {0} ORDER BY id DESC LIMIT 1 OFFSET ?)"
_LAST = (1 << 63) - 1


class Edition(NamedTuple):
    """A text that was in force from `at` on; `who` brought it there, `how` in a word."""

    id: int
    at: float
    who: str
    how: str
    revision: str


class Act(NamedTuple):
    """A change that somebody made, and how it ended."""

    at: float
    who: str
    role: str
    address: str
    what: str
    detail: str
    outcome: str


class Ledger:
    """One process's ledger; usable from any thread. Every method raises `StoreError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Where the disk has no room for the file, every call tries again to make it."""
        made = cls(path.absolute())
        with suppress(NoRoomError):
            made._connected()
        return made

    async def edited(self, at: float, who: str, how: str, revision: str, text: str) -> None:
        """Write down that a text is in force from now on, unless it was already."""

        def edit(db: sqlite3.Connection) -> None:
            newest = db.execute(_EDITIONS, (1,)).fetchone()
            if newest is None or newest[-1] != revision:
                db.execute(_EDIT, (at, who, how, revision, text))
                db.execute(_TRIM.format("editions"), (EDITIONS,))

        await self._do(edit)

    async def editions(self, limit: int) -> list[Edition]:
        """List the newest first."""
        rows = await self._rows(_EDITIONS, limit)
        return [Edition._make(row) for row in rows]

    async def edition(self, number: int) -> str | None:
        """The text of one."""
        rows = await self._rows("SELECT text FROM editions WHERE id = ?", number)
        return rows[0][0] if rows else None

    async def acted(self, act: Act) -> None:
        """Write down what somebody did."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(_ACT, act)
            db.execute(_TRIM.format("acts"), (ACTS,))

        await self._do(write)

    async def acts(self, limit: int, before: int | None = None) -> list[tuple[int, Act]]:
        """List the newest first, each with its number, those below `before` where given."""
        rows = await self._rows(_ACTS, _LAST if before is None else before, limit)
        return [(row[0], Act._make(row[1:])) for row in rows]

    async def reviewed(self, number: int, at: float, *, good: bool) -> None:
        """Write down that an operator has looked at a request; the first word stands."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(_REVIEW, (number, at, good))
            db.execute(_TRIM.format("reviews"), (REVIEWS,))

        await self._do(write)

    async def reviews(self) -> frozenset[int]:
        """The requests that were looked at."""
        return frozenset(row[0] for row in await self._rows("SELECT id FROM reviews"))

    async def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()

    async def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._do(lambda db: db.execute(sql, values).fetchall())

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._done, work)

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._connected())
            except (sqlite3.Error, UnicodeEncodeError, OverflowError) as error:
                raise database.fault(LAYOUT.what, self._path, error) from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.connect(self._path, LAYOUT)
        return self._connection
