from __future__ import annotations

import pytest

from admin_ui.facts import Estimate, Line
from index.rollups import HOUR, MINUTE, QUARTER, Key, Rollup, Sums, bin_of
from policies.record import Comparison
from proxy import counting

PRICES = {"gpt": (1.0, 10.0), "gpt-mini": (0.1, 0.2)}


def rollup(at: int, reason: str, count: int, ms: float, **key: str) -> Rollup:
    kinds = {"exact": "hit", "semantic": "hit", "stale-if-error": "stale", "tools": "bypass"}
    named = Key(
        MINUTE,
        at,
        key.get("category", "c"),
        reason,
        kinds.get(reason, "miss"),
        key.get("model", "gpt"),
    )
    times = {bin_of(ms): count}
    return Rollup(named, Sums(count, 0, ms * count, 1000 * count, 100 * count, times))


@pytest.mark.parametrize(
    ("seconds", "span", "step", "moments"),
    [
        (900, MINUTE, 60, 15),
        (3_600, MINUTE, 60, 60),
        (6 * 3_600, MINUTE, 900, 24),
        (86_400, HOUR, 3_600, 24),
        (7 * 86_400, HOUR, 6 * 3_600, 28),
        (30 * 86_400, QUARTER, 12 * 3_600, 60),
        (366 * 86_400, QUARTER, 7 * 86_400, 53),
        (1, MINUTE, 60, 1),
    ],
)
def test_a_window_is_cut_into_steps(seconds: float, span: int, step: int, moments: int) -> None:
    """At most sixty or so, each a round length; short windows by the minute, long by the hour."""
    now = 1_800_000_123.0
    got = counting.stepped(seconds, now)
    assert (got[0], got[2]) == (span, step)
    assert now - seconds - span < got[1] <= now - seconds
    assert got[1] % span == 0
    made = counting.moments([], got[1], now, got[2], {})
    assert moments <= len(made) <= moments + 1
    assert made[0].at == got[1]


def test_the_figures_of_a_window() -> None:
    """Each request is counted once; hits save what an answer from upstream takes."""
    rollups = [
        rollup(0, "exact", 3, 1.0),
        rollup(60, "semantic", 1, 5.0, model="gpt-mini-2025-01-01"),
        rollup(60, "empty", 2, 500.0),
        rollup(120, "stale-if-error", 1, 2.0),
        rollup(120, "tools", 4, 900.0, category="d"),
    ]
    told = counting.counted(rollups, 0, 180.0, 60, PRICES)
    total = told.total
    assert (total.requests, total.exact, total.semantic, total.stale) == (11, 3, 1, 1)
    assert (total.missed, total.bypassed, total.collapsed) == (2, 4, 0)
    assert total.seconds_saved == pytest.approx((4 * 500 - 8) / 1000)
    assert total.tokens_saved == 4 * 1100
    assert total.dollars_saved == pytest.approx((3 * 2000 + 1 * 120) / 1e6)
    assert total.hit_p50_ms == pytest.approx(1.0, rel=0.06)
    assert total.miss_p95_ms == pytest.approx(500, rel=0.06)
    assert [m.tally.requests for m in told.moments] == [3, 3, 5]
    assert sum(m.tally.seconds_saved for m in told.moments) == pytest.approx(total.seconds_saved)
    assert told.lines == {"c": Line((3, 3, 1), (3, 1, 1)), "d": Line((0, 0, 4), (0, 0, 0))}
    assert told.reasons == {"tools": 4, "exact": 3, "empty": 2, "semantic": 1, "stale-if-error": 1}
    assert told.categories["d"].requests == 4


def test_the_figures_of_nothing() -> None:
    """No traffic: zeros where things are counted, None where they are measured."""
    told = counting.counted([], 0, 60.0, 60, {})
    assert (told.total.requests, told.total.hit_p50_ms, told.lines) == (0, None, {})
    assert len(told.moments) == 1


def test_hits_without_a_miss_save_no_known_time() -> None:
    """Nobody knows what an answer from upstream would have taken."""
    assert counting.counted([rollup(0, "exact", 3, 1.0)], 0, 60.0, 60, {}).total.seconds_saved == 0


@pytest.mark.parametrize(
    ("model", "dollars"),
    [("gpt", 11.0), ("gpt-mini", 0.3), ("gpt-mini-1", 0.3), ("gpt-4", 11.0), ("gptx", 0.0)],
)
def test_models_take_the_price_of_their_family(model: str, dollars: float) -> None:
    """The longest name that fits; an unknown model costs nothing that we know of."""
    sums = Sums(tokens_in=1_000_000, tokens_out=1_000_000)
    assert counting.dollars(model, sums, PRICES) == pytest.approx(dollars)


def label(category: str, *, same: bool, **changes: object) -> Comparison:
    plain = Comparison(1, 1.0, category, "e", "n", 0.9, None, 0.5, True, False, same, "judge")
    return plain._replace(**changes)


def test_errors_are_estimated_from_audits_alone() -> None:
    """Not from what would not have been served, what a guard refused, or what people said."""
    audits = [label("a", same=True)] * 9 + [label("b", same=False)]
    others = [
        label("a", same=False, would=False),
        label("a", same=False, vetoed=True),
        label("a", same=False, propensity=0.0),
    ]
    told = counting.wrongs(audits + others)
    assert set(told) == {"", "a", "b"}
    assert (told[""].estimate, told[""].samples) == (pytest.approx(0.1), 10)
    assert told[""].low < 0.1 < told[""].high
    assert (told["a"].estimate, told["b"].estimate) == (0.0, 1.0)
    assert counting.wrongs([]) == {}


def test_an_audit_that_was_less_likely_stands_for_more() -> None:
    """One in ten that is wrong weighs as much as ten that were sure to be compared."""
    rows = [label("a", same=False, propensity=0.1), *[label("a", same=True, propensity=1.0)] * 10]
    assert counting.wrongs(rows)[""].estimate == pytest.approx(0.5)


def test_no_sample_is_no_estimate() -> None:
    """Anything is possible then."""
    assert counting.estimate(counting.share([])) == Estimate(None, 0.0, 1.0, 0, 0.9)
