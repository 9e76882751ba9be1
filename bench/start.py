"""How soon a proxy with many entries serves and is ready, and how much memory it then holds.

    .venv/bin/python bench/start.py [--entries 1000000]

A proxy answers a few real questions into a SQLite store; the store is then filled with records like
them, each with a text and a vector of its own, and the proxy is started twice: once to build its
index from the store, once from the snapshot that it wrote when it was stopped. "First hit" is how
long after the process began one of the real questions came back from memory.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from bench.index import Cloud
from index import codec
from index.ports import Record
from index.stores.sqlite import SqliteBodies
from tests.chaos.parties import Proxy, stage
from tests.proxy.house import body
from tests.soak.watch import MEGABYTE, resident

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.values import Vector

KEY = "sk-bench"
ASKED = [f"What is the boiling point of the liquid with number {n}?" for n in range(50)]
BODY_BYTES = 1_000
PATIENCE = 600.0
POLL = 0.05
WRITE = "INSERT INTO entries (entry, gone, facts, vector, body) VALUES (?, ?, ?, ?, ?)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as at:
        file = Path(folder) / "store.db"
        room = {"max_entries": max(entries * 2, 10_000), "max_bytes": "64GB"}
        proxy = at.proxy(f"sqlite:{file}", index=room)
        for text in ASKED:
            ask(proxy, text)
        proxy.stop()
        begun = time.monotonic()
        fill(file, entries)
        print(f"{entries:,} entries written in {time.monotonic() - begun:.0f} s", flush=True)
        print("| start from | first hit, s | ready, s | resident, MB |\n|---|---|---|---|")
        for source in ("the store", "a snapshot"):
            print("| " + " | ".join([source, *started(proxy)]) + " |", flush=True)
            begun = time.monotonic()
            proxy.stop()
            print(f"stopped in {time.monotonic() - begun:.1f} s", file=sys.stderr)


def ask(proxy: Proxy, text: str) -> str:
    """The kind of match; nothing where upstream was called, or where nobody listens yet."""
    sent = {"authorization": f"Bearer {KEY}"}
    where = f"{proxy.url}/v1/chat/completions"
    try:
        answer = httpx.post(where, json=body(text), headers=sent, timeout=5.0, trust_env=False)
    except httpx.ConnectError:
        return ""
    answer.raise_for_status()
    return answer.headers.get("x-likewise-match", "")


async def first(file: Path) -> Record:
    store = SqliteBodies.open(file)
    found = await anext(store.scan())
    record = await store.read(found.facts.entry)
    await store.close()
    assert record is not None
    return record


def fill(file: Path, entries: int) -> None:
    """Put so many records like the first one there into the store, in large transactions."""
    like = asyncio.run(first(file))
    connection = sqlite3.connect(file)
    for numbers, some in Cloud(entries, seed=7).parts():
        made = (record(like, n, vector) for n, vector in zip(numbers.tolist(), some, strict=True))
        rows = ((one.facts.entry, one.facts.gone, *codec.seal(one)) for one in made)
        with connection:
            connection.executemany(WRITE, rows)
        if sys.stderr.isatty():
            print(f"\r{numbers[-1] + 1:,}", end="", file=sys.stderr, flush=True)
    connection.close()


def record(like: Record, number: int, vector: Vector) -> Record:
    text = f"How do I change the setting with number {number} of my account at the shop?"
    name = sha256(text.encode()).hexdigest()[:32]
    filled = like.body + bytes(max(0, BODY_BYTES - len(like.body)))
    return Record(replace(like.facts, entry=name, text=text), filled, vector)


def started(proxy: Proxy) -> tuple[str, str, str]:
    """Seconds until the first hit and until it was ready, and the memory that it held then."""
    begun = time.monotonic()
    proxy.launch()
    hit = until(begun, lambda: ask(proxy, ASKED[0]) == "exact")
    ready = until(begun, proxy.ready)
    return f"{hit:.1f}", f"{ready:.1f}", f"{resident(proxy.pid) / MEGABYTE:.0f}"


def until(begun: float, holds: Callable[[], bool]) -> float:
    """Seconds since `begun` when it first held."""
    while time.monotonic() < begun + PATIENCE:
        if holds():
            return time.monotonic() - begun
        time.sleep(POLL)
    sys.exit(f"it did not come about in {PATIENCE:.0f} s")


if __name__ == "__main__":
    main()
