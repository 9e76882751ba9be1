"""Bounds that hold at every look, against simulation and the exact Poisson tail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies import evidence


def _poisson_tail(wrong: int, mean: float) -> float:
    """The chance of `wrong` events or fewer."""
    return sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(wrong + 1))


@pytest.mark.parametrize("truth", [0.01, 0.05, 0.2])
def test_no_look_is_misled_more_often_than_said(truth: float) -> None:
    """Over 150 runs that are looked at every fifty samples, few ever leave the bounds."""
    dice = np.random.default_rng(11)
    missed = 0
    for _ in range(150):
        wrong = dice.random(1500) < truth
        looks = [evidence.share(wrong[:n], doubt=0.1) for n in range(50, 1500, 50)]
        missed += any(not look.low <= truth <= look.high for look in looks)
    # Two bounds of 10% each; four standard errors of slack.
    assert missed / 150 <= 0.2 + 4 * math.sqrt(0.2 * 0.8 / 150)


@pytest.mark.parametrize("truth", [0.01, 0.05])
def test_ceilings_hold_at_every_look(truth: float) -> None:
    """The closed form too is left by at most the share that it names, ten samples being few."""
    dice = np.random.default_rng(12)
    missed = 0
    for _ in range(400):
        wrong = np.cumsum(dice.random(1500) < truth).astype(float)
        upper = evidence.ceilings(wrong, np.arange(1.0, 1501), doubt=0.2)
        missed += bool((upper < truth).any())
    assert missed / 400 <= 0.2 + 4 * math.sqrt(0.2 * 0.8 / 400)


@pytest.mark.parametrize("wrong", [0, 1, 3, 8])
def test_a_ceiling_is_not_below_the_exact_one(wrong: int) -> None:
    """What holds at all looks cannot be tighter than what holds at one (Poisson, 20%)."""
    upper = float(evidence.ceilings(np.array([float(wrong)]), np.array([1000.0]), doubt=0.2)[0])
    assert _poisson_tail(wrong, upper * 1000) <= 0.2
    assert upper * 1000 <= wrong * 1.5 + 6


@pytest.mark.parametrize("wrong", [0, 1, 5, 40])
def test_a_floor_is_not_above_the_exact_one(wrong: int) -> None:
    """Were the floor the truth, so many wrong would be rare."""
    low = float(evidence.floors(np.array([float(wrong)]), np.array([1000.0]), doubt=0.2)[0])
    assert 0 <= low <= wrong / 1000
    assert wrong == 0 or 1 - _poisson_tail(wrong - 1, low * 1000) <= 0.2


def test_weights_stand_for_those_not_taken() -> None:
    """An audit at a tenth counts ten times one that was certain."""
    wrong = np.array([True, False, False, False])
    weights = np.array([10.0, 10.0, 1.0, 1.0])
    share = evidence.share(wrong, weights, doubt=0.1)
    assert share.estimate == pytest.approx(10 / 22)
    assert share.low < share.estimate < share.high <= 1.0


def test_without_samples_anything_is_possible() -> None:
    """No sample, no claim."""
    assert evidence.share(np.zeros(0, bool), doubt=0.1) == (0.0, 0.0, 1.0, 0)


def test_more_samples_say_more() -> None:
    """Ten times the samples at the same share: closer bounds on both sides."""
    few = evidence.share(np.arange(200) % 20 == 0, doubt=0.1)
    many = evidence.share(np.arange(2000) % 20 == 0, doubt=0.1)
    assert few.low < many.low < 0.05 < many.high < few.high
