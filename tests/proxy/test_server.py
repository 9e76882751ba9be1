"""Binding, starting, and above all ending: nobody under way is dropped without a word."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI

from index.errors import SetupError
from proxy.limits import Limits
from proxy.server import Listener, Stop, bind, run, serve
from tests.proxy.wire import PATIENCE, Echo, answer, listening, read_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Gate:
    """An application whose stream is held up until it is let through."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await read_all(receive)
        if scope["path"] == "/echo":
            await answer(send, body)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await send({"type": "http.response.body", "body": b"last"})


class House:
    """A running `serve` with what it said so far."""

    def __init__(self, *listeners: Listener, drain: float = 600, grace: float = 0) -> None:
        self.ports = [each.socket.getsockname()[1] for each in listeners]
        self.said: list[str] = []
        self._writers: list[asyncio.StreamWriter] = []  # a forgotten writer closes its connection
        self.ready, self.draining = asyncio.Event(), asyncio.Event()
        self.end = asyncio.create_task(
            serve(
                listeners,
                drain=drain,
                on_ready=lambda: self._say("ready", self.ready),
                on_drain=lambda: self._say("drain", self.draining),
                grace=grace,
            )
        )

    def _say(self, word: str, event: asyncio.Event) -> None:
        self.said.append(word)
        event.set()

    async def until_ready(self) -> House:
        await asyncio.wait_for(self.ready.wait(), PATIENCE)
        return self

    async def exit_code(self) -> int:
        return await asyncio.wait_for(self.end, PATIENCE)

    async def connect(
        self, data: bytes, number: int = 0
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[number])
        self._writers.append(writer)
        writer.write(data)
        return reader, writer


def here(app: Any, **more: Any) -> Listener:
    return Listener(app, bind("127.0.0.1", 0), **more)


def ask(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


async def refused(port: int) -> None:
    """Wait until nobody listens on the port."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_server(number: signal.Signals) -> None:
    """Exit code 0, and the owner hears of both turns, once and in order."""
    house = await House(here(Echo())).until_ready()

    ask(number)

    assert await house.exit_code() == 0
    assert house.said == ["ready", "drain"]


async def test_drain_lets_a_stream_finish() -> None:
    """A stream under way ends whole, while new connections are refused."""
    gate = Gate()
    house = await House(here(gate)).until_ready()
    reader, _ = await house.connect(GET)
    await reader.readuntil(b"first")

    ask()
    await asyncio.wait_for(refused(house.ports[0]), PATIENCE)
    assert not house.end.done()
    gate.opened.set()

    assert (await reader.read()).endswith(b"4\r\nlast\r\n0\r\n\r\n")
    assert await house.exit_code() == 0
    assert not gate.cancelled


async def test_drain_lets_a_half_sent_request_finish() -> None:
    """A request whose header is still coming in is answered, as the connection's last."""
    house = await House(here(Gate())).until_ready()
    reader, writer = await house.connect(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le")
    await asyncio.sleep(0.1)

    ask()
    await asyncio.wait_for(refused(house.ports[0]), PATIENCE)
    writer.write(b"ngth: 2\r\n\r\nok")

    received = await reader.read()
    assert received.endswith(b"\r\n\r\nok")
    assert b"connection: close" in received
    assert await house.exit_code() == 0


async def test_drain_closes_idle_connections() -> None:
    """A connection kept alive between requests does not hold up the end."""
    house = await House(here(Echo())).until_ready()
    reader, _ = await house.connect(GET)
    await reader.readuntil(b"\r\n\r\n")

    ask()

    assert await reader.read() == b""
    assert await house.exit_code() == 0


async def test_requests_are_taken_during_the_grace() -> None:
    """A load balancer that has not yet noticed is served until the grace is over."""
    house = await House(here(Gate()), grace=600).until_ready()

    ask()
    await asyncio.wait_for(house.draining.wait(), PATIENCE)
    reader, _ = await house.connect(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n")

    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head
    ask()
    assert await house.exit_code() == 0


async def test_who_sits_at_a_terminal_waits_for_no_load_balancer() -> None:
    """SIGINT makes the grace short, whatever is configured."""
    house = await House(here(Echo()), grace=600).until_ready()

    ask(signal.SIGINT)

    assert await house.exit_code() == 0


async def test_drain_has_an_end() -> None:
    """A stream past the drain time is cut, visibly: it never gets its last chunk."""
    gate = Gate()
    house = await House(here(gate), drain=0.3).until_ready()
    reader, _ = await house.connect(GET)
    await reader.readuntil(b"first")

    ask()

    assert not (await reader.read()).endswith(b"0\r\n\r\n")
    assert await house.exit_code() == 0
    assert gate.cancelled


async def test_a_second_signal_ends_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """Who asks twice does not wait for streams, and reads no traceback for each of them."""
    gate = Gate()
    house = await House(here(gate), drain=600).until_ready()
    reader, _ = await house.connect(GET)
    await reader.readuntil(b"first")

    ask()
    await asyncio.wait_for(house.draining.wait(), PATIENCE)
    assert not house.end.done()
    ask(signal.SIGINT)

    assert await house.exit_code() == 0
    assert gate.cancelled
    assert "Traceback" not in caplog.text


async def test_work_after_a_lost_connection_is_waited_for() -> None:
    """A client that left does not take with it what its request still has to do."""
    gate = Gate()
    house = await House(here(gate)).until_ready()
    reader, writer = await house.connect(GET)
    await reader.readuntil(b"first")
    writer.close()
    await writer.wait_closed()

    ask()
    await asyncio.wait_for(refused(house.ports[0]), PATIENCE)
    assert not house.end.done()
    gate.opened.set()

    assert await house.exit_code() == 0
    assert not gate.cancelled


async def test_a_page_that_streams_for_ever_does_not_hold_up_the_end() -> None:
    """A listener that is not waited for serves while the others drain, then is cut."""
    data, pages = Gate(), Gate()
    house = await House(here(data), here(pages, waits=False)).until_ready()
    reader, _ = await house.connect(GET)
    watching, _ = await house.connect(GET, number=1)
    await reader.readuntil(b"first")
    await watching.readuntil(b"first")

    ask()
    await asyncio.wait_for(refused(house.ports[0]), PATIENCE)
    still, _ = await house.connect(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", number=1)
    assert (await still.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    data.opened.set()

    assert (await reader.read()).endswith(b"0\r\n\r\n")
    assert await house.exit_code() == 0
    assert pages.cancelled


async def test_two_applications_share_the_loop() -> None:
    """A raw application and a FastAPI one with a lifespan, side by side."""
    said = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        said.append("up")
        yield
        said.append("down")

    admin = FastAPI(lifespan=lifespan)

    @admin.get("/", response_model=None)
    def page() -> dict[str, str]:
        return {"page": "admin"}

    house = await House(here(Echo()), here(admin, lifespan=True)).until_ready()
    raw, _ = await house.connect(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    pages, _ = await house.connect(
        GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), number=1
    )

    assert (await raw.read()).startswith(b"HTTP/1.1 200 ")
    received = await pages.read()
    assert received.endswith(b'{"page":"admin"}')
    assert b"\r\nserver:" not in received
    ask()
    assert await house.exit_code() == 0
    assert said == ["up", "down"]


async def test_a_failed_start_lets_everything_go() -> None:
    """One application that does not start ends the others, and the ports are free again."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise ValueError
        yield

    first, second = here(Echo()), here(FastAPI(lifespan=lifespan), lifespan=True)
    house = House(first, second)

    with pytest.raises(SetupError, match="did not start"):
        await house.exit_code()
    assert house.said == []
    for port in house.ports:
        bind("127.0.0.1", port).close()


async def test_tls_needs_usable_files(tmp_path: Path) -> None:
    """A certificate that cannot be read is said before anything listens."""
    (tmp_path / "bad.pem").write_text("no certificate")
    bad = str(tmp_path / "bad.pem")

    for pair in ((bad, bad), (str(tmp_path / "absent.pem"), bad)):
        with pytest.raises(SetupError, match=r"server\.tls: .*\.pem"):
            await House(here(Echo(), tls=pair)).exit_code()


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
async def test_tls(tmp_path: Path) -> None:
    """The guard works the same behind TLS: answers, refusals and time limits."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    await asyncio.to_thread(
        subprocess.run,
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}".split(),
        check=True,
        capture_output=True,
    )
    trust = ssl.create_default_context(cafile=cert)
    limits = Limits(header_timeout=0.4)
    house = await House(here(Echo(), tls=(cert, key), limits=limits)).until_ready()

    async def say(data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.ports[0], ssl=trust)
        writer.write(data)
        return await reader.read(65_536)

    assert (await say(GET)).startswith(b"HTTP/1.1 200 ")
    assert (await say(b"GET / HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    assert (await say(b"GET / HT")).startswith(b"HTTP/1.1 408 ")
    ask()
    assert await house.exit_code() == 0


def test_uvloop_runs_it() -> None:
    """The loop is uvloop's, and the result is the exit code."""

    async def name() -> int:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        return 7

    assert run(name()) == 7


async def test_stop_is_asked_twice() -> None:
    """The first wish is polite, the second insists."""
    stop = Stop()

    stop.ask()
    assert (stop.asked.is_set(), stop.insisted.is_set()) == (True, False)
    stop.ask()
    assert stop.insisted.is_set()


def test_bind_takes_a_free_port() -> None:
    """Port 0 is the kernel's choice; localhost means 127.0.0.1."""
    with bind("localhost", 0) as bound:
        host, port = bound.getsockname()

    assert host == "127.0.0.1"
    assert port > 0


def test_bind_says_when_the_port_is_in_use() -> None:
    """Somebody else listens there: the message names the setting and the address."""
    with (
        listening(Echo()) as port,
        pytest.raises(SetupError, match=rf"^server\.admin\.port: 127\.0\.0\.1:{port} is in use; "),
    ):
        bind("127.0.0.1", port, setting="server.admin.port")


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("no-such-host.invalid", 0, "not known"),
        ("a" * 70 + ".example", 0, "not known"),
        ("192.0.2.1", 0, "not an address of this machine"),
        ("127.0.0.1", 65_536, "no port"),
        ("127.0.0.1", -1, "no port"),
    ],
)
def test_bind_says_what_is_wrong(host: str, port: int, said: str) -> None:
    """One line: what, where, and the next step."""
    with pytest.raises(SetupError, match=said) as caught:
        bind(host, port)

    assert str(caught.value).startswith("server.port: ")
    assert "\n" not in str(caught.value)
    assert "use " in str(caught.value) or "choose " in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may bind any port")
def test_bind_says_when_it_is_not_permitted() -> None:
    """A port below 1024 needs a right."""
    with pytest.raises(SetupError, match="not permitted"):
        bind("127.0.0.1", 1)


def test_bind_lets_go_of_what_it_could_not_have() -> None:
    """A failed bind leaves no open socket (pytest turns a leaked one into an error)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SetupError):
            bind("127.0.0.1", taken.getsockname()[1])
