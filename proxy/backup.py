"""A consistent copy of a local store, made while a proxy serves from it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from index import database
from index.errors import StoreError
from index.stores.sqlite import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Pages of one step: 4 MB with SQLite's usual page.
STEP = 1_024


def copy(source: Path, target: Path, *, force: bool, report: Callable[[str, float], None]) -> int:
    """Copy the store to `target`, readable by its owner only; how many entries the copy holds.

    The copy is checked before it takes its name. Raises `StoreError`, and FileExistsError where
    `target` is there and not to be replaced.
    """
    if not source.is_file():
        raise StoreError(f"store {source}: there is no such file; nothing has been stored yet")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        entries = _filled(source, part, report)
        _named(part, target, force=force)
    except FileExistsError:
        raise
    except OSError as fault:
        said = f"copy {target}: cannot be written ({fault.strerror}); choose another folder"
        raise StoreError(said) from fault
    finally:
        for left in (part, *(part.with_name(part.name + end) for end in ("-wal", "-shm"))):
            with suppress(OSError):
                left.unlink()
    return entries


def _filled(source: Path, part: Path, report: Callable[[str, float], None]) -> int:
    try:
        with closing(database.connect_reader(source, LAYOUT)) as old:
            if old.execute("PRAGMA application_id").fetchone()[0] != LAYOUT.mark:
                raise StoreError(f"store {source}: is not a store of Likewise")
            with closing(sqlite3.connect(part, isolation_level=None)) as new:
                _copied(old, new, report)
                return _checked(new, part)
    except sqlite3.Error as fault:
        raise database.fault("copy of the store", source, fault) from fault


def _copied(
    old: sqlite3.Connection, new: sqlite3.Connection, report: Callable[[str, float], None]
) -> None:
    # One moment of the store, held until the end: what is written meanwhile starts nothing over.
    old.execute("BEGIN")
    old.execute("SELECT 1 FROM entries LIMIT 1").fetchall()

    def progress(_status: int, left: int, total: int) -> None:
        report("copying the store", 0.9 * (1 - left / max(1, total)))

    old.backup(new, pages=STEP, progress=progress, sleep=0)
    old.execute("ROLLBACK")


def _checked(new: sqlite3.Connection, part: Path) -> int:
    """How many entries the copy holds; it is whole, and one file."""
    new.execute("PRAGMA journal_mode = DELETE")
    found = new.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreError(f"copy {part}: is damaged ({found}); look at the disk and try again")
    entries: int = new.execute("SELECT count(*) FROM entries").fetchone()[0]
    return entries


def _named(part: Path, target: Path, *, force: bool) -> None:
    """Give the copy its name once it is on the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    if force:
        part.replace(target)
    else:
        os.link(part, target)  # unlike a rename, it never replaces what is there
