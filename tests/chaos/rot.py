"""A store whose bytes change under the proxy: bits of a SQLite file, values of a Redis.

What was damaged may be answered anew, and never be served; what is stored afterwards is whole.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
from typing import TYPE_CHECKING

from tests.chaos.load import Answer, Clients, Ledger, Question, p99
from tests.chaos.outcome import SEED, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from redis import Redis

    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage

EXACT = {"x-likewise-mode": "exact"}
PER_SECOND = 100.0
# Of a hundred questions, how many ask for what is being damaged.
KNOWN = 60
PAGE = 4_096
# Inside of an answer and of its facts, and never where SQLite's own bytes are.
_INSIDE = re.compile(rb'"choices":\[|"model":"|"stored":')
SETTLES = 1.5
TRIES = 4


async def sqlite_corrupted(at: Stage, scale: Scale) -> Outcome:
    """Bits of answers and facts flip in the file, one after the other, while it is read."""
    store = at.folder / "likewise.db"
    proxy = at.proxy(f"sqlite:{store}")
    dice = random.Random(SEED)  # noqa: S311 - repeatable

    def emptied() -> bool:
        """Nothing is at hand in RAM, and all that is stored stands in the file itself."""
        proxy.stop()
        return proxy.start()

    return await _rotting(proxy, scale, emptied, lambda: _bits(store, dice))


async def redis_corrupted(at: Stage, scale: Scale) -> Outcome:
    """Values are overwritten: by flipped bits, by nothing, by another kind of value."""
    server = at.redis()
    proxy = at.proxy(server.url)
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    client = at.stack.enter_context(server.client())
    return await _rotting(proxy, scale, lambda: True, lambda: _values(client, dice))


async def _rotting(
    proxy: Proxy,
    scale: Scale,
    emptied: Callable[[], bool],
    damages: Callable[[], Iterator[None]],
) -> Outcome:
    """Answers are stored, then asked for while each of them is damaged."""
    ledger = Ledger()
    most = int(PER_SECOND * scale.seconds)
    known = [Question(f"kept {n}: what follows?", EXACT) for n in range(most * KNOWN // 100)]
    async with Clients(ledger, proxy.url) as clients:
        await clients.pace(iter(known), 2 * PER_SECOND, most=len(known))
        await asyncio.sleep(SETTLES)
        begun = await asyncio.to_thread(emptied)
        calm = await clients.pace(_mixed("calm", known[:20]), PER_SECOND, most=min(scale.calm, 500))
        rough, done = await asyncio.gather(
            clients.pace(_mixed("rough", known), PER_SECOND, most=most),
            _damaged(damages(), scale.seconds),
        )
        await asyncio.sleep(0.3)
        again, left = list[Answer](), known
        for _ in range(TRIES):
            # Once more: what is stored by now is whole, and stays. A look-up may come too late.
            await clients.pace(iter(left), PER_SECOND, most=len(left))
            await asyncio.sleep(0.3)
            again += (found := [await clients.remembered(question) for question in left])
            left = [one for one, answer in zip(left, found, strict=True) if not _back(answer)]
            if not left:
                break
    met = sum(a.good and not a.hit for a in rough if a.question in known)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()) + sum(a.good and not a.right for a in again),
        recovered=begun and not left,
        added_ms=p99(rough) - p99(calm),
        notes=() if met else ("nothing that was damaged was asked for",),
        told=(f"{done} damaged", f"{met} of them asked for"),
    )


def _back(answer: Answer) -> bool:
    return answer.exact and answer.right


def _mixed(name: str, known: Sequence[Question]) -> Iterator[Question]:
    """What was stored, in order, among new questions."""
    kept = itertools.cycle(known)
    for number in itertools.count():
        if number % 100 * KNOWN % 100 < KNOWN:
            yield next(kept)
        else:
            yield Question(f"{name} {number}: what follows?", EXACT)


async def _damaged(damages: Iterator[None], seconds: float) -> int:
    """Damage one after the other for so long; how many."""
    loop, count = asyncio.get_running_loop(), 0
    end = loop.time() + seconds
    while loop.time() < end and await asyncio.to_thread(next, damages, False) is None:
        count += 1
        await asyncio.sleep(0.002)
    return count


def _bits(store: Path, dice: random.Random) -> Iterator[None]:
    """Flip a bit of each answer or of its facts, in the file itself."""
    places = [found.end() for found in _INSIDE.finditer(store.read_bytes())]
    dice.shuffle(places)
    with store.open("r+b", buffering=0) as file:
        for place in places:
            # Where a value goes on in another page, that page's first bytes say where it ends.
            if not 64 < place % PAGE < PAGE - 64:
                continue
            (byte,) = os.pread(file.fileno(), 1, place)
            os.pwrite(file.fileno(), bytes([byte ^ 1 << dice.randrange(8)]), place)
            yield


def _values(client: Redis, dice: random.Random) -> Iterator[None]:
    """Overwrite what entries hold, each in another way."""
    keys = [key for key in client.scan_iter(_type="hash") if client.hexists(key, "body")]
    dice.shuffle(keys)
    ways = itertools.cycle(("body", "facts", "cut", "gone", "kind"))
    for key, way in zip(keys, ways, strict=False):
        held = client.hget(key, "facts" if way == "facts" else "body")
        if not isinstance(held, bytes):
            continue
        if way == "kind":
            client.set(key, held)
        elif way == "gone":
            client.hdel(key, "body")
        elif way == "cut":
            client.hset(key, "body", held[: len(held) // 2])
        else:
            place = dice.randrange(len(held))
            client.hset(key, way, held[:place] + bytes([held[place] ^ 4]) + held[place + 1 :])
        yield
