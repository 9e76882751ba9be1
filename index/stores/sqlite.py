"""Entries in one local SQLite file: the store of a single process, nothing to install.

Reads run inline on the calling thread (about 20 us, less than a hop to another thread); every
change goes to one writer thread, which commits whatever has queued up together. What decides about
entries lives in `policies`; files and versions in `index.database`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from index import codec, database
from index.errors import NoRoomError, StoreError
from index.ports import Revision, Sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from index.ports import Codec, Record
    from policies.values import Facts, Vector

T = TypeVar("T")

BATCH = 200
PAGE = 256
SWEEP = 500
BACKLOG_BYTES = 256 << 20
# Changes that are remembered at most.
CHANGES = 2_000_000

LAYOUT = database.Layout(
    what="store",
    mark=0x4C4B5753,  # LKWS
    steps=(
        (
            # The body stands last, so that a scan never walks over its pages.
            """CREATE TABLE entries (
                 id INTEGER PRIMARY KEY, entry TEXT NOT NULL UNIQUE, gone REAL NOT NULL,
                 facts BLOB NOT NULL, vector BLOB, body BLOB NOT NULL)""",
            "CREATE INDEX entries_gone ON entries (gone)",
            "CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        ),
        (
            """CREATE TABLE counts (name TEXT PRIMARY KEY, times INTEGER NOT NULL,
                 gone REAL NOT NULL) WITHOUT ROWID""",
            "CREATE INDEX counts_gone ON counts (gone)",
        ),
        (
            """CREATE TABLE marks (list TEXT NOT NULL, member TEXT NOT NULL, at REAL NOT NULL,
                 PRIMARY KEY (list, member)) WITHOUT ROWID""",
            "CREATE INDEX marks_at ON marks (list, at)",
        ),
        (
            # What changed since an index was written down: when, for each entry. It takes no more
            # room when entries are replaced, as on a full disk there is none.
            "CREATE TABLE changes (entry TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE clock (number INTEGER NOT NULL)",
            "INSERT INTO clock VALUES (0)",
            *(
                # Names of ours alone go into these statements.
                f"""CREATE TRIGGER changes_{event} AFTER {event} ON entries BEGIN
                  UPDATE clock SET number = number + 1;
                  INSERT INTO changes VALUES ({row}.entry, (SELECT number FROM clock))
                    ON CONFLICT (entry) DO UPDATE SET number = excluded.number; END"""  # noqa: S608
                for event, row in (("INSERT", "new"), ("UPDATE", "new"), ("DELETE", "old"))
            ),
        ),
    ),
)
_READ = "SELECT gone, facts, vector, body FROM entries WHERE entry = ?"
_FACTS = "SELECT facts FROM entries WHERE entry = ? AND gone > ?"
_SCAN = """SELECT id, entry, facts, vector FROM entries
           WHERE id > ? AND gone > ? ORDER BY id LIMIT ?"""
_WRITE = """INSERT INTO entries (entry, gone, facts, vector, body) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (entry) DO UPDATE SET gone = excluded.gone, facts = excluded.facts,
            vector = excluded.vector, body = excluded.body"""
_OVERFULL = """DELETE FROM marks WHERE list = ?1 AND member IN (
               SELECT member FROM marks WHERE list = ?1 ORDER BY at DESC, member DESC
               LIMIT -1 OFFSET ?2)"""
_REVISE = "UPDATE entries SET facts = ?, vector = ifnull(?, vector), gone = ? WHERE entry = ?"
_SWEEP = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE gone <= ? LIMIT ?)"
_REVISION = "SELECT number FROM clock"
_CHANGED = "SELECT entry FROM changes WHERE number > ?"
# Names in `settings`: which store this is, and from which change on all are written down.
_STORE, _FROM = "store-id", "changes-from"


class SqliteBodies:
    """The `Bodies` port over one file, which one process at a time may have open."""

    shared = False

    def __init__(
        self,
        path: Path,
        lock: int,
        writer: sqlite3.Connection,
        reader: sqlite3.Connection,
        clock: Callable[[], float],
    ) -> None:
        self.path = path
        self.codec: Codec = codec
        self._lock = lock
        self._reader = reader
        self._clock = clock
        self._writer = _Writer(path, writer)
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], float] = time.time) -> SqliteBodies:
        """Raise `StoreError` when the file cannot be had, or another process has it open."""
        path = path.absolute()
        lock = _claim(path)
        try:
            writer = database.connect(path, LAYOUT)
            reader = database.connect_reader(path, LAYOUT)
        except StoreError:
            os.close(lock)
            raise
        return cls(path, lock, writer, reader, clock)

    async def read(self, entry: str) -> Record | None:
        # All rows are fetched: a statement left half way would hold back the log's checkpoints.
        for gone, *columns in self._select(_READ, (entry,)):
            return self.codec.unseal(entry, Sealed(*columns)) if gone > self._clock() else None
        return None

    async def write(self, record: Record) -> None:
        sealed = self.codec.seal(record)
        row = (record.facts.entry, record.facts.gone, *sealed)
        await self._change(lambda db: db.execute(_WRITE, row), len(sealed.body))

    async def amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None = None
    ) -> Facts | None:
        def amended(db: sqlite3.Connection) -> Facts | None:
            row = db.execute(_FACTS, (entry, self._clock())).fetchone()
            new = None if row is None else self.codec.revised(entry, bytes(row[0]), change, vector)
            if new is None:
                return None
            db.execute(_REVISE, (new.facts, new.vector, new.known.gone, entry))
            return new.known

        return await self._change(amended)

    async def members(self, group: str) -> list[str]:
        return [record.facts.entry async for record in self.scan() if record.facts.group == group]

    async def delete(self, entries: Sequence[str]) -> int:
        rows = [(entry,) for entry in entries]
        sql = "DELETE FROM entries WHERE entry = ?"
        return await self._change(lambda db: max(0, db.executemany(sql, rows).rowcount))

    async def scan(self) -> AsyncIterator[Record]:
        self._require_open()
        # Off the event loop and on a connection of its own: a scan must not slow look-ups.
        connection = database.connect_reader(self.path, LAYOUT)
        last = 0
        try:
            while True:
                self._require_open()
                page = await asyncio.to_thread(self._page, connection, last)
                for _, entry, facts, vector in page:
                    record = self.codec.unseal_facts(entry, facts, vector)
                    if record is not None:
                        yield record
                if len(page) < PAGE:
                    return
                last = page[-1][0]
        finally:
            connection.close()

    async def settle(self, name: str, value: bytes) -> bytes:
        def first(db: sqlite3.Connection) -> bytes:
            db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
            row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
            return bytes(row[0])

        return await self._change(first)

    async def put(self, name: str, value: bytes) -> None:
        row = (name, value)
        sql = "INSERT OR REPLACE INTO settings VALUES (?, ?)"
        await self._change(lambda db: db.execute(sql, row), len(value))

    async def get(self, name: str) -> bytes | None:
        rows = self._select("SELECT value FROM settings WHERE name = ?", (name,))
        return bytes(rows[0][0]) if rows else None

    async def count(self, name: str, until: float) -> int:
        now = self._clock()

        def counted(db: sqlite3.Connection) -> int:
            held = db.execute("SELECT times, gone FROM counts WHERE name = ?", (name,)).fetchone()
            times: int = held[0] if held is not None and held[1] > now else 0
            row = (name, times + 1, until)
            db.execute("INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", row)
            return times

        return await self._change(counted)

    async def mark(self, name: str, members: Mapping[str, float], most: int) -> None:
        rows = [(name, member, at) for member, at in members.items()]

        def put(db: sqlite3.Connection) -> None:
            db.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", rows)
            db.execute(_OVERFULL, (name, most))

        await self._change(put)

    async def unmark(self, name: str, members: Sequence[str]) -> None:
        rows = [(name, member) for member in members]
        sql = "DELETE FROM marks WHERE list = ? AND member = ?"
        await self._change(lambda db: db.executemany(sql, rows))

    async def marked(self, name: str) -> dict[str, float]:
        return dict(self._select("SELECT member, at FROM marks WHERE list = ?", (name,)))

    async def revision(self) -> Revision:
        store = await self.settle(_STORE, os.urandom(16).hex().encode())
        return Revision(store.decode(), int(self._select(_REVISION, ())[0][0]))

    async def changed(self, since: Revision) -> list[str] | None:
        now, begun = await self.revision(), await self.get(_FROM)
        known = int(begun or 0) <= since.number <= now.number
        if now.store != since.store or not known:
            return None
        return await asyncio.to_thread(self._listed, since.number)

    async def forget_changes(self, until: Revision) -> None:
        def forgotten(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM changes WHERE number <= ?", (until.number,))
            row = (_FROM, str(until.number).encode())
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", row)

        await self._change(forgotten)

    async def sweep(self, now: float) -> int:
        """Delete what is past its `gone` time, in slices between which others write; how many
        entries."""
        await self._change(lambda db: db.execute("DELETE FROM counts WHERE gone <= ?", (now,)))
        await self._bound_changes()
        total = 0
        while True:
            removed = await self._change(lambda db: db.execute(_SWEEP, (now, SWEEP)).rowcount)
            total += removed
            if removed < SWEEP:
                return total

    async def check(self) -> None:
        self._select("SELECT 1 FROM entries LIMIT 1", ())
        # Rewrites the file's own version: a true write that changes nothing.
        await self._change(lambda db: db.execute(f"PRAGMA user_version = {len(LAYOUT.steps)}"))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.stop)
        self._reader.close()
        os.close(self._lock)

    def _select(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        self._require_open()
        try:
            return self._reader.execute(sql, values).fetchall()
        except (sqlite3.Error, ValueError) as error:
            raise database.fault("store", self.path, error) from error

    async def _bound_changes(self) -> None:
        """Where nobody ever writes an index down, forget half of what is written down for it."""
        now = await self.revision()
        if now.number - int(await self.get(_FROM) or 0) > CHANGES:
            await self.forget_changes(now._replace(number=now.number - CHANGES // 2))

    def _listed(self, since: int) -> list[str]:
        try:
            with contextlib.closing(database.connect_reader(self.path, LAYOUT)) as reader:
                return [entry for (entry,) in reader.execute(_CHANGED, (since,))]
        except sqlite3.Error as error:
            raise database.fault("store", self.path, error) from error

    def _page(self, connection: sqlite3.Connection, last: int) -> list[Any]:
        try:
            return connection.execute(_SCAN, (last, self._clock(), PAGE)).fetchall()
        except sqlite3.Error as error:
            raise database.fault("store", self.path, error) from error

    async def _change(self, work: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        self._require_open()
        return cast("T", await self._writer.submit(work, size))

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {self.path}: closed; open it again")


@dataclass(slots=True)
class _Job:
    """One change, and where its result is awaited."""

    work: Callable[[sqlite3.Connection], Any]
    size: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: StoreError | None = None


class _Writer:
    """One thread that owns the writing connection and commits in groups."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._backlog = 0
        self._thread = threading.Thread(target=self._run, name="likewise-store", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[sqlite3.Connection], Any], size: int) -> Any:
        """Return the work's result once committed; raise `StoreError` when it was not."""
        if self._backlog and self._backlog + size > BACKLOG_BYTES:
            raise StoreError(
                f"store {self._path}: {self._backlog} bytes still wait for the disk; "
                "write less, or move the store to a faster disk"
            )
        loop = asyncio.get_running_loop()
        job = _Job(work, size, loop, loop.create_future())
        self._backlog += size
        self._jobs.put(job)
        return await job.future

    def stop(self) -> None:
        """Commit what is queued, then close the connection. Blocks."""
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        going = True
        while going:
            jobs, going = self._take()
            if jobs and not self._commit(jobs):
                # Each once more by itself: one that cannot be written must not take the others
                # with it, and on a full disk there may be room in the log now.
                for job in jobs:
                    self._commit([job])
            for loop in {job.loop for job in jobs}:
                # A loop that is already closed has nobody left who waits.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._deliver, [j for j in jobs if j.loop is loop])

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a change, then take along what else is queued; False at the end."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == BATCH:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result, job.error = job.work(self._connection), None
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the thread must outlive whatever one job does
            database.roll_back(self._connection)
            self._make_room(error)
            for job in jobs:
                job.error = database.fault("store", self._path, error)
            return False
        return True

    def _make_room(self, error: Exception) -> None:
        """On a full disk fold the log into the file, so that the log's space serves the next."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _deliver(self, jobs: list[_Job]) -> None:
        for job in jobs:
            self._backlog -= job.size
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)


def _claim(path: Path) -> int:
    """Hold `<path>.lock` for this process; its descriptor, which gives it back when closed."""
    place = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise database.unwritable(f"store {path}: {place.name} cannot be created", error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except OSError as error:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise StoreError(
                f"store {path}: process {holder} already has it open; stop that one, "
                "or use a redis:// store to share entries between several"
            ) from error
        if isinstance(fault := database.unwritable(f"store {path}", error), NoRoomError):
            raise fault from error
        raise StoreError(
            f"store {path}: cannot be locked ({error.strerror}); put it on a local disk"
        ) from error
    return lock
