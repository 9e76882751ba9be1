"""Bursts of requests over keep-alive connections, at as little cost as a client can have."""

from __future__ import annotations

import asyncio
import math
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Heard = Callable[[bytes, bytes, float], None]

_END = b"\r\n\r\n"


class Load:
    """What a burst of requests came to."""

    def __init__(self, times: Sequence[float], seconds: float) -> None:
        self.count = len(times)
        self.rate = len(times) / seconds
        self.p50 = median(times) if times else math.inf
        self.p99 = sorted(times)[int(len(times) * 0.99)] if times else math.inf


async def load(
    port: int,
    requests: Iterator[bytes],
    connections: int,
    seconds: float,
    heard: Heard | None = None,
) -> Load:
    """Keep `connections` busy with one request after the other, until the time or they run out.

    `heard` is told of each request, its answer with head and body, and the seconds between.
    Raise `ConnectionError` when the server hangs up before it has answered.
    """
    loop = asyncio.get_running_loop()
    times: list[float] = []
    started = loop.time()
    until = started + seconds

    def told(request: bytes, answer: bytes, took: float) -> None:
        times.append(took)
        if heard is not None:
            heard(request, answer, took)

    clients = [_Client(requests, told, until) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda one=client: one, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(client.done for client in clients))
    return Load(times, loop.time() - started)


class _Client(asyncio.Protocol):
    """A keep-alive connection that asks again as soon as it was answered."""

    def __init__(self, requests: Iterator[bytes], told: Heard, until: float) -> None:
        self._requests, self._told, self._until = requests, told, until
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._waiting = False
        self._request = b""
        self._asked = 0.0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None) if self._loop.time() < self._until else None
        if request is None:
            self._transport.close()
            return
        self._request, self._waiting = request, True
        self._asked = self._loop.time()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if is_whole(self._buffer):
            took = self._loop.time() - self._asked
            answer, self._buffer, self._waiting = self._buffer, b"", False
            self._told(self._request, answer, took)
            self._next()

    def connection_lost(self, fault: Exception | None) -> None:
        if self.done.done():
            return
        if self._waiting:
            self.done.set_exception(fault or ConnectionResetError("hung up before it had answered"))
        else:
            self.done.set_result(None)


def is_whole(answer: bytes) -> bool:
    """Whether an answer is here in full, by its length or by its last chunk."""
    end = answer.find(_END)
    if end < 0:
        return False
    head = answer[:end].lower()
    _, found, rest = head.partition(b"content-length:")
    if found:
        return len(answer) >= end + 4 + int(rest.split(b"\r\n", 1)[0])
    return b"chunked" in head and answer.endswith(b"\r\n0\r\n\r\n")


def body_of(answer: bytes) -> bytes:
    """The body of a whole answer, its chunks joined."""
    head, _, body = answer.partition(_END)
    if b"chunked" not in head.lower():
        return body
    parts = []
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";", 1)[0], 16)
        parts.append(body[:length])
        body = body[length + 2 :] if length else b""
    return b"".join(parts)
