"""Vectors at hand: for whoever sent the text, under its normal form, and so many of them."""

from __future__ import annotations

import numpy as np
import pytest

from index.errors import EmbedderError
from index.ports import Embedded
from index.texts import Texts

VECTOR = np.ones(2, np.float32)


class Encoder:
    """Counts what it is asked."""

    def __init__(self, value: float = 1.0) -> None:
        self.asked: list[str] = []
        self.value = value

    def __call__(self, prepared: str) -> Embedded:
        self.asked.append(prepared)
        return Embedded(np.full(2, self.value, np.float32))


def test_one_callers_text_is_embedded_once() -> None:
    """Again in other case and spacing it is the same text."""
    encoder = Encoder()
    texts = Texts(encoder)
    first = texts.embedded("Why is the sky blue?", "k")
    assert texts.embedded("why  is the SKY blue", "k") is first
    assert texts.known("why is the sky blue", "k") is first
    assert encoder.asked == ["why is the sky blue"]


def test_nothing_is_at_hand_for_another_caller() -> None:
    """What one key sent costs every other key as much as if nobody had ever sent it."""
    encoder = Encoder()
    texts = Texts(encoder)
    texts.embedded("sky", "k")
    assert texts.known("sky", "other") is None
    texts.embedded("sky", "other")
    texts.embedded("sky", "")
    assert encoder.asked == ["sky"] * 3


def test_the_longest_unused_goes_first() -> None:
    """So many texts are at hand and no more."""
    texts = Texts(Encoder(), most=2)
    for said in ("one", "two", "three"):
        texts.embedded(said, "k")
    assert [texts.known(said, "k") is not None for said in ("one", "two", "three")] == [
        False, True, True,
    ]  # fmt: skip


def test_a_vector_made_elsewhere_is_at_hand() -> None:
    """Nothing is embedded for it."""
    encoder = Encoder()
    texts = Texts(encoder)
    texts.learn("Sky", "k", Embedded(VECTOR))
    assert texts.embedded("sky", "k").vector is VECTOR
    assert encoder.asked == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_a_fault(value: float) -> None:
    """A model gone wrong is told each time, and nothing of it is kept."""
    encoder = Encoder(value)
    texts = Texts(encoder)
    for _ in range(2):
        with pytest.raises(EmbedderError, match="not a number"):
            texts.embedded("sky", "k")
    assert texts.known("sky", "k") is None
