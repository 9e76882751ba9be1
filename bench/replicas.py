"""Several memories on one Redis: how soon each knows what another did, and what that costs Redis.

    .venv/bin/python bench/replicas.py [--of 2,8,16] [--rounds N]

One redis-server on loopback and all memories in this process, so what is measured is the log and
how it is followed, not HTTP. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from redis.asyncio import Redis  # noqa: E402 - found through the line above

from index.embedders.hashing import HashingEmbedder  # noqa: E402
from index.ending import end  # noqa: E402
from index.memory import Memory  # noqa: E402
from index.ports import Record  # noqa: E402
from index.replicas import Follower  # noqa: E402
from index.stores.redis import RedisBodies  # noqa: E402
from policies.values import Facts  # noqa: E402
from proxy.server import bind  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

EMBEDDER = HashingEmbedder(384)
IDLE_SECONDS = 5.0
COLUMNS = (
    "replicas", "visible everywhere, ms, p50", "p99", "purge acknowledged, ms, p50", "p99",
    "Redis CPU, ms a second, idle",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", default="2,8,16", help="numbers of replicas")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        url = redis(stack)
        print("| " + " | ".join(COLUMNS) + " |")
        print("|" + "---|" * len(COLUMNS))
        for count in map(int, options.of.split(",")):
            row = asyncio.run(measured(url, count, options.rounds))
            print("| " + " | ".join(row) + " |", flush=True)


def redis(stack: ExitStack) -> str:
    """A server that is gone when the block ends."""
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("redis-server is not on PATH (Debian: apt-get install redis-server)")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    with bind("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    words = [binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    time.sleep(1.0)
    return f"redis://127.0.0.1:{port}/0"


async def measured(url: str, count: int, rounds: int) -> list[str]:
    """One row of the table."""
    space = f"bench-{uuid.uuid4().hex}"
    memories = [Memory(EMBEDDER, RedisBodies.open(url, namespace=space)) for _ in range(count)]
    tasks = [await following(memory) for memory in memories]
    seen, purged = [], []
    for number in range(rounds):
        kept = record(number)
        begun = time.perf_counter()
        await memories[0].keep(kept.facts, b"answer", kept.vector, meaning=True)
        await until_known(memories[1:], kept.facts.entry)
        seen.append((time.perf_counter() - begun) * 1000)
        begun = time.perf_counter()
        await memories[-1].purge([kept.facts.entry])
        purged.append((time.perf_counter() - begun) * 1000)
    cost = await idle(url)
    for task in tasks:
        await end(task)
    for memory in memories:
        await memory.close()
    return [str(count), *middle_and_end(seen), *middle_and_end(purged), f"{cost:.1f}"]


async def following(memory: Memory) -> asyncio.Task[None]:
    store = memory.bodies
    assert isinstance(store, RedisBodies)
    follower = Follower(memory, store)
    await follower.start()
    return asyncio.create_task(follower.run())


async def until_known(memories: Sequence[Memory], entry: str) -> None:
    while not all(memory.facts(entry) for memory in memories):  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def idle(url: str) -> float:
    """Milliseconds of its CPU that Redis spends a second while nobody asks anything."""
    async with Redis.from_url(url) as client:
        before = await client.info("cpu")
        await asyncio.sleep(IDLE_SECONDS)
        after = await client.info("cpu")
    names = ("used_cpu_user", "used_cpu_sys")
    return sum(after[name] - before[name] for name in names) * 1000 / IDLE_SECONDS


def middle_and_end(times: Sequence[float]) -> list[str]:
    cuts = quantiles(times, n=100)
    return [f"{cuts[49]:.0f}", f"{cuts[98]:.0f}"]


def record(number: int) -> Record:
    text, now = f"question {number}", time.time()
    facts = Facts(
        entry=uuid.uuid4().hex, space="space", owner="owner", category="default", dialect="openai",
        model="m", chain="", text=text, stored=now, expires=now + 3600, gone=now + 3600, size=6,
    )  # fmt: skip
    return Record(facts, b"answer", EMBEDDER.embed(text).vector)


if __name__ == "__main__":
    main()
