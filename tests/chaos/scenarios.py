"""What breaks, and what clients must not notice of it.

Each scenario plays on a stage of its own and ends in an `Outcome`. The proxy is only ever spoken to
as clients and operators speak to it.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import parts, purging, restarts, rot, sockets, upstreams
from tests.chaos.load import Clients, Ledger, Question, p99, questions
from tests.chaos.outcome import SEED, Outcome
from tests.chaos.parties import limit, move_a_slot, resize, stage, used
from tests.disks import Disk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from tests.chaos.load import Answer
    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage

# An answer that was acknowledged this long before a kill must be there afterwards.
SAFE_AFTER = 1.0
RECOVERS_IN = 15.0
# How many acknowledged answers are looked for after each kill: the newest, and some of all.
NEWEST, ANY = 60, 60
DISK = 8 << 20
FREE_WHEN_FULL = 256 << 10
LARGE = 40_000


def play(scenario: Callable[[Stage, Scale], Awaitable[Outcome]], scale: Scale) -> Outcome:
    """Run one scenario from an empty folder to a cleared stage. Raises `Absent`."""

    async def played(at: Stage) -> Outcome:
        return await scenario(at, scale)

    with tempfile.TemporaryDirectory(prefix="likewise-chaos-") as folder, stage(Path(folder)) as at:
        return asyncio.run(played(at))


async def kill_sqlite(at: Stage, scale: Scale) -> Outcome:
    """`kill -9` at random moments under load, over the embedded store."""
    return await _killed(at.proxy(f"sqlite:{at.folder}/likewise.db"), scale)


async def kill_redis(at: Stage, scale: Scale) -> Outcome:
    """`kill -9` at random moments under load, over Redis."""
    return await _killed(at.proxy(at.redis().url), scale)


async def redis_stopped(at: Stage, scale: Scale) -> Outcome:
    """Redis keeps its connections open and answers nothing for a while."""
    server = at.redis()

    async def trouble() -> None:
        server.pause()
        await asyncio.sleep(scale.seconds)
        server.resume()

    return await _troubled(at, server.url, scale, trouble)


async def redis_restarted(at: Stage, scale: Scale) -> Outcome:
    """Redis is killed, stays away for a while, and comes back empty."""
    server = at.redis()

    async def trouble() -> None:
        server.stop()
        await asyncio.sleep(scale.seconds / 2)
        await asyncio.to_thread(server.start)

    return await _troubled(at, server.url, scale, trouble)


async def redis_evicts(at: Stage, scale: Scale) -> Outcome:
    """Redis may keep a tenth of what it holds, and evicts."""
    return await _limited(at, scale, "volatile-lru")


async def redis_refuses(at: Stage, scale: Scale) -> Outcome:
    """Redis may keep a tenth of what it holds, and refuses to write."""
    return await _limited(at, scale, "noeviction")


async def cluster_moves(at: Stage, scale: Scale) -> Outcome:
    """Slots that hold entries move from server to server of a cluster, one after the other."""
    cluster, moves = at.cluster(), 0
    dice = random.Random(SEED)  # noqa: S311 - repeatable

    async def trouble() -> None:
        nonlocal moves
        until = time.monotonic() + scale.seconds
        while time.monotonic() < until:
            moves += await asyncio.to_thread(move_a_slot, cluster, dice)

    outcome = await _troubled(at, cluster.url, scale, trouble)
    return outcome if moves else replace(outcome, notes=("no slot has moved",))


async def full_disk(at: Stage, scale: Scale) -> Outcome:
    """The embedded store's disk fills up under load, and is then made larger."""
    return await _without_room(at, scale, lambda *_: True)


async def full_disk_start(at: Stage, scale: Scale) -> Outcome:
    """The disk is full when the proxy starts anew, and is made larger under load."""

    def anew(proxy: Proxy, disk: Path) -> bool:
        proxy.stop()
        Disk(disk).fill()
        return proxy.start()

    return await _without_room(at, scale, anew)


async def _without_room(at: Stage, scale: Scale, before: Callable[[Proxy, Path], bool]) -> Outcome:
    """Calm, then load without room, then a larger disk. `before` the load all must be well."""
    disk, ledger = at.disk(DISK), Ledger()
    store = disk / "likewise.db"
    proxy = at.proxy(f"sqlite:{store}")
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    async with Clients(ledger, proxy.url) as clients:
        calm = await clients.pace(
            questions(dice, "calm"), scale.per_second, most=min(scale.calm, 500)
        )
        begun = await asyncio.to_thread(before, proxy, disk)
        large = questions(dice, "large", LARGE)
        rough = await clients.pace(large, scale.per_second, most=scale.requests)
        free = shutil.disk_usage(disk).free
        await asyncio.to_thread(resize, disk, 8 * DISK)
        recovered = await _recovers(clients)
        after = time.monotonic()
        await clients.pace(questions(dice, "after"), 50, most=50)
        await asyncio.sleep(SAFE_AFTER)
        kept = [a.question for a in ledger.answers if a.begun >= after and a.stored]
        await asyncio.to_thread(proxy.stop)
        sound = _sound(store)
        opened = await asyncio.to_thread(proxy.start)
        back = [await clients.remembered(question) for question in kept]
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()) + _count_wrong(back),
        recovered=begun and recovered and opened and bool(kept),
        lost=sum(not answer.exact for answer in back),
        added_ms=p99(rough) - p99(calm),
        notes=(*sound, *([f"{free} bytes were still free"] if free > FREE_WHEN_FULL else ())),
    )


SCENARIOS: Mapping[str, Callable[[Stage, Scale], Awaitable[Outcome]]] = {
    "kill-sqlite": kill_sqlite,
    "kill-redis": kill_redis,
    "redis-stopped": redis_stopped,
    "redis-restarted": redis_restarted,
    "redis-evicts": redis_evicts,
    "redis-refuses": redis_refuses,
    "cluster-moves": cluster_moves,
    "full-disk": full_disk,
    "full-disk-start": full_disk_start,
    "upstream-gone": upstreams.gone,
    "crowd": sockets.crowd,
    "rolling-restart": restarts.rolling,
    "embedder-stalled": parts.embedder_stalled,
    "embedder-killed": parts.embedder_killed,
    "embedder-corrupted": parts.embedder_corrupted,
    "index-faulted": parts.index_faulted,
    "index-stalled": parts.index_stalled,
    "judge-killed": parts.judge_killed,
    "judge-stalled": parts.judge_stalled,
    "judge-nonsense": parts.judge_talks_nonsense,
    "sqlite-corrupted": rot.sqlite_corrupted,
    "redis-corrupted": rot.redis_corrupted,
    "purges": purging.settled,
    "purges-under-way": purging.under_way,
}


async def _killed(proxy: Proxy, scale: Scale) -> Outcome:
    ledger, dice = Ledger(), random.Random(SEED)  # noqa: S311 - repeatable
    down: list[tuple[float, float]] = []
    opened, lost, wrong = True, 0, 0
    asked = questions(dice, "kill")
    async with Clients(ledger, proxy.url) as clients:
        for _ in range(scale.kills):
            killed = await _kill_under_load(proxy, clients, asked, dice, scale)
            opened &= await asyncio.to_thread(proxy.start)
            down.append((killed, time.monotonic()))
            if not opened:
                break
            sure = ledger.acknowledged(killed - SAFE_AFTER)
            some = sure[-NEWEST:] + dice.sample(sure, min(ANY, len(sure)))
            back = await asyncio.gather(*(_found(clients, question) for question in some))
            lost += sum(not answer.exact for answer in back)
            wrong += _count_wrong(back)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors(down)),
        wrong=len(ledger.wrong()) + wrong,
        recovered=opened,
        lost=lost,
        notes=() if opened else (proxy.log.read_text()[-500:],),
    )


async def _kill_under_load(
    proxy: Proxy, clients: Clients, asked: Iterator[Question], dice: random.Random, scale: Scale
) -> float:
    """When the proxy was killed: at a random moment of a load that goes on until then."""
    moment = time.monotonic() + SAFE_AFTER + dice.uniform(0.2, 1.2)
    load = asyncio.create_task(
        clients.pace(
            asked, scale.per_second, most=scale.requests, going=lambda: time.monotonic() < moment
        )
    )
    await asyncio.sleep(moment - time.monotonic())
    killed = time.monotonic()
    await asyncio.to_thread(proxy.kill)
    await load
    return killed


async def _troubled(
    at: Stage,
    store: str,
    scale: Scale,
    trouble: Callable[[], Awaitable[None]],
    pad: int = 0,
) -> Outcome:
    """Calm, then trouble under the same load, then calm again."""
    ledger = Ledger()
    proxy = at.proxy(store)
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    asked = questions(dice, "redis", pad)
    async with Clients(ledger, proxy.url) as clients:
        await clients.pace(asked, scale.per_second, most=100)
        calm = await clients.pace(asked, scale.per_second, most=scale.calm)
        rough, _ = await asyncio.gather(
            clients.pace(asked, scale.per_second, most=scale.requests), trouble()
        )
        recovered = await _recovers(clients)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()),
        recovered=recovered,
        added_ms=p99(rough) - p99(calm),
    )


async def _limited(at: Stage, scale: Scale, policy: str) -> Outcome:
    server = at.redis()
    empty = used(server)

    async def trouble() -> None:
        full = await asyncio.to_thread(used, server)
        await asyncio.to_thread(limit, server, empty + (full - empty) // 10, policy)
        await asyncio.sleep(scale.seconds)
        await asyncio.to_thread(limit, server, 0, policy)

    return await _troubled(at, server.url, scale, trouble, LARGE)


async def _recovers(clients: Clients) -> bool:
    """Whether a new answer is soon remembered again, with nobody's help."""
    until, tries = time.monotonic() + RECOVERS_IN, 0
    while time.monotonic() < until:
        question = Question(f"recovery {tries}: what now?", {"x-likewise-mode": "exact"})
        await clients.ask(question)
        await asyncio.sleep(0.2)
        known = await clients.remembered(question)
        if known.exact and known.right:
            return True
        tries += 1
    return False


async def _found(clients: Clients, question: Question) -> Answer:
    """What memory answers, asked again where it could not be read in time: that is not lost."""
    for pause in (0.5, 2.0):
        answer = await clients.remembered(question)
        if answer.exact:
            return answer
        await asyncio.sleep(pause)
    return await clients.remembered(question)


def _count_wrong(answers: Sequence[Answer]) -> int:
    return sum(answer.good and not answer.right for answer in answers)


def _sound(store: Path) -> list[str]:
    """What SQLite itself says against a store; nothing where it is whole."""
    db = sqlite3.connect(store)
    try:
        rows = [row[0] for row in db.execute("PRAGMA integrity_check")]
    finally:
        db.close()
    return [] if rows == ["ok"] else [f"integrity_check: {row}" for row in rows[:3]]
