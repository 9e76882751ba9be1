"""Faults inside the proxy: its encoder, its index, and the model that judges answers.

Half of the requests in this load repeat one another, a fifth may be matched by meaning.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from tests.chaos import launcher
from tests.chaos.load import Clients, Ledger, Question, p99, questions
from tests.chaos.outcome import SEED, Outcome
from tests.proxy.house import uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage

# Far enough apart that no two pairs of them are alike by meaning (0.89 at most, 0.95 asked for).
THINGS = (
    *("harbour", "volcano", "telescope", "glacier", "orchestra", "lighthouse", "compass"),
    *("meadow", "furnace", "violin", "castle", "desert", "engine", "forest", "garden"),
    *("hammer", "jacket", "kettle", "ladder", "magnet", "needle", "pepper"),
)
WORDINGS = ("How does a {} differ from a {}?", "In what way does a {} differ from a {}?")
BY_MEANING = 20
# Requests a second, so that a small machine can embed what it must.
PER_SECOND = 60.0
CALM = 900
RECOVERS_IN = 15.0
LATE = "likewise_embed_timeouts_total"
FAULTS = "likewise_embed_faults_total"


def asked(dice: random.Random, name: str) -> Iterator[Question]:
    """Without end. Of what is matched by meaning every second question is the first of its kind."""
    pairs = itertools.cycle(itertools.combinations(THINGS, 2))
    rest, held = questions(dice, name), list[Question]()
    while True:
        if dice.randrange(100) >= BY_MEANING:
            yield next(rest)
            continue
        if not held:
            pair = next(pairs)
            alike = frozenset(wording.format(*pair) for wording in WORDINGS)
            held = [Question(prompt, alike=alike) for prompt in sorted(alike)]
        yield held.pop()


async def embedder_stalled(at: Stage, scale: Scale) -> Outcome:
    """The encoder does not come to an end for a while."""
    return await _bent(at, scale, [launcher.STALLS], LATE)


async def embedder_killed(at: Stage, scale: Scale) -> Outcome:
    """The encoder raises whatever it is asked."""
    return await _bent(at, scale, [launcher.RAISES], FAULTS)


async def embedder_corrupted(at: Stage, scale: Scale) -> Outcome:
    """The encoder gives what is no vector: no numbers, too few, too many, none, too large ones."""
    return await _bent(at, scale, list(launcher.SAYS), FAULTS)


async def index_faulted(at: Stage, scale: Scale) -> Outcome:
    """Every search for neighbours raises."""
    return await _bent(at, scale, [launcher.INDEX_RAISES], FAULTS)


async def index_stalled(at: Stage, scale: Scale) -> Outcome:
    """Searches for neighbours do not come to an end for a while."""
    return await _bent(at, scale, [launcher.INDEX_STALLS], LATE)


async def _bent(at: Stage, scale: Scale, words: Sequence[str], noticed: str) -> Outcome:
    """One trouble after the other. The metric `noticed` must tell of each."""
    proxy = at.proxy(f"sqlite:{at.folder}/likewise.db", bent=True)
    unseen: list[str] = []

    async def trouble() -> None:
        for word in words:
            before = await asyncio.to_thread(proxy.metric, noticed)
            proxy.trouble(word)
            await asyncio.sleep(max(scale.seconds / len(words), 0.5))
            after = await asyncio.to_thread(proxy.metric, noticed)
            unseen.extend([] if after > before else [f"{word}: nothing was noticed"])
        proxy.trouble("")

    outcome = await _troubled(proxy, scale, trouble)
    return replace(outcome, notes=tuple(unseen))


async def _troubled(proxy: Proxy, scale: Scale, trouble: Callable[[], Awaitable[None]]) -> Outcome:
    """Calm, then trouble under the same load until it ends, then a match by meaning."""
    ledger, going = Ledger(), True
    rate = min(PER_SECOND, scale.per_second)
    load = asked(random.Random(SEED), "parts")  # noqa: S311 - repeatable

    async def troubled() -> None:
        nonlocal going
        await trouble()
        going = False

    async with Clients(ledger, proxy.url) as clients:
        await clients.pace(load, rate, most=30)
        calm = await clients.pace(load, rate, most=min(scale.calm, CALM))
        rough, _ = await asyncio.gather(
            clients.pace(load, rate, most=1_000_000, going=lambda: going), troubled()
        )
        recovered = await _understands(clients)
    return Outcome(
        requests=len(ledger.answers),
        errors=len(ledger.errors()),
        wrong=len(ledger.wrong()),
        recovered=recovered,
        added_ms=p99(rough) - p99(calm),
    )


async def _understands(clients: Clients) -> bool:
    """Whether another wording of a new question is soon answered from memory, and rightly."""
    end = time.monotonic() + RECOVERS_IN
    for one, other in itertools.combinations(reversed(THINGS), 2):
        alike = frozenset(wording.format(one, other) for wording in WORDINGS)
        await clients.ask(Question(WORDINGS[0].format(one, other), alike=alike))
        await asyncio.sleep(0.2)
        known = await clients.ask(Question(WORDINGS[1].format(one, other), alike=alike))
        if known.hit and not known.exact and known.right:
            return True
        if time.monotonic() > end:
            break
    return False


# -- the judge -----------------------------------------------------------------------------------

LABELS = tuple(f"likewise_judged_{word}_total" for word in ("same", "different"))
UNKNOWN = "likewise_judged_unknown_total"
NONSENSE = (
    *("perhaps", "", "yes\nno", "no, or rather yes", None, 5, ["yes"], {"verdict": "yes"}),
    "y" * 300_000,
)


class Judge:
    """A model that compares answers: honest, talking nonsense, or silent."""

    def __init__(self) -> None:
        self.mode = "honest"
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            raw, more = raw + message.get("body", b""), message.get("more_body", False)
        self.calls += 1
        while self.mode == "silent":  # noqa: ASYNC110 - told from another thread
            await asyncio.sleep(launcher.LOOKS_EVERY)
        content = NONSENSE[self.calls % len(NONSENSE)] if self.mode == "nonsense" else _word(raw)
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}
        cut = self.mode == "nonsense" and self.calls % 2
        said = orjson.dumps(answer)[: -20 if cut else None]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
        status = 500 if self.mode == "killed" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": said})


def _word(raw: bytes) -> str:
    told = orjson.loads(orjson.loads(raw)["messages"][-1]["content"])
    return "yes" if told["first"] == told["second"] else "no"


async def judge_killed(at: Stage, scale: Scale) -> Outcome:
    """The model that judges answers fails each call."""
    return await _judged(at, scale, "killed")


async def judge_stalled(at: Stage, scale: Scale) -> Outcome:
    """The model that judges answers takes calls, and says nothing."""
    return await _judged(at, scale, "silent")


async def judge_talks_nonsense(at: Stage, scale: Scale) -> Outcome:
    """The model that judges answers says anything but yes or no, in bodies whole and cut off."""
    return await _judged(at, scale, "nonsense")


async def _judged(at: Stage, scale: Scale, mode: str) -> Outcome:
    """What it says while it is broken must teach nothing; what it says afterwards must."""
    judge = Judge()
    where = at.stack.enter_context(uvicorn_of(judge))
    proxy = at.proxy(
        f"sqlite:{at.folder}/likewise.db", env={KEY: "sk-judge"}, **_settings(at, where)
    )
    labels: dict[str, float] = {}

    async def trouble() -> None:
        judge.mode = mode
        await asyncio.sleep(0.3)  # what was said before arrives
        called, labels["before"] = judge.calls, await asyncio.to_thread(_labels, proxy)
        await asyncio.sleep(max(scale.seconds, 1.0))
        labels["while"] = await asyncio.to_thread(_labels, proxy)
        labels["calls"] = judge.calls - called if mode != "silent" else 1
        judge.mode = "honest"

    outcome = await _troubled(proxy, scale, trouble)
    back = await _teaches(proxy, labels["while"])
    notes = [] if labels["calls"] else ["the judge was not asked"]
    if labels["while"] > labels["before"]:
        notes.append(f"{labels['while'] - labels['before']:.0f} labels out of nothing")
    return replace(outcome, recovered=outcome.recovered and back, notes=tuple(notes))


KEY = "JUDGES_KEY"


def _settings(at: Stage, judge: str) -> Mapping[str, Any]:
    """A threshold that learns, and a judge that is asked about every case."""
    return {
        "upstreams": [
            {
                "name": "judge", "base_url": f"{judge}/v1", "models": ["judge"],
                "api_key": f"${{{KEY}}}",
            },
            {"name": "oracle", "base_url": f"{at.upstream}/v1"},
        ],
        "policy": {
            "judge": {
                "kind": "llm", "model": "judge", "upstream": "judge", "sample": "100%",
                "per_minute": 100_000, "per_day": 1_000_000,
            },
            "defaults": {"threshold": {"max_false_hits": "2%", "start": 0.95}},
        },
    }  # fmt: skip


def _labels(proxy: Proxy) -> float:
    return sum(proxy.metric(name) for name in LABELS)


async def _teaches(proxy: Proxy, before: float) -> bool:
    """Whether there are soon more labels than before, with new questions to compare."""
    end = time.monotonic() + RECOVERS_IN
    async with Clients(Ledger(), proxy.url) as clients:
        for one, other in itertools.combinations(THINGS, 2):
            # Turned round, so that nobody has asked it yet.
            await clients.ask(Question(WORDINGS[0].format(other, one)))
            if await asyncio.to_thread(_labels, proxy) > before:
                return True
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.1)
    return False
