"""Vectors at hand: for whoever sent the text, under its normal form, and so many of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from index.errors import EmbedderError
from index.ports import Embedded
from index.texts import Texts, sound

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


class Model:
    """An embedder of two dimensions that says what it is told to."""

    id, dimension = "a model", 2

    def __init__(self, *said: float) -> None:
        self.said = said

    def embed(self, text: str) -> Embedded:
        return Embedded(np.array(self.said, np.float32))


@pytest.mark.parametrize("said", [(0.6, 0.8), (0.0, -1.0), (0.601, 0.8)])
def test_a_vector_of_length_1_is_sound(said: tuple[float, ...]) -> None:
    """Give or take what single precision and an encoder of bytes take."""
    assert sound(Model(*said))("sky").vector.tolist() == pytest.approx(said)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((math.nan, 0.8), "number"), ((math.inf, 0.0), "number"), ((1e18, 1e18), "length"),
        ((0.0, 0.0), "length"), ((6.0, 8.0), "length"), ((0.6, 0.7), "length"),
        ((1.0,), "shape"), ((0.6, 0.8, 0.0), "shape"), ((), "shape"),
    ],
)  # fmt: skip
def test_what_is_no_vector_of_the_model_is_a_fault(said: tuple[float, ...], why: str) -> None:
    """A model gone wrong is told each time, and nothing of it is kept."""
    texts = Texts(sound(Model(*said)))
    for _ in range(2):
        with pytest.raises(EmbedderError, match=f"a model: .*{why}"):
            texts.embedded("sky", "k")
    assert texts.known("sky", "k") is None
