"""Two replicas restarted one after the other behind a load balancer: nobody notices."""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING

import aiohttp

from tests.chaos.load import Clients, Ledger, Question
from tests.chaos.outcome import SEED, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage

PER_SECOND = 100
STREAMS = 30  # of a hundred
STREAM_SECONDS = 1.5
CHECKS_EVERY = 0.2
LOOKS_IN = 1.0


class Balancer:
    """Sends requests in turn to those replicas that called themselves ready when last heard."""

    def __init__(self, *replicas: Proxy) -> None:
        self._urls = [replica.url for replica in replicas]
        self._ready = set(self._urls)
        self._turns = itertools.count()

    def choose(self) -> str:
        ready = [url for url in self._urls if url in self._ready] or self._urls
        return ready[next(self._turns) % len(ready)]

    async def _look(self, session: aiohttp.ClientSession, url: str) -> None:
        """One that takes its time keeps its standing: a busy machine makes nobody unready."""
        try:
            async with session.get(f"{url}/readyz") as answer:
                ready = answer.status == 200
        except TimeoutError:
            return
        except (aiohttp.ClientError, OSError):
            ready = False
        (self._ready.add if ready else self._ready.discard)(url)

    async def watch(self) -> None:
        """Ask each again and again, until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LOOKS_IN)) as session:
            while True:
                for url in self._urls:
                    await self._look(session, url)
                await asyncio.sleep(CHECKS_EVERY)


async def rolling(at: Stage, scale: Scale) -> Outcome:
    """Each of two replicas gets a SIGTERM and is started again, under load with many streams."""
    url = at.redis().url
    replicas = [at.proxy(url, "first"), at.proxy(url, "second")]
    balancer, ledger, done = Balancer(*replicas), Ledger(), asyncio.Event()
    watching = asyncio.create_task(balancer.watch())
    asked, per_second = _questions(), min(PER_SECOND, scale.requests / 10)
    async with Clients(ledger, choose=balancer.choose) as clients:
        await clients.pace(asked, per_second, most=scale.calm)
        load = asyncio.create_task(
            clients.pace(asked, per_second, most=60_000, going=lambda: not done.is_set())
        )
        codes = [await _restarted(replica) for replica in replicas]
        done.set()
        await load
    watching.cancel()
    streams = sum(a.question.stream for a in ledger.answers)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()),
        recovered=None not in codes,
        notes=() if codes == [0, 0] else (f"exit codes {codes}",),
        told=(f"{streams} streams",),
    )


async def _restarted(replica: Proxy) -> int | None:
    """The exit code of an orderly end; None where it is not ready again."""
    await asyncio.to_thread(replica.stop)
    opened = await asyncio.to_thread(replica.start)
    await asyncio.sleep(2 * CHECKS_EVERY)
    return replica.code if opened else None


def _questions() -> Iterator[Question]:
    """Half of them new, and of all some as streams that take their time."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    slow = {"x-likewise-mode": "exact", "x-oracle-mode": f"paced:{STREAM_SECONDS}"}
    for number in itertools.count():
        which = number if dice.random() < 0.5 else dice.randrange(number + 1)
        stream = dice.randrange(100) < STREAMS
        kind = "stream" if stream else "whole"
        yield Question(f"{kind} {which}: what follows?", slow, stream=stream)
