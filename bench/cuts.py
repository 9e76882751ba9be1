"""Streams cut at every event's end and at random bytes, in five ways: none kept, every client told.

    .venv/bin/python bench/cuts.py --data FOLDER [--bytes 500]

FOLDER holds recorded exchanges (payloads.jsonl). Each stream goes through the proxy's own filler
with an upstream in memory, so that thousands of cuts take seconds. Prints one row for each API.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.config import read_policy
from policies.document import read
from policies.values import Found, Owners
from policies.verdicts import Lookup
from proxy.dialects.chat import Chat
from proxy.dialects.messages import Messages
from proxy.dialects.ports import Ending, Frame
from proxy.dialects.responses import Responses
from proxy.exchange import Ask, Trail
from proxy.fill import Errand, Filler, Place
from proxy.flights import Flight, Flights
from proxy.refusals import Refusals
from proxy.settings import bare_upstream
from proxy.sse import Parser, events
from proxy.upstream import UpstreamFault

DIALECTS = {
    "openai.chat": Chat(),
    "anthropic.messages": Messages(),
    "openai.responses": Responses(),
}
ERRORS = {
    "chat": b'data: {"error": {"message": "overloaded"}}\n\n',
    "messages": b'event: error\ndata: {"type": "error", "error": {"type": "x"}}\n\n',
    "responses": b'event: error\ndata: {"type": "error", "code": "x", "message": "y"}\n\n',
}
RULES = read_policy(read("", "none"))


class Cut:
    """An upstream's answer that ends too early, in one of the ways in which answers do."""

    status, headers = 200, [(b"content-type", b"text/event-stream")]

    def __init__(self, body: bytes, way: str, name: str) -> None:
        self.body, self.way = body + (ERRORS[name] if way == "error" else b""), way
        self.framed = way != "close"

    def header(self, name: str) -> str:
        return "text/event-stream" if name == "Content-Type" else ""

    async def chunks(self) -> Any:
        for at in range(0, len(self.body), 700):
            yield self.body[at : at + 700]
        if self.way == "broken":  # a FIN or RST inside the framing, and a stall, read alike
            raise UpstreamFault(502, "bad_gateway", "broke off")

    def close(self) -> None:
        pass


class Kept:
    """A memory that counts what it is given."""

    generation, count = 0, 0

    async def keep(self, *_: Any, **__: Any) -> None:
        self.count += 1


async def told(dialect: Any, stream: bytes, way: str, memory: Kept, *, owing: bool) -> bool:
    """Send a cut stream through the filler; whether its client was told of the end."""
    frame = Frame(owners=Owners("k"), upstream="u")
    tools = [{"type": "function", "name": "f", "function": {"name": "f"}}]
    if dialect.name == "messages":
        tools = [{"name": "f", "input_schema": {}}]
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}], "input": "x"}
    body = asked | {"tools": tools, "stream": True}
    query = dialect.read(body, frame)
    upstream = bare_upstream("http://127.0.0.1:1/v1")
    ask = Ask(dialect, query, dialect.form(body), upstream, "/", b"", strict=False)
    found = Found("e" * 32, "s" * 32, RULES.defaults)
    place = Place(Lookup("e" * 32, "s" * 32, None, None), found, RULES.defaults, 0)
    sends: Any = type("Sends", (), {})()

    async def send(*_: Any, **__: Any) -> Cut:
        return Cut(stream, way, dialect.name)

    sends.send = send
    meters: Any = type(
        "Meters", (), {"upstream": Counter(), "not_stored": Counter(), "stored": 0}
    )()
    kept: Any = memory
    refusals = Refusals(kept)
    filler = Filler(kept, sends, meters, Flights(), 32_000_000, time.time, refusals)
    if owing:
        filler._owing.add((upstream.name, dialect.name))  # noqa: SLF001 - as after one whole stream
    flight, trail = Flight(None), Trail(ask, 1, 0.0)
    flight.bounded = False
    flight.board()
    await filler.fill(flight, Errand(trail, [], place, RULES))
    sent = flight.so_far()
    parser = Parser()
    seen = [*parser.feed(sent), *parser.close()]
    return dialect.concluded(seen[-4:]) is Ending.FAILED


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bytes", type=int, default=500, help="random cuts of each stream")
    given = parser.parse_args()
    dice = random.Random(7)  # noqa: S311 - the same cuts every time
    print("| API | streams | cuts | kept | not told |\n|---|---|---|---|---|")
    for endpoint, dialect in DIALECTS.items():
        streams = list(recorded(given.data, endpoint, dialect))
        cuts, silent, memory = 0, 0, Kept()
        for stream in streams:
            ends = [0]
            for event in events(stream):
                ends.append(stream.find(event.data, ends[-1]) + len(event.data) + 2)
            last = ends[-2]  # before the terminal event
            places = {*ends[:-1], *(dice.randrange(last + 1) for _ in range(given.bytes))}
            for at in sorted(places):
                for way in ("broken", "clean", "close", "error"):
                    cuts += 1
                    silent += not await told(dialect, stream[:at], way, memory, owing=True)
        print(f"| {endpoint} | {len(streams)} | {cuts} | {memory.count} | {silent} |")


def recorded(folder: Path, endpoint: str, dialect: Any) -> Any:
    """The complete streams of an API."""
    for line in (folder / "payloads.jsonl").read_text().splitlines():
        row = json.loads(line)
        body = row["response"]["body"].encode()
        if row["endpoint"] != endpoint or not row["stream"] or row["status"] != 200:
            continue
        if any(map(dialect.ended, events(body + b"\n\n"))):
            yield body


if __name__ == "__main__":
    asyncio.run(main())
