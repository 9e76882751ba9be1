"""The way out: one pooled client that forwards requests, and the rules for their headers.

aiohttp, because it is measured several times cheaper than httpx under load (docs/decisions.md).
It never follows redirects, decodes bodies, keeps cookies or reads proxy settings of the
environment. A request is sent again only where nothing of it was sent. Nothing here stores.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from dataclasses import dataclass, replace
from email.utils import mktime_tz, parsedate_tz
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from index.errors import SetupError
from proxy.breakers import Breakers
from proxy.gates import Gates
from proxy.outings import outing
from proxy.refusals import REFUSING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container, Iterable, Sequence
    from types import SimpleNamespace

    from proxy.breakers import Wait
    from proxy.burden import Share
    from proxy.outings import Outing
    from proxy.settings import Upstream

Headers = list[tuple[bytes, bytes]]

VIA = b"1.1 likewise"
# Before a refused connection is tried once more: a server that restarts is soon back.
AGAIN_AFTER = 0.1
_FAILED = frozenset({"bad_gateway", "upstream_timeout"})
# RFC 9110 §15: what is no status code cannot be passed on as one.
_LOWEST, _HIGHEST = 200, 599
# RFC 9110 §7.6.1, and what the client library sets itself.
HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
    b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
_OURS = frozenset({b"host", b"content-length", b"expect"})
# No caching client's directives or our own controls travel on.
_CONTROLS = (b"x-likewise-", b"cache-control", b"pragma")


class UpstreamFault(Exception):
    """No usable answer came. `status` and `code` are what the caller is told, and to come back
    `after` so many seconds, where that is known."""

    def __init__(self, status: int, code: str, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.after = after


class Unsent(UpstreamFault):
    """Nothing was sent, so another upstream may be asked."""


class Unreached(Unsent):
    """No connection was made; `quick` where that was soon known."""

    def __init__(self, message: str, *, quick: bool) -> None:
        super().__init__(502, "upstream_unreachable", message)
        self.quick = quick


def _nothing() -> None:
    pass


@dataclass(slots=True)
class Answer:
    """The answer of the upstream of that name, its body still on the way."""

    status: int
    headers: Headers
    response: aiohttp.ClientResponse
    upstream: str
    release: Callable[[], None]
    outing: Outing | None = None

    def header(self, name: str) -> str:
        """A header's value, several lines of it joined as RFC 9110 §5.2 says."""
        return ", ".join(self.response.headers.getall(name, ()))

    @property
    def framed(self) -> bool:
        """Whether the body's end can be told from a connection that broke off."""
        headers = self.response.headers
        return "Content-Length" in headers or "Transfer-Encoding" in headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises `UpstreamFault` when it breaks off."""
        try:
            async for chunk in self.response.content.iter_any():
                yield chunk
        except TimeoutError as fault:
            raise UpstreamFault(504, "upstream_timeout", "The upstream stopped sending.") from fault
        except aiohttp.ClientError as fault:
            raise UpstreamFault(502, "bad_gateway", "The upstream's answer broke off.") from fault

    async def read(self, most: int, share: Share | None = None) -> tuple[bytes, bool]:
        """Up to about `most` bytes and whether that was all; fewer where `share` is full."""
        parts, size = [], 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if share is not None:
                share.take(len(chunk))
            if size > most or (share is not None and share.full):
                return b"".join(parts), False
        return b"".join(parts), True

    def close(self) -> None:
        """Let the connection go; drops it when the body is not finished."""
        release, self.release = self.release, _nothing
        release()
        if self.outing is not None:
            self.outing.end()
            self.outing = None
        self.response.release() if self.response.content.at_eof() else self.response.close()


@dataclass(frozen=True, slots=True)
class _Call:
    """What is to be sent, whoever takes it."""

    method: str
    target: str
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None
    identity: bool
    length: bytes | None
    model: str
    caller: str


class Upstreams:
    """The configured upstreams behind one connection pool."""

    def __init__(self, configured: Sequence[Upstream]) -> None:
        self.breakers = Breakers()
        self._gates = Gates()
        self._configured = tuple(configured)
        self._probing: aiohttp.ClientSession | None = None
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    def serving(self, model: str, apis: Container[str]) -> Upstream | None:
        """The first upstream whose model list admits `model`.

        Of several, only one that takes the keys of the caller's own API: a key of one vendor is
        never shown to another.
        """
        alone = len(self._configured) == 1
        for upstream in self._configured:
            if (alone or upstream.api in apis) and _serves(upstream, model):
                return upstream
        return None

    def passthrough(self) -> Upstream | None:
        """Where a path that names no model goes: the only upstream, or the one that says so."""
        if len(self._configured) == 1:
            return self._configured[0]
        return next((u for u in self._configured if u.passthrough), None)

    async def start(self) -> None:
        """Open the pool. Raises `SetupError` where a `ca` bundle cannot be read."""
        for upstream in self._configured:
            try:
                self._trust(upstream)
            except OSError as fault:
                said = f"upstream {upstream.name}: ca {upstream.ca} is no readable PEM bundle"
                raise SetupError(f"{said} ({fault.strerror or fault})") from fault
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._session = _session(connector)
        self._probing = _session(connector, on_connect=self.breakers.reached)

    async def send(
        self,
        to: Upstream,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | AsyncIterator[bytes] | None,
        *,
        identity: bool = False,
        length: bytes | None = None,
        model: str = "",
        caller: str = "",
    ) -> Answer:
        """Send one request; returns when the answer's headers are there.

        `target` is the caller's raw path with its query. `identity` asks for an uncoded body;
        `length` is a streamed body's declared length, kept as declared. Where `model` is told,
        others of the upstream's pool stand in for it while nothing was sent.
        Raises `UpstreamFault`.
        """
        call = _Call(method, target, headers, body, identity, length, model, caller)
        others = self._others(to, model)
        try:
            return await self._ask(to, call, alone=not others)
        except Unsent as fault:
            for other in others:
                answer = await self._instead(other, call)
                if answer is not None:
                    return answer
            raise fault from fault.__cause__

    def _others(self, to: Upstream, model: str) -> list[Upstream]:
        """Who may stand in for an upstream."""
        if to.pool is None or not model:
            return []
        mates = (one for one in self._configured if one.pool == to.pool and one is not to)
        return [one for one in mates if _serves(one, model)]

    async def _instead(self, other: Upstream, call: _Call) -> Answer | None:
        """The answer of one that stands in; None where it takes no call, or not this key."""
        try:
            answer = await self._ask(other, call, alone=False)
        except Unsent:
            return None
        if answer.status not in REFUSING:
            return answer
        answer.close()
        return None

    async def _ask(self, to: Upstream, call: _Call, *, alone: bool) -> Answer:
        """Ask one upstream unless it is spared; who stands alone gets a second try to connect."""
        self._spare(to, call)
        try:
            return await self._once(to, call)
        except Unreached as fault:
            if not (alone and fault.quick and isinstance(call.body, bytes)):
                raise
            await asyncio.sleep(AGAIN_AFTER)
            if self.breakers.ask(to.name, call.model, call.caller) is not None:
                raise
        return await self._once(to, call)

    def _spare(self, to: Upstream, call: _Call) -> None:
        wait = self.breakers.ask(to.name, call.model, call.caller)
        if wait is not None:
            raise _spared(to, wait)

    async def _once(self, to: Upstream, call: _Call) -> Answer:
        """One try, of which the breakers learn what became of it."""
        if not await self._gates.enter(to):
            said = f"Upstream {to.name} has {to.max_parallel} calls under way, as many as it may."
            raise Unsent(503, "upstream_busy", said, after=1.0)
        trip = outing(to)
        if trip is not None:
            call = replace(call, headers=trip.onward(call.headers))
        try:
            answer = await self._exchange(to, call)
        except BaseException as fault:
            self._gates.leave(to.name)
            self._note(to, call, fault)
            if trip is not None:
                trip.failed(fault.code if isinstance(fault, UpstreamFault) else "cancelled")
            raise
        if trip is not None:
            trip.answered(answer.status)
            answer.outing = trip
        self.breakers.reached(to.name)
        again = asked_to_wait(answer, time.time())
        self.breakers.answered(to.name, call.model, call.caller, answer.status, again)
        return answer

    def _note(self, to: Upstream, call: _Call, fault: BaseException) -> None:
        """Count a call that brought no answer, where it speaks of the upstream."""
        if isinstance(fault, Unreached):
            self.breakers.unreached(to.name)
        elif isinstance(fault, UpstreamFault) and fault.code in _FAILED:
            self.breakers.reached(to.name)
            self.breakers.failed(to.name, call.model, call.caller)

    async def _exchange(self, to: Upstream, call: _Call) -> Answer:
        session = self._probing if self.breakers.failing(to.name) else self._session
        if session is None:
            raise UpstreamFault(503, "not_ready", "Likewise is still starting.")
        try:
            response = await session.request(
                call.method,
                URL(join(to.base_url, call.target), encoded=True),
                headers=outgoing(call.headers, to, identity=call.identity, length=call.length),
                data=call.body,
                allow_redirects=False,
                timeout=_timeout(to),
                proxy=to.proxy.reveal() if to.proxy is not None else None,
                ssl=self._trust(to),
                trace_request_ctx=to.name,
            )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as fault:
            said = f"Upstream {to.name} could not be reached: {_cause(fault)}."
            raise Unreached(said, quick=_is_quick(fault)) from fault
        except TimeoutError as fault:
            said = f"Upstream {to.name} sent nothing for {to.first_byte:.0f} s."
            raise UpstreamFault(504, "upstream_timeout", said) from fault
        except (aiohttp.ClientError, ValueError) as fault:
            said = f"Upstream {to.name} gave no valid answer: {_cause(fault)}."
            raise UpstreamFault(502, "bad_gateway", said) from fault
        if not _LOWEST <= response.status <= _HIGHEST:
            response.close()
            said = f"Upstream {to.name} gave no valid answer: status {response.status}."
            raise UpstreamFault(502, "bad_gateway", said)
        connection = response.connection
        if connection is not None and connection.protocol is not None:
            # The wait for the first byte is over; between chunks another patience rules.
            connection.protocol.read_timeout = to.idle
            connection.protocol.start_timeout()
        release = partial(self._gates.leave, to.name)
        return Answer(response.status, incoming(response.raw_headers), response, to.name, release)

    def _trust(self, to: Upstream) -> ssl.SSLContext | bool:
        """Whose certificates are believed: the system's, or those of the upstream's `ca` bundle."""
        if to.ca is None:
            return True
        known = self._contexts.get(to.ca)
        if known is None:
            known = self._contexts[to.ca] = ssl.create_default_context(cafile=to.ca)
        return known

    async def close(self) -> None:
        for session in (self._session, self._probing):
            if session is not None:
                await session.close()


def _session(
    connector: aiohttp.TCPConnector, on_connect: Callable[[str], None] | None = None
) -> aiohttp.ClientSession:
    """A client over the one pool; `on_connect` hears of new connections to which upstream."""
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=65_536,
        max_field_size=65_536,
        trace_configs=[] if on_connect is None else [_trace(on_connect)],
    )


def _trace(on_connect: Callable[[str], None]) -> aiohttp.TraceConfig:
    async def connected(_session: object, context: SimpleNamespace, _params: object) -> None:
        on_connect(context.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    return trace


def _serves(upstream: Upstream, model: str) -> bool:
    return any(fnmatchcase(model, glob) for glob in upstream.models)


def _spared(to: Upstream, wait: Wait) -> Unsent:
    """What whoever would have called is told."""
    if wait.status:
        said = f"Upstream {to.name} answered {wait.status} and asked this key to wait."
        code = "upstream_asked_to_wait"
        return Unsent(wait.status, code, said, wait.seconds)
    said = f"Upstream {to.name} has been failing and is asked once a second until it answers."
    return Unsent(503, "upstream_down", said, wait.seconds)


def asked_to_wait(answer: Answer, now: float) -> float | None:
    """After how many seconds an answer says to ask again (RFC 9110 §10.2.3, or in milliseconds as
    OpenAI and Azure say it); None where it does not say."""
    try:
        if told := answer.header("retry-after-ms"):
            seconds = float(told) / 1000
        elif told := answer.header("Retry-After"):
            date = parsedate_tz(told)
            seconds = float(told) if date is None else mktime_tz(date) - now
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def waiting(after: float | None) -> Headers:
    """The header line that says when to come back; whole seconds, never too soon."""
    return [] if after is None else [(b"retry-after", b"%d" % max(1, math.ceil(after)))]


def _is_quick(fault: Exception) -> bool:
    """Whether trying once more may help: not where time ran out, nor against a certificate."""
    slow = (aiohttp.ConnectionTimeoutError, aiohttp.ClientSSLError)
    return not isinstance(fault, slow)


# What a base URL may end with while the caller's path begins with it.
_SHARED = ("/openai/v1", "/v1", "/openai")


def join(base_url: str, target: str) -> str:
    """The upstream's address for a caller's path, `/v1` (or Azure's `/openai`) never doubled."""
    base = base_url.rstrip("/")
    for part in _SHARED:
        if base.endswith(part) and (target == part or target.startswith((f"{part}/", f"{part}?"))):
            target = target[len(part) :]
            break
    # Without a slash, `@elsewhere` or `*` would become part of the host.
    return base + target if target.startswith(("/", "?")) or not target else f"{base}/{target}"


def outgoing(
    headers: Headers, to: Upstream, *, identity: bool = False, length: bytes | None = None
) -> list[tuple[str, str]]:
    """The caller's headers as upstream sees them: no hop-by-hop ones, none of ours, our `Via`."""
    dropped = HOP | _OURS | nominated(headers)
    made = [
        (name.decode("latin-1"), _text(value))
        for name, value in headers
        if name not in dropped and not name.startswith(_CONTROLS)
    ]
    made = [(n, v if n != "cookie" else own_cookie_out(v)) for n, v in made]
    made = [(n, v) for n, v in made if v or n != "cookie"]
    names = {name for name, _ in made}
    if identity:
        # The body was read, so it goes on without its coding, and no coded answer can be read.
        coded = ("accept-encoding", "content-encoding")
        made = [(name, value) for name, value in made if name not in coded]
        made.append(("accept-encoding", "identity"))
    if to.api_key is not None and not names & {"authorization", "x-api-key", "api-key"}:
        made.append(credential(to.api, to.api_key.reveal()))
    if length is not None:
        made.append(("content-length", length.decode("latin-1")))
    made.append(("via", VIA.decode()))
    return made


def _text(value: bytes) -> str:
    """A header's value for a client library that writes UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def own_cookie_out(value: str) -> str:
    """A Cookie header without the dashboard's session: browsers send it to every port of a host."""
    crumbs = [crumb.strip() for crumb in value.split(";")]
    return "; ".join(c for c in crumbs if not c.startswith("likewise_admin="))


def credential(api: str, key: str) -> tuple[str, str]:
    """The header in which an API expects its key."""
    if api == "anthropic":
        return "x-api-key", key
    return ("api-key", key) if api == "azure" else ("authorization", f"Bearer {key}")


def incoming(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """An answer's headers as the caller may see them, names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    dropped = HOP | nominated(lowered)
    return [(name, value) for name, value in lowered if name not in dropped]


def nominated(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Header names that a `Connection` header declares to be of this hop only."""
    return {
        token.strip().lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }


def _timeout(to: Upstream) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=None, connect=to.connect, sock_connect=to.connect, sock_read=to.first_byte
    )


def _cause(fault: BaseException) -> str:
    text = str(fault).replace(" ssl:default", "") or type(fault).__name__
    return text.split("[", 1)[0].strip().rstrip(":.") or type(fault).__name__
