"""Bursts count whole answers only, however the server frames and cuts them."""

from __future__ import annotations

import asyncio
from itertools import repeat
from typing import TYPE_CHECKING

import pytest

from proxy import burst

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n"
)
ASKED = b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("answer", [SIZED, CHUNKED])
def test_an_answer_is_whole_with_its_last_byte_and_not_before(answer: bytes) -> None:
    """No proper beginning of an answer passes for the whole."""
    assert burst.is_whole(answer)
    assert not any(burst.is_whole(answer[:length]) for length in range(len(answer)))
    assert burst.body_of(answer) == b"abcd"


def answering(*parts: bytes, times: int) -> Serve:
    """A server that sends `parts` one after the other for each request, then hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(times):
            if not await reader.read(1000):
                break
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.001)
        writer.close()

    return serve


async def run(serve: Serve, wanted: int, connections: int) -> tuple[burst.Load, list[bytes]]:
    heard: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        made = await burst.load(
            port,
            iter([ASKED] * wanted),
            connections,
            5.0,
            lambda _request, answer, _took: heard.append(answer),
        )
    return made, heard


@pytest.mark.parametrize("cut", [1, 20, len(SIZED) - 1])
async def test_every_request_is_answered_once(cut: int) -> None:
    """As many answers as requests are counted, all whole, when they arrive in pieces."""
    made, heard = await run(answering(SIZED[:cut], SIZED[cut:], times=100), 7, 3)
    assert made.count == 7
    assert heard == [SIZED] * 7
    assert 0 < made.p50 <= made.p99


async def test_a_server_that_hangs_up_is_an_error() -> None:
    """Half an answer is not silently left out of the count."""
    with pytest.raises(ConnectionError):
        await run(answering(SIZED[:-1], times=1), 1, 1)


async def test_the_time_ends_an_endless_burst() -> None:
    """Requests that never run out stop when the time is over."""
    server = await asyncio.start_server(answering(SIZED, times=10_000), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        made = await burst.load(port, repeat(ASKED), 2, 0.05)
    assert made.count > 0
