"""vCache's rule against the reference vectors: scikit-learn's fits of the same observations."""

from __future__ import annotations

import math
import time

import pytest

from policies.vcache import ENOUGH, FLOOR, LINEAR, Labels, curve, explore, inserts

SEEN = (0.90, 0.95, 0.99)
RIGHT = ((0.95, True),)
A, B, C = RIGHT * 4, RIGHT * 8, RIGHT * 20
# Right above, wrong below, nothing between.
D: Labels = (
    *((score, True) for score in (0.95, 0.96, 0.97, 0.98)),
    *((score, False) for score in (0.85, 0.86, 0.87, 0.88)),
)
# Not separable, so that every solver finds the same end.
E: Labels = (
    *((score, True) for score in (0.90, 0.92, 0.95, 0.96, 0.97, 0.98)),
    *((score, False) for score in (0.91, 0.93)),
)


def test_the_fit_that_every_solver_finds() -> None:
    """Middle, slope and variance are those of the maximum likelihood."""
    fit = curve(E)
    assert fit is not None
    assert (fit.cut, fit.slope) == (0.907, 44.708)
    assert fit.variance == pytest.approx(0.00066588, abs=5e-9)


@pytest.mark.parametrize(
    ("delta", "expected"), [(0.01, [0.987, 0.976, 0.944]), (0.02, [0.975, 0.953, 0.889])]
)
def test_its_probabilities(delta: float, expected: list[float]) -> None:
    """To three decimals, published rule and ours alike; the coarse grid is off by less than one."""
    assert [round(explore(s, E, delta, floor=None), 3) for s in SEEN] == expected
    coarse = [explore(s, E, delta, floor=None, grid=LINEAR) for s in SEEN]
    assert coarse == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("labels", "cut", "slope"),
    [(A, 0.455, 37.4), (B, 0.439, 36.9), (C, 0.421, 34.8), (D, 0.914, 447)],
    ids="ABCD",
)
def test_what_a_cut_separates_ends_near_the_published_fit(
    labels: Labels, cut: float, slope: float
) -> None:
    """There the likelihood has no maximum: the weak prior ends it where the solver gave up."""
    fit = curve(labels)
    assert fit is not None
    assert fit.cut == pytest.approx(cut, abs=0.016)
    assert 0.75 < fit.slope / slope < 1.15


@pytest.mark.parametrize(("n", "published"), [(6, 0.0354), (8, 0.0264), (10, 0.0194), (20, 0.0131)])
def test_the_simulated_variance_is_of_the_published_size(n: int, published: float) -> None:
    """Within a factor of two, and it shrinks with every label."""
    fit, more = curve(RIGHT * (n - 2)), curve(RIGHT * (n - 1))
    assert fit is not None
    assert more is not None
    assert 0.5 < fit.variance / published < 1
    assert more.variance < fit.variance


@pytest.mark.parametrize(
    ("labels", "published"),
    [(A, [0.810, 0.703, 0.567]), (B, [0.382, 0.0, 0.0]), (C, [0.0, 0.0, 0.0])],
    ids="ABC",
)
def test_right_labels_alone_ask_as_the_published_rule_or_less(
    labels: Labels, published: list[float]
) -> None:
    """The simulated variance is below the published table, so that fewer questions are asked."""
    chances = [explore(score, labels, 0.01, floor=None) for score in SEEN]
    assert all(chance <= most for chance, most in zip(chances, published, strict=True)), chances
    assert chances == sorted(chances, reverse=True)


def test_labels_on_both_sides_ask_as_the_published_rule() -> None:
    """Where wrong answers lie close below, the cut is known and its doubt counts for little."""
    chances = [explore(score, D, 0.01, floor=None) for score in SEEN]
    assert chances == pytest.approx([0.983, 0.977, 0.970], abs=5e-3)


@pytest.mark.parametrize("count", range(ENOUGH - 2))
def test_few_labels_always_ask(count: int) -> None:
    """Whatever they say: with its two seeds an entry needs four."""
    assert explore(0.999, RIGHT * count, 0.5) == 1.0
    assert explore(0.999, RIGHT * (ENOUGH - 2), 0.5) < 1.0


@pytest.mark.parametrize(
    ("similarity", "asks"),
    [(0.949, True), (0.95, False), (0.9496, False), (math.nan, True), (math.inf, True)],
)
def test_nothing_below_the_lowest_right_label(similarity: float, *, asks: bool) -> None:
    """Twenty right labels at 0.95 say nothing of 0.80, nor does what is no number."""
    assert (explore(similarity, C, 0.02) == 1.0) is asks


def test_the_published_rule_trusts_what_was_never_seen() -> None:
    """Which is why ours does not, unless asked to."""
    assert explore(0.8, C, 0.02, floor=None) < 0.5
    assert explore(0.8, C, 0.02) == 1.0


def test_nothing_below_the_floor() -> None:
    """However well the entry did there."""
    low = ((0.5, True),) * 30
    assert explore(FLOOR - 0.01, low, 0.1) == 1.0
    assert explore(FLOOR, low, 0.1) < 0.1
    assert explore(FLOOR, low, 0.1, floor=FLOOR + 0.01) == 1.0


def test_more_caution_asks_more() -> None:
    """A smaller share of wrong answers, and less similar questions, are asked more often."""
    by_delta = [explore(0.95, E, delta) for delta in (0.001, 0.01, 0.02, 0.1)]
    assert by_delta == sorted(by_delta, reverse=True)
    by_score = [explore(score, E, 0.02) for score in (0.9, 0.92, 0.95, 0.99, 1.0)]
    assert by_score == sorted(by_score, reverse=True)


@pytest.mark.parametrize(
    "labels",
    [
        ((1.0, False),) * 64,
        ((0.0, True),) * 64,
        ((0.0, True), *((1.0, False),) * 63),
        ((0.95, True), (0.95, False)) * 32,
        (*((0.95, True),) * 5, (0.95, False)),
        (*((0.951, True),) * 5, (0.95, False)),
        tuple((score / 64, score % 3 == 0) for score in range(64)),
        ((math.nan, True),) * 8,
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_labels_still_give_a_probability(labels: Labels) -> None:
    """All wrong, upside down, contradictory, a hair apart, no number: never a crash."""
    assert all(0 <= explore(s / 10, labels, 0.02, floor=None) <= 1 for s in range(11))


def test_wrong_labels_ask_more_often() -> None:
    """One wrong answer takes trust away that took many right ones to earn."""
    assert explore(0.96, B, 0.02) == 0.0
    assert explore(0.96, (*B, (0.96, False)), 0.02) > 0.9


def test_only_what_was_wrong_is_inserted() -> None:
    """A fresh answer that equals the neighbour's is no entry of its own."""
    assert inserts(same=False)
    assert not inserts(same=True)


def test_a_known_entry_costs_little() -> None:
    """The fit is kept: a thousand questions to one entry take far less than a thousand fits."""
    explore(0.96, E, 0.02)
    began = time.perf_counter()
    for _ in range(1000):
        explore(0.96, E, 0.02)
    assert time.perf_counter() - began < 0.5
