"""The rows hold what was put, near enough to decide by, and equals score exactly one."""

from __future__ import annotations

import numpy as np
import pytest

from index.vectors import Vectors

DIMENSION = 384
STORAGES = ("float32", "float16", "int8")


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def beside(rows: np.ndarray, noise: float, seed: int = 1) -> np.ndarray:
    return unit(rows + np.random.default_rng(seed).normal(0, noise, rows.shape))


def held(rows: np.ndarray, storage: str = "int8", **options: int) -> Vectors:
    vectors = Vectors(DIMENSION, storage=storage, **options)
    vectors.put_many(np.arange(len(rows), dtype=np.int32), rows)
    return vectors


def at(rows: np.ndarray, cosine: float, seed: int = 1) -> np.ndarray:
    """For each row a unit vector at just that cosine."""
    other = np.random.default_rng(seed).normal(size=rows.shape)
    other -= (other * rows).sum(1, keepdims=True) * rows
    return unit(cosine * rows + np.sqrt(1 - cosine**2) * unit(other))


@pytest.mark.parametrize(
    ("storage", "cosine", "bound"),
    [
        *(("float32", cosine, 1e-6) for cosine in (0.1, 0.7, 0.85, 0.95, 0.99)),
        *(("float16", cosine, 1e-4) for cosine in (0.1, 0.7, 0.85, 0.95, 0.99)),
        # Rounding moves what is far apart more than what is near, where cuts lie.
        *(("int8", cosine, 8e-5) for cosine in (0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99)),
    ],
)
def test_scores_are_cosines(storage: str, cosine: float, bound: float) -> None:
    """999 of 1,000 similarities lie within the bound of the true cosine."""
    rows = drawn(4_000)
    vectors = held(rows, storage)
    numbers = np.arange(4_000, dtype=np.int32)
    queries = at(rows, cosine)
    scores = [
        vectors.scores(query, number)
        for query, number in zip(queries, numbers[:, None], strict=True)
    ]
    assert np.quantile(np.abs(np.concatenate(scores) - cosine), 0.999) <= bound


@pytest.mark.parametrize(
    ("storage", "bound"), [("float32", 1e-7), ("float16", 1e-4), ("int8", 8e-5)]
)
def test_rows_come_back(storage: str, bound: float) -> None:
    """What is read is what was put, to the precision of the storage, and of length one."""
    rows = drawn(50)
    seen = held(rows, storage).rows(np.arange(50, dtype=np.int32))
    assert seen.dtype == np.float32
    assert np.abs(seen - rows).max() <= bound
    assert np.linalg.norm(seen, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("storage", STORAGES)
def test_equal_vectors_score_one(storage: str) -> None:
    """A vector scores 1.0 with itself and below with every other, however near."""
    rows = drawn(200)
    numbers = np.arange(200, dtype=np.int32)
    vectors = held(rows, storage)
    near = beside(rows, 0.002)
    for number, (row, other) in enumerate(zip(rows, near, strict=True)):
        scores = vectors.scores(row, numbers)
        assert np.flatnonzero(scores == 1).tolist() == [number]
        assert 0.99 < vectors.scores(other, numbers)[number] < 1


def test_the_ends_of_the_scale() -> None:
    """A negative cosine is 0; a query that is no number is near nothing; no rows, no scores."""
    rows = drawn(3)
    vectors, numbers = held(rows), np.arange(3, dtype=np.int32)
    assert vectors.scores(-rows[0], numbers)[0] == 0
    assert not vectors.scores(np.full(DIMENSION, np.nan, np.float32), numbers).any()
    assert vectors.scores(rows[0], numbers[:0]).shape == (0,)


def test_many_rows_score_as_few_do() -> None:
    """Scores do not depend on how many rows are asked for together, nor on their order."""
    rows = drawn(1_500)
    vectors, query = held(rows), drawn(1, seed=5)[0]
    order = np.random.default_rng(2).permutation(1_500).astype(np.int32)
    single = [vectors.scores(query, order[n : n + 1])[0] for n in range(0, 1_500, 100)]
    assert vectors.scores(query, order)[::100].tolist() == single


def test_marks_tell_equals() -> None:
    """Equal vectors have equal marks, put one by one or together; others have not."""
    rows = drawn(100)
    vectors = held(np.concatenate([rows, rows]))
    vectors.put(200, rows[7])
    assert (vectors.marks[:100] == vectors.marks[100:200]).all()
    assert vectors.marks[200] == vectors.marks[7]
    assert len(set(vectors.marks[:100].tolist())) == 100


def test_room_is_made() -> None:
    """A number beyond the reserve makes room; nothing that was there changes."""
    rows = drawn(30)
    vectors = held(rows[:8], reserve=8)
    vectors.home[:8] = 5
    before, marks = vectors.rows(np.arange(8, dtype=np.int32)), vectors.marks[:8].copy()
    vectors.put(29, rows[29])
    assert (vectors.rows(np.arange(8, dtype=np.int32)) == before).all()
    assert (vectors.marks[:8] == marks).all()
    assert vectors.home.tolist() == [5] * 8 + [-1] * 24
    assert vectors.scores(rows[29], np.array([29], np.int32)).tolist() == [1.0]


def test_a_number_is_used_again() -> None:
    """The last vector put under a number counts."""
    rows = drawn(2)
    vectors = held(rows[:1])
    vectors.put(0, rows[1])
    assert vectors.scores(rows[1], np.array([0], np.int32)).tolist() == [1.0]
    assert vectors.scores(rows[0], np.array([0], np.int32))[0] < 0.5


@pytest.mark.parametrize(
    ("storage", "bound"), [("float32", 1e-6), ("float16", 1e-3), ("int8", 2e-3)]
)
def test_rough_is_near(storage: str, bound: float) -> None:
    """What is chosen by is the true cosine but for a byte's rounding, also below zero."""
    rows, query = drawn(2_000), drawn(1, seed=5)[0]
    numbers = np.arange(2_000, dtype=np.int32)
    assert np.abs(held(rows, storage).rough(query, numbers) - rows @ query).max() <= bound
    assert held(rows, storage).rough(query, numbers[:0]).shape == (0,)


@pytest.mark.parametrize("dimension", [1, 7, 8])
def test_odd_dimensions(dimension: int) -> None:
    """Any number of dimensions can be kept, an odd one too."""
    rows = unit(np.random.default_rng(0).normal(size=(20, dimension)))
    vectors = Vectors(dimension)
    numbers = np.arange(20, dtype=np.int32)
    vectors.put_many(numbers, rows)
    assert np.abs(vectors.rows(numbers) - rows).max() <= 1e-3
    assert vectors.scores(rows[3], numbers)[3] == 1


def test_int8_is_three_eighths() -> None:
    """int8 takes twelve bits for each number of single precision's 32, and a few bytes a row."""
    sizes = {s: Vectors(DIMENSION, storage=s, reserve=1_000).nbytes for s in STORAGES}
    assert sizes["float32"] - sizes["int8"] == 1_000 * DIMENSION * 5 // 2
    assert sizes["int8"] <= 1_000 * (DIMENSION * 3 // 2 + 16)
