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
from itertools import count, repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import httpx
from rich.table import Table

from index import build
from index.errors import SetupError
from policies import text
from proxy import burst, paths
from proxy.burst import load
from proxy.server import Listener, bind, run, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from index.embedders.weights import Progress
    from index.ports import Embedder

    Figures = dict[str, float | None]

CONNECTIONS = 32
ECHO_SIZE = 2_000
# Rounds, seconds of each, and prompts asked by meaning.
QUICK = (3, 0.5, 150)
FULL = (7, 1.2, 500)
# What a request asks for besides.
PLAIN: Mapping[str, bool] = {}
EXACTLY = {"exactly": True}
STREAMED = {"exactly": True, "stream": True}
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


def measure(*, quick: bool, progress: Progress) -> Figures:
    """Run everything; about 20 seconds when quick, a minute otherwise.

    A figure is None where what it is measured against is not installed.
    """
    rounds, seconds, prompts = QUICK if quick else FULL
    progress("starting servers", 0.02)
    embedder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
    with Bed() as bed:
        exact = bed.request("why is the sky blue", seed=0)
        bed.warm(exact)
        figures: Figures = {}
        progress("exact hits against a raw echo", 0.05)
        figures |= _hits(bed, exact, rounds, seconds)
        progress("exact hits beside a crowd", 0.5)
        for question in QUESTIONS:
            _once(bed.proxy, bed.request(question, seed=1))
        figures["exact_p50_under_load_vs_unloaded"] = _crowded(bed, exact, rounds, seconds)
        progress("misses", 0.6)
        figures |= _misses(bed, exact, rounds, seconds)
        figures |= bed.semantic(embedder, prompts, progress)
        progress("the encoder against torch", 0.95)
        figures["embedding_vs_torch"] = paths.against_torch(embedder, variants(), 20 * rounds)
    progress("done", 1.0)
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def _hits(bed: Bed, exact: bytes, rounds: int, seconds: float) -> Figures:
    """Exact hits beside a raw echo, turn by turn."""
    rates, tails, hits, floors = [], [], [], []
    for _ in range(rounds):
        floor, hit = (
            asyncio.run(load(port, repeat(exact), CONNECTIONS, seconds))
            for port in (bed.echo, bed.proxy)
        )
        rates.append(hit.rate / floor.rate)
        floor, hit = (
            asyncio.run(load(port, repeat(exact), 1, seconds / 2)) for port in (bed.echo, bed.proxy)
        )
        tails.append(hit.p50 / floor.p50)
        hits.append(hit.p50)
        floors.append(floor.p50)
    return {
        "exact_hit_vs_raw_echo": median(rates),
        "exact_p50_c1_vs_raw_echo": median(tails),
        "hit_p50_ms_c1": median(hits) * 1000,
        "echo_p50_ms_c1": median(floors) * 1000,
    }


def _crowded(bed: Bed, exact: bytes, rounds: int, seconds: float) -> float:
    """How much longer an exact hit takes while other prompts keep the encoder busy."""
    asked = crowd()
    ratios = []
    for _ in range(rounds):
        alone = asyncio.run(load(bed.proxy, repeat(exact), 1, seconds)).p50
        requests = (bed.request(prompt, seed=1) for prompt in asked)
        ratios.append(paths.beside_a_crowd(bed.proxy, exact, requests, seconds) / alone)
    return median(ratios)


def _misses(bed: Bed, exact: bytes, rounds: int, seconds: float) -> Figures:
    """Our client's CPU per call beside a raw echo's per request, and the proxy's per chunk."""
    wholes = (bed.request(f"question {n}", seed=2, more=EXACTLY) for n in count())
    streams = (bed.request(f"question {n}", seed=3, more=STREAMED) for n in count())
    body = exact.partition(b"\r\n\r\n")[2]
    calls, chunks = [], []
    for _ in range(rounds):
        floor = bed.cpu(bed.echo, repeat(exact), seconds)
        calls.append(paths.client_cpu(bed.slow, body, 2) / floor)
        whole = bed.cpu(bed.proxy, wholes, seconds)
        heard: list[int] = []
        streamed = bed.cpu(bed.proxy, streams, seconds, heard)
        chunks.append((streamed - whole) / (sum(heard) / len(heard)))
    return {"miss_client_cpu_vs_echo": median(calls), "stream_chunk_us": median(chunks) * 1e6}


def table(figures: Figures) -> Table:
    """The figures for a terminal, with what each is held to."""
    held = {
        "exact_hit_vs_raw_echo": "≥ 0.6, higher is better",
        "exact_p50_c1_vs_raw_echo": "≤ 2.0, lower is better",
        "semantic_hit_vs_embedding": "≤ 1.3, lower is better",
        "exact_p50_under_load_vs_unloaded": "≤ 1.5, lower is better",
        "miss_client_cpu_vs_echo": "≤ 8, lower is better",
        "embedding_vs_torch": "≤ 0.25, lower is better",
    }
    made = Table("figure", "measured", "held to", title="likewise bench")
    for name, value in figures.items():
        made.add_row(
            name.replace("_", " "),
            "not installed" if value is None else f"{value:g}",
            held.get(name, ""),
        )
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
            upstream, self.slow = (
                self._start([
                    sys.executable, "-m", "proxy.demo.upstream",
                    "--latency", latency, "--per-token", "0",
                ])
                for latency in ("0", "0.2")
            )  # fmt: skip
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

    def request(self, prompt: str, *, seed: int, more: Mapping[str, bool] = PLAIN) -> bytes:
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
                "stream": more.get("stream", False),
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
            *(["x-likewise-mode: exact"] if "exactly" in more else []),
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def warm(self, request: bytes) -> None:
        """Ask until it is a hit."""
        for _ in range(20):
            if b"x-likewise-match: exact" in _once(self.proxy, request):
                return
        raise SetupError("the bench's own request never hit; run `likewise check`")

    def cpu(
        self, port: int, requests: Iterator[bytes], seconds: float, events: list[int] | None = None
    ) -> float:
        """A server's CPU seconds per request; `events` learns how many each answer brought."""
        pid = self.pids[port]

        def hear(_request: bytes, answer: bytes, _took: float) -> None:
            if events is not None:
                events.append(answer.count(b"data: "))

        before = paths.cpu_of(pid)
        burst = asyncio.run(load(port, requests, CONNECTIONS, seconds, hear))
        return (paths.cpu_of(pid) - before) / burst.count

    def semantic(self, embedder: Embedder, wanted: int, progress: Progress) -> Figures:
        """Semantic hits at c=1 and their embedding alone, interleaved."""
        # The core that waits for an embedding may be used for what can be done meanwhile.
        for pid in self.pids.values():
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), self._cores)
        os.sched_setaffinity(0, self._cores)
        hits, alone = [], []
        connection = socket.create_connection(("127.0.0.1", self.proxy))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection:
            for number, prompt in enumerate(variants()):
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
                progress("semantic hits against the embedding", 0.8 + 0.15 * number / wanted)
                if number >= wanted:
                    break
        if len(hits) < wanted // 10:
            raise SetupError("too few semantic hits to measure; run `likewise check`")
        semantic, embedding = median(hits), median(alone)
        return {
            "semantic_hit_vs_embedding": semantic / embedding,
            "semantic_hit_p50_ms_c1": semantic * 1000,
            "embedding_p50_ms": embedding * 1000,
        }

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
    """The questions in other words, each text once."""
    for closer in CLOSERS:
        for opener in OPENERS:
            for question in QUESTIONS:
                if opener or closer:
                    yield f"{opener}{question}{closer}"


def crowd() -> Iterator[str]:
    """More of the like, and none of `variants`: vectors of recent texts are remembered."""
    return (f"{opener}{prompt}, all in all" for opener in OPENERS for prompt in variants())


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
