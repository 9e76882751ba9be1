"""A crowd of clients that begin and do not go on: half-open requests, answers that nobody reads."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from tests.chaos.load import KEY, Clients, Ledger, Question, p99, questions
from tests.chaos.outcome import SEED, Outcome
from tests.proxy.house import body

if TYPE_CHECKING:
    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage

HALF_OPEN, NEVER_READ = 2_000, 200
PER_SECOND = 100
CLOSED_IN = 15.0
MOST_MB = 100.0
# More than the kernel takes on behalf of a client.
LARGE = 8_000_000
LOOKS_EVERY = 0.25
GIVES_UP = 40.0
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nX-Slow: "
# As the kernel writes them: established, and closed by the client alone.
OPEN = frozenset({"01", "08"})


async def crowd(at: Stage, scale: Scale) -> Outcome:
    """Thousands of half-open sockets, and hundreds that ask for much and never read it."""
    proxy, ledger = at.proxy(f"sqlite:{at.folder}/likewise.db"), Ledger()
    asked = questions(random.Random(SEED), "normal")  # noqa: S311 - repeatable
    large = Question("large?", {"x-likewise-mode": "exact", "x-oracle-mode": f"big:{LARGE}"})
    half = min(HALF_OPEN, scale.requests)
    never = max(NEVER_READ * half // HALF_OPEN, 100)
    async with Clients(ledger, proxy.url) as clients:
        await clients.ask(large)
        await clients.pace(asked, PER_SECOND, most=100)
        calm = await clients.pace(asked, PER_SECOND, most=max(scale.calm, 300))
        before = _megabytes(proxy)
        with ExitStack() as stack:
            ours = await asyncio.to_thread(_open, stack, proxy, half, never, large)
            rough, seen = await asyncio.gather(
                clients.pace(asked, PER_SECOND, most=int(PER_SECOND * CLOSED_IN)),
                _watched(proxy, ours),
            )
    grown = seen.megabytes - before
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()),
        recovered=seen.took < GIVES_UP,
        ratio=p99(rough) / p99(calm),
        notes=(
            *([] if seen.held > 0.9 * len(ours) else [f"only {seen.held} sockets were held"]),
            *([] if grown < MOST_MB else [f"{grown:.0f} MB more, {MOST_MB:.0f} allowed"]),
        ),
        late=() if seen.took <= CLOSED_IN else (f"all closed after {seen.took:.0f} s",),
        told=(
            f"{seen.held} sockets held",
            f"{grown:.0f} MB more",
            f"all closed after {seen.took:.1f} s",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The most sockets that were held, the most memory, and after how long the last was closed."""

    held: int
    megabytes: float
    took: float


def _open(stack: ExitStack, proxy: Proxy, half: int, never: int, large: Question) -> set[int]:
    """The ports of so many clients; half-open ones first."""
    where = urlsplit(proxy.url)
    known, ports = _request(large), set()
    for number in range(half + never):
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect((where.hostname, where.port))
        client.sendall(HEAD if number < half else known)
        ports.add(client.getsockname()[1])
    return ports


def _request(question: Question) -> bytes:
    content = orjson.dumps(body(question.prompt, stream=False))
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: proxy",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in question.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def _watched(proxy: Proxy, ours: set[int]) -> _Seen:
    """Look on until the proxy holds none of these clients' sockets."""
    opened, megabytes, most = time.monotonic(), 0.0, 0
    while (passed := time.monotonic() - opened) < GIVES_UP:
        megabytes, held = max(megabytes, _megabytes(proxy)), _held(proxy, ours)
        most = max(most, held)
        if most and not held:
            break
        await asyncio.sleep(LOOKS_EVERY)
    return _Seen(most, megabytes, passed)


def _megabytes(proxy: Proxy) -> float:
    """What the proxy's process holds in RAM."""
    lines = Path(f"/proc/{proxy.pid}/status").read_text().splitlines()
    told = next(line for line in lines if line.startswith("VmRSS:"))
    return int(told.split()[1]) * 1_024 / 1e6


def _held(proxy: Proxy, ours: set[int]) -> int:
    """How many of these clients' sockets the proxy has not closed."""
    port = urlsplit(proxy.url).port
    rows = Path(f"/proc/{proxy.pid}/net/tcp").read_text().splitlines()[1:]
    ends = (row.split()[1:4] for row in rows)
    return sum(
        state in OPEN and _port(here) == port and _port(there) in ours
        for here, there, state in ends
    )


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
