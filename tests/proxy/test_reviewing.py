"""What an operator should look at, and what their word does, through the real admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy.reviewing import uncertain
from tests.index.test_journal import decision
from tests.proxy.house import House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN, SO_BLUE = "Why is the sky blue?", "why is the sky blue", "Why is the sky so blue?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, policy={"defaults": {"threshold": 0.85}}) as running:
        running.chat(SKY, "sk-1")
        yield running


def queue(house: House) -> list[tuple[str, str]]:
    doubts = house.api("/api/review")["doubts"]
    return [(one["kind"], one["decision"]["prompt"]) for one in doubts]


def settle(house: House, answer: httpx.Response, verdict: str) -> Any:
    number = house.decision(answer)["id"]
    return house.api(f"/api/review/{number}", {"verdict": verdict})["effect"]


def bad(house: House, answer: httpx.Response) -> None:
    """A caller says so."""
    said = {"request": answer.headers["x-likewise-request"], "verdict": "bad", "note": "no"}
    where = f"{house.where.data}/v1/likewise/feedback"
    headers = {"authorization": "Bearer sk-1"}
    house.client.post(where, json=said, headers=headers).raise_for_status()


def test_bad_verdicts_come_before_uncertain_hits(house: House) -> None:
    """Exact hits are in no doubt; what was looked at is not shown again."""
    house.chat(SKY, "sk-1")
    near = house.chat(SO_BLUE, "sk-1")
    wrong = house.chat(SKY_AGAIN, "sk-1")
    bad(house, wrong)
    assert queue(house) == [("bad", SKY_AGAIN), ("uncertain", SO_BLUE)]
    assert settle(house, near, "good") == "none"
    assert queue(house) == [("bad", SKY_AGAIN)]
    assert settle(house, wrong, "good") == "restored"
    assert queue(house) == []


def test_a_good_word_on_a_bad_verdict_serves_the_entry_again(house: House) -> None:
    """The operator has looked, and it was right after all."""
    wrong = house.chat(SKY_AGAIN, "sk-1")
    bad(house, wrong)
    assert house.chat(SO_BLUE, "sk-1").headers["x-likewise-reason"] == "flagged"
    assert settle(house, wrong, "good") == "restored"
    assert house.chat("why is the sky  blue", "sk-1").headers["x-cache"] == "HIT"


def test_a_bad_word_on_a_bad_verdict_removes_the_entry(house: House) -> None:
    """It is not there any more, for exact hits neither."""
    wrong = house.chat(SKY_AGAIN, "sk-1")
    bad(house, wrong)
    assert settle(house, wrong, "bad") == "removed"
    assert house.chat(SKY, "sk-1").headers["x-cache"] == "MISS"


def test_a_word_on_an_uncertain_hit_is_a_label(house: House) -> None:
    """Bad ends service by meaning; both are shown among the labels, and stand for no other."""
    near = house.chat(SO_BLUE, "sk-1")
    assert settle(house, near, "bad") == "flagged"
    assert house.chat(SKY_AGAIN, "sk-1").headers["x-likewise-reason"] == "flagged"

    def labelled() -> Any:
        return house.api("/api/learned/labels")["labels"]

    (label,) = until(labelled)
    assert (label["same"], label["propensity"], label["judge"]) == (False, 0.0, "verdict")
    assert label["id"] == house.decision(near)["id"]
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        house.api("/api/review/1", {"verdict": "good"})


def test_the_least_certain_come_first() -> None:
    """By the risk of their moment, then by how near the cut they were; the known are left out."""
    rows = [
        decision(1, similarity=0.99, cut=0.9),
        decision(2, similarity=0.91, cut=0.9),
        decision(3, similarity=0.95, cut=0.9, risk=0.02),
        decision(4, similarity=0.95, cut=0.9, risk=0.3),
        decision(5, similarity=0.9, cut=0.9, risk=0.5),
    ]
    assert [doubt.decision.id for doubt in uncertain(rows, {5})] == [4, 3, 2, 1]
