"""Another policy tried on what was asked, through the admin port and in its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from admin_ui.facts import Change
from policies.record import Comparison
from proxy.whatif import Known, askable, likely
from tests.index.test_journal import decision
from tests.proxy.house import House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN, SO_BLUE = "Why is the sky blue?", "why is the sky blue", "Why is the sky so blue?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, policy={"defaults": {"threshold": 0.999}}) as running:
        yield running


def tried(house: House, threshold: float, requests: int = 100) -> dict[str, Any]:
    text = house.api("/api/policy/text")["text"].replace("0.999", f"{threshold}")
    told = house.api("/api/policy/trial", {"text": text, "requests": requests})
    assert told["faults"] == []
    trial: dict[str, Any] = told["trial"]
    return trial


def test_a_looser_policy_gains_hits_and_a_stricter_loses_them(house: House) -> None:
    """Told one by one, with what they would have been answered from; nothing is changed."""
    for prompt in (SKY, SKY_AGAIN, SO_BLUE, SKY):
        house.chat(prompt, "sk-1")
    until(lambda: len(house.api("/api/decisions")["decisions"]) == 4)
    loose = tried(house, 0.85)
    assert (loose["asked"], loose["left_out"]) == (4, 0)
    assert (loose["hits_before"], loose["hits_after"]) == (2, 3)
    assert (loose["gained"], loose["lost"]) == (1, 0)
    (change,) = loose["changes"]
    assert (change["prompt"], change["matched"]) == (SO_BLUE, SKY)
    assert (change["before"], change["after"]) == ("below-threshold", "semantic")
    assert (change["right"], loose["predicted_wrong"]) == (None, None)
    assert loose["categories"] == {"default": {"asked": 4, "hits_before": 2, "hits_after": 3}}
    assert tried(house, 0.999)["changes"] == []
    assert house.calls("sk-1") == 2
    assert len(house.api("/api/decisions")["decisions"]) == 4


def test_only_the_last_requests_are_asked(house: House) -> None:
    """As many as are wanted, the newest."""
    for prompt in (SKY, "How do tides work?", SKY_AGAIN):
        house.chat(prompt, "sk-1")
    until(lambda: len(house.api("/api/decisions")["decisions"]) == 3)
    told = tried(house, 0.999, requests=2)
    assert (told["asked"], told["hits_before"]) == (2, 0)


def test_a_caller_is_not_answered_with_anothers(house: House) -> None:
    """Whose request it was counts as it does in production."""
    house.chat(SKY, "sk-1")
    house.chat(SKY_AGAIN, "sk-2")
    until(lambda: len(house.api("/api/decisions")["decisions"]) == 2)
    assert tried(house, 0.85)["hits_after"] == 0


def test_what_cannot_be_asked_again_is_left_out(house: House) -> None:
    """Conversations, what must not be stored and what is never looked up."""
    house.chat(SKY, "sk-1", {"cache-control": "no-store"})
    house.chat(SKY, "sk-1", temperature=1.9)
    house.chat(SKY_AGAIN, "sk-1")
    until(lambda: len(house.api("/api/decisions")["decisions"]) == 3)
    told = tried(house, 0.85)
    assert (told["asked"], told["left_out"]) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, True),
        ({"prompt": ""}, False),
        ({"prompt": "x" * 4_000}, False),
        ({"turns": 1}, False),
        ({"outcome": "bypass", "reason": "tools"}, False),
        ({"outcome": "bypass", "reason": "category-off"}, True),
    ],
)
def test_what_can_be_asked_again(changes: dict[str, Any], asked: bool) -> None:
    """What the journal holds whole."""
    assert askable(decision(1, **({"prompt": "p", "turns": 0} | changes))) is asked


def label(similarity: float, *, same: bool, **changes: object) -> Comparison:
    plain = Comparison(7, 1.0, "faq", "e", "n", similarity, None, 1.0, True, False, same, "judge")
    return plain._replace(**changes)


def test_whether_it_would_have_been_right() -> None:
    """By the same answer group, a label or a verdict; else nobody knows."""
    one = label(0.9, same=False, neighbour="b")
    known = Known({"a2": "a"}, [one], frozenset({9}), {7: [one]})
    fresh = decision(7, outcome="miss", reason="empty", entry="a2")
    assert known.right(fresh, "a") is True
    assert known.right(fresh, "b") is False
    assert known.right(fresh, "c") is None
    hit = decision(8, outcome="hit", reason="semantic", entry="a")
    assert known.right(hit, "a") is None
    assert known.right(hit._replace(id=9), "a") is False


def test_labels_as_similar_speak_for_the_rest() -> None:
    """Of the same category, at that similarity or above, whatever a guard refused left out."""
    gained = [Change("1", "gained", "faq", "p", "empty", "semantic", similarity=0.9)]
    labels = [
        *[label(0.92, same=True)] * 3,
        label(0.9, same=False),
        label(0.8, same=False),
        label(0.95, same=False, category="other"),
        label(0.95, same=False, vetoed=True),
        label(0.95, same=False, propensity=0.0),
    ]
    told = likely(gained, labels)
    assert (told.estimate, told.samples) == (pytest.approx(0.25), 4)
    assert likely([], labels).samples == 0
