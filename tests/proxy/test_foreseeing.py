from __future__ import annotations

import pytest

from index.rollups import HOUR, Key, Rollup, Sums
from policies.record import Comparison
from policies.values import CategoryRules, Threshold
from proxy.foreseeing import foreseen, place

RULE = CategoryRules("faq", Threshold(0.9), ttl=60)


def rollup(reason: str, near: dict[int, int], count: int = 0, category: str = "faq") -> Rollup:
    outcome = "hit" if reason in ("exact", "semantic") else "miss"
    total = count or sum(near.values())
    return Rollup(Key(HOUR, 0, category, reason, outcome, "m"), Sums(total, near=near))


def label(similarity: float, *, same: bool, **changes: object) -> Comparison:
    plain = Comparison(1, 1.0, "faq", "e", "n", similarity, None, 1.0, True, False, same, "judge")
    return plain._replace(**changes)


def test_what_is_known_of_would_be_hits() -> None:
    """Correct, wrong and unknown apart; a guard's refusals, exact hits and others' are none."""
    rollups = [
        rollup("exact", {200: 10}),
        rollup("semantic", {190: 4, 200: 1}),
        rollup("below-threshold", {150: 3, 20: 8}),
        rollup("guard-units", {195: 7}),
        rollup("semantic", {190: 9}, category="other"),
    ]
    labels = [
        label(0.951, same=True),
        label(0.953, same=False),
        label(0.952, same=True, vetoed=True),
        label(0.952, same=True, category="other"),
    ]
    told = foreseen(RULE, rollups, labels, 60.0)
    assert (told.requests, told.exact, told.labels) == (33, 10, 2)
    bins = {round(b.low, 3): (b.correct, b.wrong, b.unknown) for b in told.bins}
    assert bins[0.95] == (1, 1, 2)
    assert bins[0.75] == (0, 0, 3)
    assert bins[0.995] == (0, 0, 1)
    assert sum(map(sum, bins.values())) == 8
    assert [b.low for b in told.bins] == sorted(b.low for b in told.bins)


def test_what_each_cut_would_do() -> None:
    """A looser cut answers more; errors are those of the labels at or above it."""
    rollups = [
        rollup("exact", {200: 20}),
        rollup("semantic", {190: 30}),
        rollup("below-threshold", {160: 40}),
        rollup("empty", {}, count=10),
    ]
    labels = [label(0.95, same=True)] * 8 + [label(0.8, same=False)] * 2
    told = foreseen(RULE, rollups, labels, 60.0)
    by_cut = {round(p.cut, 3): p for p in told.predicted}
    strict, loose, never = by_cut[0.9], by_cut[0.8], by_cut[1.0]
    assert (strict.semantic, strict.hit_rate) == pytest.approx((0.3, 0.5))
    assert (strict.false_hits.estimate, strict.false_hits.samples) == (0.0, 8)
    assert (loose.semantic, loose.hit_rate) == pytest.approx((0.7, 0.9))
    assert loose.false_hits.estimate == pytest.approx(0.2)
    assert loose.false_hits.low < 0.2 < loose.false_hits.high
    assert (never.semantic, never.hit_rate) == (0.0, 0.2)
    assert never.false_hits.estimate is None
    assert len(told.predicted) == 101


def test_labels_that_stand_for_none_predict_nothing() -> None:
    """A verdict is shown among the bins; how likely it was to be said nobody knows."""
    told = foreseen(RULE, [], [label(0.95, same=False, propensity=0.0)], 60.0)
    assert sum(b.wrong for b in told.bins) == 1
    assert all(p.false_hits.samples == 0 for p in told.predicted)


def test_a_category_without_traffic() -> None:
    """Zeros, and no estimate."""
    told = foreseen(RULE, [], [], 60.0)
    assert (told.requests, told.learned, told.cut) == (0, False, 0.9)
    assert {p.hit_rate for p in told.predicted} == {0.0}


@pytest.mark.parametrize(
    ("threshold", "learned"),
    [(Threshold(0.9), False), (Threshold(0.9, max_false_hits=0.02), True),
     (Threshold(0.9, delta=0.01), True)],
)  # fmt: skip
def test_who_rules(threshold: Threshold, learned: bool) -> None:
    """A fixed cut, or what was learned."""
    rule = CategoryRules("faq", threshold, ttl=60)
    assert foreseen(rule, [], [], 60.0).learned is learned


@pytest.mark.parametrize(("similarity", "where"), [(0.5, 100), (0.9301, 186), (1.0, 199)])
def test_the_last_bin_holds_equal_texts(similarity: float, where: int) -> None:
    """A similarity of one is no bin of its own."""
    assert place(similarity) == where
