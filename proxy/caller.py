"""The client's end of one exchange over ASGI, and what refuses a request before the engine has it.

Writes what it is told, slice by slice, and notices when the client leaves. Decides nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.coding import ACCEPTED
from proxy.upstream import waiting
from proxy.visits import VISIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from starlette.types import Receive, Send

    from proxy.exchange import Ready
    from proxy.upstream import Headers

    Whole: TypeAlias = Callable[[bytes], bool]

_JSON = (b"content-type", b"application/json")
# What is sent at once of a body, beyond the little that the connection itself holds.
_SLICE = 65_536


class Refused(Exception):
    """A request that Likewise answers itself, in the caller's envelope."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.after = status, code, param, after


class AsgiCaller:
    """The engine's `Caller` over ASGI."""

    # Defaults stand on the class: a hit never sets most of them.
    _task: asyncio.Task[None] | None = None
    _watch: asyncio.Task[None] | None = None
    started = done = left = False

    def __init__(
        self, send: Send, receive: Receive | None = None, whole: Whole | None = None
    ) -> None:
        self._send = send
        self._receive = receive
        self._whole = whole

    def at_once(self, ready: Ready, own: bytes) -> bool:
        if self._whole is None or not at_once(self._whole, ready, own):
            return False
        self.started = self.done = True
        return True

    async def serve(self, ready: Ready, own: bytes) -> None:
        await self.reply(200, self._lines(ready, own), ready.body)

    def _lines(self, ready: Ready, own: bytes) -> Headers:
        pairs = [line.split(b": ", 1) for line in own.split(b"\r\n")[:-1]]
        return [*ready.lines, *((name, value) for name, value in pairs)]

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        self.started = self.done = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": await self._all_but_last(body)})

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def pace(self, ready: Ready, own: bytes, times: tuple[int, ...]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        lines = [line for line in self._lines(ready, own) if line[0] != b"content-length"]
        await self.start(200, lines)
        # Rendered streams end every event with one empty line.
        events = [event + b"\n\n" for event in ready.body.split(b"\n\n")[:-1]]
        sent = 0
        try:
            while sent < len(events):
                due = times[min(sent, len(times) - 1)] / 1000
                await asyncio.sleep(max(0.0, due - (loop.time() - began)))
                await self.write(events[sent])
                sent += 1
        except asyncio.CancelledError:
            # There is no time left for the pace, and all of it is known.
            await self.write(b"".join(events[sent:]))
            await self.end()
            raise
        await self.end()

    def expect(self) -> None:
        if self._watch is None and self._receive is not None:
            self._task = asyncio.current_task()
            self._watch = asyncio.create_task(self._leave(self._receive))

    async def _leave(self, receive: Receive) -> None:
        """Cancel the exchange when its client has left."""
        while (await receive())["type"] != "http.disconnect":
            pass
        # A finished answer reads as a disconnect too.
        if not self.done and self._task is not None:
            self.left = True
            self._task.cancel()

    def close(self) -> None:
        self.done = True
        if self._watch is not None:
            self._watch.cancel()

    async def write(self, chunk: bytes) -> None:
        rest = await self._all_but_last(chunk)
        await self._send({"type": "http.response.body", "body": rest, "more_body": True})

    async def _all_but_last(self, body: bytes) -> bytes:
        """Send slices of a large body, each when the one before was taken; the last is returned.

        Written at once, a body would be held as often as there are clients who take their time.
        """
        at = 0
        while len(body) - at > _SLICE:
            piece = body[at : at + _SLICE]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            at += _SLICE
        return body[at:] if at else body

    async def end(self) -> None:
        self.done = True
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, refused: Refused, body: bytes, more: Headers | None = None) -> None:
        if (visit := VISIT.get()) is not None:
            visit.code = refused.code
        lines: Headers = [_JSON, (b"content-length", b"%d" % len(body)), *(more or [])]
        if refused.status == 508:  # noqa: PLR2004 - Loop Detected
            lines.append((b"x-should-retry", b"false"))
        if refused.status == 415:  # noqa: PLR2004 - Unsupported Media Type
            lines.append((b"accept-encoding", ACCEPTED))
        lines += waiting(refused.after)
        await self.reply(refused.status, lines, body)


def at_once(whole: Whole, ready: Ready, own: bytes) -> bool:
    """Write a small answer in one go; False where it has to be sent another way."""
    return len(ready.body) <= _SLICE and whole(b"%b%b\r\n%b" % (ready.head, own, ready.body))
