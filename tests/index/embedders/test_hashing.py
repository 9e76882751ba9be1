from __future__ import annotations

import numpy as np
import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import SetupError


def cosine(a: str, b: str) -> float:
    embedder = HashingEmbedder()
    return float(embedder.embed(a).vector @ embedder.embed(b).vector)


@pytest.mark.parametrize(
    "text", ["why is the sky blue", "", "   ", "?!", "สวัสดี", "\ud800", "a" * 5000]
)
def test_every_text_has_a_unit_vector(text: str) -> None:
    """Whatever the text, the vector is float32, of the stated size, of length one."""
    vector = HashingEmbedder(64).embed(text).vector
    assert vector.dtype == np.float32
    assert vector.shape == (64,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


def test_the_same_text_is_the_same_vector_everywhere() -> None:
    """Two embedders agree bit for bit, and the hash is the one that zlib documents."""
    first, second = HashingEmbedder().embed("red pear"), HashingEmbedder().embed("red pear")
    assert np.array_equal(first.vector, second.vector)
    # crc32("a") = 0xE8B7BE43: top bit set, 0x68B7BE43 % 4 = 3; "3<a>" is the one trigram.
    assert HashingEmbedder(4).embed("a").vector[3] > 0.5


def test_shared_words_are_near_and_other_words_are_far() -> None:
    """Spelling decides: one word more is near, another subject is not."""
    assert cosine("how do tides work", "how do the tides work") > 0.75
    assert cosine("how do tides work", "reset my password") < 0.35
    assert cosine("Red Pear", "red pear") == pytest.approx(1.0, abs=1e-6)


def test_dimensions_are_different_spaces() -> None:
    """The id carries the dimension, so two sizes are never compared."""
    assert HashingEmbedder(64).id != HashingEmbedder(256).id
    assert HashingEmbedder().dimension == 256


def test_a_dimension_of_nothing_is_refused() -> None:
    """Zero dimensions is said at once."""
    with pytest.raises(SetupError, match="256"):
        HashingEmbedder(0)
