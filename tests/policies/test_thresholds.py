"""The cut: the category's, or the request's inside the policy's bounds."""

from __future__ import annotations

import math

import pytest

from policies.thresholds import cut
from policies.values import CategoryRules, Directives, Overrides, Threshold


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
