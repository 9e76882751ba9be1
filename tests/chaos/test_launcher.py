"""The bent proxy suffers what it is told to, and only while it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import EmbedderError
from index.texts import sound
from tests.chaos.launcher import RAISES, SAYS, STALLS, TROUBLE, WORDS, Bent, told

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trouble` stands in the working folder."""
    monkeypatch.chdir(tmp_path)


def test_without_a_word_all_is_well() -> None:
    """Also after there was one."""
    TROUBLE.write_text(RAISES)
    TROUBLE.unlink()
    assert told() == ""
    vector = Bent(HashingEmbedder()).embed("sky").vector
    assert np.array_equal(vector, HashingEmbedder().embed("sky").vector)


def test_it_raises_when_told_to() -> None:
    """And what it raises is no fault that memory knows."""
    TROUBLE.write_text(RAISES)
    with pytest.raises(RuntimeError, match="on purpose"):
        Bent(HashingEmbedder()).embed("sky")


@pytest.mark.parametrize("word", SAYS)
def test_what_it_says_is_no_vector(word: str) -> None:
    """Each of them is another kind of nonsense that memory must notice."""
    TROUBLE.write_text(word)
    with pytest.raises(EmbedderError):
        sound(Bent(HashingEmbedder()))("sky")


def test_words_are_different() -> None:
    """Five ways to speak nonsense, two parts that raise or stall."""
    assert len(WORDS) == len(SAYS) + 4
    assert STALLS in WORDS
