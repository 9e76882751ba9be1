"""Every decision, on disk: what pages, replays and learning read. One local SQLite file.

Recording costs the request path two appends; one thread writes behind it, and what it cannot
write is counted, never raised. Questions run off the event loop with a cap on their time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import Counter, deque
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from index import database, erasing, repeats, rollups
from index.errors import NoRoomError, StoreError
from index.repeats import Again, folded, whole
from index.sifting import Sifted, sift
from index.summaries import Summary
from policies.record import Comparison, Decision, Filter, wordless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from index.rollups import Rollup

T = TypeVar("T")

RING = 1_000
QUEUE = 100_000
BATCH = 1_000
WIDE = 250
TRIM = 1_000
TRIMS_A_PASS = 10
# New sums after which the oldest are looked at.
SUMS = 5_000
VERDICTS = 100_000
PASS_SECONDS = 0.2
REST_SECONDS = 1.0
QUERY_SECONDS = 2.0

LAYOUT = database.Layout(
    what="journal",
    mark=0x4C4B574A,  # LKWJ
    steps=(
        (
            """CREATE TABLE decisions (
                 id INTEGER PRIMARY KEY, at REAL NOT NULL, outcome TEXT NOT NULL,
                 reason TEXT NOT NULL, category TEXT NOT NULL, dialect TEXT NOT NULL,
                 upstream TEXT NOT NULL, model TEXT NOT NULL, owner TEXT NOT NULL,
                 stream INTEGER NOT NULL, status INTEGER NOT NULL, similarity REAL, cut REAL,
                 propensity REAL, entry TEXT NOT NULL, neighbour TEXT NOT NULL,
                 would TEXT NOT NULL, seen TEXT NOT NULL, kept TEXT NOT NULL,
                 turns INTEGER NOT NULL, prompt TEXT NOT NULL, matched TEXT NOT NULL,
                 ms REAL NOT NULL, ms_embed REAL NOT NULL, ms_search REAL NOT NULL,
                 ms_upstream REAL NOT NULL, tokens_in INTEGER NOT NULL,
                 tokens_out INTEGER NOT NULL)""",
            # Holds all that a tally reads, in the order in which it groups: no sorting, and no
            # walk over the prompts, however many rows there are.
            """CREATE INDEX decisions_groups ON decisions (
                 category, reason, outcome, model, at, ms, tokens_in, tokens_out)""",
        ),
        (
            """CREATE TABLE verdicts (
                 id INTEGER PRIMARY KEY, at REAL NOT NULL, good INTEGER NOT NULL,
                 entry TEXT NOT NULL, note TEXT NOT NULL)""",
        ),
        (
            "ALTER TABLE decisions ADD COLUMN risk REAL",
            """CREATE TABLE labels (
                 id INTEGER NOT NULL, at REAL NOT NULL, category TEXT NOT NULL,
                 entry TEXT NOT NULL, neighbour TEXT NOT NULL, similarity REAL NOT NULL,
                 risk REAL, propensity REAL NOT NULL, would INTEGER NOT NULL,
                 vetoed INTEGER NOT NULL, same INTEGER NOT NULL, judge TEXT NOT NULL)""",
            "CREATE INDEX labels_id ON labels (id)",
        ),
        (
            "ALTER TABLE decisions ADD COLUMN collapsed INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE decisions ADD COLUMN evidence TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE decisions ADD COLUMN upstream_id TEXT NOT NULL DEFAULT ''",
            # Sums take the place of counting rows.
            "DROP INDEX decisions_groups",
            "CREATE INDEX decisions_reasons ON decisions (reason)",
            rollups.TABLE,
        ),
        erasing.STEP,
        repeats.STEP,
        # By this name other replicas know the file's figures, whichever process writes it.
        (
            "CREATE TABLE own (name TEXT NOT NULL)",
            "INSERT INTO own VALUES (lower(hex(randomblob(8))))",
        ),
    ),
)
# Of a row that is no repeat the last three are not written.
COLUMNS = (*Decision._fields, "last", "more", "repeats")
_INSERT = "INSERT INTO decisions ({}) VALUES {} ON CONFLICT (id) DO NOTHING"
_RULE = "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
_RULED = "SELECT id, at, good, entry, note FROM verdicts WHERE id = ?"
_VERDICTS = "SELECT id, at, good, entry, note FROM verdicts ORDER BY at DESC LIMIT ?"
_SAID = """SELECT CAST(at / ?1 AS INTEGER) * ?1, good, count(*) FROM verdicts WHERE at >= ?2
           GROUP BY 1, 2"""
_NAME = "SELECT name FROM own"
_TRIM_VERDICTS = """DELETE FROM verdicts WHERE id <= (
                    SELECT id FROM verdicts ORDER BY id DESC LIMIT 1 OFFSET ?)"""
_TRIM = """DELETE FROM decisions WHERE id IN (SELECT id FROM decisions ORDER BY id LIMIT ?)
           RETURNING 1 + more"""
_LABEL = f"INSERT INTO labels VALUES ({', '.join('?' * len(Comparison._fields))})"  # noqa: S608
_LABELS = "SELECT * FROM labels WHERE at >= ? ORDER BY rowid DESC LIMIT ?"
_LABELLED = "SELECT * FROM labels WHERE id = ? ORDER BY rowid"
_TRIM_LABELS = """DELETE FROM labels WHERE rowid <= (
                  SELECT rowid FROM labels ORDER BY rowid DESC LIMIT 1 OFFSET ?)"""


class Verdict(NamedTuple):
    """What somebody said of an answer: `id` is its request, `note` in their own words."""

    id: int
    at: float
    good: bool
    entry: str
    note: str


class Journal:
    """One process's decisions. `record` on the event loop, everything else from anywhere.

    `dropped` counts decisions that were lost: a queue that ran over, or a row that no column takes.
    `faults` counts failed attempts to write; their rows stay queued. `missing` says why there is no
    file as yet, where the disk has no room for one; `name` is the file's own, empty until there is
    one. Without `texts` what callers said is in the newest thousand only, in RAM.
    """

    def __init__(self, path: Path, *, keep: int, queue: int, texts: bool) -> None:
        self.path = path
        self.name = ""
        self.missing = ""
        self.dropped = 0
        self.faults = 0
        self._listeners: tuple[Callable[[Decision], None], ...] = ()
        self._keep = keep
        self._texts = texts
        self._bound = queue
        self._queue: deque[Decision | Again] = deque(maxlen=queue)
        self._ring: deque[Decision | Again] = deque(maxlen=RING)
        self._connection: sqlite3.Connection | None = None
        # Held by whoever writes: the thread, or a flush.
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self._models: set[str] = set()
        self._sums = 0
        # Minutes whose figures changed, by the second at which they begin.
        self._changed: set[int] = set()
        self._unsummed = False
        self._rows = 0
        # Ids above this are in the ring, all of them; those up to it may only be on disk.
        self._ring_floor = -1
        self._thread = threading.Thread(target=self._run, name="likewise-journal", daemon=True)

    @classmethod
    def open(
        cls, path: Path, *, keep: int = 1_000_000, queue: int = QUEUE, texts: bool = True
    ) -> Journal:
        """Keep the newest `keep` decisions on disk, with or without texts.

        Raise `StoreError` when there can be no file. A disk without room is tried again and again.
        """
        made = cls(path.absolute(), keep=keep, queue=queue, texts=texts)
        try:
            made._connect()
        except NoRoomError as fault:
            made.missing = str(fault)
        made._thread.start()
        return made

    def record(self, decision: Decision | Again) -> None:
        """Remember; never blocks, never raises."""
        ring = self._ring
        if len(ring) == RING and ring[0].id > self._ring_floor:
            self._ring_floor = ring[0].id
        ring.append(decision)
        if len(self._queue) == self._bound:
            self.dropped += 1
        self._queue.append(decision)
        if self._listeners:
            told = whole(decision)
            for hear in self._listeners:
                hear(told)

    def listen(self, hear: Callable[[Decision], None]) -> Callable[[], None]:
        """Have `hear` told each decision as it is recorded; what is returned ends that."""
        self._listeners = (*self._listeners, hear)

        def end() -> None:
            self._listeners = tuple(one for one in self._listeners if one is not hear)

        return end

    def since(self, id: int) -> list[Decision] | None:  # noqa: A002 - the column's name
        """What was recorded after that decision, in that order; None where it is too long ago."""
        held = list(self._ring)
        place = next((n for n, one in enumerate(held) if one.id == id), None)
        return None if place is None else [whole(one) for one in held[place + 1 :]]

    async def sift(self, wanted: Filter, limit: int, before: int | None = None) -> Sifted:
        """List those that fit, newest first, with an id below `before` where given."""
        await self.flush()
        below = repeats.LAST if before is None else before
        sifted = await self._ask(lambda db: sift(db, wanted, below, limit))
        return sifted._replace(rows=self._worded(sifted.rows))

    async def recent(self, limit: int, before: int | None = None) -> list[Decision]:
        """List the newest first, those with an id below `before` where given."""
        below = repeats.LAST if before is None else before
        held = [d for d in self._ring if self._ring_floor < d.id < below]
        if len(held) >= limit or self.missing:
            held.sort(key=_id, reverse=True)
            return [whole(one) for one in held[: max(0, limit)]]
        await self.flush()
        rows = await self._ask(lambda db: repeats.newest(db, below, limit))
        return self._worded(rows)

    async def get(self, id: int) -> Decision | None:  # noqa: A002 - the column's name
        held = next((one for one in self._ring if one.id == id), None)
        if held is not None:
            return whole(held)
        await self.flush()
        return await self._ask(lambda db: repeats.get(db, id))

    async def rule(self, verdict: Verdict) -> Verdict:
        """Keep a verdict, unless there is one on that request; the one that stands.

        Raises `StoreError`.
        """
        return await asyncio.to_thread(self._rule, verdict)

    async def ruled(self, id: int) -> Verdict | None:  # noqa: A002 - the column's name
        """The verdict on a request."""
        rows = await self._ask(lambda db: db.execute(_RULED, (id,)).fetchall())
        return _verdict(rows[0]) if rows else None

    async def verdicts(self, limit: int) -> list[Verdict]:
        """List the newest first."""
        rows = await self._ask(lambda db: db.execute(_VERDICTS, (limit,)).fetchall())
        return [_verdict(row) for row in rows]

    async def said(self, span: int, since: float) -> Counter[tuple[int, bool]]:
        """How many verdicts, good (True) and bad, came at the Unix time `since` or later, by the
        second at which their stretch of `span` seconds begins."""
        rows = await self._ask(lambda db: db.execute(_SAID, (span, since)).fetchall())
        return Counter({(at, bool(good)): count for at, good, count in rows})

    async def compared(self, rows: Sequence[Comparison]) -> None:
        """Keep labels, the newest hundred thousand of them. Raises `StoreError`."""
        await asyncio.to_thread(self._compared, rows)

    async def labels(self, limit: int, since: float = 0.0) -> list[Comparison]:
        """List the newest first, those of the Unix time `since` and later."""
        rows = await self._ask(lambda db: db.execute(_LABELS, (since, limit)).fetchall())
        return [_comparison(row) for row in rows]

    async def labelled(self, id: int) -> list[Comparison]:  # noqa: A002 - the column's name
        """The labels of one request."""
        rows = await self._ask(lambda db: db.execute(_LABELLED, (id,)).fetchall())
        return [_comparison(row) for row in rows]

    async def rollups(self, span: int, since: float) -> list[Rollup]:
        """The sums by `MINUTE` or `HOUR` that begin at the Unix time `since` or later."""
        await self.flush()
        return await self._ask(lambda db: rollups.since(db, span, since))

    async def summary(self, span: int, since: float) -> Summary:
        """All that adds up of what began at the Unix time `since` or later."""
        return Summary(
            *await asyncio.gather(
                self.rollups(span, since), self.labels(VERDICTS, since), self.said(span, since)
            )
        )

    async def changed(self) -> set[int]:
        """The minutes whose figures changed since this was asked last."""
        return await asyncio.to_thread(self._take_changed)

    async def of_user(self, user: str) -> int:
        """How many requests of an end user, by digest, are written down. Raises `StoreError`."""
        await self.flush()
        return await self._ask(lambda db: erasing.count(db, user))

    async def erase(self, user: str, entries: Iterable[str]) -> int:
        """Take out an end user's requests, by digest (empty: nobody's), and what others quote of
        the entries; how many went. Raises `StoreError`."""
        await self.flush()
        erased = frozenset(entries)
        held = [erasing.fresh(whole(row), user, erased) for row in self._ring]
        self._ring = deque((row for row in held if row is not None), maxlen=RING)
        return await asyncio.to_thread(self._erase, user, erased)

    def _worded(self, rows: list[Decision]) -> list[Decision]:
        """The rows with their texts, where these are in RAM alone."""
        if self._texts:
            return rows
        held = {row.id: row for row in self._ring}
        return [whole(held.get(row.id, row)) for row in rows]

    async def flush(self) -> None:
        """Return when what was recorded so far is written, or could not be."""
        await asyncio.to_thread(self._drain)

    async def close(self) -> None:
        """Write what is queued and let go. Later calls of `record` are lost in silence."""
        if self._closing.is_set():
            return
        self._closing.set()
        await asyncio.to_thread(self._thread.join)
        with self._writing:
            if self._connection is not None:
                self._connection.close()

    def _connect(self) -> None:
        """Open the file. Raises `StoreError`."""
        connection = database.connect(self.path, LAYOUT)
        try:
            unsummed = rollups.unsummed(connection)
            found = connection.execute(repeats.COUNT).fetchone()
            (self.name,) = connection.execute(_NAME).fetchone()
        except sqlite3.Error as error:
            connection.close()
            raise database.fault(LAYOUT.what, self.path, error) from error
        self._unsummed, (self._rows, newest) = unsummed, found
        self._ring_floor = max(self._ring_floor, -1 if newest is None else int(newest))
        self._connection, self.missing = connection, ""

    @property
    def _writer(self) -> sqlite3.Connection:
        """Raises `StoreError` while there is no file."""
        if self._connection is None:
            raise NoRoomError(self.missing)
        return self._connection

    def _connected(self) -> bool:
        if self._connection is None:
            try:
                self._connect()
            except StoreError as fault:
                self.faults += 1
                self.missing = str(fault)
                return False
        return True

    def _run(self) -> None:
        pause = PASS_SECONDS
        while not self._closing.wait(pause):
            pause = PASS_SECONDS if self._drain() else REST_SECONDS
        self._drain()

    def _drain(self) -> bool:
        """Write what is queued now; False when the disk refused."""
        with self._writing:
            if not (self._connected() and self._caught_up()):
                return False
            for _ in range(-(-len(self._queue) // BATCH)):
                rows = self._take()
                if not self._write(rows):
                    self._put_back(rows)
                    return False
            return self._trim_sums() and (self._rows <= self._keep or self._trim())

    def _caught_up(self) -> bool:
        """Whether what an earlier release wrote is summed up; does so the first time."""
        if not self._unsummed:
            return True
        db = self._writer
        try:
            db.execute("BEGIN IMMEDIATE")
            rollups.sum_up(db, self._models)
            db.execute("COMMIT")
        except sqlite3.Error:
            database.roll_back(db)
            self.faults += 1
            return False
        self._unsummed = False
        return True

    def _take(self) -> list[Decision | Again]:
        rows: list[Decision | Again] = []
        while self._queue and len(rows) < BATCH:
            # The request path may push an old one out between these two lines, never the last.
            rows.append(self._queue.popleft())
        return rows

    def _put_back(self, rows: list[Decision | Again]) -> None:
        room = max(0, self._bound - len(self._queue))
        fitting = rows[-room:] if room else []
        self.dropped += len(rows) - len(fitting)
        self._queue.extendleft(reversed(fitting))

    def _write(self, rows: Sequence[Decision | Again]) -> bool:
        """Say whether the disk took the rows; one that no disk would take is dropped."""
        try:
            self._insert(rows)
        except sqlite3.OperationalError:
            self.faults += 1
            return False
        except Exception:  # noqa: BLE001 - a value that no column takes: find the row, keep the rest
            if len(rows) == 1:
                self.dropped += 1
                return True
            return all(self._write([row]) for row in rows)
        return True

    def _insert(self, rows: Sequence[Decision | Again]) -> None:
        db = self._writer
        alone, blocks = folded(rows)
        if not self._texts:
            alone = [wordless(row) for row in alone]
            blocks = [block._replace(of=wordless(block.of)) for block in blocks]
        try:
            db.execute("BEGIN IMMEDIATE")
            new = _put(db, alone, len(Decision._fields))
            new += _put(db, [block.row() for block in blocks], len(COLUMNS))
            sums = rollups.summed(map(rollups.counted, alone), blocks, self._models)
            rollups.add(db, sums)
            held = self._rows + len(rows)
            if new < len(alone) + len(blocks):
                # Some were there already; how many decisions those were, the file knows.
                held, _ = db.execute(repeats.COUNT).fetchone()
            db.execute("COMMIT")
        except BaseException:
            database.roll_back(db)
            raise
        self._rows = held
        self._sums += len(sums)
        self._changed.update(key.at for key in sums if key.span == rollups.MINUTE)

    def _take_changed(self) -> set[int]:
        self._drain()
        with self._writing:
            changed, self._changed = self._changed, set()
        return changed

    def _note_change(self, at: float) -> None:
        self._changed.add(int(at // rollups.MINUTE) * rollups.MINUTE)

    def _trim(self) -> bool:
        """Delete the oldest rows over `keep`, some thousand at most; the next pass goes on."""
        for _ in range(TRIMS_A_PASS):
            surplus = min(TRIM, self._rows - self._keep)
            if surplus <= 0:
                return True
            try:
                gone = self._writer.execute(_TRIM, (surplus,)).fetchall()
                self._rows -= sum(count for (count,) in gone)
            except sqlite3.Error:
                self.faults += 1
                return False
        return True

    def _trim_sums(self) -> bool:
        if self._sums < SUMS:
            return True
        try:
            rollups.trim(self._writer)
        except sqlite3.Error:
            self.faults += 1
            return False
        self._sums = 0
        return True

    def _rule(self, verdict: Verdict) -> Verdict:
        verdict = verdict if self._texts else verdict._replace(note="")
        with self._writing:
            try:
                self._writer.execute(_RULE, verdict)
                (row,) = self._writer.execute(_RULED, (verdict.id,)).fetchall()
                self._writer.execute(_TRIM_VERDICTS, (VERDICTS,))
                self._note_change(verdict.at)
            except (sqlite3.Error, UnicodeEncodeError) as error:
                raise database.fault(LAYOUT.what, self.path, error) from error
        return _verdict(row)

    def _compared(self, rows: Sequence[Comparison]) -> None:
        with self._writing:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.executemany(_LABEL, rows)
                self._writer.execute(_TRIM_LABELS, (VERDICTS,))
                self._writer.execute("COMMIT")
                for row in rows:
                    self._note_change(row.at)
            except (sqlite3.Error, UnicodeEncodeError) as error:
                database.roll_back(self._writer)
                raise database.fault(LAYOUT.what, self.path, error) from error

    def _erase(self, user: str, entries: frozenset[str]) -> int:
        went = 0
        start: int | None = 0
        while start is not None:
            with self._writing:
                db = self._writer
                try:
                    db.execute("BEGIN IMMEDIATE")
                    if start == 0:
                        went = erasing.own(db, user)
                        erasing.remember(db, entries)
                    start = erasing.quotes(db, start) if entries else None
                    db.execute("COMMIT")
                except sqlite3.Error as error:
                    database.roll_back(db)
                    raise database.fault(LAYOUT.what, self.path, error) from error
                self._rows -= went if start is None else 0
        return went

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.to_thread(self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], T]) -> T:
        if self.missing:
            raise NoRoomError(self.missing)
        connection = database.connect_reader(self.path, LAYOUT)
        until = time.monotonic() + QUERY_SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > until, 50_000)
        try:
            return question(connection)
        except (sqlite3.Error, OverflowError) as error:
            raise database.fault(LAYOUT.what, self.path, error) from error
        finally:
            connection.close()


def _put(db: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], width: int) -> int:
    """Insert rows of so many columns; how many were new."""
    added = 0
    for start in range(0, len(rows), WIDE):
        some = rows[start : start + WIDE]
        added += max(0, db.execute(_inserting(len(some), width), tuple(chain(*some))).rowcount)
    return added


@lru_cache(maxsize=2 * WIDE)
def _inserting(rows: int, width: int) -> str:
    """One statement for many rows: each execution gives up the interpreter lock once, and a lock
    taken back row by row stalls the event loop under load."""
    marks = ", ".join("?" * width)
    return _INSERT.format(", ".join(COLUMNS[:width]), ", ".join([f"({marks})"] * rows))


def _id(decision: Decision | Again) -> int:
    return decision.id


def _comparison(row: tuple[Any, ...]) -> Comparison:
    read = Comparison._make(row)
    return read._replace(would=bool(read.would), vetoed=bool(read.vetoed), same=bool(read.same))


def _verdict(row: tuple[Any, ...]) -> Verdict:
    verdict = Verdict._make(row)
    return verdict._replace(good=bool(verdict.good))
