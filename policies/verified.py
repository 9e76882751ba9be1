"""The threshold that learns: how likely a would-be hit is wrong, and how much of that is allowed.

One small logistic model over `features` says the risk; what risk may be served is certified from
labels (`lessons`). Here is the part that every request needs: values and arithmetic, no arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Below this cosine no neighbour is weighed at all, whatever is learned.
FLOOR = 0.6
# What looks riskier than this is not served on the word of `start` alone.
START_RISK = 0.05
# Without a prior `start` is moved this part of the way to 1.
STERNER = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """What labels allow under one bound.

    `cut` is the highest risk that may be served, None while nothing is certified: then `start`
    rules, up to a risk of `start_cut`. `audit` is the share of would-be hits that are asked
    upstream all the same. `upper` bounds the false hits per hit at the cut, over `labels` labels of
    which `wrong` were wrong.
    """

    bound: float
    cut: float | None = None
    start_cut: float = START_RISK
    audit: float = 0.0
    upper: float = 1.0
    labels: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Learned:
    """A model and what it may serve; replaced whole whenever labels were folded in.

    Without `weights` (another encoder, too few labels) no risk is known.
    """

    weights: tuple[float, ...] = ()
    offsets: Mapping[str, float] = field(default_factory=dict)
    standings: Mapping[float, Standing] = field(default_factory=dict)
    version: int = 0

    def risk(self, features: tuple[float, ...], category: str) -> float | None:
        """The chance in [0, 1] that the remembered answer is wrong here; None: not known."""
        if not self.weights:
            return None
        total = self.offsets.get(category, 0.0)
        for weight, feature in zip(self.weights, features, strict=True):
            total += weight * feature
        return 1 / (1 + math.exp(min(30.0, max(-30.0, total))))

    def standing(self, bound: float, audits: float) -> Standing:
        """What is allowed under `bound`; before any label `start` rules, with the policy's own
        share of audits."""
        return self.standings.get(bound) or Standing(bound, audit=audits)
