"""What the log of decisions costs exact hits, in throughput and in CPU time.

    .venv/bin/python bench/journal.py [--pairs 12] [--seconds 3]

Two proxies that differ in one thing: in one, decisions are neither made into rows nor recorded, so
its journal has nothing to write. Bursts of 32 connections go to one and to the other in turn, each
pair in the other order than the last, servers on one core and the load on another. Once every
request is the same, and so are the rows; once they go round a thousand questions. Told are medians
over the pairs: what the log takes of the other's rate, with the pairs' quartiles; how much more CPU
time a hit takes in the whole process; and the share of that which the journal's thread takes, which
hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from index.journal import Journal
from proxy import cli
from proxy.burst import load
from proxy.exchange import Repeat
from proxy.server import bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECTIONS = 32
MANY = 1_000
# What a journal has not written yet must not fall into the other's burst.
PAUSE = 0.5
PATIENCE = 60.0
LOGGING, SILENT = "--logging", "--silent"
# As much of a thread's name as Linux keeps.
NAMED = 15
THREAD = "likewise-journal"[:NAMED]
LOADS = {"one question": 1, "a thousand": MANY}


class Server(NamedTuple):
    port: int
    pid: int


class Burst(NamedTuple):
    """Requests a second, CPU seconds of one, and the share of these that the journal took."""

    rate: float
    cpu: float
    journal: float


def main() -> None:
    if sys.argv[1:2] in ([LOGGING], [SILENT]):
        serve(*sys.argv[1:4])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    requests = [request(number) for number in range(MANY)]
    print("| asked | hits a second, logging | silent | costs | quartiles | CPU | the thread |")
    print("|---|---|---|---|---|---|---|")
    with ExitStack() as stack:
        logging, silent = servers(stack)
        for one in (logging, silent):
            warm(one, requests)
        for name, count in LOADS.items():
            pairs = turns(logging, silent, requests[:count], asked.pairs, asked.seconds)
            print(f"| {name} | {' | '.join(told(pairs))} |", flush=True)


def turns(
    logging: Server, silent: Server, requests: Sequence[bytes], pairs: int, seconds: float
) -> list[tuple[Burst, Burst]]:
    """So many bursts at each, in turn: the logging one's first in every pair."""
    made = []
    for number in range(pairs):
        order = (logging, silent) if number % 2 else (silent, logging)
        bursts = {one: burst(one, cycle(requests), seconds) for one in order}
        made.append((bursts[logging], bursts[silent]))
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {pairs}", end="", file=sys.stderr, flush=True)
    return made


def burst(at: Server, requests: Iterator[bytes], seconds: float) -> Burst:
    before, journal = cpu(at.pid)
    made = asyncio.run(load(at.port, requests, CONNECTIONS, seconds))
    time.sleep(PAUSE)
    after, written = cpu(at.pid)
    used = after - before
    return Burst(made.rate, used / made.count, (written - journal) / used)


def cpu(pid: int) -> tuple[float, float]:
    """CPU seconds of all threads, and of the journal's."""
    used = {
        task: int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    }
    writing = (task for task in used if (task / "comm").read_text().strip() == THREAD)
    return sum(used.values()), sum(used[task] for task in writing)


def told(pairs: Sequence[tuple[Burst, Burst]]) -> list[str]:
    costs = [1 - on.rate / off.rate for on, off in pairs]
    low, _, high = quantiles(costs, n=4)
    more = [on.cpu / off.cpu - 1 for on, off in pairs]
    return [
        f"{median(on.rate for on, _ in pairs):,.0f}",
        f"{median(off.rate for _, off in pairs):,.0f}",
        f"{median(costs):+.1%}",
        f"{low:+.1%} to {high:+.1%}",
        f"{median(more):+.1%}",
        f"{median(on.journal for on, _ in pairs):.1%}",
    ]


def serve(how: str, port: str, upstream: str) -> None:
    """A proxy whose threads have their names; a silent one makes no rows and records none."""
    run = threading.Thread.run

    def named(self: threading.Thread) -> None:
        comm = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        comm.write_text(self.name[:NAMED])
        run(self)

    threading.Thread.run = named  # type: ignore[method-assign]
    if how == SILENT:
        Journal.record = lambda *_: None  # type: ignore[method-assign]
        Repeat.decision = lambda *_: None  # type: ignore[assignment, method-assign]
    sys.argv = ["likewise", "serve", "--port", port, "--admin-port", "0", "--upstream", upstream]
    cli.main()


def servers(stack: ExitStack) -> tuple[Server, Server]:
    """The one that logs and the one that does not, before one upstream, all on one core."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    port = free()
    upstream = f"http://127.0.0.1:{port}/v1"
    sample = ["-m", "proxy.demo.upstream", "--latency", "0", "--per-token", "0"]
    start(stack, port, [*sample, "--port", str(port)])
    logging, silent = free(), free()
    made = (
        start(stack, logging, [str(Path(__file__).resolve()), LOGGING, str(logging), upstream]),
        start(stack, silent, [str(Path(__file__).resolve()), SILENT, str(silent), upstream]),
    )
    os.sched_setaffinity(0, set(cores[1:]) or {cores[0]})
    return made


def free() -> int:
    with bind("127.0.0.1", 0) as probe:
        port: int = probe.getsockname()[1]
    return port


def start(stack: ExitStack, port: int, command: Sequence[str]) -> Server:
    """A child in a folder of its own, once it answers."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="likewise-"))
    root = str(Path(__file__).resolve().parent.parent)
    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, "LIKEWISE_CONFIG": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(child.wait, 10)
    stack.callback(child.terminate)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and child.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return Server(port, child.pid)
    sys.exit(f"{' '.join(command[:2])} did not start; try it by hand")


def request(number: int) -> bytes:
    """As an SDK sends it, about 1 KB with its headers; matched exactly only."""
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant. " * 12},
                {"role": "user", "content": f"What does error {number} mean, and what do I do?"},
            ],
            "temperature": 0.2,
        }
    ).encode()
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Authorization: Bearer sk-likewise-bench-0123456789",
        "Content-Type: application/json",
        "Accept: application/json",
        "User-Agent: OpenAI/Python 2.0.0",
        "x-likewise-mode: exact",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warm(at: Server, requests: Sequence[bytes]) -> None:
    """Ask each until all are hits."""
    for _ in range(3):
        missed: list[bytes] = []

        def heard(asked: bytes, answer: bytes, _: float) -> None:
            if b"x-likewise-match: exact" not in answer:
                missed.append(asked)  # noqa: B023 - it is called within this turn only

        asyncio.run(load(at.port, iter(requests), CONNECTIONS, PATIENCE, heard))
        if not missed:
            return
    sys.exit("some requests never became hits; run `likewise check`")


if __name__ == "__main__":
    main()
