"""Raw sockets and a server in a thread, for tests of the wire itself. No test lives here."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxy.limits import Limits
from proxy.server import Listener, Stop, bind, run, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0  # seconds after which a test's socket gives up; nothing asserts on it


@dataclass
class Echo:
    """An ASGI application that records what it was handed; the path says how it answers."""

    handed: list[tuple[str, str, bytes]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    flooded: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        way = getattr(self, scope["path"].strip("/").split("/")[-1], self.echo)
        with suppress(ConnectionResetError):
            await way(scope, receive, send)

    async def echo(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await read_all(receive)
        self.handed.append((scope["method"], scope["path"], body))
        await answer(send, body)

    async def stream(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Three pieces, and no length said in advance."""
        await read_all(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"one,", b"two,", b"three"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def early(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """An answer before the body was looked at."""
        await answer(send, b"early")

    async def begun(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """An answer that is under way when the body turns out bad."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.ended.set()

    async def late(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Busy for longer than the body may take, and only then willing to read."""
        await asyncio.sleep(1.2)
        await self.echo(scope, receive, send)

    async def flood(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Data until the client is gone."""
        await read_all(receive)
        gone = asyncio.ensure_future(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            await asyncio.sleep(0)
        self.flooded += 1
        self.ended.set()

    async def large(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """More than the kernel takes at once, in one piece."""
        await answer(send, b"x" * 12_000_000)


async def read_all(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def listening(app: Any, limits: Limits | None = None) -> Iterator[int]:
    """The port of `app`, served by uvloop in a thread until the block ends."""
    bound = bind("127.0.0.1", 0)
    port: int = bound.getsockname()[1]
    ready, ends = threading.Event(), []

    async def main() -> int:
        stop = Stop()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(stop.ask))
        return await serve(
            [Listener(app, bound, limits or Limits())],
            drain=0,
            on_ready=ready.set,
            on_drain=lambda: None,
            grace=0,
            stop=stop,
        )

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield port
    finally:
        ends[0]()
        thread.join(PATIENCE)


def connect(port: int, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(data)
    return client


def read_to_end(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    with client:
        while data := client.recv(65_536):
            received += data
    return received


def exchange(port: int, data: bytes) -> bytes:
    return read_to_end(connect(port, data))


def read_answer(client: socket.socket) -> tuple[int, bytes]:
    """One answer that says its length, on a connection that stays open."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(client)
    head, body = received.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += _some(client)
    assert len(body) == length
    return status(head), body


def _some(client: socket.socket) -> bytes:
    data = client.recv(65_536)
    assert data, "the server closed the connection"
    return data


def status(received: bytes) -> int:
    assert received.startswith(b"HTTP/1.1 "), received[:100]
    return int(received[9:12])


def body_of(received: bytes) -> bytes:
    return received.split(b"\r\n\r\n", 1)[1]
