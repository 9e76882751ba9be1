"""Age and time to live, by RFC 9111's words. Times are Unix seconds handed in; no clock is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import CategoryRules, Directives, Facts, Overrides

# An entry from the future means a stepped clock: it is not trusted to be young.
SKEW = 60.0


def age(facts: Facts, now: float) -> float:
    """Seconds since the answer was made, never negative."""
    return max(0.0, now - facts.stored)


def fresh(facts: Facts, asked: Directives, now: float) -> bool:
    """Whether the entry may be served as it is, the caller's Cache-Control included."""
    left = facts.expires - now
    if facts.stored > now + SKEW or now >= facts.gone:
        return False
    if asked.max_age is not None and age(facts, now) > asked.max_age:
        return False
    if asked.min_fresh is not None and left < asked.min_fresh:
        return False
    return left > 0 or (asked.max_stale is not None and -left <= asked.max_stale)


def lifetime(category: CategoryRules, asked: Directives, bounds: Overrides) -> float:
    """Seconds a new answer stays fresh: the request's wish inside the bounds, else the category."""
    if asked.ttl is None:
        return category.ttl
    low, high = bounds.ttl
    return min(max(asked.ttl, low), high)
