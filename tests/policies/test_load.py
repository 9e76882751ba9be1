"""Load: how the level moves, and what of the rules it loosens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.config import read_policy
from policies.document import read
from policies.load import eased, risen
from policies.values import CategoryRules, LoadRules, Overrides, Rules, Signal, Threshold

LOAD = LoadRules(Signal.LATENCY, low=2.0, high=8.0, max_threshold_drop=0.04, max_ttl_factor=3.0)
BOUNDS = Overrides(threshold=(0.85, 1.0), ttl=(0.0, 1000.0))


def rules(category: CategoryRules, load: LoadRules | None = LOAD) -> Rules:
    return Rules(category, (replace(category, name="c"),), overrides=BOUNDS, load=load)


@pytest.mark.parametrize(
    ("before", "measured", "seconds", "expected"),
    [
        (0.0, 1.0, 1, 0.0),
        (0.0, 2.0, 1, 0.0),
        (0.0, 5.0, 1, 0.5),
        (0.0, 8.0, 0, 1.0),
        (0.2, 99.0, 1, 1.0),
        (1.0, 0.0, 6, 0.9),
        (1.0, None, 6, 0.9),
        (1.0, 0.0, 60, 0.0),
        (1.0, 0.0, 900, 0.0),
        (0.5, 7.4, 6, 0.9),
        (0.5, 4.7, 6, 0.45),
        (0.0, None, 1, 0.0),
    ],
)
def test_the_level_rises_at_once_and_falls_in_a_minute(
    before: float, measured: float | None, seconds: float, expected: float
) -> None:
    """What cannot be measured counts as no load."""
    assert risen(before, measured, LOAD, seconds) == pytest.approx(expected)


def test_a_level_that_swings_stays_up() -> None:
    """A signal that is high every other second holds the level near its peak."""
    level = 0.0
    for second in range(20):
        level = risen(level, 8.0 if second % 2 == 0 else 0.0, LOAD, 1)
        assert level > 0.98


@pytest.mark.parametrize(
    ("threshold", "level", "expected"),
    [
        (Threshold(0.95), 0.0, 0.95),
        (Threshold(0.95), 0.5, 0.93),
        (Threshold(0.95), 1.0, 0.91),
        (Threshold(0.95), 0.57, 0.93),
        (Threshold(0.87), 1.0, 0.85),
        (Threshold(0.80), 1.0, 0.80),
        (Threshold(0.95, floor=0.94), 1.0, 0.94),
        (Threshold(0.80, floor=0.5), 1.0, 0.76),
        (Threshold(0.95, 0.02), 1.0, 0.95),
        (Threshold(0.95, delta=0.02, floor=0.7), 1.0, 0.95),
    ],
)
def test_a_fixed_threshold_drops_to_its_floor(
    threshold: Threshold, level: float, expected: float
) -> None:
    """Below the requests' own bound only where a floor says so, and never where labels rule."""
    moved = eased(rules(CategoryRules("default", threshold, ttl=60)), level)
    for category in (moved.defaults, *moved.categories):
        assert category.threshold.start == pytest.approx(expected)
        assert category.threshold == replace(threshold, start=category.threshold.start)


@pytest.mark.parametrize(
    ("ttl", "level", "expected"),
    [(60, 1.0, 180), (60, 0.5, 120), (60, 0.0, 60), (0, 1.0, 0), (500, 1.0, 1000), (2000, 1, 2000)],
)
@pytest.mark.parametrize("bound", [None, 0.02])
def test_lifetimes_stretch_within_the_bounds(
    ttl: float, level: float, expected: float, bound: float | None
) -> None:
    """Learned or not; what is written longer than the bound stays as it is."""
    moved = eased(rules(CategoryRules("default", Threshold(0.95, bound), ttl=ttl)), level)
    assert [c.ttl for c in (moved.defaults, *moved.categories)] == [expected] * 2


def test_strict_categories_stay_as_they_are() -> None:
    """Neither threshold nor lifetime moves."""
    strict = CategoryRules("default", Threshold(0.95), ttl=60, strict=True)
    moved = eased(rules(strict), 1.0)
    assert moved.defaults == strict
    assert moved.categories == (replace(strict, name="c"),)


@pytest.mark.parametrize(("level", "step"), [(0.09, 0.0), (0.1, 0.1), (0.3, 0.3), (0.99, 0.9)])
def test_rules_move_in_tenths(level: float, step: float) -> None:
    """Rules are the very same object below the first step: nothing is planned anew for nothing."""
    written = rules(CategoryRules("default", Threshold(0.95), ttl=60))
    moved = eased(written, level)
    assert moved.level == step
    assert (moved is written) is (step == 0)


def test_nothing_else_moves() -> None:
    """The version is that of the text, and without `load:` nothing moves at all."""
    written = read_policy(read("policy: {load: {}, defaults: {threshold: 0.95}}", ""))
    moved = eased(written, 1.0)
    assert moved.version == written.version
    assert replace(
        moved, defaults=written.defaults, categories=written.categories, level=0.0
    ) == written  # fmt: skip
    plain = rules(CategoryRules("default", Threshold(0.95), ttl=60), load=None)
    assert eased(plain, 1.0) is plain
