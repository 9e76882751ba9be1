"""How similar is similar enough, per category and request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import CategoryRules, Directives, Overrides


def cut(category: CategoryRules, asked: Directives, bounds: Overrides) -> float:
    """The cosine a neighbour must reach.

    A request's own wish is kept inside the policy's bounds, and never loosens a strict category.
    Under a bound on false hits, `start` rules until labels certify a lower cut.
    """
    if asked.threshold is None:
        return category.threshold.start
    low, high = bounds.threshold
    wished = min(max(asked.threshold, low), high)
    return max(wished, category.threshold.start) if category.strict else wished
