from __future__ import annotations

import pytest

from admin_ui import charts
from admin_ui.facts import Estimate, Line, Moment, Overview, Tally

MOMENTS = [
    Moment(60.0, Tally(requests=5, exact=1, missed=4, collapsed=1, hit_p50_ms=2.0, tokens_saved=7)),
    Moment(120.0, Tally(requests=1, bypassed=1)),
]


def test_columns_over_time() -> None:
    """One value a moment in each column; misses without those that waited; savings add up."""
    drawn = charts.over_time(Overview(120.0, Tally(), step=60.0, moments=MOMENTS))
    assert drawn["at"] == [60.0, 120.0]
    assert drawn["missed"] == [3, 0]
    assert drawn["collapsed"] == [1, 0]
    assert drawn["hitP50"] == [2.0, None]
    assert drawn["tokens"] == [7, 7]


@pytest.mark.parametrize(
    ("values", "closed", "path"),
    [
        ([], False, ""),
        ([0, 0], False, "M0.00 40.00L100.00 40.00"),
        ([0, 2, 4], False, "M0.00 40.00L50.00 20.00L100.00 0.00"),
        ([5], True, "M0.00 0.00L100 40L0 40Z"),
    ],
)
def test_curves(values: list[float], closed: bool, path: str) -> None:
    """From left to right over the whole width, the largest value at the top."""
    assert charts.curve(values, 40, closed=closed) == path


def test_bars() -> None:
    """A bar for each moment with requests, as high as its share of the most, hits inside it."""
    drawn = charts.bars(Line((4, 0, 2), (1, 0, 2)), 20)
    assert [(b.x, b.tall, b.part) for b in drawn] == [(0, 20, 5), (66.667, 10, 10)]
    assert charts.bars(Line(), 20) == []


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(0.01, 0.0, 0.04, 90), charts.Whiskers(0.05, 0, 80, 20)),
        (Estimate(), charts.Whiskers(1.0, 0, 100, None)),
        (Estimate(0.0, 0.0, 0.0, 9), charts.Whiskers(0.001, 0, 0, 0)),
    ],
)
def test_whiskers(estimate: Estimate, expected: charts.Whiskers) -> None:
    """The axis ends at a round share that holds the upper bound."""
    assert charts.whiskers(estimate) == expected
