"""The only place that builds objects: settings in, a running house out."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from admin_ui.app import create_admin
from index import build
from index.ending import end
from index.errors import StoreError
from index.journal import Journal
from index.ledger import Ledger
from index.memory import Memory
from index.replicas import Follower
from proxy import reporting, telemetry
from proxy.accesslog import AccessLog
from proxy.batch import BatchEngine
from proxy.burden import Burden
from proxy.condition import condition
from proxy.console import HouseConsole
from proxy.cors import Cors
from proxy.feedback import Feedback
from proxy.fleet import Fleet
from proxy.flights import Flights
from proxy.identity import Identity
from proxy.judges import build as judges
from proxy.learning import Learner
from proxy.metrics import Meters
from proxy.opening import Opening, opened_or_absent
from proxy.pressure import gauges
from proxy.quotas import Quotas
from proxy.routes import DataPort
from proxy.server import Listener, Stop, bind, serve
from proxy.settings import is_local
from proxy.token import Token
from proxy.upkeep import Upkeep
from proxy.upstream import Upstreams
from proxy.visits import Watched

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from fastapi import FastAPI

    from index.embedders.weights import Progress
    from index.ports import Embedder
    from proxy.engine import Engine
    from proxy.settings import Server, Settings


# Rows for vectors beyond `max_entries`, as entries come before others go; and the most of which the
# system is asked at once. More are made room for when they come.
ROOM_SHARE, ROOM_MOST = 16, 2_000_000
# What the only process over its store is called.
HERE = "here"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running house is to be found."""

    data: str
    admin: str
    token: str


async def run(
    settings: Settings,
    *,
    progress: Progress | None = None,
    on_ready: Callable[[Addresses], None] | None = None,
    stop: Stop | None = None,
) -> int:
    """Serve until told to stop; returns the exit code.

    Raises `SetupError`, `StoreError` or `EmbedderError`, each saying what to do, when it cannot
    start.
    """
    server = settings.server
    async with AsyncExitStack() as stack:
        watchers = _watchers(server.access_log, stack)
        data, admin = _sockets(server, stack)
        embedder = await asyncio.to_thread(_embedder, settings, progress)
        engine, identity = await _engine(settings, embedder, stack)
        learner = _learner(settings, engine, stack)
        upkeep = Upkeep(settings, engine, learner)
        await upkeep.adopt(settings.rules)
        opening = Opening(settings, engine, identity, learner)
        await opening.begin()
        verdicts = _verdicts(engine, learner, stack)
        ledger = Ledger.open(build.home(settings.store_url) / "ledger.db")
        stack.push_async_callback(ledger.close)
        fleet = _fleet(engine, upkeep, stack)
        console = HouseConsole(settings, engine, identity, upkeep, learner, verdicts, ledger, fleet)
        await console.begin()
        token, secure = Token(settings), server.tls is not None
        stack.push_async_callback(_end, asyncio.create_task(token.run()))
        addresses = Addresses(_url(data, secure=secure), _url(admin), token.value)
        face = _face(settings, console, addresses)
        port = _watched(_port(settings, engine, identity, verdicts, upkeep), engine, *watchers)
        tls = (server.tls.cert, server.tls.key) if server.tls else None
        stack.push_async_callback(_end, asyncio.create_task(upkeep.run()))
        _hear(signal.SIGHUP, partial(_on_hangup, upkeep, watchers[0]))

        def listening() -> None:
            loading = upkeep.load(opening.go_on, ready)
            stack.push_async_callback(_end, asyncio.create_task(loading))

        def ready() -> None:
            if on_ready is not None:
                on_ready(addresses)

        return await serve(
            [
                Listener(port, data, limits=server.limits, tls=tls),
                Listener(face, admin, limits=server.limits, lifespan=True, waits=False),
            ],
            drain=server.limits.drain,
            grace=server.limits.grace,
            on_ready=listening,
            on_drain=upkeep.drain,
            on_cut=engine.flights.cut,
            stop=stop,
        )


def _sockets(server: Server, stack: AsyncExitStack) -> tuple[socket.socket, socket.socket]:
    """Those of the data port and of the admin port, before anything else takes time."""
    data = bind(server.host, server.port)
    stack.callback(data.close)
    admin = bind(server.admin_host, server.admin_port, setting="server.admin.port")
    stack.callback(admin.close)
    return data, admin


def _face(settings: Settings, console: HouseConsole, addresses: Addresses) -> FastAPI:
    host, viewer = settings.server.admin_host, settings.viewer_token
    return create_admin(
        console,
        token=addresses.token,
        viewer=None if viewer is None else viewer.reveal(),
        hosts=frozenset({host}) if is_local(host) else None,
        data_url=addresses.data + "/v1",
        failing=StoreError,
    )


def _hear(number: signal.Signals, heard: Callable[[], None]) -> None:
    with suppress(RuntimeError, ValueError):  # only the main thread hears signals
        asyncio.get_running_loop().add_signal_handler(number, heard)


def _watchers(
    place: str | None, stack: AsyncExitStack
) -> tuple[AccessLog | None, telemetry.Traces | None]:
    """The access log and the traces, where they are wanted; they end after all that may have
    something to tell them."""
    access = None if place is None else AccessLog(place)
    traces = telemetry.opened(os.environ)
    for one in (access, traces):
        if one is not None:
            stack.push_async_callback(asyncio.to_thread, one.close)
    return access, traces


def _watched(
    port: DataPort, engine: Engine, access: AccessLog | None, traces: telemetry.Traces | None
) -> DataPort | Watched:
    """The port with its visits on record, where anybody keeps one."""
    if access is not None:
        engine.meters.also(lambda: {"access_log_dropped_total": access.dropped})
    elif traces is None:
        return port
    return Watched(port, [] if access is None else [access], traces)


def _on_hangup(upkeep: Upkeep, access: AccessLog | None) -> None:
    """Read the policy again, and let go of a log file that was moved away."""
    upkeep.ask_reload()
    if access is not None:
        access.reopen()


def _port(
    settings: Settings, engine: Engine, identity: Identity, verdicts: Feedback, upkeep: Upkeep
) -> DataPort:
    return DataPort(
        engine,
        identity,
        verdicts,
        body_limit=settings.server.limits.body,
        ready=upkeep.readiness,
        cors=Cors(settings.server.cors),
    )


def _embedder(settings: Settings, progress: Progress | None) -> Embedder:
    wanted = settings.embedding
    return build.embedder(
        wanted.model,
        runtime=wanted.runtime,
        precision=wanted.precision,
        threads=wanted.threads,
        progress=progress,
    )


async def _engine(
    settings: Settings,
    embedder: Embedder,
    stack: AsyncExitStack,
    clock: Callable[[], float] = time.time,
) -> tuple[Engine, Identity]:
    store = await opened_or_absent(settings, clock)
    index = settings.index
    room = min(index.max_entries + index.max_entries // ROOM_SHARE, ROOM_MOST)
    home = build.home(settings.store_url)
    # A snapshot holds texts in clear, so an encrypted store goes without.
    snapshot = home / "index.snapshot" if settings.keys is None else None
    memory = Memory(
        embedder,
        store.bodies,
        clock=clock,
        storage=index.storage,
        pca=index.pca,
        reserve=room,
        snapshot=snapshot,
    )
    memory.loading.begin()
    stack.push_async_callback(memory.close)
    await _follow(memory, stack)
    journal = Journal.open(home / "journal.db", texts=settings.keys is None)
    stack.push_async_callback(journal.close)
    upstreams = Upstreams(settings.upstreams)
    await upstreams.start()
    stack.push_async_callback(upstreams.close)
    identity = Identity(store.secret, settings.tenants)
    engine = BatchEngine(
        memory=memory,
        upstreams=upstreams,
        rules=settings.rules,
        journal=journal,
        meters=Meters(
            lambda: {
                **_gauges(memory, journal),
                **gauges(engine),
                **_learned(engine),
                "refused_keys": len(engine.refusals),
                **_spared(upstreams),
                "over_quota_total": engine.quotas.refused,
                **_followed(memory),
                "in_flight_bytes": engine.flights.burden.held,
            }
        ),
        ids=request_ids(clock),
        clock=clock,
        response_limit=settings.server.limits.response,
        quotas=Quotas(settings.server.limits.key_calls, settings.server.limits.key_misses),
        flights=Flights(burden=Burden(settings.server.limits.in_flight)),
    )
    stack.push_async_callback(_end, asyncio.create_task(engine.refusals.run()))
    stack.push_async_callback(engine.flights.close)
    return engine, identity


async def _follow(memory: Memory, stack: AsyncExitStack) -> None:
    """Keep the memory in step with other processes on its store, where there can be any."""
    store = build.shared(memory.bodies)
    if store is not None:
        follower = Follower(memory, store)
        await follower.start()
        stack.push_async_callback(_end, asyncio.create_task(follower.run()))


def _learner(settings: Settings, engine: Engine, stack: AsyncExitStack) -> Learner:
    """What labels teach; the engine reads it from the next request on."""
    judge = judges.judge(settings, settings.rules, engine.memory.embedder, engine.upstreams)
    learner = Learner(
        engine.memory, engine.journal, judge, lambda: engine.rules, clock=engine.clock
    )
    engine.teach(learner)
    others = engine.memory.fences.others
    if others is not None:
        others.heard, learner.say = learner.hear, others.say
    stack.push_async_callback(learner.close)
    stack.push_async_callback(_end, asyncio.create_task(learner.run()))
    return learner


def _verdicts(engine: Engine, learner: Learner, stack: AsyncExitStack) -> Feedback:
    """What callers say of answers; on a shared store, what other replicas' callers say too."""
    taken = Feedback(
        engine.memory,
        engine.journal,
        notes=build.notes(engine.memory.bodies),
        on_verdict=learner.verdict,
    )
    stack.push_async_callback(_end, asyncio.create_task(taken.run()))
    return taken


def _fleet(engine: Engine, upkeep: Upkeep, stack: AsyncExitStack) -> Fleet:
    """This replica's figures beside the others', where there can be any."""
    others = engine.memory.fences.others
    fleet = Fleet(
        engine.journal,
        build.board(engine.memory.bodies),
        HERE if others is None else others.own.name,
        lambda: condition(engine, upkeep.settings, upkeep),
        faults=engine.memory.faults,
        clock=engine.clock,
    )
    if others is not None:
        stack.push_async_callback(_end, asyncio.create_task(fleet.run()))
    return fleet


def request_ids(clock: Callable[[], float]) -> Callable[[], int]:
    """Ids of 63 bits in the order of time: milliseconds, 10 bits of this node, 12 of a counter."""
    node = secrets.randbits(10) << 12
    counter = itertools.count()

    def following() -> int:
        return (int(clock() * 1000) << 22) | node | (next(counter) & 0xFFF)

    return following


def _followed(memory: Memory) -> dict[str, float]:
    others = memory.fences.others
    if others is None:
        return {}
    _, lag, behind = others.own
    known = {} if lag is None else {"replica_lag_seconds": lag}
    return {**known, "replica_behind": behind, "resyncs_total": others.resyncs}


def _spared(upstreams: Upstreams) -> dict[str, float]:
    breakers = upstreams.breakers
    return {"upstreams_failing": len(breakers.open), "calls_spared_total": breakers.spared}


def _learned(engine: Engine) -> dict[str, float]:
    learner = engine.learner
    if learner is None:
        return {}
    return reporting.gauges(learner.lessons, learner.judging.counts)


def _gauges(memory: Memory, journal: Journal) -> dict[str, float]:
    faults = memory.faults
    return {
        "entries": len(memory),
        "entry_bytes": memory.size,
        "entries_to_renew": memory.catalog.unread,
        "embed_faults_total": faults.embed,
        "embed_timeouts_total": faults.embed_timeout,
        "embed_queue": memory.sight.queued,
        "embedder_stalled": memory.sight.stalled,
        "store_read_faults_total": faults.store_read,
        "store_write_faults_total": faults.store_write,
        "fleet_faults_total": faults.fleet,
        "journal_dropped_total": journal.dropped,
        "journal_faults_total": journal.faults,
    }


def _url(bound: socket.socket, *, secure: bool = False) -> str:
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"{'https' if secure else 'http'}://{shown}:{port}"


async def _end(task: asyncio.Task[None]) -> None:
    await end(task)
    with suppress(asyncio.CancelledError, StoreError):
        task.result()
