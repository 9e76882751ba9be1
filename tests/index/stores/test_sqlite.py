"""What the SQLite store does beyond the contract: survive, exclude, run out of space, recover."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index import database
from index.codec import seal
from index.errors import StoreError
from index.ports import Record
from index.stores.sqlite import BACKLOG_BYTES, LAYOUT, SqliteBodies
from policies.values import Facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = Path(__file__).parents[3]
CHILD = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from index.stores.sqlite import SqliteBodies
    from tests.index.stores.test_sqlite import record

    async def main():
        bodies = SqliteBodies.open(Path(sys.argv[1]))
        number = 0
        while True:
            await asyncio.gather(*(bodies.write(record(number + n)) for n in range(7)))
            number += 7
            print(number, flush=True)

    asyncio.run(main())
""")


def name(number: int) -> str:
    return f"{number:032x}"


def record(number: int, body: bytes = b"answer", gone: float = 4e9) -> Record:
    facts = Facts(
        entry=name(number),
        space="s",
        owner="o",
        category="default",
        dialect="chat",
        model="m",
        chain="",
        text=f"question {number}",
        stored=0.0,
        expires=4e9,
        gone=gone,
        size=len(body),
    )
    return Record(facts, body, np.ones(4, dtype=np.float32))


def body_of(number: int) -> bytes:
    return number.to_bytes(2, "big") * 500


@pytest.fixture
async def bodies(tmp_path: Path) -> AsyncIterator[SqliteBodies]:
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    yield bodies
    await bodies.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, where the machine lets us mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk needs root")
    yield place
    # Lazily: a test that failed may still have files open there.
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def limit_pages(bodies: SqliteBodies, pages: int) -> None:
    sql = f"PRAGMA max_page_count = {pages}"
    await bodies._change(lambda db: db.execute(sql).fetchone())


def integrity(path: Path) -> str:
    with sqlite3.connect(path) as db:
        found = str(db.execute("PRAGMA integrity_check").fetchone()[0])
    db.close()
    return found


async def test_entries_outlive_the_process(tmp_path: Path) -> None:
    """Closed and opened again, everything that was queued is there."""
    path = tmp_path / "likewise.db"
    bodies = SqliteBodies.open(path)
    await asyncio.gather(*(bodies.write(record(n)) for n in range(50)))
    secret = await bodies.settle("secret", b"one")
    await bodies.close()
    bodies = SqliteBodies.open(path)
    assert len([r async for r in bodies.scan()]) == 50
    assert await bodies.settle("secret", b"two") == secret
    await bodies.close()


async def test_a_file_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its entries stay, and what a later format added works."""
    path = tmp_path / "likewise.db"
    first = replace(LAYOUT, steps=LAYOUT.steps[:1])
    database.connect(path, first).close()
    with sqlite3.connect(path) as db:
        sealed = seal(record(1))
        row = (record(1).facts.entry, record(1).facts.gone, *sealed)
        sql = "INSERT INTO entries (entry, gone, facts, vector, body) VALUES (?, ?, ?, ?, ?)"
        db.execute(sql, row)
    db.close()
    store = SqliteBodies.open(path)
    assert await store.read(record(1).facts.entry) is not None
    assert [await store.count("s", time.time() + 60) for _ in range(2)] == [0, 1]
    await store.close()
    store = SqliteBodies.open(path)
    assert await store.count("s", time.time() + 60) == 2
    await store.close()


async def test_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Every write that returned before SIGKILL is read afterwards, and the file is whole."""
    path = tmp_path / "likewise.db"
    for _ in range(3):
        child = subprocess.Popen(  # noqa: ASYNC220 - this loop has nothing else to do
            [sys.executable, "-c", CHILD, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        acknowledged = 0
        for line in child.stdout:
            acknowledged = int(line)
            if acknowledged > 100:
                child.send_signal(signal.SIGKILL)
                break
        # Lines that were printed before the signal arrived count as well.
        acknowledged = max([acknowledged, *(int(x) for x in child.stdout.read().split())])
        child.stdout.close()
        child.wait()
        bodies = SqliteBodies.open(path)
        for number in range(acknowledged):
            assert await bodies.read(name(number)) is not None
        await bodies.close()
        assert integrity(path) == "ok"


async def test_a_second_process_is_told_who_has_it(bodies: SqliteBodies) -> None:
    """Opening a file twice names the holder's process id and what to use instead."""
    with pytest.raises(StoreError, match=rf"process {os.getpid()} already.*redis://"):
        SqliteBodies.open(bodies.path)
    await bodies.write(record(1))
    await bodies.close()
    again = SqliteBodies.open(bodies.path)
    assert await again.read(name(1)) is not None
    await again.close()


async def test_a_refused_file_is_not_left_locked(tmp_path: Path) -> None:
    """A file that is no store can be replaced and opened by the same process."""
    path = tmp_path / "likewise.db"
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(StoreError, match="move the file away"):
        SqliteBodies.open(path)
    path.unlink()
    await SqliteBodies.open(path).close()


def test_a_directory_that_cannot_be_had(tmp_path: Path) -> None:
    """Said with the next step."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="make the directory writable, or name another path"):
        SqliteBodies.open(tmp_path / "file" / "likewise.db")


async def test_a_full_disk_stops_writes_only(bodies: SqliteBodies) -> None:
    """Writes say so, reads go on, and with room again writes go on by themselves."""
    await bodies.write(record(1))
    await limit_pages(bodies, 1)
    for number in range(2, 4):
        with pytest.raises(StoreError, match="full; free some space"):
            await bodies.write(record(number, b"x" * 20_000))
    with pytest.raises(StoreError, match="full"):
        await asyncio.gather(*(bodies.write(record(n, b"x" * 20_000)) for n in range(4, 9)))
    assert await bodies.read(name(1)) is not None
    await limit_pages(bodies, 1 << 30)
    await bodies.write(record(2, b"x" * 20_000))
    assert await bodies.read(name(2)) is not None


async def test_one_that_does_not_fit_takes_no_other_with_it(bodies: SqliteBodies) -> None:
    """In a group of writes only the one that cannot be had fails."""
    await limit_pages(bodies, 60)
    numbers = range(1, 11)
    sizes = {n: 10_000_000 if n == 5 else 10 for n in numbers}
    done = await asyncio.gather(
        *(bodies.write(record(n, b"x" * sizes[n])) for n in numbers), return_exceptions=True
    )
    assert [n for n, result in zip(numbers, done, strict=True) if result is not None] == [5]
    assert isinstance(done[4], StoreError)


async def fill(bodies: SqliteBodies) -> int:
    """Write until the disk is full; how many entries it took."""
    stored = 0
    while True:
        try:
            await bodies.write(record(stored, os.urandom(20_000)))
        except StoreError:
            return stored
        stored += 1


def eat(disk: Path) -> Path:
    """Take all the room that is left; the file that holds it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """On a full file system reads go on; with room again so do writes; the file stays whole."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1 << 20))
    path = small_disk / "likewise.db"
    bodies = SqliteBodies.open(path)
    stored = await fill(bodies)
    assert stored > 15
    for number in range(stored):
        assert await bodies.read(name(number)) is not None
    with pytest.raises(StoreError, match=r"likewise\.db: .*free"):
        await bodies.write(record(1000, os.urandom(20_000)))
    ballast.unlink()
    await bodies.write(record(1000, os.urandom(20_000)))
    assert await bodies.read(name(1000)) is not None
    assert await bodies.delete([name(number) for number in range(stored)]) == stored
    await bodies.check()
    await bodies.close()
    assert integrity(path) == "ok"


async def test_a_full_disk_and_a_store_that_does_not_grow(small_disk: Path) -> None:
    """Replacing entries goes on for ever without any new room: the log's room is used again."""
    path = small_disk / "likewise.db"
    bodies = SqliteBodies.open(path)
    for number in range(10):
        await bodies.write(record(number, os.urandom(20_000)))
    await bodies.close()
    bodies = SqliteBodies.open(path)
    for number in range(10):
        await bodies.write(record(number, os.urandom(20_000)))
    eat(small_disk)
    for number in range(100):
        await bodies.write(record(number % 10, os.urandom(20_000)))
    await bodies.close()
    assert integrity(path) == "ok"


async def test_a_file_turned_read_only(bodies: SqliteBodies) -> None:
    """Writes, deletes and the check fail with a next step; reads go on; then it recovers."""
    await bodies.write(record(1))
    # Not a change of the file, so committing it succeeds.
    await bodies._change(lambda db: db.execute("PRAGMA query_only = ON"))
    for call in (bodies.write(record(2)), bodies.delete([name(1)]), bodies.check()):
        with pytest.raises(StoreError, match="writable"):
            await call
    assert await bodies.read(name(1)) is not None
    bodies._writer._connection.execute("PRAGMA query_only = OFF")
    await bodies.write(record(2))
    await bodies.check()


async def test_sweep_deletes_what_is_gone(bodies: SqliteBodies) -> None:
    """More rows than one slice holds, counted; the rest stays."""
    await asyncio.gather(*(bodies.write(record(n, gone=10.0)) for n in range(1100)))
    await bodies.write(record(5000))
    assert await bodies.sweep(9.0) == 0
    assert await bodies.sweep(10.0) == 1100
    assert await bodies.read(name(5000)) is not None


async def test_a_backlog_is_bounded(bodies: SqliteBodies) -> None:
    """Writes that the disk does not keep up with are refused before they fill the memory."""
    bodies._writer._backlog = BACKLOG_BYTES
    with pytest.raises(StoreError, match="still wait for the disk"):
        await bodies.write(record(1))
    bodies._writer._backlog = 0
    await bodies.write(record(1))
    assert bodies._writer._backlog == 0


async def test_an_abandoned_write_is_done_all_the_same(bodies: SqliteBodies) -> None:
    """A caller that stops waiting does not undo what was queued, nor disturb the others."""
    task = asyncio.create_task(bodies.write(record(1)))
    await asyncio.sleep(0)
    task.cancel()
    await bodies.write(record(2))
    assert await bodies.read(name(1)) is not None


async def test_scan_beside_writes(bodies: SqliteBodies) -> None:
    """Entries that were there before a scan are all seen, whatever is written meanwhile."""
    await asyncio.gather(*(bodies.write(record(n)) for n in range(700)))
    seen = set()
    async for found in bodies.scan():
        seen.add(found.facts.entry)
        if len(seen) in (1, 300):
            await bodies.write(record(10_000 + len(seen)))
            await bodies.write(record(0, b"again"))
    assert {name(n) for n in range(700)} <= seen


async def test_changes_that_nobody_asks_for_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep forgets the older half of too many changes; what is left is told as before."""
    monkeypatch.setattr("index.stores.sqlite.CHANGES", 20)
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    await bodies.write(record(0))
    early = await bodies.revision()
    for number in range(1, 31):
        await bodies.write(record(number))
    late = await bodies.revision()
    await bodies.write(record(31))
    await bodies.sweep(0.0)
    assert await bodies.changed(early) is None
    assert await bodies.changed(late) == [record(31).facts.entry]
    await bodies.close()
