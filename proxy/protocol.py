"""One client connection, guarded: uvicorn's HTTP/1.1 protocol with the limits that it lacks.

Framing, sizes, slow senders and stalled readers are decided here, before and below the application.
What a request means is decided elsewhere. Nothing here sets a timer per request: one `Sweep` walks
the open connections about once a second.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

import httptools
import orjson
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    import asyncio
    from collections import deque
    from collections.abc import Callable

    from proxy.limits import Limits, Sweep

# The scope key of a way to send a whole answer at once. uvicorn checks each header by two regular
# expressions and writes twice, which costs more than an exact hit's own work.
WHOLE: Final = "likewise.whole"
# Of a body up to this size a client does not make us wait for parts.
_SHORT = 16_384

# Where the connection is in reading a message. Plain integers: compared on every read.
_IDLE: Final = 0
_HEAD: Final = 1
_BODY: Final = 2
_SHUT: Final = 3  # refused: whatever else arrives is thrown away

_FRAMING: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
)
_PIPELINED: Final = 100  # requests that may wait behind one that is being answered
_SLOWEST: Final = 1024  # bytes a second of body, once `body_timeout` has passed
_HURRY: Final = 5.0  # seconds that each of a crowd gets
_LINGER: Final = 2.0  # seconds in which a refused client may read why, while it is still sending


class Refusal(Exception):
    """Why a connection ends here, before or instead of the application's answer."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def render(self, *, anthropic: bool, body: bool = True) -> bytes:
        """Write the whole answer, in the envelope of the API that was called."""
        content = orjson.dumps(self._anthropic() if anthropic else self._openai())
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "connection: close",
        ]
        if self.status not in _TRANSIENT:
            lines.append("x-should-retry: false")
        return "\r\n".join([*lines, "", ""]).encode() + (content if body else b"")

    def _openai(self) -> dict[str, Any]:
        kind = _OPENAI_TYPES.get(self.status, "invalid_request_error")
        return {
            "error": {"message": self.message, "type": kind, "param": None, "code": self.code},
        }

    def _anthropic(self) -> dict[str, Any]:
        kind = _ANTHROPIC_TYPES.get(self.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": self.message}}


_TRANSIENT: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.SERVICE_UNAVAILABLE})
_OPENAI_TYPES: Final = {
    HTTPStatus.REQUEST_TIMEOUT: "timeout_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "server_error",
}
_ANTHROPIC_TYPES: Final = {
    HTTPStatus.REQUEST_TIMEOUT: "timeout_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}


def _bad(code: str, message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, code, message)


def _late(message: str) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", message)


def _too_large(message: str) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request_too_large", message)


def _too_many_headers(message: str) -> Refusal:
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", message)


def _crowded(message: str) -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too_many_connections", message)


class _Valve(FlowControl):
    """Reading stays paused while requests are queued, whoever asks, so the queue is bounded."""

    def __init__(self, transport: asyncio.Transport, queue: deque[Any]) -> None:
        super().__init__(transport)
        self._queue = queue

    def resume_reading(self) -> None:
        if self.read_paused and not self._queue:
            super().resume_reading()


class _UntilClose(int):
    """A body length that any number of bytes satisfies: the end of the connection ends the body."""

    __hash__ = int.__hash__

    def __lt__(self, _other: object) -> bool:
        return False

    def __ne__(self, _other: object) -> bool:
        return False

    def __eq__(self, _other: object) -> bool:
        return True

    def __sub__(self, _other: int) -> _UntilClose:
        return self


def _never(_scope: Any, _body: bytearray) -> bool:
    """Of an application that answers by tasks only."""
    return False


class GuardedProtocol(HttpToolsProtocol):
    """Use through `guarded(limits, sweep)`, which fills in the class attributes."""

    limits: ClassVar[Limits]
    short_length: ClassVar[int]  # a Content-Length of no more digits is within the limit
    sweep: ClassVar[Sweep]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Valve(transport, self.pipeline)
        self.url = b""
        self.sweep.join(self, self.loop)

        self._phase = _IDLE
        self._since = self.sweep.now  # when this phase began
        self._leaving = self.sweep.retired  # the next request is the connection's last
        self._parting: bytes | None = None  # a refusal that waits for earlier answers

        self._incoming = 0  # bytes of the read being parsed
        self._head_bytes = 0  # of the message being read, before the current read; at least
        self._hosts = 0
        self._length: bytes | None = None
        self._coding: bytes | None = None
        self._offered = False  # another protocol, by an Upgrade header

        # An application of ours may answer what is here in full without a task of its own.
        self._at_once: Callable[[Any, bytearray], bool] = getattr(self.app, "at_once", _never)
        self._reading = False
        self._held: tuple[RequestResponseCycle, Any] | None = None

        self._body_bytes = 0
        self._body_seen = 0  # `_body_bytes` at the latest round
        self._progressed = self._since  # when the body last grew
        self._unsent = 0  # bytes that the client had not taken at the latest round
        self._flushed = self._since  # when it last took some
        if len(self.connections) > self.limits.connections:
            self._refuse(_crowded(f"more than {self.limits.connections} connections at once"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.sweep.leave(self)
        super().connection_lost(exc)

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._phase == _SHUT:
            return
        self._incoming = size = len(data)
        self._reading = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline_upgrade(data[offer.args[0] :])
            return
        except httptools.HttpParserError as fault:
            self._refuse(_reason(fault))
            return
        finally:
            self._reading = False
            if self._held is not None:
                self._start(*self._held)
        self._head_bytes += size
        if self._phase == _HEAD and self._head_bytes > self.limits.headers:
            self._refuse(self._oversized_head())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # There may be more of this request to come in the same read.
        if self._reading and self._at_once is not _never:
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Have it answered: at once where that can be, else by a task."""
        ours = app is self.app
        if ours and cycle.more_body and self._is_short(cycle):
            return  # many clients send head and body in two writes
        self._held = None
        if not (ours and not cycle.more_body and self._at_once(cycle.scope, cycle.body)):
            super()._start_asgi_task(cycle, app)

    def _is_short(self, cycle: RequestResponseCycle) -> bool:
        """Whether the rest of the body is a matter of one more read."""
        length = self._length
        return length is not None and int(length) <= _SHORT and not cycle.waiting_for_100_continue

    def _decline_upgrade(self, rest: bytes) -> None:
        """Read the request once more as plain HTTP/1.1, body and all, without the offer.

        The parser stops behind the header of a request that offers another protocol, and takes
        its body for that protocol's.
        """
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head_bytes = 0
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase = _HEAD
        self._since = self.sweep.now
        self._hosts = 0
        self._length = None
        self._coding = None
        self._offered = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _FRAMING:
            if name == b"host":
                self._hosts += 1
            elif name == b"content-length":
                self._length = value
            else:
                self._note(name, value)
        self.headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            coding = value.strip().lower()
            self._coding = coding if self._coding is None else self._coding + b"," + coding
        elif name == b"upgrade":
            self._offered = True
        elif value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        limits = self.limits
        # What nearly every request looks like passes these two without a call.
        if version != "1.1" or self._hosts != 1 or self._coding is not None or self.url[:1] != b"/":
            self._check_framing(version)
        if (
            self._incoming > limits.headers
            or self._head_bytes > 0
            or len(self.headers) > limits.header_count
            or (self._length is not None and len(self._length) > self.short_length)
            or self.pipeline
        ):
            self._check_size()
        if self._offered and self.parser.should_upgrade():
            return  # read again by `_decline_upgrade`
        super().on_headers_complete()
        cycle = self.cycle
        if version == "1.0":
            # This client knows no chunks, so the answer ends where the connection does.
            cycle.chunked_encoding = False
            cycle.expected_content_length = _UntilClose()
        if self._leaving:
            cycle.keep_alive = False
        cycle.scope[WHOLE] = partial(self._whole, cycle)  # type: ignore[typeddict-unknown-key]
        self._phase = _BODY
        self._since = self.sweep.now
        self._body_bytes = 0

    def _check_framing(self, version: str) -> None:
        """Raise `Refusal` where two parsers might see two different messages (RFC 9112 part 6)."""
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise _bad("invalid_host", f"{self._hosts} Host headers: send exactly one")
        if self._coding is not None:
            if version != "1.1":
                raise _bad("invalid_framing", "Transfer-Encoding needs HTTP/1.1")
            if self._length is not None:
                raise _bad("invalid_framing", "send Content-Length or Transfer-Encoding, not both")
            if self._coding != b"chunked":
                raise Refusal(
                    HTTPStatus.NOT_IMPLEMENTED,
                    "unsupported_transfer_encoding",
                    "the only Transfer-Encoding understood is: chunked",
                )
        if version not in ("1.1", "1.0"):
            raise Refusal(
                HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
                "unsupported_version",
                f"HTTP/{version} is not spoken here: use HTTP/1.1",
            )
        if self.url[:1] != b"/" and not _absolute(self.url):
            raise _bad("invalid_target", "the request target must be a path or an http(s) URL")

    def _check_size(self) -> None:
        limits = self.limits
        if len(self.headers) > limits.header_count:
            raise _too_many_headers(
                f"{len(self.headers)} header fields: at most {limits.header_count} are taken"
            )
        if self._head_size() > limits.headers:
            raise self._oversized_head()
        if self._length is not None and (length := int(self._length)) > limits.body:
            raise _too_large(f"a body of {length} bytes: at most {limits.body} are taken")
        if len(self.pipeline) >= _PIPELINED:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too_many_pipelined",
                f"more than {_PIPELINED} requests sent ahead: wait for answers",
            )

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _oversized_head(self) -> Refusal:
        return _too_many_headers(f"the header section is larger than {self.limits.headers} bytes")

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        self._body_bytes += len(body)
        if cycle.response_complete:
            # Answered without reading all of it. The rest is thrown away, up to the limit.
            if self._body_bytes > self.limits.body:
                raise _too_large(f"more than {self.limits.body} bytes of body")
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._phase != _BODY:
            return  # the end of an offer, not of a request
        self._phase = _IDLE
        self._since = self.sweep.now
        # What follows in this read belongs to the next head; the read is added when it ends.
        self._head_bytes = -self._incoming
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # Answering

    def _whole(self, cycle: RequestResponseCycle, answer: bytes) -> bool:
        """Send a whole answer, status line to last byte, in one write; False when it must go by
        ASGI messages after all. `answer` states its length and holds no header of ours."""
        if (
            cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
        ):
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(answer)
        cycle.message_event.set()
        cycle.on_response()
        return True

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._parting is not None:
            self._part(self._parting)
            return
        elif self._phase == _IDLE:
            self._since = self.sweep.now
        self.flow.resume_reading()

    def retire(self) -> None:
        """Take one more request at most: the answer to it says so."""
        self._leaving = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close when nothing is under way, else after the answer. May be called again and again."""
        self._leaving = True
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self._phase not in (_HEAD, _SHUT):
            super().shutdown()

    def _refuse(self, refusal: Refusal) -> None:
        """End the connection with this answer, in its turn: never inside or before another's."""
        phase, cycle = self._phase, self.cycle
        answer = refusal.render(
            anthropic=phase != _IDLE and self.url.startswith(b"/v1/messages"),
            body=self.parser.get_method() != b"HEAD",
        )
        self._phase = _SHUT
        if phase == _BODY and self.pipeline:
            self.pipeline.popleft()  # its body never came whole, so it never starts
            self._parting = answer
        elif phase == _BODY:
            started = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
            self._part(None if started else answer, linger=refusal.status not in _TRANSIENT)
        elif cycle is None or cycle.response_complete:
            self._part(answer, linger=refusal.status not in _TRANSIENT)
        else:
            self._parting = answer

    def _part(self, answer: bytes | None, *, linger: bool = True) -> None:
        """Say the last words and close, at once or once the client had time to read them.

        Closing over unread bytes makes the kernel send a reset, which wipes out the answer.
        """
        self._phase = _SHUT
        self._since = self.sweep.now
        self._parting = None
        if answer is not None:
            self.transport.write(answer)
        if linger and self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
        else:
            self.transport.close()

    # The sweep's side

    def check(self, elapsed: float) -> None:
        """Once a round: end this connection if one of its times has run out."""
        if self._stalled():
            self.transport.abort()
        elif self.transport.is_closing():
            pass
        elif self.flow.read_paused or self._awaits_continue():
            # It is we who are not reading: the client's clocks stand still.
            self._since += elapsed
            self._progressed = self.sweep.now
        else:
            self._check_phase(self.sweep.now - self._since - self.sweep.period)

    def _check_phase(self, spent: float) -> None:
        limits = self.limits
        if self._phase == _HEAD:
            if spent > limits.header_timeout:
                self._refuse(_late(f"no complete header within {limits.header_timeout:g} s"))
        elif self._phase == _BODY:
            self._check_body(spent)
        elif self._phase == _SHUT:
            if self._parting is None and spent > _LINGER:
                self.transport.abort()
        elif self.cycle is None:
            if spent > limits.header_timeout:
                self._refuse(_late(f"no request within {limits.header_timeout:g} s"))
        elif self.cycle.response_complete and spent > limits.idle_timeout:
            self.transport.close()

    def _awaits_continue(self) -> bool:
        return (
            self._phase == _BODY
            and self.cycle.waiting_for_100_continue
            and not self.cycle.response_complete
        )

    def _check_body(self, spent: float) -> None:
        now, patience = self.sweep.now, self.limits.body_timeout
        if self._body_bytes != self._body_seen:
            self._body_seen = self._body_bytes
            self._progressed = now
        silent = now - max(self._progressed, self._since) - self.sweep.period
        if silent > patience:
            self._refuse(_late(f"no more of the body within {patience:g} s"))
        elif spent > patience + self._body_bytes / _SLOWEST:
            self._refuse(_late(f"the body comes in slower than {_SLOWEST} bytes a second"))

    def _stalled(self) -> bool:
        """Whether the client has taken nothing of what waits for it during `send_timeout`."""
        now = self.sweep.now
        waiting = self.transport.get_write_buffer_size()
        # Below the high-water mark the application may still be adding, which hides what was taken.
        settled = self.flow.write_paused or self.transport.is_closing() or self._quiet()
        if not waiting or not settled or waiting < self._unsent:
            self._flushed = now
        self._unsent = waiting
        patience = self.limits.send_timeout
        if self.sweep.crowded:
            patience = min(patience, _HURRY)
        return now - self._flushed > patience + self.sweep.period

    @property
    def stuck(self) -> bool:
        """Whether the client has taken nothing of what waits for it for some rounds."""
        return self._unsent > 0 and self.sweep.now - self._flushed > 2 * self.sweep.period

    def _quiet(self) -> bool:
        return self.cycle is None or self.cycle.response_complete or self._phase == _SHUT


def guarded(limits: Limits, sweep: Sweep) -> type[GuardedProtocol]:
    """Make the protocol class for `uvicorn.Config(http=...)` of one listener."""
    short_length = len(str(limits.body)) - 1
    attributes = {"limits": limits, "short_length": short_length, "sweep": sweep}
    return type("GuardedProtocol", (GuardedProtocol,), attributes)


def _absolute(target: bytes) -> bool:
    return target == b"*" or target.lower().startswith((b"http://", b"https://"))


def _reason(fault: httptools.HttpParserError) -> Refusal:
    """Our own refusal if a callback raised one, else the parser's complaint."""
    if isinstance(fault.__context__, Refusal):
        return fault.__context__
    if isinstance(fault, httptools.HttpParserCallbackError):
        return _bad("invalid_request", "the request target cannot be read as a URL")
    return _bad("invalid_framing", f"not valid HTTP/1.1: {fault}")
