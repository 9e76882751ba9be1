"""Age, freshness and life time, by RFC 9111's words."""

from __future__ import annotations

import math

import pytest

from policies.freshness import State, age, lifetime, state
from policies.values import CategoryRules, Directives, Facts, Overrides, Threshold

NOW = 5_000.0
# Stale for a minute while a newer answer is fetched, for an hour when none can be had.
WINDOWS = CategoryRules("w", Threshold(0.9), ttl=60, stale_while_revalidate=60, stale_if_error=3600)
NONE = CategoryRules("n", Threshold(0.9), ttl=60)


def facts(stored: float = NOW - 100, expires: float = NOW + 50, gone: float = NOW + 500) -> Facts:
    return Facts("e", "s", "o", "c", "d", "m", "", "t", stored, expires, gone, 1)


@pytest.mark.parametrize(
    ("stored", "expected"), [(NOW, 0), (NOW - 7.5, 7.5), (NOW + 5, 0), (0.0, NOW)]
)
def test_age_is_never_negative(stored: float, expected: float) -> None:
    """Age counts from the answer's making; a clock that stepped back makes it zero."""
    assert age(facts(stored), NOW) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (facts(), True),
        (facts(expires=NOW), False),
        (facts(expires=NOW + 0.001), True),
        (facts(expires=NOW - 1), False),
        (facts(gone=NOW), False),
        (facts(gone=NOW + 0.001), True),
        (facts(stored=NOW + 60), True),
        (facts(stored=NOW + 60.5), False),
        (facts(expires=math.nan), False),
    ],
)
def test_fresh_until_it_expires(entry: Facts, *, expected: bool) -> None:
    """Without a wish an entry is fresh up to, not at, its expiry, and not from the future."""
    assert (state(entry, NONE, Directives(), NOW) is State.FRESH) is expected


@pytest.mark.parametrize(
    ("asked", "entry", "expected"),
    [
        (Directives(max_age=100), facts(), True),
        (Directives(max_age=99.9), facts(), False),
        (Directives(max_age=0), facts(stored=NOW), True),
        (Directives(max_age=1000), facts(expires=NOW - 1), False),
        (Directives(min_fresh=50), facts(), True),
        (Directives(min_fresh=50.1), facts(), False),
        (Directives(min_fresh=0), facts(expires=NOW), False),
        (Directives(max_stale=10), facts(expires=NOW - 10), True),
        (Directives(max_stale=10), facts(expires=NOW - 10.1), False),
        (Directives(max_stale=0), facts(expires=NOW), True),
        (Directives(max_stale=math.inf), facts(expires=NOW - 400), True),
        (Directives(max_stale=math.inf), facts(expires=NOW - 400, gone=NOW), False),
        (Directives(max_stale=10, max_age=50), facts(expires=NOW - 5), False),
        (Directives(max_stale=10, min_fresh=1), facts(expires=NOW - 5), False),
        (Directives(max_age=100, min_fresh=50), facts(), True),
    ],
)
def test_the_caller_says_how_fresh(asked: Directives, entry: Facts, *, expected: bool) -> None:
    """max-age, min-fresh and max-stale bind alone and together."""
    assert (state(entry, NONE, asked, NOW) is State.FRESH) is expected


@pytest.mark.parametrize(
    ("late", "asked", "expected"),
    [
        (-1, Directives(), State.FRESH),
        (0, Directives(), State.REVALIDATE),
        (59.9, Directives(), State.REVALIDATE),
        (60, Directives(), State.ON_ERROR),
        (3599.9, Directives(), State.ON_ERROR),
        (3600, Directives(), State.DEAD),
        # Only what a caller sends itself bounds the windows.
        (10, Directives(max_age=10_000), State.REVALIDATE),
        (10, Directives(max_age=1), State.DEAD),
        (10, Directives(min_fresh=0), State.DEAD),
        (10, Directives(max_stale=20), State.FRESH),
        (30, Directives(max_stale=20), State.REVALIDATE),
        (10, Directives(only_if_cached=True), State.ON_ERROR),
        # stale-if-error of the request takes the place of the category's.
        (100, Directives(stale_if_error=200), State.ON_ERROR),
        (300, Directives(stale_if_error=200), State.DEAD),
        (5000, Directives(stale_if_error=6000), State.ON_ERROR),
        (100, Directives(stale_if_error=200, max_age=1), State.ON_ERROR),
        (100, Directives(stale_if_error=0), State.DEAD),
    ],
)
def test_stale_windows(late: float, asked: Directives, expected: State) -> None:
    """RFC 5861: a short window while revalidating, a longer one on errors, never past them."""
    entry = facts(stored=NOW - 200 - late, expires=NOW - late, gone=NOW + 10_000)
    assert state(entry, WINDOWS, asked, NOW) is expected


def test_no_window_outlives_the_entry() -> None:
    """Past `gone` an entry serves nobody, whatever window is asked for."""
    entry = facts(expires=NOW - 10, gone=NOW)
    assert state(entry, WINDOWS, Directives(stale_if_error=1e9), NOW) is State.DEAD


@pytest.mark.parametrize(
    ("wish", "bounds", "expected"),
    [
        (None, (0.0, 10.0), 3600.0),
        (60.0, (0.0, 86_400.0), 60.0),
        (0.0, (0.0, 86_400.0), 0.0),
        (0.0, (30.0, 86_400.0), 30.0),
        (1e12, (0.0, 86_400.0), 86_400.0),
    ],
)
def test_life_time_is_the_categorys_or_the_wish(
    wish: float | None, bounds: tuple[float, float], expected: float
) -> None:
    """The category's time counts as it stands; a wish is kept inside the bounds."""
    category = CategoryRules("c", Threshold(0.9), ttl=3600)
    assert lifetime(category, Directives(ttl=wish), Overrides(ttl=bounds)) == expected
