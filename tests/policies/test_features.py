"""What a neighbourhood says, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies import features
from policies.values import Candidate, Facts

BLANK = Facts("", "space", "o", "default", "chat", "m", "", "", 1.0, 2.0, 3.0, 1)


def near(name: str, score: float, group: str = "", text: str = "turn on the light") -> Candidate:
    return Candidate(replace(BLANK, entry=name, group=group, text=text), score)


def read(
    chosen: Candidate, *others: Candidate, prompt: str = "turn on the light", passed: int = 0
) -> dict:
    ranked = sorted([chosen, *others], key=lambda c: -c.score)
    return dict(zip(features.NAMES, features.read(prompt, chosen, ranked, passed), strict=True))


def test_one_neighbour_alone() -> None:
    """Nobody agrees and nobody objects; the margin is counted to where another may stand."""
    said = read(near("a", 0.95))
    assert said == pytest.approx(
        {
            "always": 1.0, "similarity": 1.0, "margin": 4.0, "share": 1.0, "agreeing": 0.0,
            "closeness": 1.5, "words": 1.0, "record": 0.0, "votes": math.log(1.3 / 0.3),
            "passed": 0.0,
        }
    )  # fmt: skip


def test_neighbours_of_one_group_agree() -> None:
    """Three members of a group, the founder among them, against one stranger close by."""
    said = read(
        near("a", 0.90, "g"), near("g", 0.85), near("b", 0.80, "g"), near("z", 0.88), prompt="xx yy"
    )
    own = 1 + math.exp(-1) + math.exp(-2)
    other = math.exp(-0.4)
    assert said["agreeing"] == pytest.approx(math.log(3))
    assert said["margin"] == pytest.approx(0.2)
    assert said["share"] == pytest.approx(2 * own / (own + other) - 1)
    assert said["closeness"] == pytest.approx((0.85 - 0.8) * 10)
    assert said["words"] == -1.0


def test_one_passed_over_counts_against() -> None:
    """A nearer one with another answer makes the margin negative; refused ones are counted."""
    said = read(near("a", 0.80), near("z", 0.90), passed=1)
    assert said["margin"] == pytest.approx(-1.0)
    assert said["passed"] == pytest.approx(-math.log(2))
    assert said["share"] < 0


def test_the_entry_s_own_record() -> None:
    """Two right and one wrong: log of (2+1)/(1+1)."""
    facts = replace(BLANK, entry="a", text="t", labels=((0.9, True), (0.8, False), (0.9, True)))
    assert read(Candidate(facts, 0.9))["record"] == pytest.approx(math.log(1.5))


def test_rivals_are_the_nearest_of_other_groups() -> None:
    """One of each group, nearest first, no more than asked for."""
    mine = near("a", 0.9, "g")
    others = [near("b", 0.89, "g"), near("c", 0.88), near("d", 0.87, "c"), near("e", 0.86)]
    found = features.rivals(mine, [mine, *others], 2)
    assert [facts.entry for facts in found] == ["c", "e"]
    assert len(features.rivals(mine, [mine, *others], 1)) == 1
    assert features.rivals(mine, [mine], 2) == ()
