"""What leaves for a client: whole, in slices that wait for each other, to the end if hurried."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.caller import AsgiCaller, Refused
from proxy.exchange import Ready

EVENTS = [b"data: %d\n\n" % number for number in range(4)]


class Wire:
    """What was sent; `opened` holds back what comes after the first piece of a body."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.opened = asyncio.Event()
        self.opened.set()
        self.second = asyncio.Event()

    async def send(self, message: Any) -> None:
        if self.pieces:
            await self.opened.wait()
        self.sent.append(message)
        if len(self.pieces) > 1:
            self.second.set()

    @property
    def pieces(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == "http.response.body"]

    @property
    def ended(self) -> bool:
        return not self.sent[-1].get("more_body", False)


def ready(body: bytes) -> Ready:
    return Ready(((b"content-length", b"%d" % len(body)),), b"HTTP/1.1 200 OK\r\n", body)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
async def test_a_body_arrives_whole_in_slices(size: int) -> None:
    """No piece is larger than 64 KiB, only the last one ends the answer, and all of it comes."""
    wire, body = Wire(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await AsgiCaller(wire.send).reply(200, [], body)
    assert b"".join(wire.pieces) == body
    assert max(map(len, wire.pieces)) <= 65_536
    assert [m["more_body"] for m in wire.sent[1:-1]] == [True] * (len(wire.sent) - 2)
    assert wire.ended


async def test_a_slice_waits_for_the_one_before() -> None:
    """Of a client that takes nothing, no more than two slices are held."""
    wire = Wire()
    wire.opened.clear()
    replying = asyncio.create_task(AsgiCaller(wire.send).reply(200, [], b"x" * 1_000_000))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(wire.pieces) == 1
    wire.opened.set()
    await replying
    assert sum(map(len, wire.pieces)) == 1_000_000


@pytest.mark.parametrize(("size", "taken"), [(65_536, True), (65_537, False)])
async def test_only_what_is_small_goes_out_at_once(size: int, taken: bool) -> None:
    """The rest has to be served, slice by slice."""
    written: list[bytes] = []

    def whole(answer: bytes) -> bool:
        written.append(answer)
        return True

    caller = AsgiCaller(Wire().send, whole=whole)
    assert caller.at_once(ready(b"x" * size), b"age: 1\r\n") is taken
    assert len(written) == taken


async def test_who_runs_out_of_time_tells_the_rest_at_once() -> None:
    """A paced replay that is cut ends whole, each event once."""
    wire = Wire()
    caller = AsgiCaller(wire.send)
    times = (0, 0, 60_000, 120_000)
    pacing = asyncio.create_task(caller.pace(ready(b"".join(EVENTS)), b"", times))
    await wire.second.wait()
    pacing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pacing
    assert b"".join(wire.pieces) == b"".join(EVENTS)
    assert wire.ended


@pytest.mark.parametrize(
    ("refused", "line"),
    [
        (Refused(429, "c", "said", after=1.2), (b"retry-after", b"2")),
        (Refused(503, "c", "said", after=0.0), (b"retry-after", b"1")),
        (Refused(508, "c", "said"), (b"x-should-retry", b"false")),
        (Refused(415, "c", "said"), (b"accept-encoding", b"gzip, deflate, identity")),
    ],
)
async def test_a_refusal_says_what_to_do(refused: Refused, line: tuple[bytes, bytes]) -> None:
    """When to come back, not at all, or in which coding; with the body and lines given."""
    wire = Wire()
    await AsgiCaller(wire.send).fail(refused, b"why", [(b"x-likewise-request", b"1")])
    assert wire.sent[0]["status"] == refused.status
    assert {line, (b"x-likewise-request", b"1"), (b"content-length", b"3")} <= set(
        wire.sent[0]["headers"]
    )
    assert (wire.pieces, wire.ended) == ([b"why"], True)
