"""Age and time to live, by RFC 9111's words. Times are Unix seconds handed in; no clock is read."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import CategoryRules, Directives, Facts, Overrides

# An entry from the future means a stepped clock: it is not trusted to be young.
SKEW = 60.0


def age(facts: Facts, now: float) -> float:
    """Seconds since the answer was made, never negative."""
    return max(0.0, now - facts.stored)


class State(StrEnum):
    """What an entry's age allows."""

    FRESH = "fresh"
    REVALIDATE = "revalidate"
    """Stale, and good while a newer answer is fetched (RFC 5861 §3)."""
    ON_ERROR = "on-error"
    """Stale, and better than no answer (RFC 5861 §4)."""
    DEAD = "dead"


def state(facts: Facts, category: CategoryRules, asked: Directives, now: float) -> State:
    """How the entry may be used, the caller's Cache-Control included.

    What a caller says of freshness (`max-age`, `min-fresh`) bounds stale answers too; its own
    `stale-if-error` lifts that, and takes the place of the category's.
    """
    late = now - facts.expires
    if facts.stored > now + SKEW or now >= facts.gone:
        return State.DEAD
    told, fits = asked.stale_if_error, _fits(facts, asked, now)
    if fits:
        if late < 0 or (asked.max_stale is not None and late <= asked.max_stale):
            return State.FRESH
        if late < category.stale_while_revalidate and not asked.only_if_cached:
            return State.REVALIDATE
    if told is None:
        told = category.stale_if_error if fits else 0.0
    return State.ON_ERROR if late < told else State.DEAD


def _fits(facts: Facts, asked: Directives, now: float) -> bool:
    if asked.max_age is not None and age(facts, now) > asked.max_age:
        return False
    return asked.min_fresh is None or facts.expires - now >= asked.min_fresh


def lifetime(category: CategoryRules, asked: Directives, bounds: Overrides) -> float:
    """Seconds a new answer stays fresh: the request's wish inside the bounds, else the category."""
    if asked.ttl is None:
        return category.ttl
    low, high = bounds.ttl
    return min(max(asked.ttl, low), high)
