"""The load of the parts' scenarios, and the judge that is broken in them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import orjson
import pytest

from proxy.judges.llm import request, verdict
from tests.chaos import parts
from tests.chaos.parts import BY_MEANING, NONSENSE, Judge, asked
from tests.chaos.short import nobody_notices, scenarios_of


def test_the_load_has_both_kinds() -> None:
    """About a fifth may be matched by meaning, and each of those has another wording beside it."""
    load = list(itertools.islice(asked(random.Random(1), "x"), 1_000))  # noqa: S311 - repeatable
    alike = [question for question in load if len(question.alike) == 2]
    assert BY_MEANING * 8 < len(alike) < BY_MEANING * 12
    assert len({question.prompt for question in alike}) == len(alike)
    assert all(
        one.alike == other.alike for one, other in zip(alike[::2], alike[1::2], strict=False)
    )


async def ask(judge: Judge, fresh: str, remembered: str) -> tuple[int, bytes]:
    """What the judge sends for two answers."""
    _, raw = request("openai", "judge", "What?", fresh, remembered)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": raw}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await judge({"type": "http"}, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(("other", "same"), [("a", True), ("b", False)])
async def test_an_honest_judge_compares(other: str, *, same: bool) -> None:
    """In the words that the product asks for."""
    status, body = await ask(Judge(), "a", other)
    assert status == 200
    assert verdict(orjson.loads(body)["choices"][0]["message"]["content"]) is same


async def test_nonsense_is_no_verdict() -> None:
    """Whole or cut off, none of it is a plain yes or no."""
    judge = Judge()
    judge.mode = "nonsense"
    bodies = [(await ask(judge, "a", "a"))[1] for _ in range(2 * len(NONSENSE))]
    whole = [body for body in bodies if body.endswith(b"}]}")]
    assert 0 < len(whole) < len(bodies)
    for body in whole:
        said = orjson.loads(body)["choices"][0]["message"]["content"]
        assert not isinstance(said, str) or verdict(said) is None


async def test_a_killed_judge_fails() -> None:
    """With a status that says so."""
    judge = Judge()
    judge.mode = "killed"
    assert (await ask(judge, "a", "a"))[0] == 500


@scenarios_of(parts)
def test_nobody_notices(name: str) -> None:
    """Whatever part fails, no client gets an error or a wrong answer, and it recovers."""
    nobody_notices(name)
