"""A TCP proxy that is in the way as told: slow, narrow, in slices, cut, reset, silent or gone.

toxiproxy's toxics as a test's own tool. `up` is what happens on the way to the server, `down` on
the way back; both may be changed while connections are open.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any

READS = 65_536
PATIENCE = 20.0
TICK = 0.02
# Linger on for no time: the kernel sends a reset in place of an end.
ABRUPT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one direction.

    `latency` in seconds a piece, `bandwidth` in bytes a second, `slices` in bytes a piece. After so
    many bytes of a connection `limit` ends it, `reset` breaks it off and `stall` stops passing
    anything on. `slow_close` keeps an end back for so many seconds.
    """

    latency: float = 0.0
    bandwidth: float = 0.0
    slices: int = READS
    limit: int | None = None
    reset: int | None = None
    stall: int | None = None
    slow_close: float = 0.0

    @property
    def room(self) -> list[int]:
        return [n for n in (self.limit, self.reset, self.stall) if n is not None]


NONE = Fault()


class FaultProxy:
    """Listens on a port of its own for one server; to be opened by `in_front_of`."""

    def __init__(self, server: int) -> None:
        self.up = self.down = NONE
        self.port = 0
        self.accepted = 0
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """How many connections clients hold now."""
        return len(self._tasks)

    def heal(self) -> None:
        self.up = self.down = NONE

    def listen(self) -> None:
        """Take connections, on the same port as before."""
        self._do(self._listen())

    def vanish(self) -> None:
        """Refuse connections from now on, and break off those that are open."""
        self._do(self._vanish())

    def run(self) -> None:
        self._loop.run_forever()

    def end(self) -> None:
        self.vanish()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _vanish(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            _break_off(writer)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.accepted += 1
        self._tasks.add(task)
        try:
            there, away = await asyncio.open_connection("127.0.0.1", self._server)
        except (OSError, asyncio.CancelledError):
            _break_off(writer)
        else:
            self._writers |= {writer, away}
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    self._carry(reader, away, "up"), self._carry(there, writer, "down")
                )
            for end in (writer, away):
                end.close()
            self._writers -= {writer, away}
        finally:
            self._tasks.discard(task)

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: str
    ) -> None:
        carried = 0
        with suppress(ConnectionError):
            while True:
                fault = self._now(way)
                most = min([fault.slices, *(max(0, room - carried) for room in fault.room)])
                if most == 0 and not await self._stopped(way, carried, target):
                    return
                piece = await source.read(most) if most else None
                if piece == b"":
                    await asyncio.sleep(fault.slow_close)
                    target.write_eof()
                    return
                if piece:
                    carried += len(piece)
                    await self._pass(piece, target, self._now(way))

    async def _stopped(self, way: str, carried: int, target: asyncio.StreamWriter) -> bool:
        """What happens where no more may pass; whether the connection goes on."""
        fault = self._now(way)
        if fault.reset is not None and carried >= fault.reset:
            _break_off(target)
        elif fault.limit is not None and carried >= fault.limit:
            target.close()
        else:
            await asyncio.sleep(TICK)
            return True
        return False

    async def _pass(self, piece: bytes, target: asyncio.StreamWriter, fault: Fault) -> None:
        pace = len(piece) / fault.bandwidth if fault.bandwidth else 0.0
        await asyncio.sleep(fault.latency + pace)
        target.write(piece)
        await target.drain()

    def _now(self, way: str) -> Fault:
        return self.up if way == "up" else self.down


def _break_off(writer: asyncio.StreamWriter) -> None:
    bare = writer.get_extra_info("socket")
    with suppress(OSError):
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
    writer.transport.abort()


@contextmanager
def in_front_of(server: int) -> Iterator[FaultProxy]:
    """A proxy to a port of this machine, at first with nothing wrong."""
    proxy = FaultProxy(server)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    proxy.listen()
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(PATIENCE)
