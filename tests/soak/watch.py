"""A proxy that is asked new questions all the time, while it may keep a part of them only."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import numpy as np

from tests.proxy.house import body
from tests.security.canaries import metrics
from tests.security.finding import NOUNS, SEED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.parties import Proxy, Stage

CALLERS = 16
GIVES_UP = 60.0
MEGABYTE = 1 << 20
# Of every so many requests one repeats an earlier question.
REPEATS_EACH, BEHIND = 5, 500
# Past the cap eviction may be behind by what comes in between two looks, and some.
SLACK = 1.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many different questions, and how many entries are kept.

    `slope` is the growth that is allowed, in MB per ten minutes, once `warm` of the time is over.
    """

    seconds: float
    prompts: int
    cap: int
    slope: float = 5.0
    warm: float = 0.4
    pause: float = 5.0


FULL = Plan(seconds=1_800.0, prompts=100_000, cap=20_000)
QUICK = Plan(seconds=60.0, prompts=2_000, cap=400, pause=1.0)


@dataclass(slots=True)
class Soaked:
    """What was seen: seconds and bytes of memory, entries at the end, answers that were none."""

    plan: Plan
    asked: int = 0
    errors: int = 0
    entries: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)

    @property
    def slope(self) -> float:
        """Growth in MB per ten minutes after the warm-up, by least squares."""
        after = self.plan.warm * self.plan.seconds
        late = [(at, size) for at, size in self.memory if at >= after]
        if len(late) < 2:
            return float("nan")
        times, sizes = np.array(late).T
        return float(np.polyfit(times, sizes, 1)[0]) * 600 / MEGABYTE

    def broken(self, *, timed: bool = True) -> list[str]:
        """Which bounds it breaks, in words."""
        faults = [f"{self.errors} client errors"] if self.errors else []
        if self.entries > self.plan.cap * SLACK:
            faults.append(f"{self.entries} entries, {self.plan.cap} allowed")
        if timed and not self.slope <= self.plan.slope:
            faults.append(f"{self.slope:.1f} MB per ten minutes, {self.plan.slope:.1f} allowed")
        return faults


def prompts(plan: Plan) -> Iterator[str]:
    """The questions in order: new ones, and some of the last few hundred again."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    said: list[str] = []
    while len(said) < plan.prompts:
        if said and not dice.randrange(REPEATS_EACH):
            yield said[max(0, len(said) - dice.randrange(1, BEHIND))]
            continue
        said.append(f"What do {' and '.join(dice.sample(NOUNS, 3))} share in {len(said)}?")
        yield said[-1]


async def soak(at: Stage, plan: Plan) -> Soaked:
    """Ask at a steady rate and look at the process now and then."""
    proxy = await asyncio.to_thread(
        at.proxy,
        f"sqlite:{at.folder}/soak/likewise.db",
        "soak",
        index={"max_entries": plan.cap},
    )
    seen, begun = Soaked(plan), time.monotonic()
    watching = asyncio.create_task(_watch(proxy, seen, begun))
    waiting = prompts(plan)
    gap = plan.seconds / plan.prompts * (1 - 1 / REPEATS_EACH)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GIVES_UP)) as session:

        async def caller() -> None:
            for prompt in waiting:
                due = begun + seen.asked * gap
                seen.asked += 1
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                seen.errors += not await _ask(session, proxy.url, prompt)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await asyncio.sleep(plan.pause)
    watching.cancel()
    seen.entries = await asyncio.to_thread(_entries, proxy)
    await asyncio.to_thread(proxy.stop)
    return seen


async def _ask(session: aiohttp.ClientSession, url: str, prompt: str) -> bool:
    headers = {"authorization": "Bearer sk-soak"}
    try:
        async with session.post(
            f"{url}/v1/chat/completions", json=body(prompt), headers=headers
        ) as answer:
            await answer.read()
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _watch(proxy: Proxy, seen: Soaked, begun: float) -> None:
    while True:
        seen.memory.append((time.monotonic() - begun, resident(proxy.pid)))
        await asyncio.sleep(seen.plan.pause)


def resident(pid: int) -> int:
    """Bytes of memory that a process has in use."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(kilobytes) * 1024


def _entries(proxy: Proxy) -> int:
    told = dict(line.rsplit(" ", 1) for line in metrics(proxy).splitlines() if line[0] != "#")
    return int(float(told["likewise_entries"]))
