"""Does anybody ever get an answer that was made for another tenant?

Every tenant asks the same questions and rephrasings of them, many at a time, streamed or not, with
equal calls under way and the proxy killed now and then. The answers say for whom they were made.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from proxy.demo.oracle import verify
from proxy.identity import hash_key
from proxy.sse import events
from tests.chaos.load import WORDINGS
from tests.proxy.house import body
from tests.security.finding import NOUNS, SEED, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.parties import Proxy, Stage
    from tests.security.finding import Scale

AT_ONCE = 64
GIVES_UP = 120.0
STARTS = 3
KEYS_EACH = 2
REPEATS = 2
POLICY = {"collapse": "meaning", "defaults": {"threshold": 0.86}}


@dataclass(frozen=True, slots=True)
class Question:
    """Asked with `key`, whose tenant's `keys` may share; any of `alike` has the same answer."""

    key: str
    keys: Sequence[str]
    prompt: str
    alike: Sequence[str]
    stream: bool


@dataclass(slots=True)
class Tally:
    """What came back: how many answers, from where, and those for somebody or something else."""

    answers: int = 0
    foreign: list[Question] = field(default_factory=list)
    wrong: list[Question] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)


def questions(scale: Scale, *, shared: bool) -> list[Question]:
    """Every tenant's, in an order that has nothing to do with tenants."""
    dice = random.Random(SEED)  # noqa: S311 - repeatable
    ways = WORDINGS * REPEATS
    things = [f"{dice.choice(NOUNS)} {n}" for n in range(-(-scale.prompts // len(ways)))]
    asked = [(thing, wording) for thing in things for wording in ways][: scale.prompts]
    made = []
    for number in range(scale.tenants):
        keys = keys_of(number, shared=shared)
        for thing, wording in asked:
            alike = [one.format(thing) for one in WORDINGS]
            prompt = wording.format(thing)
            made.append(Question(dice.choice(keys), keys, prompt, alike, dice.random() < 0.5))
    dice.shuffle(made)
    return made


def keys_of(tenant: int, *, shared: bool) -> list[str]:
    """A tenant's keys: several where they share as one."""
    return [f"sk-tenant-{tenant}-{n}" for n in range(KEYS_EACH if shared else 1)]


def configured(scale: Scale) -> dict[str, list[str]]:
    return {
        f"t{number}": [hash_key(key.encode()) for key in keys_of(number, shared=True)]
        for number in range(scale.tenants)
    }


async def check(at: Stage, scale: Scale) -> list[Finding]:
    """Once with a memory for each key, once with several keys that share as a tenant."""
    found = []
    for share in ("key", "tenant"):
        shared = share == "tenant"
        parts: dict[str, Any] = {"policy": POLICY | {"share": share}}
        if shared:
            parts["tenants"] = configured(scale)
        store = f"sqlite:{at.folder}/{share}/likewise.db"
        proxy = await asyncio.to_thread(at.proxy, store, share, **parts)
        tally = await asked(proxy, questions(scale, shared=shared), scale.kills)
        await asyncio.to_thread(proxy.stop)
        told = ", ".join(f"{count} {way}" for way, count in tally.ways.most_common())
        what = f"tenants, share: {share}"
        found += [
            Finding.none_of(f"{what}, for another tenant", tally.answers, len(tally.foreign), told),
            Finding.none_of(f"{what}, for another question", tally.answers, len(tally.wrong)),
        ]
    return found


async def asked(proxy: Proxy, every: list[Question], kills: int) -> Tally:
    """Ask all of it, so many at a time, while the proxy is killed and started again."""
    tally, waiting = Tally(), list(reversed(every))
    due = [len(every) * n // (kills + 1) for n in range(kills, 0, -1)]
    timeout = aiohttp.ClientTimeout(total=GIVES_UP)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout
    ) as session:

        async def caller() -> None:
            while waiting:
                question = waiting.pop()
                await _persist(session, proxy.url, question, tally)

        async def killer() -> None:
            while due and waiting:
                if len(every) - len(waiting) >= due[-1]:
                    due.pop()
                    await asyncio.to_thread(_restart, proxy)
                await asyncio.sleep(0.02)

        await asyncio.gather(killer(), *(caller() for _ in range(AT_ONCE)))
    return tally


def _restart(proxy: Proxy) -> None:
    """A busy machine may need longer than one start gets."""
    for _ in range(STARTS):
        proxy.kill()
        if proxy.start():
            return
    raise RuntimeError(f"the proxy did not come back: {proxy.log.read_text()[-2000:]}")


async def _persist(
    session: aiohttp.ClientSession, url: str, question: Question, tally: Tally
) -> None:
    """Ask until there is an answer: what a kill cuts short is asked again."""
    until = asyncio.get_running_loop().time() + GIVES_UP
    while True:
        try:
            answer = await _ask(session, url, question)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, IndexError):
            if asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(0.05)
        else:
            _judge(question, *answer, tally)
            return


async def _ask(session: aiohttp.ClientSession, url: str, question: Question) -> tuple[str, str]:
    """The answer's text and where it came from."""
    sent = body(question.prompt, **({"stream": True} if question.stream else {}))
    headers = {"authorization": f"Bearer {question.key}"}
    async with session.post(f"{url}/v1/chat/completions", json=sent, headers=headers) as response:
        raw = await response.read()
        response.raise_for_status()
        way = response.headers.get("x-likewise-match") or response.headers["x-cache"].lower()
        if "collapsed" in response.headers["cache-status"]:
            way = "collapsed"
    return said(raw, stream=question.stream), way


def said(raw: bytes, *, stream: bool) -> str:
    """The text of a whole answer or of a stream. Raises where either is not complete."""
    if not stream:
        return str(orjson.loads(raw)["choices"][0]["message"]["content"])
    datas = [event.data for event in events(raw)]
    if not datas or datas[-1] != b"[DONE]":
        raise ValueError("the stream is not complete")
    chunks = [orjson.loads(data) for data in datas[:-1]]
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


def _judge(question: Question, text: str, way: str, tally: Tally) -> None:
    tally.answers += 1
    tally.ways[way] += 1
    claim = orjson.loads(text)
    own = [key for key in question.keys if verify(text, credential=key, prompt=claim["prompt"])]
    if not own:
        tally.foreign.append(question)
    elif claim["prompt"] not in question.alike:
        tally.wrong.append(question)
