"""A local SQLite file of ours: created, recognised, brought up to date, its faults put in words.

What tables hold is the business of `index.stores.sqlite` and `index.journal`.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from index.errors import NoRoomError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

BUSY_MS = 2000
WAL_BYTES = 64 << 20

_NEXT_STEP = {
    sqlite3.SQLITE_FULL: "free some space; it goes on by itself",
    sqlite3.SQLITE_IOERR: "look at the disk and its free space; it goes on by itself",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable",
    sqlite3.SQLITE_CANTOPEN: "make the directory writable, or name another path",
    sqlite3.SQLITE_PERM: "make the file readable and writable",
    sqlite3.SQLITE_BUSY: "close the other program that holds it",
    sqlite3.SQLITE_NOTADB: "move the file away to start with an empty one",
    sqlite3.SQLITE_CORRUPT: "move the file away to start with an empty one",
    sqlite3.SQLITE_INTERRUPT: "ask about a shorter time",
    sqlite3.SQLITE_TOOBIG: "keep it out of the store",
}


_NO_ROOM = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_ROOM_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file is, and how it is made.

    `steps[n]` is the statements that bring a file from version n to n + 1, so a new column is a
    new step and never an edit of an old one. `mark` is SQLite's application_id.
    """

    what: str
    mark: int
    steps: tuple[tuple[str, ...], ...]


def connect(path: Path, layout: Layout) -> sqlite3.Connection:
    """Open the file for writing, its tables at our version; autocommit, usable in any thread.

    Creates directory and file, readable by their owner only. Raises `StoreError` where that fails,
    where the file is another program's, and where a newer release wrote it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise unwritable(f"{layout.what} {path}: cannot be created", error) from error
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        _recognise(connection, path, layout)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # What is deleted is overwritten: people may ask for that, and for a proof of it.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        _bring_up_to_date(connection, layout)
    except (sqlite3.Error, StoreError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, StoreError):
            raise
        raise fault(layout.what, path, error) from error
    return connection


def connect_reader(path: Path, layout: Layout) -> sqlite3.Connection:
    """Open a connection that cannot write, usable in any thread."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise fault(layout.what, path, error) from error
    return connection


def fault(what: str, path: Path, error: Exception) -> StoreError:
    """Put an engine's error in one line: what, where, the next step."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    step = _NEXT_STEP.get(code, "see that the file is whole and its directory writable")
    kind = NoRoomError if code in _NO_ROOM else StoreError
    return kind(f"{what} {path}: {error}; {step}")


def unwritable(what: str, error: OSError) -> StoreError:
    """Put a file that cannot be had in one line, with the next step."""
    if error.errno in _NO_ROOM_ERRNO:
        return NoRoomError(f"{what} ({error.strerror}); free some space; it goes on by itself")
    return StoreError(
        f"{what} ({error.strerror}); make the directory writable, or name another path"
    )


def roll_back(connection: sqlite3.Connection) -> None:
    """End a failed transaction; SQLite itself may already have done so."""
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _recognise(connection: sqlite3.Connection, path: Path, layout: Layout) -> None:
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if mark != layout.mark and (mark or tables):
        raise StoreError(
            f"{layout.what} {path}: is another program's database; name another path for it"
        )
    if version > len(layout.steps):
        raise StoreError(
            f"{layout.what} {path}: written by a newer release (format {version}, this one reads "
            f"up to {len(layout.steps)}); upgrade, or name another path"
        )


def _bring_up_to_date(connection: sqlite3.Connection, layout: Layout) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for statements in layout.steps[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(layout.steps):
            connection.execute(f"PRAGMA application_id = {layout.mark}")
            connection.execute(f"PRAGMA user_version = {len(layout.steps)}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        roll_back(connection)
        raise
