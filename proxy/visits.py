"""What a request to the data port was, from its head to its last byte, for whoever keeps a record.

Only where somebody does: without a record nothing here is in the way of a request. A visit knows no
prompt, no answer and no credential.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Protocol

from proxy.outings import TRACE, harmless
from proxy.protocol import WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.types import Message, Receive, Scope, Send

    from policies.record import Decision
    from proxy.exchange import Trail
    from proxy.outings import Trace
    from proxy.upstream import Headers

# Asked every few seconds by load balancers, which nobody wants to read about.
HEALTH = frozenset({"/healthz", "/readyz"})
# W3C Trace Context; its first header has version, trace, span and flags.
CONTEXT = frozenset({b"traceparent", b"tracestate"})
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
VISIT: ContextVar[Visit | None] = ContextVar("likewise_visit", default=None)


class Visit:
    """One request. `at` is Unix time, `seconds` from the head to the last byte, `size` the bytes of
    the answer's body; `complete` says whether all of them were handed to the connection.

    `code` is set where Likewise refused the request, `upstream` where it only passed it on. A
    decision of the engine is `trail`, or `row`, `number` and `tenant` for a byte-identical repeat.
    """

    # Defaults stand on the class: most of them are never set.
    status = size = number = 0
    seconds = 0.0
    complete = False
    code = upstream = owner = ""
    tenant: str | None = None
    trail: Trail | None = None
    row: Decision | None = None
    trace: Trace | None = None

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.steps: list[tuple[str, float, float]] = []
        self._context: Headers = [line for line in scope["headers"] if line[0] in CONTEXT]
        self.path: str = scope["path"]
        self.at = time.time()
        self.began = time.perf_counter()

    @property
    def trace_id(self) -> str:
        """The trace that this request belongs to: its own, else the caller's, else empty."""
        if self.trace is not None:
            return self.trace.id
        told = next((value for name, value in self._context if name == b"traceparent"), b"")
        found = _TRACEPARENT.fullmatch(told)
        return "" if found is None else found[1].decode()

    async def send(self, send: Send, message: Message) -> None:
        """Pass a message on, and take note of it."""
        await send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        self.size += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)

    def whole(self, write: Callable[[bytes], bool], answer: bytes) -> bool:
        """The same for an answer out of memory, whose head and body are written at once."""
        if not write(answer):
            return False
        self.status, self.complete = 200, True
        self.size = len(answer) - answer.index(b"\r\n\r\n") - 4
        return True

    def over(self, records: Sequence[Record]) -> None:
        """The last byte was sent: put it on record once its own call, if it made one, is done."""
        self.seconds = time.perf_counter() - self.began
        if self.trail is None:
            self._enter(records)
        else:
            self.trail.settled(partial(self._enter, records))

    def _enter(self, records: Sequence[Record]) -> None:
        for record in records:
            record.end(self)
        if self.trace is not None:
            with harmless():
                self.trace.end()

    def traced(self, traces: Traces | None) -> None:
        """Begin its trace, where traces are made."""
        if traces is not None:
            with harmless():
                self.trace = traces.begin(self, self._context)


class Traces(Protocol):
    """Whoever makes traces."""

    def begin(self, visit: Visit, context: Headers) -> Trace:
        """The trace of a visit; `context` are the headers in which its caller names one."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """A part of the visit under way, with its time."""
    visit = VISIT.get()
    if visit is None:
        yield
        return
    began = time.perf_counter()
    try:
        yield
    finally:
        visit.steps.append((name, began, time.perf_counter()))


class Record(Protocol):
    """Whoever writes visits down. It must not wait for anything, nor raise."""

    def end(self, visit: Visit) -> None: ...


class Port(Protocol):
    """The data port."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    def at_once(self, scope: Scope, body: bytes | bytearray) -> bool: ...


class Watched:
    """The data port, with every visit put on record."""

    def __init__(self, port: Port, records: Sequence[Record], traces: Traces | None = None) -> None:
        self._port = port
        self._traces = traces
        self._records = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in HEALTH:
            await self._port(scope, receive, send)
            return
        visit = Visit(scope)
        visit.traced(self._traces)
        if (write := scope.get(WHOLE)) is not None:
            scope[WHOLE] = partial(visit.whole, write)
        token, traced = VISIT.set(visit), TRACE.set(visit.trace)
        try:
            await self._port(scope, receive, partial(visit.send, send))
        finally:
            VISIT.reset(token)
            TRACE.reset(traced)
            visit.over(self._records)

    def at_once(self, scope: Scope, body: bytes | bytearray) -> bool:
        """As the port's own: whether it was answered here and now."""
        visit, write = Visit(scope), scope[WHOLE]
        scope[WHOLE] = partial(visit.whole, write)
        token = VISIT.set(visit)
        try:
            done = self._port.at_once(scope, body)
        finally:
            VISIT.reset(token)
        if done:
            visit.traced(self._traces)
            visit.over(self._records)
        else:
            scope[WHOLE] = write
        return done
