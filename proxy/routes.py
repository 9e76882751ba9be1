"""The data port: a raw ASGI application. Reads requests, hands them to the engine, passes the rest.

In front of any framework, because routing and wrapping cost several times an exact hit's own work
(docs/decisions.md). Decides nothing about memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from proxy import directives
from proxy.dialects.canonical import BadBody, encode, has_floats, parse
from proxy.dialects.envelope import openai_error
from proxy.dialects.listing import BY_PATH
from proxy.dialects.ports import Frame
from proxy.directives import BadDirective
from proxy.engine import Ask
from proxy.identity import CREDENTIAL_HEADERS
from proxy.upstream import UpstreamFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Message, Receive, Scope, Send

    from policies.values import Directives, Owners
    from proxy.dialects.ports import Dialect
    from proxy.engine import Engine
    from proxy.identity import Identity
    from proxy.settings import Upstream
    from proxy.upstream import Headers

LOG = logging.getLogger("likewise.routes")

# Headers that shape an answer join the fingerprint; those that steer the cache are read.
SHAPING = frozenset({
    b"anthropic-version", b"anthropic-beta", b"openai-beta", b"openai-organization",
    b"openai-project",
})  # fmt: skip
_READ = SHAPING | {*CREDENTIAL_HEADERS, b"cache-control", b"content-encoding", b"via"}
_OURS = b"x-likewise-"
_MEMO_BODY = 16_384
_MEMO_ITEMS = 4_096
_JSON = (b"content-type", b"application/json")


class DataPort:
    """The application that clients' base URLs point at."""

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        *,
        body_limit: int,
        ready: Callable[[], tuple[bool, str]],
    ) -> None:
        self._engine = engine
        self._identity = identity
        self._limit = body_limit
        self._ready = ready
        self._memo: OrderedDict[tuple[Any, ...], Ask] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        dialect = BY_PATH.get(scope["path"])
        if dialect is not None and scope["method"] == "POST":
            await self._cached(dialect, scope, receive, send)
        elif scope["path"] in ("/healthz", "/readyz"):
            await self._health(scope, send)
        else:
            await self._pass_through(scope, receive, send)

    # -- cached routes ---------------------------------------------------------------------------

    async def _cached(self, dialect: Dialect, scope: Scope, receive: Receive, send: Send) -> None:
        caller = _Caller(send)
        try:
            body = await _read(receive, self._limit)
            if body is None:
                return  # the client left before its request was whole
            ask = self._ask(dialect, scope, body)
            await self._engine.answer(ask, scope["headers"], caller)
        except _Refused as refused:
            await caller.refuse(dialect, refused)
        except Exception:
            LOG.exception("answering a request failed")
            if not caller.started:
                said = "Likewise failed on this request; its log has the details."
                await caller.refuse(dialect, _Refused(500, "internal_error", said))

    def _ask(self, dialect: Dialect, scope: Scope, body: bytes) -> Ask:
        """The request as the engine takes it; byte-identical repeats share one."""
        seen = [line for line in scope["headers"] if line[0] in _READ or line[0].startswith(_OURS)]
        key = (scope["path"], scope["query_string"], *seen, body)
        ask = self._memo.get(key)
        if ask is not None and ask.settled_under(self._engine.rules):
            self._memo.move_to_end(key)
            return ask
        ask = self._parse(dialect, scope, seen, body)
        if len(body) <= _MEMO_BODY:
            self._memo[key] = ask
            if len(self._memo) > _MEMO_ITEMS:
                self._memo.popitem(last=False)
        return ask

    def _parse(self, dialect: Dialect, scope: Scope, seen: Headers, raw: bytes) -> Ask:
        headers = {name: value for name, value in seen}  # noqa: C416 - bytes pairs of two sources
        _refuse_loop(seen)
        if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            said = "Request bodies must not be compressed: send Content-Encoding: identity."
            raise _Refused(415, "unsupported_content_encoding", said)
        try:
            body = parse(raw)
            asked = self._directives(headers, body)
            if "cache" in body:
                asked = directives.with_field(asked, body.pop("cache"))
                raw = encode(body, floats=False)
        except BadBody as fault:
            raise _Refused(400, fault.code, str(fault), fault.param) from None
        except BadDirective as fault:
            raise _Refused(400, "invalid_value", str(fault), fault.param) from None
        upstream = self._upstream(body)
        frame = Frame(
            owners=self._owners(headers, dialect.end_user(body)),
            upstream=f"{upstream.name} {upstream.base_url}",
            headers=b"\0".join(b"%s:%s" % line for line in sorted(seen) if line[0] in SHAPING),
            directives=asked,
            floats=has_floats(raw),
        )
        return Ask(
            dialect=dialect,
            query=dialect.read(body, frame),
            form=dialect.form(body),
            upstream=upstream,
            target=_target(scope),
            body=raw,
            strict=dialect.wants_json(body),
        )

    def _directives(self, headers: dict[bytes, bytes], body: dict[str, Any]) -> Directives:
        ours = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers.items()
            if name.startswith(_OURS)
        }
        asked = directives.read(headers.get(b"cache-control", b"").decode("latin-1"), ours)
        if asked.category is not None and self._engine.rules.named(asked.category) is None:
            known = ", ".join(
                c.name for c in (*self._engine.rules.categories, self._engine.rules.defaults)
            )
            said = f"there is no category {asked.category!r:.60}; known: {known}"
            raise BadDirective("x-likewise-category", said)
        return asked

    def _owners(self, headers: dict[bytes, bytes], user: str | None) -> Owners:
        for name in CREDENTIAL_HEADERS:
            if name in headers:
                return self._identity.owners(headers[name], user)
        return self._identity.owners(b"", user)

    def _upstream(self, body: dict[str, Any]) -> Upstream:
        model = body.get("model")
        found = self._engine.upstreams.serving(model if isinstance(model, str) else "")
        if found is None:
            said = f"No upstream serves the model {str(model)[:80]!r}."
            raise _Refused(404, "model_not_found", said, "model")
        return found

    # -- everything else -------------------------------------------------------------------------

    async def _health(self, scope: Scope, send: Send) -> None:
        ready, said = self._ready() if scope["path"] == "/readyz" else (True, "ok")
        body = said.encode() + b"\n"
        lines = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await _Caller(send).reply(200 if ready else 503, lines, body)

    async def _pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any other path: both bodies streamed as they come, nothing read, nothing kept."""
        caller = _Caller(send)
        try:
            _refuse_loop(scope["headers"])
            upstream = self._engine.upstreams.passthrough()
            if upstream is None:
                said = "Several upstreams are configured and none is marked `passthrough: true`."
                raise _Refused(404, "no_passthrough", said)  # noqa: TRY301 - one way out for all
            await self._relay(upstream, scope, receive, caller)
        except _Refused as refused:
            await caller.fail(refused, _openai(refused))
        except UpstreamFault as fault:
            if not caller.started:
                ours = _Refused(fault.status, fault.code, str(fault))
                await caller.fail(ours, _openai(ours))

    async def _relay(
        self, upstream: Upstream, scope: Scope, receive: Receive, caller: _Caller
    ) -> None:
        upload = _Upload(receive)
        has_body = any(n in (b"content-length", b"transfer-encoding") for n, _ in scope["headers"])
        headers = list(scope["headers"])
        length = next((v for n, v in headers if n == b"content-length"), None)
        answer = await self._engine.upstreams.send(
            upstream,
            scope["method"],
            _target(scope),
            headers,
            upload.chunks() if has_body and length != b"0" else None,
            length=length,
        )
        gone = asyncio.ensure_future(upload.gone())
        try:
            await caller.start(answer.status, answer.headers)
            async for chunk in answer.chunks():
                if gone.done():
                    return
                await caller.write(chunk)
            await caller.end()
        finally:
            gone.cancel()
            answer.close()


class _Refused(Exception):
    """A request that Likewise answers itself, in the caller's envelope."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class _Caller:
    """The engine's `Caller` over ASGI."""

    __slots__ = ("_send", "started")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, dialect: Dialect, refused: _Refused) -> None:
        body = dialect.error(refused.status, str(refused), code=refused.code, param=refused.param)
        await self.fail(refused, body)

    async def fail(self, refused: _Refused, body: bytes) -> None:
        lines: Headers = [_JSON, (b"content-length", b"%d" % len(body))]
        if refused.status == 508:  # noqa: PLR2004 - Loop Detected
            lines.append((b"x-should-retry", b"false"))
        if refused.status == 415:  # noqa: PLR2004 - Unsupported Media Type
            lines.append((b"accept-encoding", b"identity"))
        await self.reply(refused.status, lines, body)


class _Upload:
    """A request body on its way through, and afterwards the news that the client left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left.set()
                raise UpstreamFault(499, "client_left", "The client left.")
            if message.get("body"):
                yield message["body"]
            more = message.get("more_body", False)

    async def gone(self) -> None:
        """Return when the client has left."""
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect" and not self._left.is_set():
            message = await self._receive()


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None when the client left; refuses what is too large."""
    message = await receive()
    if message["type"] != "http.request":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> _Refused:
    return _Refused(413, "request_too_large", f"The request body is larger than {limit} bytes.")


def _refuse_loop(headers: Any) -> None:
    for name, value in headers:
        if name == b"via" and b"likewise" in value:
            said = "This request has been through Likewise already: an upstream points back at it."
            raise _Refused(508, "loop_detected", said)


def _target(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")


def _openai(refused: _Refused) -> bytes:
    kind = "invalid_request_error" if refused.status < 500 else "server_error"  # noqa: PLR2004
    return openai_error(str(refused), kind=kind, code=refused.code, param=refused.param)
