"""What goes first when memory is full: the least recently used, quotas before the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.eviction import Bounds, Held, victims

PLENTY = 10**9


def held(count: int, category: str = "a", size: int = 10, start: int = 0) -> list[Held]:
    """Entries named by the time of their last use, the longest unused first."""
    return [Held(f"{category}{n}", category, size, float(start + n)) for n in range(count)]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(5, PLENTY, {}), []),
        (Bounds(4, PLENTY, {}), ["a0"]),
        (Bounds(0, PLENTY, {}), ["a0", "a1", "a2", "a3", "a4"]),
        (Bounds(PLENTY, 50, {}), []),
        (Bounds(PLENTY, 49, {}), ["a0"]),
        (Bounds(PLENTY, 30, {}), ["a0", "a1", "a2"]),
        (Bounds(PLENTY, 0, {}), ["a0", "a1", "a2", "a3", "a4"]),
        (Bounds(PLENTY, PLENTY, {"a": 3}), ["a0", "a1"]),
        (Bounds(PLENTY, PLENTY, {"a": 0}), ["a0", "a1", "a2", "a3", "a4"]),
        (Bounds(PLENTY, PLENTY, {"b": 0}), []),
        (Bounds(4, PLENTY, {"a": 3}), ["a0", "a1"]),
    ],
)
def test_the_longest_unused_go(bounds: Bounds, expected: list[str]) -> None:
    """Just enough entries go, by last use, for entries, bytes and quotas alike."""
    assert victims(reversed(held(5)), bounds) == expected


def test_a_quota_binds_its_own_category() -> None:
    """One category over its quota loses its own old ones, not another's older ones."""
    gone = victims(held(3, "old") + held(5, "new", start=100), Bounds(PLENTY, PLENTY, {"new": 4}))
    assert gone == ["new0"]


def test_large_bounds_leave_room() -> None:
    """Over a large bound a little more goes than needed, so that the next insert is free."""
    assert len(victims(held(1001), Bounds(1000, PLENTY, {}))) == 21


def test_nothing_held_is_nothing_to_evict() -> None:
    """An empty memory has no victims, whatever the bounds."""
    assert victims([], Bounds(0, 0, {"a": 0})) == []


_HELD = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.floats(0, 100)), max_size=40
).map(lambda rows: [Held(str(n), *row) for n, row in enumerate(rows)])


@given(_HELD, st.integers(0, 40), st.integers(0, 800), st.integers(0, 20))
def test_what_remains_is_inside_every_bound(
    entries: list[Held], most: int, size: int, quota: int
) -> None:
    """After the victims have gone every bound holds, and no victim is named twice."""
    gone = victims(entries, Bounds(most, size, {"a": quota}))
    rest = [one for one in entries if one.entry not in set(gone)]
    assert len(gone) == len(set(gone))
    assert len(rest) + len(gone) == len(entries)
    assert len(rest) <= most
    assert sum(one.size for one in rest) <= size
    assert sum(one.category == "a" for one in rest) <= quota
