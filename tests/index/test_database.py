"""A local file is created, recognised and brought up to date, or refused in words."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from index.database import Layout, connect, connect_reader, fault
from index.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

FIRST = ("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)",)
SECOND = ("ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'",)
OLD = Layout("shelf", 0x01020304, (FIRST,))
NEW = Layout("shelf", 0x01020304, (FIRST, SECOND))


def test_a_new_file_is_marked_and_private(tmp_path: Path) -> None:
    """Directory and file appear, readable by their owner only, with mark, version and WAL."""
    path = tmp_path / "a" / "b" / "shelf.db"
    db = connect(path, OLD)
    assert db.execute("PRAGMA application_id").fetchone() == (0x01020304,)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert path.stat().st_mode & 0o077 == 0
    db.close()


def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    """Rows of the first version are there in the second, with the new column's default."""
    path = tmp_path / "shelf.db"
    db = connect(path, OLD)
    db.execute("INSERT INTO things (name) VALUES ('cup')")
    db.close()
    db = connect(path, NEW)
    assert db.execute("SELECT name, colour FROM things").fetchall() == [("cup", "grey")]
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """Never opened by an older release, and not changed by the attempt."""
    path = tmp_path / "shelf.db"
    connect(path, NEW).close()
    with pytest.raises(StoreError, match=r"newer release \(format 2.*up to 1\); upgrade"):
        connect(path, OLD)
    connect(path, NEW).close()


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    """A database with another mark, or with tables and no mark, is left alone."""
    for number, statement in enumerate(("PRAGMA application_id = 7", "CREATE TABLE t (x)")):
        path = tmp_path / f"{number}.db"
        with sqlite3.connect(path) as db:
            db.execute(statement)
        db.close()
        with pytest.raises(StoreError, match="another program's database"):
            connect(path, OLD)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Said in one line with the next step."""
    path = tmp_path / "shelf.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match=r"shelf\.db: .*; move the file away") as caught:
        connect(path, OLD)
    assert "\n" not in str(caught.value)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way of the directory."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="make the directory writable, or name another path"):
        connect(tmp_path / "file" / "shelf.db", OLD)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    """A directory that its owner made read-only."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="make the directory writable"):
        connect(tmp_path / "shelf.db", OLD)
    tmp_path.chmod(0o700)


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A new version arrives whole or not at all."""
    path = tmp_path / "shelf.db"
    connect(path, OLD).close()
    broken = Layout("shelf", OLD.mark, (FIRST, (*SECOND, "CREATE TABLE things (x)")))
    with pytest.raises(StoreError, match="already exists"):
        connect(path, broken)
    db = connect(path, OLD)
    assert db.execute("SELECT count(*) FROM pragma_table_info('things')").fetchone() == (2,)
    db.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """Questions of people cannot change the file."""
    path = tmp_path / "shelf.db"
    connect(path, OLD).close()
    reader = connect_reader(path, OLD)
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("DELETE FROM things")
    assert "make the file and its directory writable" in str(fault("shelf", path, caught.value))
    reader.close()
