"""How often something goes wrong, from samples that are looked at all the time.

A confidence sequence: its bounds hold at every moment at once, so the rule may look after each
label and stop when it likes (time-uniform; Ville's inequality over an exponential supermartingale,
Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform Chernoff bounds", 2020). Numbers in, numbers
out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rates of the mixed martingales, relative to the largest that the heaviest sample allows. Few of
# them: each costs a little of what the samples say.
RATES = np.array([0.3, 0.6, 0.9])
STEPS = 50
RATE = 0.4


class Share(NamedTuple):
    """A share of weighted samples: the estimate, and bounds that hold at every look at once."""

    estimate: float
    low: float
    high: float
    samples: int


def share(
    wrong: NDArray[np.bool_], weights: NDArray[np.float64] | None = None, *, doubt: float
) -> Share:
    """The share of `wrong` among samples, each bound missed with a probability of `doubt` at most.

    `weights` are one over the probability with which a sample was taken, decided before its
    outcome was known; without them every sample counts alike. Without samples: anything is
    possible.
    """
    count = len(wrong)
    if not count:
        return Share(0.0, 0.0, 1.0, 0)
    heavy = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    total = float(heavy.sum())
    bad = heavy[wrong]
    scale = RATES / heavy.max()
    above = _root(-np.log1p(-np.outer(scale, bad)).sum(axis=1), scale, doubt)
    below = _least(np.log1p(np.outer(scale, bad)).sum(axis=1), scale, doubt)
    return Share(float(bad.sum()) / total, max(0.0, below / total), min(1.0, above / total), count)


def ceilings(
    wrong: NDArray[np.float64], samples: NDArray[np.float64], *, doubt: float
) -> NDArray[np.float64]:
    """The upper bound for many counts at once: of so many samples, so many wrong.

    One rate instead of the mixture: a closed form, and the tighter one for a handful of wrong.
    """
    return (-math.log1p(-RATE) * wrong - math.log(doubt)) / (RATE * samples)


def floors(
    wrong: NDArray[np.float64], samples: NDArray[np.float64], *, doubt: float
) -> NDArray[np.float64]:
    """The lower bounds that belong to `ceilings`."""
    low = (math.log1p(RATE) * wrong + math.log(doubt)) / (RATE * samples)
    return np.maximum(low, 0.0)


def _root(seen: NDArray[np.float64], scale: NDArray[np.float64], doubt: float) -> float:
    """The sum of chances at which the mixture of exp(scale*sum - seen) reaches 1/doubt."""
    limit = math.log(len(scale) / doubt)
    low, high = 0.0, float(((seen + limit) / scale).max())
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _log_sum(scale * middle - seen) > limit:
            high = middle
        else:
            low = middle
    return high


def _least(seen: NDArray[np.float64], scale: NDArray[np.float64], doubt: float) -> float:
    """The same from below: the mixture of exp(seen - scale*sum)."""
    limit = math.log(len(scale) / doubt)
    if _log_sum(seen) <= limit:
        return 0.0
    low, high = 0.0, float((seen / scale).max())
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _log_sum(seen - scale * middle) > limit:
            low = middle
        else:
            high = middle
    return low


def _log_sum(values: NDArray[np.float64]) -> float:
    most = float(values.max())
    return most + math.log(float(np.exp(values - most).sum()))
