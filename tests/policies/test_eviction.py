"""What goes first when memory is full: the least valuable by each rule, quotas first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.eviction import HALF_LIFE, Bounds, Held, Rule, victims

if TYPE_CHECKING:
    from collections.abc import Sequence

PLENTY = 10**9


class Row(NamedTuple):
    """An entry as a test names it."""

    entry: str
    category: str
    size: int
    used: float
    hits: int = 0
    cost: float = 0.0
    owner: str = "k"
    pinned: bool = False


def evicted(rows: Sequence[Row], bounds: Bounds, rule: Rule = Rule.LRU) -> list[str]:
    """The names of those that go."""
    categories = tuple(sorted({row.category for row in rows}))
    owners = tuple(sorted({row.owner for row in rows}))
    weighed = Held(
        np.array([row.size for row in rows], np.int64),
        np.array([row.used for row in rows], np.float64),
        np.array([row.hits for row in rows], np.int64),
        np.array([row.cost for row in rows], np.float64),
        np.array([categories.index(row.category) for row in rows], np.int64),
        np.array([owners.index(row.owner) for row in rows], np.int64),
        np.array([row.pinned for row in rows], bool),
        categories,
        owners,
    )
    return [rows[place].entry for place in victims(weighed, bounds, rule).tolist()]


def held(count: int, category: str = "a", size: int = 10, start: int = 0) -> list[Row]:
    """Entries named by the time of their last use, the longest unused first."""
    return [Row(f"{category}{n}", category, size, float(start + n)) for n in range(count)]


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
    assert evicted(held(5)[::-1], bounds) == expected


def test_a_quota_binds_its_own_category() -> None:
    """One category over its quota loses its own old ones, not another's older ones."""
    gone = evicted(held(3, "old") + held(5, "new", start=100), Bounds(PLENTY, PLENTY, {"new": 4}))
    assert gone == ["new0"]


def test_no_owner_takes_it_all() -> None:
    """Whoever holds more than one may loses its own, not another's; what all share is spared."""
    rows = [
        *(Row(f"hog{n}", "a", 1, float(n), owner="hog") for n in range(6)),
        *(Row(f"small{n}", "a", 1, 0.0, owner="small") for n in range(3)),
        *(Row(f"all{n}", "a", 1, 0.0, owner="") for n in range(9)),
    ]
    assert evicted(rows, Bounds(PLENTY, PLENTY, {}, each=4)) == ["hog0", "hog1"]
    assert evicted(rows, Bounds(PLENTY, PLENTY, {}, each=6)) == []
    # What a category's quota takes counts for its owner as well.
    assert evicted(rows[:6], Bounds(PLENTY, PLENTY, {"a": 4}, each=4)) == ["hog0", "hog1"]


def test_large_bounds_leave_room() -> None:
    """Over a large bound a little more goes than needed, so that the next insert is free."""
    assert len(evicted(held(1001), Bounds(1000, PLENTY, {}))) == 21


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(3, PLENTY, {}), ["a1", "a3"]),
        (Bounds(PLENTY, 30, {}), ["a1", "a3", "a4"]),
        (Bounds(PLENTY, PLENTY, {"a": 4}), ["a1"]),
        (Bounds(PLENTY, PLENTY, {}, each=4), ["a1"]),
        (Bounds(0, 0, {"a": 0}), ["a1", "a3", "a4"]),
    ],
)
def test_what_is_pinned_stays(bounds: Bounds, expected: list[str]) -> None:
    """It counts, and others make the room, however much more valuable they are."""
    some = [row._replace(pinned=n in (0, 2)) for n, row in enumerate(held(5))]
    assert evicted(some, bounds) == expected


def test_nothing_held_is_nothing_to_evict() -> None:
    """An empty memory has no victims, whatever the bounds."""
    assert evicted([], Bounds(0, 0, {"a": 0})) == []


_HELD = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 50),
        st.floats(0, 100),
        st.integers(0, 10**9),
        st.floats(0, 1e9),
    ),
    max_size=40,
).map(lambda rows: [Row(str(n), *row) for n, row in enumerate(rows)])


@given(
    _HELD, st.integers(0, 40), st.integers(0, 800), st.integers(0, 20), st.sampled_from(list(Rule))
)
def test_what_remains_is_inside_every_bound(
    entries: list[Row], most: int, size: int, quota: int, rule: Rule
) -> None:
    """After the victims have gone every bound holds, and no victim is named twice."""
    gone = evicted(entries, Bounds(most, size, {"a": quota}), rule)
    rest = [one for one in entries if one.entry not in set(gone)]
    assert len(gone) == len(set(gone))
    assert len(rest) + len(gone) == len(entries)
    assert len(rest) <= most
    assert sum(one.size for one in rest) <= size
    assert sum(one.category == "a" for one in rest) <= quota


# --- the rules

HOUR = HALF_LIFE
# Of each pair the first is worth less by the rule, all else equal or in its favour.
WORTH_LESS = [
    (Rule.LRU, Row("x", "a", 1, 10.0, hits=99, cost=9e9), Row("y", "a", 900, 11.0)),
    (Rule.LFU, Row("x", "a", 1, 11.0, hits=2, cost=9e9), Row("y", "a", 900, 10.0, hits=3)),
    # Seven answers two hours ago count as two now, and five an hour ago as more.
    (Rule.LFU, Row("x", "a", 1, 0.0, hits=6), Row("y", "a", 1, 2 * HOUR, hits=1)),
    (Rule.LFU, Row("x", "a", 1, 2 * HOUR, hits=1), Row("y", "a", 1, HOUR, hits=4)),
    (Rule.LEC, Row("x", "a", 1, 9.0, 9, cost=100.0), Row("y", "a", 900, 9.0, 1, cost=501.0)),
    (Rule.LEC, Row("x", "a", 1, 9.0, 1, cost=499.0), Row("y", "a", 900, 9.0, 9, cost=100.0)),
    (Rule.GDSF, Row("x", "a", 1_000, 9.0, 4, cost=100.0), Row("y", "a", 400, 9.0, 2, 100.0)),
    (Rule.GDSF, Row("x", "a", 400, 9.0, 0, cost=100.0), Row("y", "a", 1_000, 9.0, 2, 100.0)),
    # What cost nothing that was measured is worth its frequency all the same.
    (Rule.LEC, Row("x", "a", 1, 9.0, hits=1), Row("y", "a", 1, 9.0, hits=2)),
    # Of equal value, the one used longest ago.
    (Rule.LFU, Row("x", "a", 1, 0.0, hits=1), Row("y", "a", 1, HOUR, hits=0)),
]


@pytest.mark.parametrize(("rule", "less", "more"), WORTH_LESS)
def test_the_less_valuable_goes(rule: Rule, less: Row, more: Row) -> None:
    """Each rule weighs what it says and nothing else."""
    for pair in ([less, more], [more, less]):
        assert evicted(pair, Bounds(1, PLENTY, {}), rule) == ["x"]


def spent(
    rule: Rule,
    alpha: float,
    seed: int,
    rounds: int = 2_000,
    *,
    models: int = 2,
    sizes: bool = False,
) -> float:
    """What misses cost on the generator of Zhu et al., arXiv 2306.02003.

    20 queries, floor(20 x) with x of density alpha * x**(alpha - 1); each model costs 1 or 101 for
    a query, and the cheapest of `models` answers it, noise N(0, 1). There is room for 8 of them or,
    where `sizes` differ (ours), for 40% of their bytes.
    """
    dice = np.random.default_rng(seed)
    asked = np.floor(20 * dice.power(alpha, rounds)).astype(int)
    costs = np.where(dice.random((models, 20)) < 0.5, 1.0, 101.0).min(axis=0)
    bytes_of = dice.integers(1, 100, 20) if sizes else np.full(20, 10)
    bounds = Bounds(20, int(bytes_of.sum() * 0.4), {}) if sizes else Bounds(8, PLENTY, {})
    cache: dict[int, Row] = {}
    total = 0.0
    for now, query in enumerate(asked.tolist()):
        known = cache.get(query)
        cost = max(0.0, costs[query] + dice.normal())
        if known is None:
            total += cost
        hits, cost = (0, cost) if known is None else (known.hits + 1, known.cost)
        cache[query] = Row(str(query), "a", int(bytes_of[query]), float(now), hits, cost)
        for gone in evicted(list(cache.values()), bounds, rule):
            del cache[int(gone)]
    return total


@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_cost_is_worth_knowing(alpha: float) -> None:
    """Where the cheaper of two models answers, LEC pays at most a fifth of LFU."""
    lec, lfu = (sum(spent(rule, alpha, n) for n in range(4)) for rule in (Rule.LEC, Rule.LFU))
    assert lec <= lfu / 5


@pytest.mark.parametrize("alpha", [0.5, 0.8])
@pytest.mark.parametrize("models", [1, 2])
def test_lec_pays_less(alpha: float, models: int) -> None:
    """On every draw LEC pays at most what LFU does."""
    for seed in range(4):
        lec, lfu = (spent(r, alpha, seed, models=models) for r in (Rule.LEC, Rule.LFU))
        assert lec <= lfu


@pytest.mark.parametrize("alpha", [0.5, 0.8])
@pytest.mark.parametrize("sizes", [False, True])
def test_size_is_worth_knowing(alpha: float, sizes: bool) -> None:
    """On every draw GDSF pays at most what LRU does, with equal sizes and with unequal ones."""
    for seed in range(4):
        gdsf, lru = (spent(rule, alpha, seed, sizes=sizes) for rule in (Rule.GDSF, Rule.LRU))
        assert gdsf <= lru
