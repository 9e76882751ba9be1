"""Two replicas on one Redis, and purges on one of them that must hold on both.

A purge stands for a source that has changed: what the upstream was asked before the purge was sent
is an old answer, and nobody who asks after the acknowledgement may get it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.load import Clients, Ledger, Question
from tests.chaos.outcome import SEED, Outcome, Scale

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from tests.chaos.load import Answer
    from tests.chaos.parties import Proxy, Stage

PROMPTS = 20
# Seconds from one purge to the next.
EVERY = 0.5
# How long a new answer takes where purges must meet requests that are under way.
UNDER_WAY = 1.2
SLOW = {"x-oracle-mode": f"slow:{UNDER_WAY}"}


@dataclass(frozen=True, slots=True)
class Purge:
    """`mark`: how many requests the upstream had seen before it was sent. `done`: when it was
    acknowledged. `removed`: how many entries it said to have removed. `met`: whether it came while
    what it was to meet was still under way."""

    prompt: str
    mark: int
    done: float
    removed: int
    met: bool = True


async def settled(at: Stage, scale: Scale) -> Outcome:
    """Entries are purged on one replica while both answer; what was purged stays away."""
    return await _purged(at, scale, _settled)


async def under_way(at: Stage, scale: Scale) -> Outcome:
    """The same, while the other replica still waits for an answer to the same question."""
    return await _purged(at, scale, _under_way)


def stale(answers: Iterable[Answer], purges: Sequence[Purge]) -> list[Answer]:
    """Answers from before a purge to requests that began after it was acknowledged."""
    return [
        a
        for a in answers
        if a.good
        and any(
            p.prompt == a.question.prompt and a.begun > p.done and a.number <= p.mark
            for p in purges
        )
    ]


@dataclass(frozen=True, slots=True)
class _Scene:
    """One purge's parties: `here` it is sent, `there` it must hold as well."""

    at: Stage
    clients: Clients
    here: Proxy
    there: Proxy

    async def purge(self, question: Question, *, by_tag: bool) -> Purge:
        stored = await self.clients.ask(question, url=self.here.url)
        mark = len(self.at.oracle.log)
        chosen = (
            {"tag": question.headers["x-likewise-tags"]}
            if by_tag
            else {"ids": [stored.headers.get("x-likewise-entry", "")]}
        )
        removed = await asyncio.to_thread(lambda: self.here.purge(**chosen))
        return Purge(question.prompt, mark, time.monotonic(), removed)


async def _settled(scene: _Scene, question: Question, *, by_tag: bool) -> Purge:
    for proxy in (scene.here, scene.there):
        await scene.clients.ask(question, url=proxy.url)
    purge = await scene.purge(question, by_tag=by_tag)
    for proxy in (scene.there, scene.here):
        await scene.clients.ask(question, url=proxy.url)
    return purge


async def _under_way(scene: _Scene, question: Question, *, by_tag: bool) -> Purge:
    await scene.clients.ask(question, url=scene.here.url)
    afresh = replace(
        question, headers=dict(question.headers) | SLOW | {"cache-control": "no-cache"}
    )
    waiting = asyncio.create_task(scene.clients.ask(afresh, url=scene.there.url))
    await asyncio.sleep(UNDER_WAY / 4)
    purge = replace(await scene.purge(question, by_tag=by_tag), met=not waiting.done())
    await scene.clients.ask(question, url=scene.there.url)
    await waiting
    await asyncio.sleep(UNDER_WAY / 4)
    for proxy in (scene.there, scene.here):
        await scene.clients.ask(question, url=proxy.url)
    return purge


async def _purged(at: Stage, scale: Scale, purge: Callable[..., Awaitable[Purge]]) -> Outcome:
    ledger, dice = Ledger(), random.Random(SEED)  # noqa: S311 - repeatable
    server = at.redis()
    replicas = [at.proxy(server.url, name) for name in ("one", "other")]
    purges: list[Purge] = []
    async with Clients(ledger, *(proxy.url for proxy in replicas)) as clients:
        start = time.monotonic()
        load = asyncio.create_task(
            clients.pace(
                _asked(dice),
                scale.requests / (scale.purges * EVERY),
                most=scale.requests,
            )
        )
        for number in range(scale.purges):
            here, there = replicas[:: 1 if number % 2 else -1]
            scene = _Scene(at, clients, here, there)
            purges.append(await purge(scene, _question(number % PROMPTS), by_tag=number % 4 < 2))
            await asyncio.sleep(start + len(purges) * EVERY - time.monotonic())
        await load
    idle = sum(not (p.removed and p.met) for p in purges)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()) + len(stale(ledger.answers, purges)),
        recovered=True,
        notes=(f"{idle} purges met nothing",) if idle else (),
    )


def _question(number: int) -> Question:
    headers = {"x-likewise-mode": "exact", "x-likewise-tags": f"chaos-{number}"}
    return Question(f"purge {number}: what holds?", headers)


def _asked(dice: random.Random) -> Iterator[Question]:
    return (_question(dice.randrange(PROMPTS)) for _ in itertools.count())
