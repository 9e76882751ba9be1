"""An encoder that is known starts informed; another one starts without."""

from __future__ import annotations

import math

import pytest

from policies import prior
from policies.features import NAMES


@pytest.mark.parametrize(
    "encoder",
    [
        "all-MiniLM-L6-v2/onnx-int8/1/384-53aa5117",
        "all-MiniLM-L6-v2/onnx-fp32/1/384-53aa5117",
        "all-MiniLM-L6-v2/torch-fp32/1/384-c9745ed1",
    ],
)
def test_the_shipped_encoder_has_a_prior(encoder: str) -> None:
    """One finite coefficient for each feature, whichever runtime and precision it runs in."""
    weights = prior.of(encoder).weights
    assert len(weights) == len(NAMES)
    assert all(map(math.isfinite, weights))


@pytest.mark.parametrize("name", ["similarity", "margin", "share", "record"])
def test_what_speaks_for_an_answer_lowers_its_risk(name: str) -> None:
    """Nearer, further from rivals, agreed on, right before: each counts in favour."""
    assert prior.of("all-MiniLM-L6-v2/onnx-int8/1/384-0").weights[NAMES.index(name)] > 0


@pytest.mark.parametrize(
    "encoder",
    ["", "/", "hashing/1/256", "all-MiniLM-L12-v2/torch-fp32/1/384", "all-minilm-l6-v2/x", "é"],
)
def test_an_unknown_encoder_has_none(encoder: str) -> None:
    """Another model's similarities mean something else."""
    assert prior.of(encoder).weights == ()
