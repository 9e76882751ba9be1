"""The learned rule's values: risk, and what stands before anything is learned."""

from __future__ import annotations

import math

import pytest

from policies.features import NAMES
from policies.verified import START_RISK, Learned, Standing


def test_risk_is_the_logistic_of_the_features() -> None:
    """Coefficients and the category's offset, and no risk without a model."""
    weights = (1.0, *[0.0] * (len(NAMES) - 1))
    learned = Learned(weights, {"code": 1.0})
    features = (2.0, *[0.0] * (len(NAMES) - 1))
    assert learned.risk(features, "default") == pytest.approx(1 / (1 + math.e**2))
    assert learned.risk(features, "code") == pytest.approx(1 / (1 + math.e**3))
    assert Learned().risk(features, "code") is None


def test_an_unknown_bound_starts_with_caution() -> None:
    """Before the first label `start` rules over all that is not plainly risky, audited as the
    policy says."""
    assert Learned().standing(0.05, 0.02) == Standing(0.05, start_cut=START_RISK, audit=0.02)
