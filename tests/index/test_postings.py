"""Lists find what is near, hold equals once, and let go of what is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from index.postings import Postings
from index.vectors import Vectors

DIMENSION = 32
HERE = 4


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def listed(rows: np.ndarray, **options: int) -> Postings:
    numbers = np.arange(len(rows), dtype=np.int32)
    vectors = Vectors(DIMENSION, reserve=16, **options)
    vectors.put_many(numbers, rows)
    vectors.home[numbers] = HERE
    return Postings.made(vectors, HERE, numbers)


def inserted(postings: Postings, number: int, row: np.ndarray) -> None:
    """As a space does it."""
    one = np.array([number], np.int32)
    postings._vectors.put(number, row)
    postings._vectors.home[number] = HERE
    points = postings.points(one)
    with postings.lock:
        postings.insert(one, points, postings.assigned(points))


@pytest.mark.parametrize("options", [{}, {"pca": 16}])
def test_each_vector_finds_itself(options: dict[str, int]) -> None:
    """Every listed vector is among the candidates for itself, in fewer dimensions too."""
    rows = drawn(500)
    postings = listed(rows, **options)
    assert all(n in postings.search(row, 16, postings.probes) for n, row in enumerate(rows))


def test_fewer_dimensions_are_those_that_tell_most() -> None:
    """Vectors that lie nearly in eight dimensions of 32, turned anyhow, lose nobody in eight."""
    dice = np.random.default_rng(1)
    turned, _ = np.linalg.qr(dice.normal(size=(DIMENSION, DIMENSION)))
    flat = dice.normal(size=(2_000, DIMENSION)) * np.where(np.arange(DIMENSION) < 8, 1, 0.02)
    rows = unit(flat @ turned)
    postings = listed(rows, pca=8)
    assert postings.points(np.arange(3, dtype=np.int32)).shape == (3, 8)
    near = unit(rows + 0.01 * dice.normal(size=rows.shape))
    best = (near @ rows.T).argmax(axis=1)
    found = [n in postings.search(q, 16, postings.lists) for q, n in zip(near, best, strict=True)]
    assert np.mean(found) > 0.99


@pytest.mark.parametrize("pca", [None, DIMENSION, DIMENSION + 1])
def test_as_many_dimensions_as_there_are_change_nothing(pca: int | None) -> None:
    """Nothing is reduced to what it has, or to more."""
    postings = listed(drawn(100), **({} if pca is None else {"pca": pca}))
    assert postings.points(np.zeros(1, np.int32)).shape == (1, DIMENSION)


def test_equals_are_listed_once() -> None:
    """Of equal vectors one is listed; the others are its twins, also when they come later."""
    postings = listed(np.concatenate([drawn(100), np.repeat(drawn(1), 5, axis=0)]))
    inserted(postings, 105, drawn(1)[0])
    assert len(postings) == 100
    assert list(postings.twins) == [0]
    assert set(postings.twins[0]) == set(range(100, 106))


def test_the_first_may_go_before_its_twins() -> None:
    """A dropped vector still points to its living twins, and goes with the last of them."""
    rows = drawn(100)
    postings = listed(np.concatenate([rows, rows[:1], rows[:1]]))
    for gone in (0, 100):
        postings._vectors.home[gone] = -1
        postings.drop(gone)
        assert 0 in postings.search(rows[0], 8, postings.lists)
    assert (set(postings.twins[0]), postings.dead) == ({101}, 0)
    postings.drop(101)
    assert 0 not in postings.search(rows[0], 8, postings.lists)
    assert (postings.twins, postings.dead) == ({}, 1)


def test_dropped_vectors_take_no_place() -> None:
    """With half of the vectors dropped, all candidates are living ones."""
    rows = drawn(200)
    postings = listed(rows)
    for gone in range(0, 200, 2):
        postings.drop(gone)
    found = postings.search(rows[0], 100, postings.lists)
    assert sorted(found.tolist()) == list(range(1, 200, 2))
    assert postings.dead == 100


def test_disowned_twins_are_named() -> None:
    """Who drops the first of some equals is told whom nobody points to any more."""
    rows = drawn(50)
    postings = listed(np.concatenate([rows, rows[:1], rows[:1], rows[1:2]]))
    assert sorted(postings.disown([0, 51]).tolist()) == [50]
    assert set(postings.twins) == {1}
    assert 0 not in postings.search(rows[0], 60, postings.lists)


def test_numbers_beyond_the_start() -> None:
    """A number far beyond those that the lists were made for can be listed, and dropped."""
    rows = drawn(50)
    postings = listed(rows[:49])
    inserted(postings, 5_000, rows[49])
    assert 5_000 in postings.search(rows[49], 4, postings.lists)
    postings.drop(5_000)
    postings.drop(100_000)
    assert 5_000 not in postings.search(rows[49], 4, postings.lists)
