"""The data port: a raw ASGI application. Reads requests, hands them to the engine, passes the rest.

In front of any framework, because routing and wrapping cost several times an exact hit's own work
(docs/decisions.md). Decides nothing about memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from proxy import directives, feedback
from proxy.batch import Order, itemised
from proxy.caller import AsgiCaller, Refused, at_once
from proxy.coding import Damaged, TooLarge, UnknownCoding, decode
from proxy.cors import is_preflight
from proxy.dialects.canonical import BadBody, has_floats, parse
from proxy.dialects.envelope import openai_error, openai_kind
from proxy.dialects.listing import route
from proxy.dialects.ports import Frame
from proxy.dialects.responses import is_alias
from proxy.directives import BadDirective
from proxy.exchange import Ask
from proxy.identity import CREDENTIAL_HEADERS, presented
from proxy.protocol import WHOLE
from proxy.repeats import OURS, Repeats, key_of, lines_of, shape
from proxy.settings import is_local
from proxy.upstream import UpstreamFault
from proxy.visits import VISIT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.types import Message, Receive, Scope, Send

    from policies.values import Directives
    from proxy.burden import Share
    from proxy.cors import Cors
    from proxy.dialects.ports import Dialect
    from proxy.engine import Engine
    from proxy.feedback import Feedback
    from proxy.identity import Identity
    from proxy.settings import Upstream
    from proxy.upstream import Headers

LOG = logging.getLogger("likewise.routes")

# Paths of Likewise's own are never an upstream's business.
_RESERVED = "/v1/likewise/"
# A response that the vendor keeps, by its id, and what hangs on it.
_KEPT = re.compile(r"(?:/openai)?(?:/v1)?/responses/([^/]+)(?:/.*)?")
# Reading a body of many megabytes takes long enough to be noticed by everybody else.
_LONG = 262_144


class DataPort:
    """The application that clients' base URLs point at."""

    def __init__(
        self,
        engine: Engine,
        identity: Identity,
        verdicts: Feedback,
        *,
        body_limit: int,
        ready: Callable[[], tuple[bool, str]],
        cors: Cors,
    ) -> None:
        self._engine = engine
        self._burden = engine.flights.burden
        self._identity = identity
        self._verdicts = verdicts
        self._limit = body_limit
        self._ready = ready
        self._cors = cors
        self._repeats = Repeats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._cors and (origin := self._cors.allowed(scope["headers"])) is not None:
            if is_preflight(scope["method"], scope["headers"]):
                lines = self._cors.preflight(origin, scope["headers"])
                await AsgiCaller(send).reply(204, lines, b"")
                return
            send = self._marked(origin, scope, send)
        path = scope["path"]
        known = route(path) if scope["method"] == "POST" else None
        if known is not None:
            await self._cached(*known, scope, receive, send)
        elif path == feedback.PATH:
            await self._rate(scope, receive, send)
        elif path in ("/healthz", "/readyz"):
            await self._health(scope, send)
        elif path.startswith(_RESERVED):
            refused = Refused(404, "unknown_path", f"There is no {path[:80]} here.")
            await self._fail(AsgiCaller(send), refused, _openai(refused))
        elif (named := _KEPT.fullmatch(path)) is not None and is_alias(named[1]):
            # The vendor never heard of it; who continues from it has to know why that fails.
            said = f"Previous response with id '{named[1][:80]}' not found."
            refused = Refused(400, "previous_response_not_found", said, "response_id")
            await self._fail(AsgiCaller(send), refused, _openai(refused))
        else:
            await self._pass_through(scope, receive, send)

    def at_once(self, scope: Scope, body: bytes | bytearray) -> bool:
        """Answer a byte-identical repeat, here in full, without a task of its own; whether it did.

        What comes by another way than memory's, or may not, is left to be called as usual.
        """
        if self._cors and self._cors.allowed(scope["headers"]) is not None:
            return False
        whole = scope[WHOLE]
        try:
            known = key_of(scope, lines_of(scope), bytes(body))
            ask = self._repeats.read_before(known, self._engine.rules)
            if ask is None:
                return False
            return self._engine.repeat(ask, partial(at_once, whole))
        except Exception:
            LOG.exception("answering a repeat failed")
            return False

    def _marked(self, origin: bytes, scope: Scope, send: Send) -> Send:
        """`send` for a page of another site: each answer says that the page may read it."""
        scope.pop(WHOLE, None)
        cors = self._cors

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                lines = cors.mark(origin, list(message["headers"]))
                message = {**message, "headers": lines}
            await send(message)

        return marked

    # -- cached routes ---------------------------------------------------------------------------

    async def _cached(
        self, dialect: Dialect, deployment: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        caller, share = AsgiCaller(send, receive, scope.get(WHOLE)), self._burden.share()
        try:
            body = await _read(receive, self._limit, share)
            if body is None:
                return  # the client left before its request was whole
            coded = any(name == b"content-encoding" for name, _ in scope["headers"])
            if len(body) <= _LONG and not coded:
                ask = self._ask(dialect, deployment, scope, body)
            else:
                ask = await asyncio.to_thread(self._ask, dialect, deployment, scope, body)
            await self._engine.answer(ask, scope["headers"], caller)
        except asyncio.CancelledError:
            if not caller.left:
                raise
        except Refused as refused:
            await self._refuse(dialect, caller, refused)
        except Exception:
            LOG.exception("answering a request failed")
            if not caller.started:
                said = "Likewise failed on this request; its log has the details."
                await self._refuse(dialect, caller, Refused(500, "internal_error", said))
        finally:
            share.give_all()
            caller.close()

    async def _refuse(self, dialect: Dialect, caller: AsgiCaller, refused: Refused) -> None:
        """Answer what never became a decision: the log, not the journal, knows its id."""
        number = b"%016x" % self._engine.ids()
        LOG.info("request %s: refused with %d %s", number.decode(), refused.status, refused.code)
        body = dialect.error(refused.status, str(refused), code=refused.code, param=refused.param)
        await self._fail(caller, refused, body, [(b"x-likewise-request", number)])

    async def _fail(
        self, caller: AsgiCaller, refused: Refused, body: bytes, more: Headers | None = None
    ) -> None:
        """Answer with an error of our own, and count it."""
        self._engine.meters.errors[refused.code] += 1
        await caller.fail(refused, body, more)

    def _ask(self, dialect: Dialect, deployment: str, scope: Scope, body: bytes) -> Ask:
        """The request as the engine takes it; byte-identical repeats share one."""
        lines = lines_of(scope)
        known = key_of(scope, lines, body)
        ask = self._repeats.read_before(known, self._engine.rules)
        if ask is None:
            ask = self._parse(dialect, deployment, scope, lines, body)
            # Many small items weigh far more than their body.
            if not isinstance(ask, Order):
                self._repeats.keep(known, ask)
        return ask

    def _parse(
        self, dialect: Dialect, deployment: str, scope: Scope, seen: Headers, raw: bytes
    ) -> Ask:
        headers: dict[bytes, bytes] = {}
        for name, value in seen:  # lines of one name are one list (RFC 9110 §5.2)
            headers[name] = headers[name] + b", " + value if name in headers else value
        _refuse_loop(seen)
        if b"content-encoding" in headers:
            raw = self._plain(raw, headers[b"content-encoding"].decode("latin-1"))
        try:
            body = parse(raw)
            asked = self._directives(headers)
            if "cache" in body:
                asked = directives.with_field(asked, body.pop("cache"))
                raw = orjson.dumps(body)
        except BadBody as fault:
            raise Refused(400, fault.code, str(fault), fault.param) from None
        except BadDirective as fault:
            raise Refused(400, "invalid_value", str(fault), fault.param) from None
        upstream = self._upstream(dialect, deployment or body.get("model"))
        self._refuse_foreign_page(seen, upstream)
        frame = Frame(
            owners=self._identity.owners(presented(seen), dialect.end_user(body)),
            upstream=upstream.service,
            headers=shape(scope["query_string"], seen),
            directives=asked,
            floats=has_floats(raw),
            deployment=deployment,
        )
        try:
            query = dialect.read(body, frame)
        except BadBody as fault:
            raise Refused(400, fault.code, str(fault), fault.param) from None
        ask = Ask(
            dialect=dialect,
            query=query,
            form=dialect.form(body),
            upstream=upstream,
            target=_target(scope),
            body=raw,
            strict=dialect.wants_json(body),
        )
        return itemised(ask, body)

    def _plain(self, raw: bytes, coding: str) -> bytes:
        """A body without its content coding."""
        try:
            return decode(raw, coding, self._limit)
        except UnknownCoding as fault:
            said = f"The content coding {str(fault)!r} is not understood: send gzip or none."
            raise Refused(415, "unsupported_content_encoding", said) from None
        except TooLarge:
            raise _too_large(self._limit) from None
        except Damaged as fault:
            said = f"The request body cannot be uncompressed: {fault}."
            raise Refused(400, "invalid_content_encoding", said) from None

    def _directives(self, headers: dict[bytes, bytes]) -> Directives:
        ours = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers.items()
            if name.startswith(OURS)
        }
        asked = directives.read(headers.get(b"cache-control", b"").decode("latin-1"), ours)
        if asked.category is not None and self._engine.rules.named(asked.category) is None:
            known = ", ".join(
                c.name for c in (*self._engine.rules.categories, self._engine.rules.defaults)
            )
            said = f"there is no category {asked.category!r:.60}; known: {known}"
            raise BadDirective("x-likewise-category", said)
        return asked

    def _upstream(self, dialect: Dialect, model: Any) -> Upstream:
        named = model if isinstance(model, str) else ""
        found = self._engine.upstreams.serving(named, dialect.apis)
        if found is None:
            said = f"No upstream serves the model {str(model)[:80]!r}."
            raise Refused(404, "model_not_found", said, "model")
        return found

    def _refuse_foreign_page(self, headers: Headers, upstream: Upstream) -> None:
        """A page of another site may make a browser ask here; unless it is allowed to, it must not
        spend the operator's key."""
        if upstream.api_key is not None and self._is_foreign(headers):
            said = (
                "A web page of another origin may not use the key configured here; "
                "send one of its own, or allow the origin under server.cors."
            )
            raise Refused(403, "foreign_origin", said)

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a page of a site that is not allowed here asks, without a key of its own."""
        origin = next((value for name, value in headers if name == b"origin"), None)
        if origin is None or any(n in CREDENTIAL_HEADERS for n, _ in headers):
            return False
        if self._cors.allowed(headers) is not None:
            return False
        return not is_local(urlsplit(origin.decode("latin-1")).hostname or "")

    # -- verdicts on answers ---------------------------------------------------------------------

    async def _rate(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Feedback: taken here, and never forwarded."""
        caller = AsgiCaller(send)
        try:
            if scope["method"] != "POST":
                raise Refused(405, "method_not_allowed", "Send feedback by POST.")  # noqa: TRY301 - one way out for all
            if self._is_foreign(scope["headers"]):
                said = "A web page of another origin may not rate answers without a key."
                raise Refused(403, "foreign_origin", said)  # noqa: TRY301
            body = await _read(receive, feedback.MOST_BYTES, self._burden.share())
            if body is None:
                return
            owner = self._identity.owners(presented(scope["headers"]), None).key
            status, told, lines = await self._verdicts.take(owner, body)
            await caller.reply(status, [*lines, (b"content-length", b"%d" % len(told))], told)
        except Refused as refused:
            await self._fail(caller, refused, _openai(refused))
        except Exception:
            LOG.exception("taking a verdict failed")
            failed = Refused(500, "internal_error", "Likewise failed; its log has the details.")
            await self._fail(caller, failed, _openai(failed))

    # -- everything else -------------------------------------------------------------------------

    async def _health(self, scope: Scope, send: Send) -> None:
        ready, said = self._ready() if scope["path"] == "/readyz" else (True, "ok")
        body = said.encode() + b"\n"
        lines = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
        await AsgiCaller(send).reply(200 if ready else 503, lines, body)

    async def _pass_through(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any other path: both bodies streamed as they come, nothing read, nothing kept."""
        caller = AsgiCaller(send)
        try:
            _refuse_loop(scope["headers"])
            upstream = self._engine.upstreams.passthrough()
            if upstream is not None:
                self._refuse_foreign_page(scope["headers"], upstream)
            if upstream is None:
                said = "Several upstreams are configured and none is marked `passthrough: true`."
                raise Refused(404, "no_passthrough", said)  # noqa: TRY301 - one way out for all
            await self._admitted(upstream, scope, receive, caller)
        except Refused as refused:
            await self._fail(caller, refused, _openai(refused))
        except UpstreamFault as fault:
            if not caller.started:
                ours = Refused(fault.status, fault.code, str(fault), after=fault.after)
                await self._fail(caller, ours, _openai(ours))

    async def _admitted(
        self, upstream: Upstream, scope: Scope, receive: Receive, caller: AsgiCaller
    ) -> None:
        """Relay what the quota of its key lets through."""
        key = self._identity.owners(presented(scope["headers"]), None).key
        if (visit := VISIT.get()) is not None:
            visit.upstream, visit.owner = upstream.name, key
        exceeded = self._engine.quotas.enter(key)
        if exceeded is not None:
            code = "rate_limit_exceeded"
            raise Refused(429, code, exceeded.said, after=exceeded.after)
        try:
            await self._relay(upstream, scope, receive, caller, key)
        finally:
            self._engine.quotas.leave(key)

    async def _relay(
        self, upstream: Upstream, scope: Scope, receive: Receive, caller: AsgiCaller, key: str
    ) -> None:
        has_body = any(n in (b"content-length", b"transfer-encoding") for n, _ in scope["headers"])
        headers = list(scope["headers"])
        length = next((v for n, v in headers if n == b"content-length"), None)
        has_body = has_body and length != b"0"
        upload = _Upload(receive, has_body=has_body)
        answer = await self._engine.upstreams.send(
            upstream,
            scope["method"],
            _target(scope),
            headers,
            upload.chunks() if has_body else None,
            length=length,
            caller=key,
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


class _Upload:
    """A request body on its way through, and afterwards the news that the client left."""

    def __init__(self, receive: Receive, *, has_body: bool) -> None:
        self._receive = receive
        self._left = False
        self._taken = asyncio.Event()
        if not has_body:
            self._taken.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        more = True
        try:
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._left = True
                    raise UpstreamFault(499, "client_left", "The client left.")
                if message.get("body"):
                    yield message["body"]
                more = message.get("more_body", False)
        finally:
            self._taken.set()

    async def gone(self) -> None:
        """Return when the client has left. An answer may come before the body's end: until then
        what arrives is the upstream's."""
        await self._taken.wait()
        message: Message = {"type": ""}
        while message["type"] != "http.disconnect" and not self._left:
            message = await self._receive()


async def _read(receive: Receive, limit: int, share: Share) -> bytes | None:
    """The whole body, or None when the client left; refuses what is too large, and what comes in
    parts while too much is held already. What comes at once is small, and not counted."""
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
        part = message.get("body", b"")
        size += len(part)
        if share.full:
            raise _overloaded()
        if size <= limit:
            parts.append(part)
            share.take(len(part))
        elif size > 2 * limit:
            break  # enough: who is only a little over gets to hear it on a connection that stays
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Refused:
    return Refused(413, "request_too_large", f"The request body is larger than {limit} bytes.")


def _overloaded() -> Refused:
    said = "Likewise holds as many bytes of requests and answers as it may: ask again soon."
    return Refused(503, "overloaded", said, after=1.0)


def _refuse_loop(headers: Any) -> None:
    for name, value in headers:
        if name == b"via" and b"likewise" in value:
            said = "This request has been through Likewise already: an upstream points back at it."
            raise Refused(508, "loop_detected", said)


def _target(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")


def _openai(refused: Refused) -> bytes:
    kind = openai_kind(refused.status)
    return openai_error(str(refused), kind=kind, code=refused.code, param=refused.param)
