"""`likewise bench`: each path of this machine as a ratio to its floor, measured side by side.

Real processes over loopback sockets: a raw ASGI echo on the very same server class, the proxy with
its shipped defaults, and a sample upstream without latency. Figures are ratios, because machines
differ and are noisy.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import httpx
from rich.table import Table

from index import build
from index.errors import SetupError
from policies import text
from proxy import burst
from proxy.burst import load
from proxy.server import Listener, bind, run, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.embedders.weights import Progress

CONNECTIONS = 32
ECHO_SIZE = 2_000
_START_SECONDS = 60.0

OPENERS = (
    "", "please tell me: ", "i wonder, ", "quick question: ", "hello, ", "can you explain ",
    "i would like to know ", "kindly explain ", "tell me, ", "hi there, ", "so, ", "well, ",
)  # fmt: skip
CLOSERS = ("", " please", ", thanks", " thank you", " in short", " briefly", " in simple words")
QUESTIONS = (
    "why is the sky blue during the day",
    "how do the tides of the ocean work",
    "what does a hash map do in a program",
    "how does a refrigerator keep food cold",
    "why do leaves change their colour in autumn",
    "what is the purpose of a database index",
    "how do vaccines train the immune system",
    "why does bread rise in the oven",
)


async def echo(_: Any, receive: Any, send: Any) -> None:
    """The floor: reads a body and answers a fixed one, with no framework and no thought."""
    while (await receive()).get("more_body"):
        pass
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % ECHO_SIZE),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"x" * ECHO_SIZE})


def measure(*, quick: bool, progress: Progress) -> dict[str, float]:
    """Run everything; about 20 seconds when quick, a minute otherwise."""
    rounds, seconds = (3, 1.0) if quick else (7, 2.5)
    progress("starting servers", 0.02)
    with ExitStack() as stack:
        bed = stack.enter_context(Bed())
        exact = bed.request("why is the sky blue", seed=0)
        bed.warm(exact)
        ratios, tails, hits, floors = [], [], [], []
        for turn in range(rounds):
            floor = asyncio.run(load(bed.echo, repeat(exact), CONNECTIONS, seconds))
            hit = asyncio.run(load(bed.proxy, repeat(exact), CONNECTIONS, seconds))
            ratios.append(hit.rate / floor.rate)
            one_floor = asyncio.run(load(bed.echo, repeat(exact), 1, seconds / 2))
            one = asyncio.run(load(bed.proxy, repeat(exact), 1, seconds / 2))
            tails.append(one.p50 / one_floor.p50)
            hits.append(one.p50)
            floors.append(one_floor.p50)
            progress("exact hits against a raw echo", 0.05 + 0.6 * (turn + 1) / rounds)
        semantic, embedding = bed.semantic(200 if quick else 600, progress)
    progress("done", 1.0)
    return {
        "exact_hit_vs_raw_echo": round(median(ratios), 3),
        "exact_p50_c1_vs_raw_echo": round(median(tails), 3),
        "hit_p50_ms_c1": round(median(hits) * 1000, 4),
        "echo_p50_ms_c1": round(median(floors) * 1000, 4),
        "semantic_hit_vs_embedding": round(semantic / embedding, 3),
        "semantic_hit_p50_ms_c1": round(semantic * 1000, 3),
        "embedding_p50_ms": round(embedding * 1000, 3),
    }


def table(figures: dict[str, float]) -> Table:
    """The figures for a terminal, with what each is held to."""
    held = {
        "exact_hit_vs_raw_echo": "≥ 0.6, higher is better",
        "exact_p50_c1_vs_raw_echo": "≤ 2.0, lower is better",
        "semantic_hit_vs_embedding": "≤ 1.3, lower is better",
    }
    made = Table("figure", "measured", "held to", title="likewise bench")
    for name, value in figures.items():
        made.add_row(name.replace("_", " "), f"{value:g}", held.get(name, ""))
    return made


class Bed:
    """Three child processes on loopback, the servers on one core and the load on another."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.pids: dict[int, int] = {}
        self._folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="likewise-"))
        cores = sorted(os.sched_getaffinity(0))
        self._cores = set(cores)
        self._server_core = {cores[0]}
        try:
            self.echo = self._start([sys.executable, "-m", "proxy.bench", "echo"])
            upstream = self._start([
                sys.executable, "-m", "proxy.demo.upstream", "--latency", "0", "--per-token", "0"
            ])  # fmt: skip
            self.proxy = self._start(
                [
                    sys.executable, "-m", "proxy.cli", "serve", "--admin-port", "0",
                    "--upstream", f"http://127.0.0.1:{upstream}/v1",
                ]
            )  # fmt: skip
        except BaseException:
            self._stack.close()
            raise
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores[1:]))
            self._stack.callback(os.sched_setaffinity, 0, set(cores))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def request(self, prompt: str, *, seed: int) -> bytes:
        """A chat request as an SDK sends it, about 1 KB with its headers."""
        body = json.dumps(
            {
                "model": "gpt-4o-mini",
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant. " * 12},
                    {"role": "user", "content": prompt},
                ],
                "temperature": 0.2,
                "max_tokens": 400 + seed,
            }
        ).encode()
        lines = [
            "POST /v1/chat/completions HTTP/1.1",
            "Host: 127.0.0.1",
            "Authorization: Bearer sk-likewise-bench-0123456789",
            "Content-Type: application/json",
            "Accept: application/json",
            "User-Agent: OpenAI/Python 2.0.0",
            "x-likewise-threshold: 0.85",
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def warm(self, request: bytes) -> None:
        """Ask until it is a hit."""
        for _ in range(20):
            if b"x-likewise-match: exact" in _once(self.proxy, request):
                return
        raise SetupError("the bench's own request never hit; run `likewise check`")

    def semantic(self, wanted: int, progress: Progress) -> tuple[float, float]:
        """Medians in seconds of semantic hits at c=1 and of their embedding alone, interleaved."""
        embedder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
        for question in QUESTIONS:
            _once(self.proxy, self.request(question, seed=1))
        # The core that waits for an embedding may be used for what can be done meanwhile.
        for pid in self.pids.values():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), self._cores)
        os.sched_setaffinity(0, self._cores)
        hits, alone = [], []
        connection = socket.create_connection(("127.0.0.1", self.proxy))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            for count, prompt in enumerate(variants()):
                request = self.request(prompt, seed=1)
                started = time.perf_counter()
                answer = _exchange(connection, request)
                took = time.perf_counter() - started
                if b"x-likewise-match: semantic" in answer:
                    hits.append(took)
                prepared = text.normalise(prompt)
                started = time.perf_counter()
                embedder.embed(prepared)
                alone.append(time.perf_counter() - started)
                progress("semantic hits against the embedding", 0.65 + 0.35 * count / wanted)
                if count >= wanted:
                    break
        if len(hits) < wanted // 10:
            raise SetupError("too few semantic hits to measure; run `likewise check`")
        return median(hits), median(alone)

    def _start(self, command: list[str]) -> int:
        """Start a child on a free port; returns the port once it answers."""
        with bind("127.0.0.1", 0) as probe:
            port: int = probe.getsockname()[1]
        root = str(Path(__file__).resolve().parent.parent)
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [*command, "--port", str(port)],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": root, "LIKEWISE_CONFIG": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, self._server_core),  # noqa: PLW1509
        )
        self._stack.callback(_end, child)
        self.pids[port] = child.pid
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if child.poll() is not None:
                said = child.stderr.read().decode(errors="replace")[-300:] if child.stderr else ""
                raise SetupError(f"{' '.join(command[1:4])} did not start: {said.strip()}")
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1, trust_env=False)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return port
        raise SetupError(f"{' '.join(command[1:4])} did not answer within {_START_SECONDS:.0f} s")


def variants() -> Iterator[str]:
    for closer in CLOSERS:
        for opener in OPENERS:
            for question in QUESTIONS:
                if opener or closer:
                    yield f"{opener}{question}{closer}"


def _once(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        return _exchange(connection, request)


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    got = b""
    while not burst.is_whole(got):
        more = connection.recv(65_536)
        if not more:
            break
        got += more
    return got


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stderr is not None:
        child.stderr.close()


if __name__ == "__main__":
    raise SystemExit(
        run(
            serve(
                [Listener(echo, bind("127.0.0.1", int(sys.argv[-1])))],
                drain=1.0,
                on_ready=lambda: None,
                on_drain=lambda: None,
            )
        )
    )
