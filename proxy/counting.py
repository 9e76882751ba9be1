"""The overview's figures, out of sums by minute and hour: counts, latencies, what was saved."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from admin_ui.facts import Estimate, Line, Moment, Overview, Tally
from index.rollups import HOUR, MINUTE, QUARTER, Key, Rollup, Sums, quantile
from policies import evidence
from policies.lessons import SHOWN_DOUBT
from policies.verdicts import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from policies.evidence import Share
    from policies.record import Comparison

    Prices = Mapping[str, tuple[float, float]]

# About so many moments make a chart; their length is one of these.
MOMENTS = 60
STEPS = (60, 300, 900, 3_600, 2 * 3_600, 6 * 3_600, 12 * 3_600, 86_400)
# Windows up to so long are counted by the minute, and by the hour.
BY_MINUTE, BY_HOUR = 6 * 3_600.0, 7 * 86_400.0


def stepped(seconds: float, now: float) -> tuple[int, int, int]:
    """Which sums to read for a window, from when on, and how long its moments are."""
    step = next((step for step in STEPS if seconds / step <= MOMENTS), None)
    step = step or -int(-seconds / MOMENTS // 86_400) * 86_400
    span = MINUTE if seconds <= BY_MINUTE else HOUR if seconds <= BY_HOUR else QUARTER
    step = max(step, span)
    return span, int((now - seconds) // span) * span, step


def counted(
    rollups: Sequence[Rollup], since: int, until: float, step: int, prices: Prices
) -> Overview:
    """All that sums tell of a window."""
    rollups = gathered(rollups, since, step)
    miss = mean_miss(rollups)
    parts = by_category(rollups)
    return Overview(
        seconds=until - since,
        since=float(since),
        step=float(step),
        total=tally(rollups, prices, miss),
        categories={name: tally(some, prices, miss) for name, some in parts.items()},
        reasons=reasons(rollups),
        moments=moments(rollups, since, until, step, prices),
        lines=lines(rollups, since, until, step),
    )


def gathered(rollups: Iterable[Rollup], since: int, step: int) -> list[Rollup]:
    """The same, added up within each stretch of `step` seconds: far fewer."""
    made: dict[Key, Sums] = {}
    for key, sums in rollups:
        wide = key._replace(span=step, at=since + (key.at - since) // step * step)
        made.setdefault(wide, Sums()).add(sums)
    return [Rollup(key, sums) for key, sums in made.items()]


def moments(
    rollups: Sequence[Rollup], since: int, until: float, step: int, prices: Prices
) -> list[Moment]:
    """One tally for each stretch of `step` seconds, empty ones too."""
    parts: dict[int, list[Rollup]] = defaultdict(list)
    for one in rollups:
        parts[(one.key.at - since) // step].append(one)
    miss = mean_miss(rollups)
    count = max(1, -int(-(until - since) // step))
    return [
        Moment(float(since + place * step), tally(parts[place], prices, miss))
        for place in range(count)
    ]


def lines(rollups: Iterable[Rollup], since: int, until: float, step: int) -> dict[str, Line]:
    """Requests and hits of each category, stretch by stretch."""
    count = max(1, -int(-(until - since) // step))
    asked: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    hits: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    for key, sums in rollups:
        place = min(max(0, (key.at - since) // step), count - 1)
        asked[key.category][place] += sums.count
        if key.outcome in (Outcome.HIT, Outcome.STALE):
            hits[key.category][place] += sums.count
    return {name: Line(tuple(asked[name]), tuple(hits[name])) for name in sorted(asked)}


def mean_miss(rollups: Iterable[Rollup]) -> float | None:
    """What an answer from upstream took on average, in milliseconds."""
    missed = [sums for key, sums in rollups if key.outcome == Outcome.MISS]
    count = sum(sums.count for sums in missed)
    return sum(sums.ms for sums in missed) / count if count else None


def tally(rollups: Sequence[Rollup], prices: Prices, miss: float | None) -> Tally:
    """Add up; `miss` is what an answer from upstream takes, for the time that hits saved."""
    hits = [one for one in rollups if one.key.outcome == Outcome.HIT]
    quick = added(sums for _, sums in hits)
    missed = added(sums for key, sums in rollups if key.outcome == Outcome.MISS)
    saved = 0.0 if miss is None else quick.count * miss - quick.ms
    return Tally(
        requests=_count(rollups),
        exact=_count(one for one in hits if one.key.reason == Reason.EXACT),
        semantic=_count(one for one in hits if one.key.reason == Reason.SEMANTIC),
        stale=_count(one for one in rollups if one.key.outcome == Outcome.STALE),
        collapsed=missed.collapsed,
        missed=missed.count,
        bypassed=_count(one for one in rollups if one.key.outcome == Outcome.BYPASS),
        hit_p50_ms=quantile(quick.times, 0.5),
        hit_p95_ms=quantile(quick.times, 0.95),
        miss_p50_ms=quantile(missed.times, 0.5),
        miss_p95_ms=quantile(missed.times, 0.95),
        tokens_saved=quick.tokens_in + quick.tokens_out,
        dollars_saved=sum(dollars(key.model, sums, prices) for key, sums in hits),
        seconds_saved=max(0.0, saved / 1000),
    )


def added(some: Iterable[Sums]) -> Sums:
    total = Sums()
    for sums in some:
        total.add(sums)
    return total


def _count(rollups: Iterable[Rollup]) -> int:
    return sum(sums.count for _, sums in rollups)


def dollars(model: str, sums: Sums, prices: Prices) -> float:
    """The price of the tokens."""
    asked, answered = rate(model, prices)
    return (sums.tokens_in * asked + sums.tokens_out * answered) / 1e6


def rate(model: str, prices: Prices) -> tuple[float, float]:
    """US dollars per million tokens asked and answered, 0 where no price is known; dated model
    names take their family's price."""
    families = sorted(prices, key=len, reverse=True)
    family = next((name for name in families if model.startswith(name + "-")), None)
    price = prices.get(model) or (None if family is None else prices[family])
    return price or (0.0, 0.0)


# -- how often it is wrong -------------------------------------------------------------------------


def wrongs(labels: Iterable[Comparison]) -> dict[str, Estimate]:
    """Wrong answers per hit by meaning, by category and, under the empty name, in all.

    From audits alone: would-be hits that were forwarded by lot, each standing for those that were
    served.
    """
    parts: dict[str, list[Comparison]] = defaultdict(list)
    for one in labels:
        if one.would and not one.vetoed and one.propensity > 0:
            parts[""].append(one)
            parts[one.category].append(one)
    return {name: estimate(share(part)) for name, part in parts.items()}


def share(labels: Sequence[Comparison], doubt: float = SHOWN_DOUBT) -> Share:
    wrong = np.array([not one.same for one in labels], bool)
    weights = np.array([1 / one.propensity for one in labels], np.float64)
    return evidence.share(wrong, weights, doubt=doubt)


def estimate(held: Share, doubt: float = SHOWN_DOUBT) -> Estimate:
    known = held.estimate if held.samples else None
    return Estimate(known, held.low, held.high, held.samples, round(1 - doubt, 6))


def by_category(rollups: Iterable[Rollup]) -> dict[str, list[Rollup]]:
    parts: dict[str, list[Rollup]] = defaultdict(list)
    for one in rollups:
        parts[one.key.category].append(one)
    return dict(parts)


def reasons(rollups: Iterable[Rollup]) -> dict[str, int]:
    """How many decisions each reason has, the most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    for key, sums in rollups:
        counts[key.reason] += sums.count
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))
