"""A copy of a store that is being written to: whole, of one moment, its owner's only."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from typing import TYPE_CHECKING

import pytest

from index.errors import StoreError
from index.ports import Record
from index.stores.sqlite import SqliteBodies
from policies.values import Facts
from proxy import backup

if TYPE_CHECKING:
    from pathlib import Path


STORE = ("likewise.db", "likewise.db.lock")


def record(number: int, size: int = 20_000) -> Record:
    now = time.time()
    facts = Facts(
        entry=f"{number:032x}", space="b" * 32, owner="everyone", category="default",
        dialect="chat", model="m", chain="", text=f"q{number}", stored=now, expires=now + 60,
        gone=now + 60, size=size,
    )  # fmt: skip
    return Record(facts, b"x" * size)


def silent(_what: str, _share: float) -> None:
    """A progress report that nobody reads."""


async def entries(path: Path) -> set[str]:
    bodies = SqliteBodies.open(path)
    try:
        return {one.facts.entry async for one in bodies.scan()}
    finally:
        await bodies.close()


async def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """It opens as a store of its own and holds the first entries without a gap."""
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    for number in range(400):
        await bodies.write(record(number))
    seen: list[float] = []

    async def write_on() -> int:
        for number in range(400, 800):
            await bodies.write(record(number))
            if copying.done():
                return number
        return 800

    copying = asyncio.create_task(
        asyncio.to_thread(
            backup.copy,
            tmp_path / "likewise.db",
            tmp_path / "copy.db",
            force=False,
            report=lambda _, share: seen.append(share),
        )
    )
    written = await write_on()
    count = await copying
    await bodies.close()
    assert seen == sorted(seen)
    assert 400 <= count <= written + 1
    assert await entries(tmp_path / "copy.db") == {f"{n:032x}" for n in range(count)}


async def test_a_copy_is_one_file_that_its_owner_reads(tmp_path: Path) -> None:
    """0600, nothing beside it, and nothing left over."""
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    await bodies.write(record(1))
    target = tmp_path / "away" / "copy.db"
    target.parent.mkdir()
    assert backup.copy(bodies.path, target, force=False, report=silent) == 1
    await bodies.close()
    assert [one.name for one in target.parent.iterdir()] == ["copy.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with sqlite3.connect(target) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_that_is_there_stays_unless_forced(tmp_path: Path) -> None:
    """Byte for byte; with force it is the copy."""
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    await bodies.write(record(1))
    target = tmp_path / "copy.db"
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        backup.copy(bodies.path, target, force=False, report=silent)
    assert target.read_bytes() == b"mine"
    backup.copy(bodies.path, target, force=True, report=silent)
    await bodies.close()
    assert await entries(target) == {f"{1:032x}"}
    assert set(os.listdir(tmp_path)) == {"copy.db", "copy.db.lock", *STORE}  # noqa: PTH208 - not in async code


def test_what_is_no_store_is_not_copied(tmp_path: Path) -> None:
    """A file that is not there, another program's, one that is no database, one that is damaged."""
    target = tmp_path / "copy.db"
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE entries (id)")
    text = tmp_path / "text.db"
    text.write_text("no database " * 200)
    for source, said in (
        (tmp_path / "none.db", "there is no such file"),
        (other, "is not a store of Likewise"),
        (text, "file is not a database"),
    ):
        with pytest.raises(StoreError, match=said):
            backup.copy(source, target, force=False, report=silent)
    assert not target.exists()
    assert not list(tmp_path.glob(".copy.db*"))


async def test_a_damaged_store_makes_no_copy(tmp_path: Path) -> None:
    """What the copy's check finds is told before it takes its name."""
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    for number in range(50):
        await bodies.write(record(number))
    await bodies.close()
    with (tmp_path / "likewise.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xa5" * 4096)
    with pytest.raises(StoreError):
        backup.copy(tmp_path / "likewise.db", tmp_path / "copy.db", force=False, report=silent)
    assert not (tmp_path / "copy.db").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the way out."""
    source = tmp_path / "likewise.db"
    source.touch()
    with pytest.raises(StoreError, match="choose another folder"):
        backup.copy(source, tmp_path / "no" / "copy.db", force=False, report=silent)
