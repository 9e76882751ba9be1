"""An upstream that answers the recorded bytes, counts who asked for what, and can break off.

The caller's credential names the recording: clients word one and the same question differently, but
each sends its credential as it was given.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.conformance.cases import JSON_HEADERS, PATHS, encoded
from tests.conformance.generated import embeddings
from tests.proxy.wire import read_all

if TYPE_CHECKING:
    from tests.conformance.cases import Recording

SSE_HEADERS = (("content-type", "text/event-stream; charset=utf-8"),)
# Set by the server itself, or true only of the bytes as they once travelled.
_NOT_REPLAYED = frozenset({
    "connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding",
})  # fmt: skip


class CutError(Exception):
    """Raised on purpose: the server then drops the connection."""


@dataclass(slots=True)
class Replay:
    """The ASGI application. `cut` has the credentials whose next stream ends after so many bytes,
    and whether it ends without a goodbye."""

    table: dict[str, Recording] = field(default_factory=dict)
    cut: dict[str, tuple[int, bool]] = field(default_factory=dict)
    seen: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await read_all(receive)
        key = credential(scope["headers"])
        self.seen[key].append(body)
        if scope["path"] == PATHS["embeddings"] and key in self.table:
            await _whole(send, 200, JSON_HEADERS, embeddings.answer(body))
            return
        recording = self.table.get(key)
        form = None if recording is None else chosen(recording, body)
        if recording is None or form is None:
            await _whole(send, 404, JSON_HEADERS, _unknown(key))
        elif isinstance(form, bytes):
            await _whole(send, recording.status, recording.headers or JSON_HEADERS, form)
        else:
            headers = recording.headers or SSE_HEADERS
            await self._stream(send, recording.status, headers, form, self.cut.pop(key, None))

    async def _stream(
        self,
        send: Any,
        status: int,
        headers: tuple[tuple[str, str], ...],
        parts: tuple[bytes, ...],
        cut: tuple[int, bool] | None,
    ) -> None:
        most, abrupt = cut or (None, False)
        await send(_start(status, headers))
        for part in parts if most is None else (b"".join(parts)[:most],):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # so that parts travel as writes of their own
        if abrupt:
            raise CutError
        await send({"type": "http.response.body", "body": b""})


def credential(headers: list[tuple[bytes, bytes]]) -> str:
    """The key that a client was given, in whichever header it sends it."""
    given = dict(headers)
    said = given.get(b"authorization") or given.get(b"x-api-key") or b""
    return said.decode("latin-1").removeprefix("Bearer ")


def chosen(recording: Recording, body: bytes) -> bytes | tuple[bytes, ...] | None:
    """The recorded form that a request asks for; None where it is not known."""
    asked = json.loads(body)
    if asked.get("stream") is not True:
        return recording.whole
    if recording.bare and not wants_usage(asked):
        return recording.bare
    # A refused stream is answered whole.
    return recording.stream or (recording.whole if recording.status >= 400 else None)


def wants_usage(asked: dict[str, Any]) -> bool:
    """Whether this request must be answered with token counts."""
    options = asked.get("stream_options")
    counted = isinstance(options, dict) and options.get("include_usage") is True
    return asked.get("stream") is not True or counted


def _unknown(key: str) -> bytes:
    said = f"nothing is recorded for {key} in this form"
    return encoded({"error": {"message": said, "type": "conformance", "param": None, "code": None}})


async def _whole(send: Any, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    await send(_start(status, (*headers, ("content-length", str(len(body))))))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, headers: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    lines = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": lines}


def replayable(headers: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Recorded headers that may be sent again."""
    return tuple((k, v) for k, v in headers.items() if k.lower() not in _NOT_REPLAYED)
