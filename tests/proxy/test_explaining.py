"""Explanations agree with what the same request would really get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.proxy.house import House, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
SYSTEM = {"role": "system", "content": "You are a pirate."}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path) as running:
        yield running


def ask(house: House, *messages: dict[str, str], key: str = "sk-1") -> httpx.Response:
    return house.post({"model": "gpt-4o-mini", "messages": list(messages)}, key)


def explained(house: House, prompt: str, **rest: Any) -> dict[str, Any]:
    told: dict[str, Any] = house.api("/api/explain", {"prompt": prompt, **rest})
    return told


def test_the_system_prompt_chooses_what_is_compared(house: House) -> None:
    """With its own system prompt a question hits, as the request itself does."""
    ask(house, SYSTEM, {"role": "user", "content": SKY})
    told = explained(house, SKY_AGAIN, system=SYSTEM["content"], model="gpt-4o-mini")
    real = ask(house, SYSTEM, {"role": "user", "content": SKY_AGAIN})
    assert told["reason"] == real.headers["x-likewise-reason"] == "semantic"
    assert any("seen before" in step["text"] for step in told["steps"])


def test_the_history_is_part_of_the_question(house: House) -> None:
    """The same last words hit after the same turns and miss after others."""
    before = {"role": "user", "content": "Let us talk about the weather."}
    ask(house, before, {"role": "user", "content": SKY})
    turns = [["user", before["content"]]]
    assert explained(house, SKY_AGAIN, history=turns)["outcome"] == "hit"
    assert explained(house, SKY_AGAIN)["reason"] == "other-context"


def test_a_look_alike_is_refused_with_what_was_seen(house: House) -> None:
    """The refusal names the guard and the words, and the nearest entry is listed."""
    ask(house, {"role": "user", "content": "How do I turn on dark mode?"})
    told = explained(house, "How do I turn off dark mode?")
    assert told["outcome"] == "miss"
    assert told["candidates"][0]["text"] == "How do I turn on dark mode?"


def test_nothing_is_sent_upstream(house: House) -> None:
    """Explaining costs no call."""
    explained(house, SKY)
    assert house.oracle.calls == 0


@pytest.mark.parametrize("question", [{"prompt": " "}, {"prompt": SKY, "category": "none such"}])
def test_a_bad_question_is_refused(house: House, question: dict[str, str]) -> None:
    """An empty prompt and an unknown category are the asker's error."""
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        house.api("/api/explain", question)
