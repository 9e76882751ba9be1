from __future__ import annotations

import pytest

from admin_ui import charts
from admin_ui.facts import (
    Bin,
    Estimate,
    Line,
    Moment,
    Overview,
    Predicted,
    Similarities,
    Tally,
)

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


def test_histogram() -> None:
    """Bins in percent of the axis and of the fullest bin; empty ones are left out; curves end at
    the foot of the axis."""
    facts = Similarities(
        "code", 60.0, 9, 0, 2, 0.9, learned=False,
        bins=[Bin(0.5, 0.75), Bin(0.75, 1.0, 1, 0, 3)],
        predicted=[Predicted(0.5, 0.5, 0.5, Estimate(0.1, 0.0, 0.2, 4)), Predicted(1.0, 0, 0)],
    )  # fmt: skip
    drawn = charts.histogram(facts)
    assert drawn.columns == [
        charts.Column(0.75, 50, 50, 25, 0, 75, "0.750: 1 correct, 0 wrong, 3 unknown")
    ]
    assert drawn.cuts == [(0.5, 0.5, 0.0, 0.1, 0.2, 4), (1.0, 0, 0.0, None, 1.0, 0)]
    assert drawn.hits == "M0 100L0.00 50.00L100.00 100.00L100 100Z"


def test_histogram_of_nothing() -> None:
    """No bins draw nothing."""
    drawn = charts.histogram(Similarities("code", 60.0, 0, 0, 0, 0.9, learned=False))
    assert (drawn.low, drawn.columns, drawn.hits) == (0.5, [], "")


def test_one_wrong_among_many_is_seen() -> None:
    """A part that is there is drawn at least two hundredths high."""
    facts = Similarities("c", 60.0, 9, 0, 2, 0.9, learned=False, bins=[Bin(0.5, 1, 0, 1, 9999)])
    assert charts.histogram(facts).columns[0].wrong == 2
