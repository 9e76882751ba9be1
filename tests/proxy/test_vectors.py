"""Vectors that were made before are not made again, and a broken file of them is done without."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders.hashing import HashingEmbedder
from index.ports import Embedded
from proxy.vectors import Vectors

if TYPE_CHECKING:
    from pathlib import Path


class Counting(HashingEmbedder):
    """Counts what it is asked; calls one text unreadable."""

    def __init__(self, dimension: int = 256) -> None:
        super().__init__(dimension)
        self.asked: list[str] = []

    def embed(self, text: str) -> Embedded:
        self.asked.append(text)
        made = super().embed(text)
        return Embedded(made.vector, truncated=text == "long", unknown=text == "foreign")


def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    """In one run, and in the next one too; what the encoder could not read is kept with it."""
    first = Counting()
    vectors = Vectors(first, tmp_path / "made")
    texts = ["long", "foreign", "plain", "plain"]
    made = [vectors.embed(text) for text in texts]
    vectors.save()
    assert first.asked == ["long", "foreign", "plain"]
    second = Counting()
    again = [Vectors(second, tmp_path / "made").embed(text) for text in texts]
    assert second.asked == []
    for one, other in zip(made, again, strict=True):
        assert np.array_equal(one.vector, other.vector)
        assert (one.truncated, one.unknown) == (other.truncated, other.unknown)
    assert [(m.truncated, m.unknown) for m in again] == [
        (True, False), (False, True), (False, False), (False, False)
    ]  # fmt: skip


def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    """Vectors tell what was asked; the texts themselves are not in it."""
    vectors = Vectors(Counting(), tmp_path / "made")
    vectors.embed("the quick brown fox")
    vectors.save()
    (file,) = (tmp_path / "made").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"quick" not in file.read_bytes()


def test_another_encoder_has_its_own_vectors(tmp_path: Path) -> None:
    """A vector of 256 numbers is never compared with one of 64."""
    for dimension in (256, 64):
        vectors = Vectors(Counting(dimension), tmp_path)
        assert vectors.embed("plain").vector.shape == (dimension,)
        vectors.save()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_broken_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """Nothing is lost but time."""
    vectors = Vectors(Counting(), tmp_path)
    vectors.embed("plain")
    vectors.save()
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    counting = Counting()
    again = Vectors(counting, tmp_path)
    again.embed("plain")
    again.save()
    assert counting.asked == ["plain"]
    assert Vectors(Counting(), tmp_path).embed("plain").vector.shape == (256,)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    vectors = Vectors(Counting(), tmp_path / "file" / "folder")
    vectors.embed("plain")
    vectors.save()
    assert vectors.embed("plain").vector.shape == (256,)
