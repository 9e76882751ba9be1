"""Equal requests at the same moment: how many calls they cost, and how late the last one is.

    .venv/bin/python bench/collapse.py [--slow SECONDS]

Real processes on loopback; an upstream that takes three seconds. Also ends the leader's connection
at ten random moments and counts the followers whose answer is not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from proxy.server import bind  # noqa: E402 - found through the line above

LEADERS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=float, default=3.0, help="seconds that the upstream takes")
    slow = parser.parse_args().slow
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        upstream = start(stack, folder, "proxy.demo.oracle", "--mode", f"slow:{slow:g}")
        house = start(
            stack, folder, "proxy.cli", "serve", "--admin-port", "0",
            "--upstream", f"http://127.0.0.1:{upstream}/v1",
        )  # fmt: skip
        print("| equal at once | form | upstream calls | slowest after the leader, ms |")
        print("|---|---|---|---|")
        for count in (100, 1000):
            for stream in (False, True):
                calls, late = asyncio.run(crowd(house, count, stream=stream))
                form = "streamed" if stream else "whole"
                print(f"| {count} | {form} | {calls} | {late * 1000:.0f} |")
        broken = sum(asyncio.run(orphaned(house, slow, n)) for n in range(LEADERS))
        print(
            f"\nleader gone at {LEADERS} random moments: {broken} of {LEADERS * 20} followers hurt"
        )


def start(stack: ExitStack, folder: str, *words: str) -> int:
    """A module of ours as a process; its port once it listens."""
    with bind("127.0.0.1", 0) as probe:
        port: int = probe.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, "-m", *words, "--port", str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LIKEWISE_CONFIG": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(child.wait)
    stack.callback(child.terminate)
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return port
    raise SystemExit(f"{words[0]} did not start")


def request(prompt: str, *, stream: bool) -> bytes:
    body = json.dumps({
        "model": "m", "messages": [{"role": "user", "content": prompt}], "stream": stream,
    }).encode()  # fmt: skip
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: x",
        "authorization: Bearer sk-1",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(port: int, sent: bytes, gate: asyncio.Event) -> tuple[bytes, float]:
    """A connection of its own, opened before the gate; the whole answer and when it was there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await gate.wait()
        writer.write(sent)
        answer = await reader.read()
        return answer, time.perf_counter()
    finally:
        writer.transport.abort()


async def crowd(port: int, count: int, *, stream: bool) -> tuple[int, float]:
    """How many were not told `collapsed`, and how much later than theirs the last answer came."""
    sent, gate = request(f"crowd of {count} {stream}", stream=stream), asyncio.Event()
    asking = [asyncio.create_task(ask(port, sent, gate)) for _ in range(count)]
    await asyncio.sleep(1)
    gate.set()
    answers = await asyncio.gather(*asking)
    if any(b"200 OK" not in answer[:20] for answer, _ in answers):
        raise SystemExit("an answer was no answer")
    led = [ended for answer, ended in answers if b"collapsed" not in answer]
    return len(led), max(ended for _, ended in answers) - min(led)


async def orphaned(port: int, slow: float, number: int) -> int:
    """How many of twenty followers suffer when the leader leaves at some moment."""
    sent, gate = request(f"orphans {number}", stream=True), asyncio.Event()
    gate.set()
    leader = asyncio.create_task(ask(port, sent, gate))
    await asyncio.sleep(0.1)
    followers = [asyncio.create_task(ask(port, sent, gate)) for _ in range(20)]
    await asyncio.sleep(random.random() * slow)  # noqa: S311 - any moment will do
    leader.cancel()
    answers = await asyncio.gather(*followers)
    return sum(b"[DONE]" not in answer for answer, _ in answers)


if __name__ == "__main__":
    main()
