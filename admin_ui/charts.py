"""What pictures are drawn from: series, paths and positions. Pure; colours and markup are not here.

Fields are 100 wide; a picture's own height is said where it differs from 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from admin_ui.facts import Bin, Estimate, Line, Overview, Similarities

WIDE = 100.0


def over_time(facts: Overview) -> dict[str, Any]:
    """The overview's moments as columns, which is how a chart takes them."""
    tallies = [moment.tally for moment in facts.moments]
    return {
        "step": facts.step,
        "at": [moment.at for moment in facts.moments],
        "exact": [t.exact for t in tallies],
        "semantic": [t.semantic for t in tallies],
        "stale": [t.stale for t in tallies],
        "collapsed": [t.collapsed for t in tallies],
        "missed": [t.missed - t.collapsed for t in tallies],
        "bypassed": [t.bypassed for t in tallies],
        "hitP50": [t.hit_p50_ms for t in tallies],
        "hitP95": [t.hit_p95_ms for t in tallies],
        "missP50": [t.miss_p50_ms for t in tallies],
        "missP95": [t.miss_p95_ms for t in tallies],
        "tokens": list(accumulate(t.tokens_saved for t in tallies)),
    }


def curve(values: Sequence[float], tall: float, *, closed: bool = False) -> str:
    """A line through `values` from left to right, the largest at the top; `closed` down to zero."""
    if not values:
        return ""
    most = max(*values, 0.0) or 1.0
    step = WIDE / max(1, len(values) - 1)
    points = [f"{n * step:.2f} {tall - tall * value / most:.2f}" for n, value in enumerate(values)]
    line = f"M{'L'.join(points)}"
    return f"{line}L{WIDE:g} {tall:g}L0 {tall:g}Z" if closed else line


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a sparkline: the whole, and the part of it that was answered from memory."""

    x: float
    width: float
    tall: float
    part: float


def bars(line: Line, tall: float) -> list[Bar]:
    """A category's requests and hits, moment by moment, in a field `tall` high."""
    most = max(line.requests, default=0) or 1
    width = WIDE / (len(line.requests) or 1)
    return [
        Bar(
            round(n * width, 3),
            round(width * 0.8, 3),
            round(tall * requests / most, 2),
            round(tall * hits / most, 2),
        )
        for n, (requests, hits) in enumerate(zip(line.requests, line.hits, strict=True))
        if requests
    ]


@dataclass(frozen=True, slots=True)
class Whiskers:
    """An estimate on an axis from 0 to `top`: positions in percent of the axis."""

    top: float
    low: float
    high: float
    point: float | None


def whiskers(estimate: Estimate) -> Whiskers:
    top = _round_up(max(estimate.high, 0.001))

    def at(share: float) -> float:
        return round(100.0 * share / top, 2)

    point = None if estimate.estimate is None else at(estimate.estimate)
    return Whiskers(top, at(estimate.low), at(estimate.high), point)


def _round_up(share: float) -> float:
    """The next share that an axis may end at and a person can read."""
    ends = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    return next((end for end in ends if end >= share), 1.0)


@dataclass(frozen=True, slots=True)
class Column:
    """One bin of a histogram: its place, and its parts on top of each other, in percent."""

    low: float
    x: float
    width: float
    correct: float
    wrong: float
    unknown: float
    said: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """A category's similarities from `low` to 1, and what each cut would do, as curves.

    `cuts` are rows of cut, hit rate, lowest, likeliest (None: unknown) and highest share of wrong
    hits, and how many comparisons that rests on. `wrong` and `hits` are paths in a field 100 high.
    """

    low: float
    columns: list[Column]
    cuts: list[tuple[float, float, float, float | None, float, int]]
    hits: str
    wrong: str


def histogram(facts: Similarities) -> Histogram:
    low = facts.bins[0].low if facts.bins else 0.5
    most = max((b.correct + b.wrong + b.unknown for b in facts.bins), default=0) or 1
    cuts = [
        (p.cut, p.hit_rate, p.false_hits.low, p.false_hits.estimate, p.false_hits.high,
         p.false_hits.samples)
        for p in facts.predicted
    ]  # fmt: skip
    return Histogram(
        low=low,
        columns=[_column(b, low, most) for b in facts.bins if b.correct or b.wrong or b.unknown],
        cuts=cuts,
        hits=_outline([hit_rate for _, hit_rate, *_ in cuts]),
        wrong=_outline([high for *_, high, _ in cuts]),
    )


def _column(one: Bin, low: float, most: int) -> Column:
    def tall(count: int) -> float:
        # One that is there must be seen, however many others there are.
        return max(2.0, round(100.0 * count / most, 2)) if count else 0.0

    return Column(
        low=one.low,
        x=round(100.0 * (one.low - low) / (1 - low), 3),
        width=round(100.0 * (one.high - one.low) / (1 - low), 3),
        correct=tall(one.correct),
        wrong=tall(one.wrong),
        unknown=tall(one.unknown),
        said=f"{one.low:.3f}: {one.correct} correct, {one.wrong} wrong, {one.unknown} unknown",
    )


def _outline(shares: Sequence[float]) -> str:
    """A closed path over shares of one, on an axis that ends at one."""
    if not shares:
        return ""
    step = WIDE / max(1, len(shares) - 1)
    points = [f"{n * step:.2f} {100 - 100 * share:.2f}" for n, share in enumerate(shares)]
    return f"M0 100L{'L'.join(points)}L100 100Z"
