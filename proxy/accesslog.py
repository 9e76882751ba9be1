"""The access log: one JSON line for each request to the data port, off unless a place is named.

Lines are written by a thread of its own. Where the disk is full or slow, lines are dropped and
counted; no request ever waits for one. No line holds a prompt, an answer or a credential.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from index.errors import SetupError
from index.faults import Told
from policies.verdicts import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.record import Decision
    from proxy.exchange import Trail
    from proxy.visits import Visit

LOG = logging.getLogger("likewise.access")
STDOUT: Final = "-"
# Lines that may wait for the disk, and those that are written in one go.
WAITING: Final = 10_000
_TOGETHER: Final = 500
# Seconds between two tries to open a file that could not be, and those that the end waits.
_REST: Final = 1.0
PATIENCE: Final = 2.0
# The status under which nginx logs a client that left without an answer.
CLIENT_LEFT: Final = 499
# Callers choose paths and model names, and can make them long.
_KEPT: Final = 200
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_REOPEN: Final[dict[str, Any]] = {}
_END: Final[dict[str, Any]] = {}


class AccessLog:
    """Lines on their way to a file, or to standard output where its name is `-`."""

    def __init__(
        self, place: str, *, monotonic: Callable[[], float] = time.monotonic, most: int = WAITING
    ) -> None:
        """Raises `SetupError` where the file cannot be written, unless only room is missing."""
        self._place = place
        self._most = most
        self._monotonic = monotonic
        self._told = Told(LOG)
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._file: int | None = None
        self._next_try = 0.0
        self._torn = False
        # Each is counted by one thread only.
        self._crowded_out = self._failed = 0
        try:
            self._open()
        except OSError as fault:
            if fault.errno not in _NO_ROOM:
                said = f"server.access_log: {place} cannot be written ({fault.strerror})"
                raise SetupError(f"{said}; name another file, or - for standard output") from fault
        self._writer = threading.Thread(target=self._work, name="access log", daemon=True)
        self._writer.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._crowded_out + self._failed

    def end(self, visit: Visit) -> None:
        """Write a visit down, soon."""
        if self._lines.qsize() >= self._most:
            self._crowded_out += 1
        else:
            self._lines.put(line(visit))

    def reopen(self) -> None:
        """Open the file of that name anew, after what waits was written: it may have been moved."""
        self._lines.put(_REOPEN)

    def close(self, patience: float = PATIENCE) -> None:
        """Write what waits, for so many seconds at most."""
        self._lines.put(_END)
        self._writer.join(patience)

    # -- the writer's thread ---------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            lines, last = self._taken()
            if lines:
                self._write(lines)
            if last is _REOPEN and self._place != STDOUT:
                self._shut()
                with suppress(OSError):  # told with the next line
                    self._open()
                self._next_try = 0.0
            elif last is _END:
                self._shut()
                return

    def _taken(self) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """What waits, and the word behind it, if one came."""
        lines: list[dict[str, Any]] = []
        while len(lines) < _TOGETHER:
            try:
                one = self._lines.get(block=not lines)
            except queue.Empty:
                break
            if one is _REOPEN or one is _END:
                return lines, one
            lines.append(one)
        return lines, None

    def _write(self, lines: list[dict[str, Any]]) -> None:
        try:
            # What is left of a torn line must not spoil the next one.
            text = b"\n" * self._torn + b"".join(map(_rendered, lines))
            self._write_all(text)
        except OSError as fault:
            self._failed += len(lines)
            self._told.warn("access log", f"{self._place}: {fault.strerror or fault}")

    def _write_all(self, text: bytes) -> None:
        if self._file is None:
            now = self._monotonic()
            if now < self._next_try:
                raise OSError(errno.EAGAIN, "could not be opened a moment ago")
            self._next_try = now + _REST
            self._open()
        assert self._file is not None  # noqa: S101 - for the type checker
        rest = memoryview(text)
        while rest:
            written = os.write(self._file, rest)
            self._torn = written < len(rest)
            rest = rest[written:]

    def _open(self) -> None:
        if self._place == STDOUT:
            self._file = os.dup(1)
        else:
            # Without a reader, a pipe would hold up whoever opens it.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = os.open(self._place, flags, 0o640)
            os.set_blocking(self._file, True)

    def _shut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _rendered(told: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, or what else is no text
        plain = {key: str(value).encode("ascii", "replace").decode() for key, value in told.items()}
        return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)


def line(visit: Visit) -> dict[str, Any]:
    """A visit as the log tells it; what does not apply is left out."""
    told: dict[str, Any] = {
        "time": datetime.fromtimestamp(visit.at, UTC).isoformat(timespec="milliseconds"),
        "request": None,
        "method": visit.method,
        "path": visit.path[:_KEPT],
        "status": visit.status or CLIENT_LEFT,
        "outcome": None,
    }
    if visit.trail is not None:
        told |= _decided(visit.trail)
    elif visit.row is not None:
        told |= _repeated(visit.row, visit.number) | {"tenant": visit.tenant}
    elif visit.code:
        told["outcome"] = "refused"
    else:
        told["outcome"] = "passed" if visit.upstream else "own"
        told |= {"upstream": visit.upstream, "key": visit.owner}
    told |= {
        "error": visit.code,
        "complete": visit.complete,
        "bytes": visit.size,
        "ms": round(visit.seconds * 1000, 3),
        "trace": visit.trace_id,
    }
    return {key: value for key, value in told.items() if value not in (None, "")}


def _decided(trail: Trail) -> dict[str, Any]:
    query, reason = trail.ask.query, trail.reason
    asked = "" if trail.flight is None else trail.ask.upstream.name
    told: dict[str, Any] = {
        "request": f"{trail.id:016x}",
        "outcome": outcome(reason).value,
        "match": trail.match,
        "reason": reason.value,
        "category": trail.category,
        "api": query.dialect,
        "model": query.model[:_KEPT],
        "key": query.owners.key,
        "tenant": query.owners.tenant,
        "stream": query.stream,
        "upstream": trail.upstream or asked,
        "collapsed": trail.collapsed or None,
        "stored": trail.kept,
        "entry": trail.entry,
        "similarity": None if trail.similarity is None else round(trail.similarity, 4),
        "tokens_in": trail.tokens_in,
        "tokens_out": trail.tokens_out,
    }
    timed = {"embed": trail.embed_ms, "search": trail.search_ms, "upstream": trail.upstream_ms}
    return told | {f"ms_{part}": round(ms, 3) for part, ms in timed.items() if ms}


def _repeated(row: Decision, number: int) -> dict[str, Any]:
    return {
        "request": f"{number:016x}",
        "outcome": row.outcome,
        "match": "exact",
        "reason": row.reason,
        "category": row.category,
        "api": row.dialect,
        "model": row.model,
        "key": row.owner,
        "stream": row.stream,
        "entry": row.entry,
        "similarity": 1.0,
        "tokens_in": row.tokens_in,
        "tokens_out": row.tokens_out,
    }
