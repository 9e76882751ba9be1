"""Explanations agree with what the same request would really get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from policies.features import NAMES
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


def test_a_guess_is_told_with_its_runner_up(tmp_path: Path) -> None:
    """Nearest category, the next one, and what it lacked where it was not taken."""
    policy = {
        "categories": {
            "tides": {"examples": ["How do tides work?", "Why are there two tides a day?"]},
            "cooking": {"examples": ["How long do I boil an egg?", "How do I cook rice?"]},
        }
    }
    with with_oracle(tmp_path, policy=policy) as house:
        told = explained(house, "What makes the tides?")
        assert told["category"] == "tides"
        (said,) = [step["text"] for step in told["steps"] if step["name"] == "category"]
        assert said.startswith("tides; nearest examples tides 0.")
        assert ", then cooking " in said
        told = explained(house, "Who wrote the Iliad?")
        assert told["category"] == "default"
        (said,) = [step["text"] for step in told["steps"] if step["name"] == "category"]
        assert said.endswith("(below 0.3)")


LEARNED = {"defaults": {"threshold": {"max_false_hits": "2%", "start": 0.95}}, "audits": "10%"}


def test_a_learned_threshold_tells_the_risk(tmp_path: Path) -> None:
    """The nearest entry's risk, each feature by name, and what the bound allows so far."""
    with with_oracle(tmp_path, policy=LEARNED) as house:
        ask(house, {"role": "user", "content": SKY})
        told = explained(house, SKY_AGAIN)
        assert told["reason"] == "semantic"
        weighed, allowed = told["weighed"], told["standing"]
        assert tuple(weighed["features"]) == NAMES
        assert weighed["would"]
        assert 0 < weighed["risk"] <= allowed["highest_risk"]
        assert weighed["asked_upstream"] == allowed["audits"] == 0.1
        assert (weighed["bound"], allowed["bound"]) == (0.02, 0.02)
        assert (allowed["certified"], allowed["labels"], allowed["upper"]) == (False, 0, 1.0)
        (said,) = [step["text"] for step in told["steps"] if step["name"] == "cut"]
        assert said == f"at most 2.0% of hits may be wrong; here the risk is {weighed['risk']:.2%}"


def test_too_risky_a_neighbour_is_told_with_its_risk(tmp_path: Path) -> None:
    """Below `start` nothing certified allows it, and the similarity says why."""
    with with_oracle(tmp_path, policy=LEARNED) as house:
        ask(house, {"role": "user", "content": SKY})
        told = explained(house, "What makes the sky look blue?")
        assert told["outcome"] == "miss"
        assert not told["weighed"]["would"]
        assert told["weighed"]["asked_upstream"] == 1.0
        (said,) = [step["text"] for step in told["steps"] if step["name"] == "cut"]
        assert said.endswith(f": {told['candidates'][0]['seen']}")


def test_an_exact_hit_is_not_weighed(tmp_path: Path) -> None:
    """Nothing stands between a request and its own answer; the bound's standing is told."""
    with with_oracle(tmp_path, policy=LEARNED) as house:
        ask(house, {"role": "user", "content": SKY})
        told = explained(house, SKY, model="gpt-4o-mini")
        assert told["reason"] == "exact"
        assert "weighed" not in told
        assert told["standing"]["bound"] == 0.02


def test_a_fixed_cut_has_no_standing(house: House) -> None:
    """Its neighbour's risk is told for who wonders what a bound would say."""
    ask(house, {"role": "user", "content": SKY})
    told = explained(house, SKY_AGAIN)
    assert "standing" not in told
    assert told["weighed"]["bound"] is None
    (said,) = [step["text"] for step in told["steps"] if step["name"] == "cut"]
    assert said == "a neighbour must reach 0.950"
