"""One set-up through the whole course: what was asked, how fast, what was saved, what was wrong."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from bench.peers.children import ROOT, Stage, free_port
from proxy import burst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.peers.prompts import Course, Question
    from bench.peers.setups import Setup

CONNECTIONS = 32
_OK = b"HTTP/1.1 200 "
# Of a phase without an end, so many answers are looked at.
_CHECKED = 4_000
# Several peers store behind the answer.
_SETTLE = 1.0


@dataclass
class Phase:
    """What one phase came to. Times in milliseconds; CPU is the set-up's own, per request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    asked: int
    saved: int = 0
    wrong: int = 0
    failed: int = 0


@dataclass
class Result:
    """One line of the table."""

    name: str
    ready_s: float = 0.0
    idle_mb: float = 0.0
    full_mb: float = 0.0
    phases: dict[str, Phase] = field(default_factory=dict)
    skipped: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Judge:
    """Reads answers: whose they are by the oracle's proof, and whether they came from memory."""

    def __init__(self, course: Course) -> None:
        self._by_proof = course.by_proof()
        self._by_request = {question.request(): question for question in course.all}
        self._seen: set[int] = set()

    def read(self, phase: Phase, heard: Iterable[tuple[bytes, bytes]]) -> None:
        """Count what was saved, wrong and failed into the phase."""
        for request, answer in heard:
            source, number = proof(answer)
            known = self._by_proof.get(source)
            if known is None:
                phase.failed += 1
                continue
            phase.saved += number in self._seen
            phase.wrong += not known.serves(self._by_request[request])
            self._seen.add(number)


def proof(answer: bytes) -> tuple[str, int]:
    """The digest of the messages an answer was made for, and its number; ("", 0) for none."""
    if not answer.startswith(_OK):
        return "", 0
    try:
        choice = orjson.loads(burst.body_of(answer))["choices"][0]
        claim = orjson.loads(choice["message"]["content"])
        return str(claim["messages_hash"]), int(claim["seq"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return "", 0


def run(setup: Setup, course: Course, *, scale: float, say: Callable[[str], None]) -> Result:
    """Install, start, ask and end. Raise `Unavailable` when it cannot be had here."""
    for environment in setup.environments:
        say(f"{setup.name}: environment {environment.name}")
        environment.make()
    result = Result(setup.name)
    with tempfile.TemporaryDirectory(prefix="peers-") as folder, Stage(Path(folder)) as services:
        stage = Stage(Path(folder), upstream=f"http://127.0.0.1:{serve(services)}/v1")
        with stage:
            say(f"{setup.name}: starting")
            port = setup.start(stage)
            result.ready_s, result.idle_mb = stage.ready_after, stage.megabytes()
            judge = Judge(course)
            for name, questions, connections, seconds in phases(course, scale):
                say(f"{setup.name}: {name}")
                result.phases[name] = _phase(stage, port, judge, questions, connections, seconds)
            result.full_mb = stage.megabytes()
    return result


def serve(stage: Stage) -> int:
    """The upstream and the encoder, for one set-up alone."""
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.services", "--port", str(port)]
    return stage.launch(command, port=port, path="/healthz", env={"PYTHONPATH": str(ROOT)})


def phases(course: Course, scale: float) -> Iterator[tuple[str, Iterable[Question], int, float]]:
    """Name, questions, connections and longest time of each phase, in order."""
    alone, later = len(course.variants) // 4, len(course.fresh) // 4
    yield "warm", course.seeds, 1, 60
    yield "paraphrases", course.paraphrases, 1, 60
    yield "elsewhere", course.elsewhere, 1, 60
    yield "lookalikes", course.lookalikes, 1, 60
    yield "exact c=1", cycle(course.seeds), 1, 3 * scale
    yield "exact c=32", cycle(course.seeds), CONNECTIONS, 4 * scale
    yield "semantic c=1", course.variants[:alone], 1, 8 * scale
    yield "semantic c=32", course.variants[alone:], CONNECTIONS, 12 * scale
    yield "fresh c=1", course.fresh[:later], 1, 6 * scale
    yield "fresh c=32", course.fresh[later:], CONNECTIONS, 8 * scale


def _phase(
    stage: Stage,
    port: int,
    judge: Judge,
    questions: Iterable[Question],
    connections: int,
    seconds: float,
) -> Phase:
    heard: list[tuple[bytes, bytes]] = []

    def hear(request: bytes, answer: bytes, _: float) -> None:
        if len(heard) < _CHECKED:
            heard.append((request, answer))

    requests = (question.request() for question in questions)
    before = stage.cpu_seconds()
    made = asyncio.run(burst.load(port, requests, connections, seconds, hear))
    time.sleep(_SETTLE)
    cpu = (stage.cpu_seconds() - before) / max(made.count, 1)
    phase = Phase(made.rate, made.p50 * 1000, made.p99 * 1000, cpu * 1000, made.count)
    judge.read(phase, heard)
    return phase
