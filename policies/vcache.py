"""vCache's rule: each entry learns from its own labels how similar is similar enough.

Written from the published formulas (arXiv 2502.03771), and kept as the reference that the learned
cut is measured against. A logistic curve is fitted to an entry's labels; how unsure its middle is
makes the probability of asking upstream, so that at most `delta` of all answers are wrong.

Ours, where the formulas are silent or dangerous: a weak prior on the slope, so that labels which a
cut separates have a finite fit; a variance simulated for those; a confidence grid in even steps of
the logarithm; a floor, and no trust below the lowest similarity at which this entry was right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

Labels: TypeAlias = tuple[tuple[float, bool], ...]

DELTA = 0.02
# Of 700 Quora pairs of equal meaning MiniLM puts 92% above this, of 700 others 31%; medical
# questions 80% and 19%.
FLOOR = 0.7
# Every entry begins with these, and with too few observations to conclude anything.
SEEDS: Labels = ((0.0, False), (1.0, True))
ENOUGH = 6
# Precision of a normal prior on the slope. It moves no fit that has an end of its own by a third
# decimal, and ends the others at the slopes where the published ones ended.
PRIOR = 1e-9
FLATTEST = 1e-6
ROUNDS, HALVINGS = 100, 30
# Variance of the middle where one cut separates n observations, seeds included: GAP / n² + REST.
# Simulated by bench/spread.py.
GAP, REST = 0.74, 0.0054

_EDGE = 1e-6
LOGARITHMIC = tuple(np.geomspace(_EDGE, 1 - _EDGE, 200).tolist())
LINEAR = tuple(np.linspace(_EDGE, 1 - _EDGE, 50).tolist())


@dataclass(frozen=True, slots=True)
class Curve:
    """P(same answer) as a logistic curve: its middle, its slope, how unsure the middle is."""

    cut: float
    slope: float
    variance: float


def explore(
    similarity: float,
    labels: Labels,
    delta: float,
    *,
    floor: float | None = FLOOR,
    grid: tuple[float, ...] = LOGARITHMIC,
) -> float:
    """The probability with which upstream is asked although this neighbour was found.

    `labels` are the neighbour's own. Without a `floor` the rule is the published one: it then
    trusts similarities that were never seen.
    """
    seen = round(similarity, 3) if math.isfinite(similarity) else -1.0
    if seen < 0 or (floor is not None and seen < max(floor, _lowest_right(labels))):
        return 1.0
    bounds = _bounds(labels, grid)
    if bounds is None:
        return 1.0
    slope, cuts, trust = bounds
    right = trust * _logistic(np.array([0.0, slope]), seen - cuts)
    # Asked upstream or right from memory: the share of wrong answers stays within delta.
    return float(np.clip((1 - delta / (1 - right)).min(), 0.0, 1.0))


def inserts(*, same: bool) -> bool:
    """Whether a fresh answer becomes an entry: only where the neighbour's would have been wrong."""
    return not same


@lru_cache(maxsize=1024)
def curve(labels: Labels) -> Curve | None:
    """The curve through an entry's labels; None while they allow no conclusion."""
    if len(SEEDS) + len(labels) < ENOUGH or not all(math.isfinite(score) for score, _ in labels):
        return None
    seen = np.array([round(score, 3) for score, _ in (*SEEDS, *labels)])
    same = np.array([float(right) for _, right in (*SEEDS, *labels)])
    middle = float(seen.mean())
    level, slope = _fitted(seen - middle, same)
    slope = max(slope, FLATTEST)
    if seen[same == 1].min() >= seen[same == 0].max():
        variance = GAP / len(seen) ** 2 + REST
    else:
        variance = _delta_method(seen - middle, level, slope)
    cut = middle - level / slope
    if not all(map(math.isfinite, (cut, variance))):
        return None
    return Curve(round(min(max(cut, 0.0), 1.0), 3), round(slope, 3), variance)


@lru_cache(maxsize=1024)
def _lowest_right(labels: Labels) -> float:
    return min((round(score, 3) for score, same in labels if same), default=math.inf)


@lru_cache(maxsize=1024)
def _bounds(labels: Labels, grid: tuple[float, ...]) -> tuple[float, Floats, Floats] | None:
    """For each step of the grid: where the middle lies at the most, and how sure that is."""
    fit = curve(labels)
    if fit is None:
        return None
    quantiles, trust = _confidence(grid)
    cuts = np.clip(fit.cut + quantiles * math.sqrt(fit.variance), 0.0, 1.0)
    return fit.slope, cuts, trust


@lru_cache(maxsize=4)
def _confidence(grid: tuple[float, ...]) -> tuple[Floats, Floats]:
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf(1 - doubt) for doubt in grid])
    return quantiles, 1 - np.array(grid)


def _fitted(x: Floats, y: Floats) -> tuple[float, float]:
    """Intercept and slope of the most probable logistic curve, by Newton's method."""
    at = np.zeros(2)
    loss = _loss(at, x, y)
    for _ in range(ROUNDS):
        right = _logistic(at, x)
        gradient = np.array([(y - right).sum(), ((y - right) * x).sum() - PRIOR * at[1]])
        step = np.linalg.solve(_curvature(right, x), gradient)
        for _ in range(HALVINGS):
            new = _loss(at + step, x, y)
            if new <= loss * (1 + 1e-12):
                break
            step /= 2
        at, loss = at + step, new
        if np.abs(step).max() <= 1e-9 * np.abs(at).max():
            break
    return float(at[0]), float(at[1])


def _delta_method(x: Floats, level: float, slope: float) -> float:
    """Variance of -level / slope, to first order."""
    right = _logistic(np.array([level, slope]), x)
    slant = np.array([-1 / slope, level / slope**2])
    return max(0.0, float(slant @ np.linalg.solve(_curvature(right, x), slant)))


def _logistic(at: Floats, x: Floats) -> Floats:
    # Beyond 500 a probability is 0 or 1 for certain, and the exponential ends.
    values: Floats = 1 / (1 + np.exp(-np.clip(at[0] + at[1] * x, -500, 500)))
    return values


def _loss(at: Floats, x: Floats, y: Floats) -> float:
    logit = at[0] + at[1] * x
    return float((np.logaddexp(0, logit) - y * logit).sum()) + PRIOR / 2 * float(at[1]) ** 2


def _curvature(right: Floats, x: Floats) -> Floats:
    weight = right * (1 - right)
    cross = (weight * x).sum()
    return np.array([[weight.sum(), cross], [cross, (weight * x * x).sum() + PRIOR]])
