"""The way out: where requests go, which headers travel, and what becomes of a bad upstream."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest

from index.errors import SetupError
from proxy.settings import Secret, Upstream
from proxy.upstream import (
    Answer,
    Headers,
    UpstreamFault,
    Upstreams,
    credential,
    incoming,
    join,
    nominated,
    outgoing,
)

if TYPE_CHECKING:
    from pathlib import Path

Script: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def _upstream(
    base_url: str = "http://127.0.0.1:1", api: str = "openai", **more: object
) -> Upstream:
    return Upstream(name="up", api=api, base_url=base_url, **more)  # type: ignore[arg-type]


class Server:
    """A scripted server on a real socket: it keeps each request's bytes as they came."""

    def __init__(self, script: Script | bytes) -> None:
        self.received: list[bytes] = []
        self.address = ""
        self._script = script

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if b"content-length" in line]
                body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
                self.received.append(head + body)
                if isinstance(self._script, bytes):
                    writer.write(self._script)
                    await writer.drain()
                else:
                    await self._script(writer)
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def lines(self, request: int = 0) -> list[bytes]:
        return self.received[request].partition(b"\r\n\r\n")[0].split(b"\r\n")


@asynccontextmanager
async def serving(script: Script | bytes) -> AsyncIterator[Server]:
    server = Server(script)
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.address = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


@pytest.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    made = Upstreams([])
    await made.start()
    yield made
    await made.close()


async def _get(upstreams: Upstreams, to: Upstream, target: str = "/v1/models") -> Answer:
    return await upstreams.send(to, "GET", target, [(b"accept", b"*/*")], None)


# -- where ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [
        ("https://api.openai.com/v1", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://api.openai.com/v1/", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://api.openai.com/v1", "/chat/completions", "/v1/chat/completions"),
        ("https://api.openai.com", "/v1/chat/completions", "/v1/chat/completions"),
        ("https://api.openai.com/", "/v1/models", "/v1/models"),
        ("https://api.openai.com/v1", "/v1", "/v1"),
        ("https://api.openai.com/v1", "/v1?x=1", "/v1?x=1"),
        ("https://api.openai.com/v1", "/v1beta/models", "/v1/v1beta/models"),
        ("https://api.openai.com/v1", "/v1/files?after=a%2Fb&x=v1", "/v1/files?after=a%2Fb&x=v1"),
        ("https://api.openai.com/openai/v1", "/v1/models", "/openai/v1/models"),
        ("https://api.openai.com/openai", "/v1/models", "/openai/v1/models"),
        ("https://api.openai.com/openai/v1", "/openai/v1/models", "/openai/v1/models"),
        ("https://api.openai.com/openai", "/openai/deployments/x", "/openai/deployments/x"),
        ("https://api.openai.com", "/openai/deployments/x?v=1", "/openai/deployments/x?v=1"),
        ("https://api.openai.com/v1", "", "/v1"),
        ("https://api.openai.com/v1", "//evil.example/x", "/v1//evil.example/x"),
        ("https://api.openai.com", "@evil.example/x", "/@evil.example/x"),
        ("https://api.openai.com", "*", "/*"),
        ("https://api.openai.com", ".evil.example/", "/.evil.example/"),
    ],
)
def test_a_path_is_joined_without_doubling_v1(base: str, target: str, expected: str) -> None:
    """The path arrives under the base once, its query untouched, and never at another host."""
    assert join(base, target) == f"https://api.openai.com{expected}"


def test_the_first_upstream_whose_models_match_serves() -> None:
    """Globs are tried in the order of the file; a model that none admits has no upstream."""
    mini = Upstream("mini", "openai", "http://a", models=("gpt-*-mini",))
    gpt = Upstream("gpt", "openai", "http://b", models=("gpt-*", "o3"))
    both = Upstreams([mini, gpt])
    assert both.serving("gpt-4o-mini", {"openai"}) is mini
    assert both.serving("gpt-4o", {"openai"}) is gpt
    assert both.serving("o3", {"openai"}) is gpt
    assert both.serving("O3", {"openai"}) is None
    assert both.serving("claude", {"openai"}) is None


def test_a_callers_key_stays_with_its_vendor() -> None:
    """Of several upstreams only one of the caller's own API serves; a single one takes them all."""
    claude = Upstream("claude", "anthropic", "http://a")
    gpt = Upstream("gpt", "openai", "http://b")
    assert Upstreams([claude, gpt]).serving("m", {"openai", "azure"}) is gpt
    assert Upstreams([claude]).serving("m", {"openai"}) is claude
    assert Upstreams([claude, claude]).serving("m", {"openai"}) is None


def test_unnamed_paths_go_to_the_only_or_the_marked_upstream() -> None:
    """A caller's key is never sent to a vendor by guess."""
    one = Upstream("one", "openai", "http://a")
    two = Upstream("two", "anthropic", "http://b")
    marked = Upstream("three", "openai", "http://c", passthrough=True)
    assert Upstreams([one]).passthrough() is one
    assert Upstreams([one, two]).passthrough() is None
    assert Upstreams([one, two, marked]).passthrough() is marked
    assert Upstreams([]).passthrough() is None


# -- headers -------------------------------------------------------------------------------------

VIA = ("via", "1.1 likewise")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"accept", b"*/*"), (b"openai-organization", b"o")], 2),
        ([(b"user-agent", b"x/1"), (b"accept-encoding", b"br")], 2),
        ([(b"connection", b"close"), (b"keep-alive", b"5"), (b"te", b"trailers")], 0),
        ([(b"transfer-encoding", b"chunked"), (b"upgrade", b"h2c"), (b"trailer", b"x")], 0),
        ([(b"proxy-authorization", b"Basic x"), (b"proxy-connection", b"close")], 0),
        ([(b"connection", b"close, X-Secret"), (b"x-secret", b"1")], 0),
        ([(b"connection", b"x-a"), (b"connection", b"x-b"), (b"x-a", b"1"), (b"x-b", b"2")], 0),
        ([(b"host", b"likewise"), (b"content-length", b"5"), (b"expect", b"100-continue")], 0),
        ([(b"cache-control", b"no-cache"), (b"pragma", b"no-cache")], 0),
        ([(b"x-likewise-mode", b"exact"), (b"x-likewise-anything", b"1")], 0),
        ([(b"cookie", b"likewise_admin=secret")], 0),
        ([(b"x-twice", b"1"), (b"x-twice", b"2")], 2),
    ],
)
def test_only_end_to_end_headers_travel_on(headers: Headers, expected: int) -> None:
    """What is of this hop or for the cache stays here; the rest arrives in order, with our Via."""
    made = outgoing(headers, _upstream())
    kept = [(name.decode(), value.decode()) for name, value in headers][:expected]
    assert made == [*kept, VIA]


def test_the_dashboards_session_never_leaves() -> None:
    """Other cookies of the host pass, ours is cut out wherever it stands."""
    cookie = b"a=1; likewise_admin=secret; b=likewise_admin=2"
    made = outgoing([(b"cookie", cookie), (b"cookie", b"likewise_admin=s")], _upstream())
    assert made == [("cookie", "a=1; b=likewise_admin=2"), VIA]


def test_the_via_of_earlier_proxies_is_kept() -> None:
    """Ours is added as the last one."""
    made = outgoing([(b"via", b"1.1 nginx")], _upstream())
    assert made == [("via", "1.1 nginx"), VIA]


@pytest.mark.parametrize(
    ("api", "expected"),
    [
        ("openai", ("authorization", "Bearer sk-own")),
        ("anthropic", ("x-api-key", "sk-own")),
        ("azure", ("api-key", "sk-own")),
    ],
)
def test_the_configured_key_is_used_where_the_caller_sends_none(
    api: str, expected: tuple[str, str]
) -> None:
    """Each API gets its own header; a caller with any credential keeps that one alone."""
    to = _upstream(api=api, api_key=Secret("sk-own"))
    assert credential(api, "sk-own") == expected
    assert outgoing([], to) == [expected, VIA]
    for name in (b"authorization", b"x-api-key", b"api-key"):
        assert outgoing([(name, b"callers")], to) == [(name.decode(), "callers"), VIA]


def test_no_key_is_made_up() -> None:
    """Without a configured key nothing is added."""
    assert outgoing([], _upstream()) == [VIA]


def test_an_uncoded_body_can_be_asked_for() -> None:
    """`identity` replaces whatever coding the caller accepts; a declared length is kept."""
    made = outgoing([(b"accept-encoding", b"gzip, br")], _upstream(), identity=True, length=b"7")
    assert made == [("accept-encoding", "identity"), ("content-length", "7"), VIA]


def test_answers_lose_hop_headers_only() -> None:
    """Names come in lower case, order and duplicates stand, what `Connection` names is dropped."""
    headers = [
        (b"Content-Type", b"text/plain"),
        (b"Set-Cookie", b"a=1"),
        (b"Connection", b"keep-alive, X-Hop"),
        (b"Keep-Alive", b"timeout=5"),
        (b"x-hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Set-Cookie", b"b=2"),
        (b"Cache-Control", b"no-store"),
    ]
    assert incoming(headers) == [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"cache-control", b"no-store"),
    ]


def test_nominated_names_are_read_from_every_connection_line() -> None:
    """Lists, case and white space do not matter."""
    headers = [(b"connection", b"Close , X-A"), (b"x", b"y"), (b"connection", b"x-B")]
    assert nominated(headers) == {b"close", b"x-a", b"x-b"}


# -- on the wire ---------------------------------------------------------------------------------


async def test_the_request_arrives_as_it_was_sent(upstreams: Upstreams) -> None:
    """Target, query, header bytes and body are the caller's; nothing is added but Host and Via."""
    body = '{"a": 1.0, "ü": "中"}'.encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"x-utf8", "ü".encode()),
        (b"x-twice", b"1"),
        (b"x-twice", b"2"),
    ]
    async with serving(OK) as server:
        to = _upstream(server.address + "/v1")
        answer = await upstreams.send(to, "POST", "/v1/a%2Fb?q=%20+&q=2", headers, body)
        assert await answer.read(10) == (b"ok", True)
        assert server.received[0].endswith(b"\r\n\r\n" + body)
        first, *lines = server.lines()
    assert first == b"POST /v1/a%2Fb?q=%20+&q=2 HTTP/1.1"
    lowered = sorted(
        line.split(b": ", 1)[0].lower() + b": " + line.split(b": ", 1)[1] for line in lines
    )
    assert lowered == sorted([
        b"host: " + server.address.removeprefix("http://").encode(),
        b"content-type: application/json",
        b"x-utf8: " + "ü".encode(),
        b"x-twice: 1",
        b"x-twice: 2",
        b"content-length: %d" % len(body),
        b"via: 1.1 likewise",
    ])  # fmt: skip


async def test_redirects_are_handed_back(upstreams: Upstreams) -> None:
    """A redirect would carry the caller's key elsewhere: it is the caller's to follow."""
    away = b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n\r\n"
    async with serving(away) as server:
        answer = await _get(upstreams, _upstream(server.address))
        assert answer.status == 307
        assert answer.header("Location") == "http://127.0.0.1:1/x"
        assert len(server.received) == 1


async def test_compressed_bodies_stay_compressed(upstreams: Upstreams) -> None:
    """The bytes and their `content-encoding` arrive together, untouched."""
    packed = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with serving(head + packed) as server:
        answer = await _get(upstreams, _upstream(server.address))
        assert (b"content-encoding", b"gzip") in answer.headers
        assert await answer.read(10_000) == (packed, True)


async def test_cookies_are_passed_on_and_not_kept(upstreams: Upstreams) -> None:
    """Two `Set-Cookie` lines stay two, in order, and no later caller sends them."""
    said = b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"
    async with serving(said) as server:
        to = _upstream(server.address)
        answer = await _get(upstreams, to)
        await answer.read(10)
        cookies = [value for name, value in answer.headers if name == b"set-cookie"]
        assert cookies == [b"a=1", b"b=2"]
        await (await _get(upstreams, to)).read(10)
        assert not any(line.lower().startswith(b"cookie") for line in server.lines(1))


async def test_reading_stops_at_the_limit(upstreams: Upstreams) -> None:
    """A larger body is reported as unfinished, and the rest can still be passed on."""
    size = 300_000
    async with serving(
        b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    ) as server:
        answer = await _get(upstreams, _upstream(server.address))
        begun, whole = await answer.read(10)
        assert not whole
        assert 10 < len(begun) < size
        rest = b"".join([chunk async for chunk in answer.chunks()])
        assert begun + rest == b"x" * size


async def test_a_closed_port_is_unreachable(upstreams: Upstreams) -> None:
    """Refused connections are told as 502 with a code of their own and the upstream's name."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refuses, and nobody else gets it
        to = _upstream(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(UpstreamFault, match="Upstream up could not be reached") as caught:
            await _get(upstreams, to)
    assert (caught.value.status, caught.value.code) == (502, "upstream_unreachable")


async def _stall(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(20)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (_stall, (504, "upstream_timeout")),
        (_hang_up, (502, "bad_gateway")),
        (_nonsense, (502, "bad_gateway")),
    ],
)
async def test_an_upstream_without_an_answer_is_a_fault(
    upstreams: Upstreams, script: Script, told: tuple[int, str]
) -> None:
    """Silence, a hang-up and something that is not HTTP each have their status and code."""
    async with serving(script) as server:
        with pytest.raises(UpstreamFault) as caught:
            await _get(upstreams, _upstream(server.address, first_byte=0.2))
    assert (caught.value.status, caught.value.code) == told


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"


async def _stall_after_head(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await writer.drain()
    await asyncio.sleep(20)


async def _stall_after_some(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"begun")
    await writer.drain()
    await asyncio.sleep(20)


async def _cut(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"begun")
    await writer.drain()


@pytest.mark.parametrize(
    ("script", "told", "received"),
    [
        (_stall_after_head, (504, "upstream_timeout"), b""),
        (_stall_after_some, (504, "upstream_timeout"), b"begun"),
        (_cut, (502, "bad_gateway"), b"begun"),
    ],
)
async def test_a_body_that_breaks_off_is_a_fault_after_what_came(
    upstreams: Upstreams, script: Script, told: tuple[int, str], received: bytes
) -> None:
    """Between chunks the idle patience rules, from the headers on; what came is handed on first."""
    async with serving(script) as server:
        to = _upstream(server.address, first_byte=15.0, idle=0.2)
        answer = await _get(upstreams, to)
        came: list[bytes] = []

        async def collect() -> None:
            async for chunk in answer.chunks():
                came.append(chunk)  # noqa: PERF401 - what came before the fault counts

        with pytest.raises(UpstreamFault) as caught:
            # Well before `first_byte` would have ended it.
            await asyncio.wait_for(collect(), 10)
        answer.close()
    assert b"".join(came) == received
    assert (caught.value.status, caught.value.code) == told


async def test_a_slow_stream_outlives_the_first_byte_patience(upstreams: Upstreams) -> None:
    """No patience covers the whole answer: a stream that keeps sending goes on."""

    async def dribble(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        for _ in range(6):
            await asyncio.sleep(0.15)
            writer.write(b".")
            await writer.drain()

    async with serving(dribble) as server:
        answer = await _get(upstreams, _upstream(server.address, first_byte=0.6, idle=5.0))
        assert await answer.read(100) == (b"......", True)


async def test_the_proxy_settings_of_the_environment_are_not_read(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller's key goes where the configuration says and nowhere else."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(OK) as server:
        assert (await _get(upstreams, _upstream(server.address))).status == 200


async def test_lines_of_one_header_are_read_as_one_list(upstreams: Upstreams) -> None:
    """A `no-store` on the second line is not lost; a header that is absent is empty."""
    said = b"HTTP/1.1 200 OK\r\ncache-control: private\r\nCache-Control: no-store\r\n"
    async with serving(said + b"content-length: 0\r\n\r\n") as server:
        answer = await _get(upstreams, _upstream(server.address))
        assert answer.header("Cache-Control") == "private, no-store"
        assert answer.header("Age") == ""


@pytest.mark.parametrize("text", [None, "no certificate"])
async def test_a_bundle_that_cannot_be_read_stops_the_start(
    tmp_path: Path, text: str | None
) -> None:
    """A missing or bad `ca` is a setup error that names the upstream, not a fault per request."""
    bundle = tmp_path / "ca.pem"
    if text is not None:
        bundle.write_text(text)
    with pytest.raises(SetupError, match="upstream up: ca"):
        await Upstreams([_upstream(ca=str(bundle))]).start()


async def test_a_configured_egress_proxy_is_used(upstreams: Upstreams) -> None:
    """The proxy gets the whole address; nothing is sent to the upstream directly."""
    async with serving(OK) as egress:
        to = _upstream("http://upstream.invalid", proxy=Secret(egress.address))
        assert (await _get(upstreams, to)).status == 200
        assert egress.lines()[0] == b"GET http://upstream.invalid/v1/models HTTP/1.1"


async def test_nothing_is_sent_before_the_start() -> None:
    """Without its pool the way out says that it is not ready."""
    with pytest.raises(UpstreamFault) as caught:
        await _get(Upstreams([]), _upstream())
    assert (caught.value.status, caught.value.code) == (503, "not_ready")
