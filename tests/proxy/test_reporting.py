"""What was learned is told whole, and nothing is told that nobody knows."""

from __future__ import annotations

from typing import Any

import pytest

from policies import lessons
from policies.features import NAMES
from policies.lessons import Label, Lessons, Noise, Prior
from policies.values import Candidate, Facts
from policies.verdicts import Reason, Study
from policies.verified import Learned, Standing
from proxy import reporting

WIDTH = len(NAMES)
FACTS = Facts("e" * 32, "s", "o", "default", "chat", "m", "", "q", 100.0, 1e12, 1e12, 1)


def label(same: bool = True, **changes: Any) -> Label:
    """An audit of a would-be hit, unless told otherwise."""
    made = Label(0.0, "default", (0.0,) * WIDTH, 0.01, 0.5, would=True, same=same)
    return made._replace(**changes)


def held(*labels: Label, noise: Noise = Noise(), **changes: Any) -> Lessons:  # noqa: B008 - frozen
    return Lessons(Prior(), Learned(**changes), labels, noise, forgotten=2)


def test_nothing_learned_is_told_as_nothing() -> None:
    """No samples, no estimate; anything is possible."""
    told = reporting.told(lessons.blank(Prior()), "judge: text")
    unknown = {"estimate": None, "low": 0.0, "high": 1.0, "samples": 0}
    assert told == {
        "judge": "judge: text", "labels": 0, "started_anew": 0, "judge_noise": unknown,
        "coefficients": {}, "offsets": {}, "bounds": [], "false_hits": unknown, "by_category": {},
    }  # fmt: skip


def test_what_is_learned_is_told() -> None:
    """Coefficients by name, each bound's standing, how often anew."""
    weights = tuple(float(n) for n in range(WIDTH))
    standing = Standing(0.02, 0.03, audit=0.2, upper=0.019, labels=300, wrong=1)
    told = reporting.told(
        held(label(), weights=weights, offsets={"faq": -0.5}, standings={0.02: standing}), "j"
    )
    assert told["coefficients"] == dict(zip(NAMES, weights, strict=True))
    assert (told["offsets"], told["started_anew"], told["labels"]) == ({"faq": -0.5}, 2, 1)
    assert told["bounds"] == [
        {
            "bound": 0.02, "certified": True, "highest_risk": 0.03, "upper": 0.019, "labels": 300,
            "wrong": 1, "audits": 0.2,
        }
    ]  # fmt: skip


def test_before_anything_is_certified_the_start_rules() -> None:
    """The highest risk is then that of the start."""
    told = reporting.standing(Standing(0.01, start_cut=0.005))
    assert (told["certified"], told["highest_risk"]) == (False, 0.005)


def test_false_hits_are_estimated_from_audits_alone() -> None:
    """Each weighs one over its chance: of 1/0.5 + 1/0.5 + 1/0.25 = 8 hits 4 were wrong."""
    audits = [label(), label(), label(same=False, propensity=0.25, category="faq")]
    others = [label(same=False, would=False), label(same=False, certifies=False)]
    told = reporting.told(held(*audits, *others), "j")
    assert told["false_hits"]["estimate"] == pytest.approx(4 / 8)
    assert told["false_hits"]["samples"] == 3
    assert 0 <= told["false_hits"]["low"] <= 0.5 <= told["false_hits"]["high"] <= 1
    shares = {name: share["estimate"] for name, share in told["by_category"].items()}
    assert shares == {"default": 0.0, "faq": 1.0}


def test_the_judges_noise_is_a_share() -> None:
    """How often two answers to one prompt were called different."""
    noise = reporting.told(held(noise=Noise(50, 5)), "j")["judge_noise"]
    assert (noise["estimate"], noise["samples"]) == (0.1, 50)
    assert 0 < noise["low"] < 0.1 < noise["high"] < 1


def test_gauges_say_nothing_of_false_hits_without_audits() -> None:
    """A gauge of 0 would read as a promise; the judge's words are counted from the start."""
    told = reporting.gauges(held(), {"same": 3, "gone": 9})
    assert told == {
        "judged_same_total": 3.0, "judged_different_total": 0.0, "judged_unknown_total": 0.0,
        "judged_dropped_total": 0.0, "audits_held": 0.0,
    }  # fmt: skip


def test_gauges_tell_the_estimate() -> None:
    """With its bounds, as the API tells it."""
    lessons = held(label(), label(same=False))
    told, share = reporting.gauges(lessons, {}), reporting.told(lessons, "")["false_hits"]
    names = ("false_hits", "false_hits_low", "false_hits_high", "audits_held")
    assert [told[name] for name in names] == [*(share[k] for k in ("estimate", "low", "high")), 2]


@pytest.mark.parametrize("risk", [0.25, None])
def test_a_neighbour_is_told_as_it_was_weighed(risk: float | None) -> None:
    """Features by name, rounded for reading; an unknown risk stays unknown."""
    study = Study(
        Candidate(FACTS, 0.9), (1 / 3,) * WIDTH, risk, 0.02, False, 1.0, Reason.UNVERIFIED
    )
    assert reporting.weighed(study) == {
        "risk": risk, "bound": 0.02, "would": False, "asked_upstream": 1.0,
        "features": dict.fromkeys(NAMES, 0.333),
    }  # fmt: skip
