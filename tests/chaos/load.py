"""Clients under a paced load, and the ledger of what they were told.

Every question is new or one of a working set; every answer is checked against its question, since
the oracle's answers say whom and what they were made for.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import orjson

from proxy.demo.oracle import verify
from tests.proxy.house import body

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

KEY = "sk-chaos"
GIVES_UP = 20.0
# Of a hundred questions, how many were asked before, and how many may be matched by meaning.
AGAIN, BY_MEANING = 50, 5
WORKING_SET = 400
THINGS = ("harbour", "volcano", "telescope", "glacier", "orchestra", "lighthouse", "compass")
WORDINGS = ("What is a {}?", "Please explain what a {} is.", "Tell me what a {} is.")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and the prompts whose answers may stand in for its own."""

    prompt: str
    headers: Mapping[str, str] = field(default_factory=dict)
    alike: frozenset[str] = frozenset()
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, when, and from where. `fault` is a lost connection's; then `status` is 0. The
    text of a stream that does not end as it should is empty."""

    question: Question
    due: float
    begun: float
    ended: float
    status: int = 0
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""

    @property
    def good(self) -> bool:
        return self.status == 200

    @property
    def hit(self) -> bool:
        return self.headers.get("x-cache") == "HIT"

    @property
    def exact(self) -> bool:
        return self.hit and self.headers.get("x-likewise-match") == "exact"

    @property
    def stored(self) -> bool:
        return "; stored" in self.headers.get("cache-status", "")

    @property
    def number(self) -> int:
        """Which of the upstream's requests made the answer, in order of arrival there."""
        return int(orjson.loads(self.text)["seq"])

    @property
    def right(self) -> bool:
        """Whether it was made for this key and question, or for one that means the same."""
        prompts = {self.question.prompt} if not self.hit or self.exact else self.question.alike
        return any(
            verify(self.text, credential=KEY, prompt=prompt, body=body(prompt))
            for prompt in prompts
        )


class Ledger:
    """All answers of a scenario, and the first that said of its question that it is stored."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._stored: dict[str, Answer] = {}

    def take(self, answer: Answer) -> None:
        self.answers.append(answer)
        if answer.good and answer.stored:
            self._stored.setdefault(answer.question.prompt, answer)

    def acknowledged(self, before: float) -> list[Question]:
        """What was said to be stored before that moment, the oldest first."""
        return [a.question for a in self._stored.values() if a.ended < before]

    def errors(self, down: Sequence[tuple[float, float]] = ()) -> list[Answer]:
        """Answers that no client should get. A connection lost while its proxy was killed is
        the kill's own doing."""
        return [
            a
            for a in self.answers
            if not a.good and not (a.fault and any(a.begun < e and a.ended > s for s, e in down))
        ]

    def wrong(self) -> list[Answer]:
        return [a for a in self.answers if a.good and not a.right]


def p99(answers: Sequence[Answer]) -> float:
    """Milliseconds from when a request was due to its answer's end, at the 99th percentile."""
    times = sorted(a.ended - a.due for a in answers)
    return times[min(len(times) - 1, int(len(times) * 0.99))] * 1000 if times else 0.0


def questions(dice: random.Random, name: str, pad: int = 0) -> Iterator[Question]:
    """Without end: new ones, repeats of the last few hundred, some that are matched by meaning.

    `pad` asks the upstream for answers of at least so many bytes.
    """
    headers = {"x-likewise-mode": "exact"} | ({"x-oracle-mode": f"big:{pad}"} if pad else {})
    for number in itertools.count():
        lot = dice.randrange(100)
        if lot < BY_MEANING:
            thing = dice.choice(THINGS)
            alike = frozenset(wording.format(thing) for wording in WORDINGS)
            yield Question(dice.choice(sorted(alike)), alike=alike)
            continue
        again = lot < BY_MEANING + AGAIN and number
        which = dice.randrange(max(0, number - WORKING_SET), number) if again else number
        yield Question(f"{name} {which}: what follows?", headers)


class Clients:
    """Callers of one proxy or of several in turn; closes with the block."""

    def __init__(self, ledger: Ledger, *urls: str, choose: Callable[[], str] | None = None) -> None:
        self._ledger = ledger
        self._choose = choose or partial(next, itertools.cycle(urls))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=GIVES_UP),
            headers={"authorization": f"Bearer {KEY}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def ask(self, question: Question, due: float | None = None, url: str = "") -> Answer:
        """Ask once and enter the answer into the ledger."""
        answer = await self._asked(question, due, url or self._choose())
        self._ledger.take(answer)
        return answer

    async def remembered(self, question: Question) -> Answer:
        """What memory alone answers; not entered, since 504 is a fair answer to that."""
        alone = dict(question.headers) | {"cache-control": "only-if-cached"}
        return await self._asked(replace(question, headers=alone), None, self._choose())

    async def pace(
        self,
        asked: Iterator[Question],
        per_second: float,
        *,
        most: int,
        going: Callable[[], bool] = lambda: True,
    ) -> list[Answer]:
        """Send at a steady rate whatever becomes of it, until `most` or no longer `going`."""
        start = time.monotonic()
        under_way: list[asyncio.Task[Answer]] = []
        for number in range(most):
            due = start + number / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not going():
                break
            under_way.append(asyncio.create_task(self.ask(next(asked), due)))
        return await asyncio.gather(*under_way)

    async def _asked(self, question: Question, due: float | None, url: str) -> Answer:
        assert self._session is not None
        begun = time.monotonic()
        due = begun if due is None else due
        got: dict[str, Any] = {}
        try:
            async with self._session.post(
                f"{url}/v1/chat/completions",
                json=body(question.prompt, stream=question.stream),
                headers=question.headers,
            ) as response:
                raw = await response.read()
                heads = {k.lower(): v for k, v in response.headers.items()}
                streamed = question.stream and response.status == 200
                text = _streamed(raw) if streamed else _text(raw)
                got = {"status": response.status, "headers": heads, "text": text}
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            got = {"fault": f"{type(fault).__name__}: {fault}"}
        return Answer(question, due, begun, time.monotonic(), **got)


def _streamed(raw: bytes) -> str:
    """The text of a stream; empty where it lacks its end, or says that something went wrong."""
    events = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line]
    if events[-1:] != [b"[DONE]"]:
        return ""
    deltas = (orjson.loads(event)["choices"][0]["delta"] for event in events[:-1])
    return "".join(delta.get("content") or "" for delta in deltas)


def _text(raw: bytes) -> str:
    """The answer's own text, or all that came where it is no chat completion."""
    try:
        return str(orjson.loads(raw)["choices"][0]["message"]["content"])
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError):
        return raw.decode("utf-8", "replace")
