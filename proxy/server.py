"""Listening sockets, one event loop over several web applications, and an orderly end.

No routing and no request handling: the connections are `protocol.py`'s, the answers the
applications'. uvicorn's servers are driven step by step, because its own `serve` takes the
signals for itself and ends each server on its own.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import signal
import socket
import threading
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import uvicorn
import uvloop

from index.errors import SetupError
from proxy.limits import Limits, Sweep
from proxy.protocol import guarded

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from starlette.types import ASGIApp

_BACKLOG: Final = 2048
_POLL: Final = 0.05  # seconds between looks at what is still open while draining
_ALONE: Final = 0.5  # seconds of grace where no load balancer has to notice
_CLEANUP: Final = 1.0  # seconds that cancelled requests and a closing application get
_FILES: Final = 65_536
_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class Listener:
    """An application on a bound socket.

    `lifespan`: the application wants ASGI start-up and shut-down events. `waits`: its running
    requests hold up the end; without it they are cut once the others are done, which is right for
    pages that stream for ever. `tls`: files of the certificate chain and its key.
    """

    app: ASGIApp
    socket: socket.socket
    limits: Limits = field(default_factory=Limits)
    lifespan: bool = False
    waits: bool = True
    tls: tuple[str, str] | None = None


class Stop:
    """A wish to end, as signals express it: asked once politely, asked again at once.

    `alone` says that nobody has to notice first, as where a person at a terminal asks.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.insisted = asyncio.Event()
        self.alone = False

    def ask(self, *, alone: bool = False) -> None:
        """Call from the event loop's own thread."""
        if self.asked.is_set():
            self.insisted.set()
        else:
            self.alone = alone
        self.asked.set()


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run to the end on uvloop; the result is the process's exit code."""
    _allow_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _allow_files() -> None:
    """Let the process open as many files as it may: each request is two sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def bind(host: str, port: int, *, setting: str = "server.port") -> socket.socket:
    """Reserve an address without listening yet; port 0 takes a free one.

    Raises `SetupError`, naming `setting`, where the address cannot be had.
    """
    if not 0 <= port <= _LAST_PORT:
        raise SetupError(f"{setting}: {port} is no port; choose one from 1 to {_LAST_PORT}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as fault:
        raise SetupError(
            f"{setting}: the host {host!r} is not known here; use an address of this machine, "
            "such as 127.0.0.1 or 0.0.0.0"
        ) from fault
    # A name such as localhost may mean ::1 first, while clients try 127.0.0.1.
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as fault:
        bound.close()
        raise SetupError(f"{setting}: {_why(fault, host, port)}") from fault
    bound.setblocking(False)
    return bound


def _why(fault: OSError, host: str, port: int) -> str:
    match fault.errno:
        case errno.EADDRINUSE:
            return f"{host}:{port} is in use; stop the other process or choose another port"
        case errno.EACCES | errno.EPERM:
            return f"{host}:{port} is not permitted; choose a port above 1023 or grant the right"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; use 127.0.0.1 or 0.0.0.0"
        case _:
            return f"{host}:{port} cannot be bound: {fault.strerror}; choose another address"


async def serve(
    listeners: Sequence[Listener],
    *,
    drain: float,
    on_ready: Callable[[], None],
    on_drain: Callable[[], None],
    on_cut: Callable[[], None] = lambda: None,
    grace: float = 0.5,
    stop: Stop | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop.ask()`; return the exit code.

    Then `on_drain` is called, and requests are taken for `grace` seconds more, each as its
    connection's last: load balancers need time to notice. After SIGINT nobody waits for that.
    Requests under way get up to `drain` seconds. Then `on_cut` is called, and what is left gets a
    second to say so. A second signal ends all of this at once. Raises `SetupError` if a listener
    cannot start.
    """
    stop = stop or Stop()
    sweep = Sweep.for_limits(*(listener.limits for listener in listeners))
    waited_for = []
    async with AsyncExitStack() as stack:
        stack.enter_context(_signals(stop))
        for listener in listeners:
            stack.callback(listener.socket.close)
        for listener in listeners:
            server = await _start(listener, sweep)
            stack.push_async_callback(_end, server)
            if listener.waits:
                waited_for.append(server)
        on_ready()
        await stop.asked.wait()
        on_drain()
        sweep.retire()
        await _pause(stop.insisted, min(grace, _ALONE) if stop.alone else grace)
        await _drain(waited_for, drain, stop.insisted)
        on_cut()
        await _drain(waited_for, _CLEANUP, asyncio.Event())
    return 0


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """Let SIGTERM and SIGINT ask; only the main thread may hear signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.ask)
    loop.add_signal_handler(signal.SIGINT, partial(stop.ask, alone=True))
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _is_fault(record: logging.LogRecord) -> bool:
    """Say no to a request that was cut at the end: uvicorn logs a traceback for each."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def _start(listener: Listener, sweep: Sweep) -> uvicorn.Server:
    certificate, key = listener.tls or (None, None)
    config = uvicorn.Config(
        listener.app,
        interface="asgi3",
        http=guarded(listener.limits, sweep),
        ws="none",
        lifespan="on" if listener.lifespan else "off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=int(listener.limits.idle_timeout),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as fault:
        raise SetupError(
            f"server.tls: {certificate} and {key} are no usable certificate and key "
            f"({fault.strerror or fault}); both must be readable PEM files of one pair"
        ) from fault
    logging.getLogger("uvicorn.error").addFilter(_is_fault)
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup(sockets=[listener.socket])
    except SystemExit as fault:  # how uvicorn says that the application's own start-up failed
        raise SetupError("a web application did not start: see the traceback in the log") from fault
    except OSError as fault:
        host, port = listener.socket.getsockname()[:2]
        raise SetupError(_why(fault, host, port)) from fault
    return server


async def _drain(servers: Sequence[uvicorn.Server], seconds: float, hurry: asyncio.Event) -> None:
    """Accept no more; wait until every request is answered, `seconds` pass or `hurry` is set."""
    for server in servers:
        _stop_accepting(server)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline and not hurry.is_set():
        for server in servers:
            _let_go(server)
        # A request may outlive its connection: the answer is still being stored.
        if not any(s.server_state.connections or s.server_state.tasks for s in servers):
            return
        await _pause(hurry, _POLL)


def _stop_accepting(server: uvicorn.Server) -> None:
    for accepting in server.servers:
        accepting.close()


def _let_go(server: uvicorn.Server) -> None:
    """Close connections that are idle; the others close after the answer under way."""
    for connection in list(server.server_state.connections):
        connection.shutdown()


async def _end(server: uvicorn.Server) -> None:
    """Cut what is left: requests may say a last word within a second, then the line is dropped."""
    _stop_accepting(server)
    _let_go(server)
    state = server.server_state
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _CLEANUP
    for task in list(state.tasks):
        task.cancel()
    while (state.tasks or state.connections) and loop.time() < deadline:  # noqa: ASYNC110 - sets tell nobody
        await asyncio.sleep(_POLL)
    for connection in list(state.connections):
        connection.transport.abort()
    with suppress(TimeoutError):
        await asyncio.wait_for(server.lifespan.shutdown(), 5 * _CLEANUP)


async def _pause(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
