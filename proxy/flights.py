"""Calls upstream that are under way, and who else waits for the same one: one call, many callers.

A flight is filled by a task of its own, so whoever opened it may leave and the others never notice.
It knows chunks, not what they mean; who may join is the core's verdict.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.burden import Burden
from proxy.upstream import UpstreamFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from policies.values import Facts, Vector
    from proxy.dialects.ports import Form
    from proxy.upstream import Headers

# Seconds that a call which can be kept goes on after the last who waited for it has left.
FINISH = 120.0
MARKERS = 10_000
SHUTTING_DOWN = "Likewise shuts down and the answer had not come: ask again."
# Calls at once of those who waited in vain, per process: a failed leader must not become a herd.
RELEASED = 256


@dataclass(eq=False, slots=True)
class Reader:
    """How far one caller has read."""

    at: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What a finished flight left in memory."""

    facts: Facts
    body: bytes


@dataclass(frozen=True, slots=True)
class Cargo:
    """What a flight is for: enough to tell who may wait for it."""

    entry: str
    space: str
    generation: int
    form: Form
    facts: Facts
    vector: Vector | None = None


class Flight:
    """One call upstream, told to every reader from its start.

    `shared` falls when the answer turns out to be nobody else's; `bounded` rises when it will not
    be kept, and then the call goes no faster than its readers.
    """

    def __init__(self, cargo: Cargo | None) -> None:
        self.cargo = cargo
        self.shared = cargo is not None
        self.bounded = cargo is None
        self.status = 0
        self.headers: Headers = []
        self.body: bytes | None = None
        self.fault: UpstreamFault | None = None
        self.kept: Kept | None = None
        self.parting: Callable[[], bytes] | None = None
        self.opened = False
        self.done = False
        self.task: asyncio.Task[None] | None = None
        self.share = Burden().share()
        self._parts: list[bytes] = []
        self._from = 0
        self._readers: set[Reader] = set()
        self._news = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None

    # -- for who fills it --

    def open(self, status: int, headers: Headers) -> None:
        """The head is known; what `publish` brings now is the body."""
        self.status, self.headers, self.opened = status, headers, True
        self._tell()

    def land(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer is known."""
        self.body = body
        self.open(status, headers)

    async def publish(self, chunk: bytes) -> None:
        if not chunk:
            return
        self.share.take(len(chunk))
        self._parts.append(chunk)
        self._tell()
        while self.bounded and self._behind():
            await self._news.wait()

    @property
    def watched(self) -> bool:
        """Whether anybody waits."""
        return bool(self._readers)

    def so_far(self) -> bytes:
        """Everything that was published, while it may still be kept."""
        return b"".join(self._parts)

    def break_off(self) -> None:
        """End early: with the body's own last words where it has some, else visibly."""
        if self.parting is None:
            self.fault = UpstreamFault(503, "shutting_down", SHUTTING_DOWN, after=1.0)
        else:
            self._parts.append(self.parting())

    def close(self) -> None:
        """Nothing more comes."""
        self.done = True
        if self._late is not None:
            self._late.cancel()
        self._tell()
        self._settle()

    # -- for who reads it --

    async def head(self) -> None:
        """Wait until the head is known, or that there will be none."""
        while not (self.opened or self.done):
            await self._news.wait()

    async def end(self) -> None:
        while not self.done:
            await self._news.wait()

    async def chunks(self, reader: Reader) -> AsyncIterator[bytes]:
        """All that came and comes; what piled up since the last piece is one piece."""
        while True:
            ready = self._parts[reader.at - self._from :]
            if ready:
                yield ready[0] if len(ready) == 1 else b"".join(ready)
                reader.at += len(ready)
                if self.bounded:
                    self._forget()
            elif self.done:
                return
            else:
                await self._news.wait()

    def board(self) -> Reader:
        """Begin to wait for this flight."""
        reader = Reader(self._from)
        self._readers.add(reader)
        if self._late is not None:
            self._late.cancel()
            self._late = None
        return reader

    def leave(self, reader: Reader) -> None:
        """Wait no longer. When nobody does, what can be kept gets a while to finish."""
        self._readers.discard(reader)
        if self._readers or self.done or self.task is None:
            self._tell()
            self._settle()
            return
        if self.bounded:
            self.task.cancel()
        else:
            self._late = asyncio.get_running_loop().call_later(FINISH, self.task.cancel)

    def _behind(self) -> bool:
        end = self._from + len(self._parts)
        return any(reader.at < end for reader in self._readers)

    def _forget(self) -> None:
        """Drop what every reader has taken: it will neither be kept nor told again."""
        taken = min((reader.at for reader in self._readers), default=self._from) - self._from
        if taken:
            self.share.give(sum(map(len, self._parts[:taken])))
            del self._parts[:taken]
            self._from += taken
            self._tell()

    def _settle(self) -> None:
        """What nobody will read any more weighs nothing."""
        if self.done and not self._readers:
            self.share.give_all()

    def _tell(self) -> None:
        self._news.set()
        self._news.clear()


@dataclass(slots=True)
class Flights:
    """The flights of one process. `clock` is monotonic."""

    clock: Callable[[], float] = time.monotonic
    _open: dict[str, list[Flight]] = field(default_factory=dict)
    _spaces: dict[str, list[Flight]] = field(default_factory=dict)
    _held: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    burden: Burden = field(default_factory=Burden)
    _shut: bool = False
    released: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(RELEASED))

    def __len__(self) -> int:
        return len(self._tasks)

    def find(self, entry: str, generation: int, *, usage: bool) -> Flight | None:
        """A call under way whose answer will do: begun after the last purge, with the token counts
        that are asked for."""
        return next(
            (
                flight
                for flight in self._open.get(entry, ())
                if flight.shared
                and flight.cargo is not None
                and flight.cargo.generation == generation
                and (flight.cargo.form.usage or not usage)
            ),
            None,
        )

    def near(self, space: str, generation: int) -> list[Flight]:
        """The calls under way in a space."""
        return [
            flight
            for flight in self._spaces.get(space, ())
            if flight.shared and flight.cargo is not None and flight.cargo.generation == generation
        ]

    def open(
        self, flight: Flight, fill: Coroutine[Any, Any, None], *, listed: bool
    ) -> asyncio.Task[None]:
        """Start a call; `listed` ones can be found by others."""
        cargo, flight.share = flight.cargo, self.burden.share()
        if listed and cargo is not None:
            self._open.setdefault(cargo.entry, []).append(flight)
            self._spaces.setdefault(cargo.space, []).append(flight)
        flight.task = task = asyncio.create_task(fill)
        if self._shut:
            flight.break_off()
            task.cancel()
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._landed(flight, task))
        return task

    def hold(self, what: str, entry: str, seconds: float) -> None:
        """Remember something of an entry for a while."""
        key = (what, entry)
        self._held[key] = self.clock() + seconds
        self._held.move_to_end(key)
        if len(self._held) > MARKERS:
            self._held.popitem(last=False)

    def held(self, what: str, entry: str) -> bool:
        until = self._held.get((what, entry))
        if until is None or self.clock() < until:
            return until is not None
        del self._held[what, entry]
        return False

    def cut(self) -> None:
        """End what is under way or is begun from now on; whoever reads along is told."""
        self._shut = True
        for task in list(self._tasks):
            task.cancel()

    async def close(self, patience: float = 1.0) -> None:
        """End what is still under way, and wait for it."""
        self.cut()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=patience)

    def _landed(self, flight: Flight, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        flight.close()
        cargo = flight.cargo
        if cargo is not None:
            _drop(self._open, cargo.entry, flight)
            _drop(self._spaces, cargo.space, flight)


def _drop(listed: dict[str, list[Flight]], key: str, flight: Flight) -> None:
    flights = listed.get(key)
    if flights is not None and flight in flights:
        flights.remove(flight)
        if not flights:
            del listed[key]
