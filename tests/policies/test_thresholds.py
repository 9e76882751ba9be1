"""The cut: the category's, the request's inside the policy's bounds, or what labels allow."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policies import thresholds
from policies.thresholds import cut
from policies.values import CategoryRules, Directives, Overrides, Threshold
from policies.verdicts import Reason
from policies.verified import Standing


@pytest.mark.parametrize("bound", [None, 0.02])
@pytest.mark.parametrize("start", [0.0, 0.5, 0.95, 1.0])
def test_without_a_wish_the_category_rules(start: float, bound: float | None) -> None:
    """The category's own value holds, also outside the bounds meant for requests."""
    category = CategoryRules("c", Threshold(start, bound), ttl=1)
    assert cut(category, Directives(), Overrides(threshold=(0.85, 0.9))) == start


@pytest.mark.parametrize(
    ("wish", "bounds", "expected"),
    [
        (0.9, (0.85, 1.0), 0.9),
        (0.85, (0.85, 1.0), 0.85),
        (0.2, (0.85, 1.0), 0.85),
        (0.0, (0.0, 1.0), 0.0),
        (1.0, (0.85, 1.0), 1.0),
        (1.0, (0.85, 0.97), 0.97),
        (0.5, (0.9, 0.9), 0.9),
    ],
)
def test_a_wish_is_kept_inside_the_bounds(
    wish: float, bounds: tuple[float, float], expected: float
) -> None:
    """A request may move the cut up and down, as far as the policy allows."""
    category = CategoryRules("c", Threshold(0.95), ttl=1)
    assert cut(category, Directives(threshold=wish), Overrides(threshold=bounds)) == expected


@pytest.mark.parametrize(
    ("wish", "expected"), [(0.86, 0.95), (0.95, 0.95), (0.99, 0.99), (1.0, 1.0)]
)
def test_a_strict_category_is_never_loosened(wish: float, expected: float) -> None:
    """In a strict category a request's wish counts only where it is sterner."""
    category = CategoryRules("c", Threshold(0.95), ttl=1, strict=True)
    assert cut(category, Directives(threshold=wish), Overrides()) == expected


def test_no_number_cuts_nothing_loose() -> None:
    """A wish that is no number yields no cut that any score could meet."""
    category = CategoryRules("c", Threshold(0.95), ttl=1)
    seen = cut(category, Directives(threshold=math.nan), Overrides())
    assert not seen <= 0.95


@pytest.mark.parametrize(
    ("threshold", "wish", "expected"),
    [
        (Threshold(0.95, floor=0.9), None, 0.95),
        (Threshold(0.95, floor=0.9), 0.86, 0.9),
        (Threshold(0.95, floor=0.9), 0.93, 0.93),
        (Threshold(0.95, 0.02, floor=0.9), 0.2, 0.9),
        (Threshold(0.95, floor=0.8), 0.2, 0.85),
    ],
)
def test_no_wish_goes_below_the_floor(
    threshold: Threshold, wish: float | None, expected: float
) -> None:
    """The sterner of the policy's bound for requests and the category's floor holds."""
    category = CategoryRules("c", threshold, ttl=1)
    assert cut(category, Directives(threshold=wish), Overrides()) == expected


@pytest.mark.parametrize(("wish", "expected"), [(None, 0.7), (0.9, 0.9), (0.1, 0.85)])
@pytest.mark.parametrize("start", [0.5, 0.95])
def test_under_vcache_the_floor_is_the_cut(
    start: float, wish: float | None, expected: float
) -> None:
    """What another rule began with says nothing; the entry's own labels come after the cut."""
    category = CategoryRules("c", Threshold(start, delta=0.02, floor=0.7), ttl=1)
    assert cut(category, Directives(threshold=wish), Overrides()) == expected


COLD = Standing(0.02, start_cut=0.02, audit=0.2)
CERTIFIED = Standing(0.02, cut=0.04, start_cut=0.02, audit=0.05)


@pytest.mark.parametrize(
    ("risk", "similarity", "standing", "would", "audit", "reason"),
    [
        # Before anything is certified `start` rules, and the risk must be within the bound.
        (0.01, 0.96, COLD, True, 0.2, Reason.UNVERIFIED),
        (0.01, 0.94, COLD, False, 1.0, Reason.BELOW_THRESHOLD),
        (0.03, 0.99, COLD, False, 1.0, Reason.UNVERIFIED),
        # Afterwards the risk alone rules, with twice the audits close under the cut.
        (0.01, 0.70, CERTIFIED, True, 0.05, Reason.UNVERIFIED),
        (0.03, 0.70, CERTIFIED, True, 0.10, Reason.UNVERIFIED),
        (0.05, 0.99, CERTIFIED, False, 1.0, Reason.UNVERIFIED),
        # Labels that contradict the bound close the start as well.
        (0.001, 0.99, replace(COLD, start_cut=0.0), False, 1.0, Reason.UNVERIFIED),
        # Without a model `start` is half way nearer to 1.
        (None, 0.97, COLD, False, 1.0, Reason.BELOW_THRESHOLD),
        (None, 0.98, COLD, True, 0.2, Reason.BELOW_THRESHOLD),
    ],
)
def test_weigh(
    risk: float | None,
    similarity: float,
    standing: Standing,
    would: bool,
    audit: float,
    reason: Reason,
) -> None:
    """Whether it may be served, how likely it is asked upstream all the same, and why."""
    weighed = thresholds.by_risk(risk, similarity, 0.95, standing)
    assert weighed.would is would
    assert weighed.propensity == pytest.approx(audit)
    assert weighed.reason is reason


@pytest.mark.parametrize(("similarity", "would"), [(0.9, True), (0.899, False), (math.nan, False)])
def test_a_fixed_cut(similarity: float, would: bool) -> None:
    """At the cut or above; what is no number is no hit."""
    assert thresholds.near_enough(similarity, 0.9, 0.02).would is would
