"""A space finds what a brute-force scan finds, through growth, removal and concurrent use."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from index import space as module
from index.postings import Postings
from index.space import Space
from index.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DIMENSION = 32
HERE = 3
LARGE = {"flat_most": 40}


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, DIMENSION)))


def clustered(count: int, seed: int = 0, points: int = 1) -> np.ndarray:
    """Points around a few hundred centres, as prompts are: many near ties."""
    centres = np.random.default_rng(seed).normal(size=(300, DIMENSION))
    dice = np.random.default_rng((seed, points))
    return unit(centres[dice.integers(0, 300, count)] + dice.normal(0, 0.3, (count, DIMENSION)))


class Filled:
    """A space and the rows that were put into it, by number."""

    def __init__(self, rows: np.ndarray, storage: str = "int8", **options: Any) -> None:
        self.vectors = Vectors(DIMENSION, storage=storage, reserve=64)
        self.space = Space(self.vectors, HERE, **options)
        self.rows: dict[int, np.ndarray] = {}
        self.put(range(len(rows)), rows)

    def put(self, numbers: Iterable[int], rows: np.ndarray) -> None:
        numbers = list(numbers)
        self.vectors.put_many(np.array(numbers, np.int32), rows)
        self.space.extend(numbers)
        self.rows.update(zip(numbers, rows, strict=True))

    def put_one(self, number: int, row: np.ndarray) -> None:
        self.vectors.put(number, row)
        self.space.add(number)
        self.rows[number] = row

    def remove(self, numbers: Iterable[int]) -> None:
        gone = list(numbers)
        self.space.remove(gone)
        for number in gone:
            self.rows.pop(number, None)

    def names(self, query: np.ndarray, k: int) -> list[int]:
        return [number for number, _ in self.space.search(query, k)]

    def recall(self, queries: np.ndarray, k: int = 5) -> float:
        """The share of queries whose first is the nearest of the stored; all scores are checked.

        The nearest by the true vectors, or one that is as near but for what the storage rounds.
        """
        numbers = list(self.rows)
        true = np.clip(np.stack([self.rows[n] for n in numbers]) @ queries.T, 0, 1)
        right = 0
        for column, query in enumerate(queries):
            seen = self.space.search(query, k)
            scores = [score for _, score in seen]
            assert len(seen) == len(dict(seen)) == min(k, len(numbers))
            assert scores == sorted(scores, reverse=True)
            for number, score in seen:
                assert score == pytest.approx(max(0, float(self.rows[number] @ query)), abs=5e-3)
            best = float(self.rows[seen[0][0]] @ query)
            right += best >= true[:, column].max() - 5e-3
        return right / len(queries)


def grown(rows: np.ndarray, **options: Any) -> Filled:
    filled = Filled(rows, **(LARGE | options))
    filled.space.grow()
    assert filled.space._now.postings is not None
    return filled


def made(*, large: bool, rows: np.ndarray, **options: Any) -> Filled:
    return grown(rows, **options) if large else Filled(rows, **options)


both = pytest.mark.parametrize("large", [False, True], ids=["small", "large"])


def test_small_is_exact() -> None:
    """A small space returns exactly the scan's neighbours, in order."""
    rows = drawn(500)
    filled = Filled(rows, storage="float32")
    for query in drawn(50, seed=1):
        assert filled.names(query, 10) == np.argsort(-(rows @ query))[:10].tolist()


def test_an_empty_space_finds_nothing() -> None:
    """Searching, removing and growing an empty space do nothing."""
    filled = Filled(drawn(0))
    for _ in range(2):
        filled.remove([5, 1_000_000])
        assert (len(filled.space), filled.space.crowded) == (0, False)
        assert filled.space.search(drawn(1)[0], 5) == []
        filled.space.grow()


@both
@pytest.mark.parametrize("k", [100, 150, 1_000])
def test_k_as_large_as_the_space(*, large: bool, k: int) -> None:
    """Asked for as many as there are or more, a space returns all it has."""
    rows = drawn(100)
    assert sorted(made(large=large, rows=rows).names(rows[0], k)) == list(range(100))


@both
@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_equal_vectors_score_one(*, large: bool, storage: str) -> None:
    """An equal vector's similarity is 1.0 itself, not almost: a cut of 1.0 can be met."""
    rows = drawn(300)
    space = made(large=large, rows=rows, storage=storage).space
    assert all(space.search(row, 1) == [(n, 1.0)] for n, row in enumerate(rows))


def test_opposite_vectors_score_zero() -> None:
    """A negative cosine is 0, the scale's lower end."""
    rows = drawn(1)
    assert Filled(rows).space.search(-rows[0], 1) == [(0, 0.0)]


@both
def test_duplicates_are_all_found(*, large: bool) -> None:
    """Entries with one and the same vector are each found, and each removed by itself."""
    rows = np.concatenate([np.repeat(drawn(1), 20, axis=0), drawn(80, seed=6)])
    filled = made(large=large, rows=rows)
    assert set(filled.names(rows[0], 20)) == set(range(20))
    filled.remove([0, 3, 5])
    assert set(filled.names(rows[0], 17)) == set(range(20)) - {0, 3, 5}
    filled.put_one(3, rows[0])
    assert set(filled.names(rows[0], 18)) == set(range(20)) - {0, 5}


def test_duplicates_do_not_hide_others() -> None:
    """With half of a space one and the same vector, a neighbour just beyond it is found."""
    others = drawn(500, seed=6)
    filled = grown(np.concatenate([np.repeat(others[:1], 500, axis=0), others[1:]]))
    beside = unit(others[:1] + 0.05 * others[7])
    filled.put([1_500], beside)
    filled.space.grow()
    assert filled.names(beside[0], 1) == [1_500]
    assert filled.recall(unit(others[1:] + 0.02 * drawn(499, seed=8))) >= 0.99
    assert len(filled.space._now.postings or ()) <= 501


@both
def test_a_query_without_numbers_finds_no_hit(*, large: bool) -> None:
    """A vector of NaN is near nothing."""
    filled = made(large=large, rows=drawn(60))
    query = np.full(DIMENSION, np.nan, np.float32)
    assert all(score == 0 for _, score in filled.space.search(query, 5))


@pytest.mark.parametrize("when", ["small", "grown", "both"])
def test_a_replaced_vector_counts(when: str) -> None:
    """Adding a number again replaces its vector, wherever the old one lies."""
    rows, new = drawn(50), drawn(1, seed=9)[0]
    filled = Filled(rows, **LARGE)
    if when != "small":
        filled.space.grow()
    filled.put_one(7, new)
    if when == "both":
        filled.space.grow()
    assert len(filled.space) == 50
    assert filled.space.search(new, 1) == [(7, 1.0)]
    assert all(n != 7 or score < 0.99 for n, score in filled.space.search(rows[7], 50))
    assert filled.names(new, 50).count(7) == 1


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_recall_after_growing(storage: str) -> None:
    """At 8,000 clustered vectors the nearest is found at least 99 times in 100."""
    filled = Filled(clustered(8_000), storage=storage)
    assert filled.space.crowded
    filled.space.grow()
    assert not filled.space.crowded
    assert filled.recall(clustered(200, points=2)) >= 0.99
    assert filled.recall(unit(clustered(200) + 0.02 * drawn(200, seed=3))) >= 0.99


def test_lists_and_fresh_are_searched_together() -> None:
    """Entries added after growing are found beside those in the lists, before and after merging."""
    rows = clustered(3_000)
    filled = grown(rows[:2_000], flat_most=500)
    for number in range(2_000, 3_000):
        filled.put_one(number, rows[number])
    for crowded in (True, False):
        assert filled.space.crowded is crowded
        assert filled.recall(clustered(100, points=4)) >= 0.99
        filled.space.grow()


def test_removals_hold_through_growth() -> None:
    """Removed entries are gone at once, and do not come back when the lists are built again."""
    rows = clustered(3_000)
    filled = grown(rows[:2_500], flat_most=1_000)
    filled.put(range(2_500, 3_000), rows[2_500:])
    filled.remove([*range(0, 3_000, 3), 5_000])
    for _ in range(2):
        assert len(filled.space) == 2_000
        assert filled.recall(clustered(100, points=5)) >= 0.99
        filled.space.grow()


def test_half_of_it_dead() -> None:
    """With every other entry removed and nothing rebuilt, the living are found as before."""
    filled = grown(clustered(6_000), flat_most=1_000)
    filled.remove(range(0, 6_000, 2))
    assert filled.space.crowded
    assert filled.recall(clustered(300, points=2)) >= 0.99


def test_a_cluster_of_the_dead() -> None:
    """A search in the midst of the removed goes on until it meets enough of the living."""
    rows = np.concatenate([unit(drawn(1) + 0.1 * drawn(900, seed=2)), -drawn(1) + 0.1 * drawn(100)])
    filled = grown(unit(rows))
    filled.remove(range(900))
    assert len(filled.names(rows[0], 10)) == 10


def test_many_removals_make_it_crowded() -> None:
    """Lists with nearly a third of dead rows ask to be built again."""
    filled = Filled(drawn(1_000), flat_most=500)
    filled.space.grow()
    filled.remove(range(290))
    assert not filled.space.crowded
    filled.remove(range(290, 310))
    assert filled.space.crowded
    filled.space.grow()
    assert (len(filled.space), filled.space.crowded) == (690, False)


def test_it_shrinks_to_a_scan() -> None:
    """Lists of what is small again are given up."""
    rows = drawn(200)
    filled = grown(rows)
    filled.remove(range(30, 200))
    filled.space.grow()
    assert filled.space._now.postings is None
    assert sorted(filled.names(rows[0], 50)) == list(range(30))


def test_it_outgrows_its_lists() -> None:
    """Lists are built again once the space is more than four times what they were made for."""
    rows = clustered(2_500)
    filled = grown(rows[:500])
    before = filled.space._now.postings
    filled.put(range(500, 2_000), rows[500:2_000])
    filled.space.grow()
    assert filled.space._now.postings is before
    filled.put(range(2_000, 2_500), rows[2_000:])
    filled.space.grow()
    assert filled.space._now.postings is not before
    assert (len(filled.space), len(filled.space._now.fresh)) == (2_500, 0)
    assert filled.recall(clustered(100, points=2)) >= 0.99


def test_churn_uses_numbers_again() -> None:
    """After five turns of everything, under the same numbers, the nearest are found."""
    rows = clustered(6_000)
    filled = grown(rows[:1_000], flat_most=200)
    dice = np.random.default_rng(1)
    for start in range(1_000, 6_000, 100):
        numbers = dice.choice(1_000, 100, replace=False).tolist()
        filled.remove(numbers)
        filled.put(numbers, rows[start : start + 100])
        if filled.space.crowded:
            filled.space.grow()
    assert len(filled.space) == 1_000
    assert filled.recall(clustered(200, points=2)) >= 0.99
    assert filled.recall(np.stack(list(filled.rows.values()))) == 1


def test_spaces_share_numbers_and_nothing_else() -> None:
    """A number that left one space for another is found in the other only."""
    rows = drawn(300)
    filled = grown(rows)
    other = Space(filled.vectors, HERE + 1)
    filled.remove(range(0, 300, 2))
    other.extend(range(0, 300, 2))
    assert sorted(filled.names(rows[0], 300)) == list(range(1, 300, 2))
    assert sorted(n for n, _ in other.search(rows[0], 300)) == list(range(0, 300, 2))
    for query in rows[:50]:
        assert all(number % 2 for number in filled.names(query, 5))


def test_many_small_spaces_cost_little() -> None:
    """1,000 spaces of 100 numbers take at most 2 KB each beside the rows."""
    vectors = Vectors(DIMENSION, reserve=100_000)
    gc.collect()
    tracemalloc.start()
    spaces = [Space(vectors, ordinal) for ordinal in range(1_000)]
    for ordinal, space in enumerate(spaces):
        for number in range(100):
            space.add(100 * ordinal + number)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / 1_000 <= 2_048


@contextmanager
def growing(space: Space, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holds the space's growth after it has looked at its entries, as a long build does."""
    looked, go = threading.Event(), threading.Event()

    def wait() -> None:
        looked.set()
        assert go.wait(10)

    class Slow(Postings):
        def __init__(self, *args: Any, **options: Any) -> None:
            wait()
            super().__init__(*args, **options)

    def slowly(postings: Postings, numbers: np.ndarray) -> np.ndarray:
        wait()
        return points(postings, numbers)

    points = Postings.points
    monkeypatch.setattr(module, "Postings", Slow)
    if space._now.postings is not None:
        monkeypatch.setattr(Postings, "points", slowly)
    thread = threading.Thread(target=space.grow)
    thread.start()
    assert looked.wait(10)
    with monkeypatch.context() as patch:
        patch.setattr(Postings, "points", points)
        yield
    go.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("how", ["first", "merge", "again"])
def test_changes_during_growth_are_kept(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added, removed and replaced while the lists are made holds after the swap."""
    rows, new = drawn(120), drawn(3, seed=8)
    rows[60:70] = rows[50]
    filled = Filled(rows[:100], flat_most=40)
    if how != "first":
        filled.space.grow()
    if how == "merge":
        filled.put(range(100, 110), rows[100:110])
    if how == "again":
        filled.remove(range(8, 48))
        filled.put(range(100, 110), rows[100:110])
    with growing(filled.space, monkeypatch):
        for number in range(110, 120):
            filled.put_one(number, rows[number])
        filled.remove([3, 99, 105, 115, 50])
        for number, vector in zip((5, 98, 106), new, strict=True):
            filled.put_one(number, vector)
        inside = set(filled.names(rows[0], 200))
    expected = set(filled.rows)
    for _ in range(2):
        assert inside == set(filled.names(rows[0], 200)) == expected
        assert len(filled.space) == len(expected)
        for number, vector in filled.rows.items():
            seen = dict(filled.space.search(vector, 12))
            assert seen[number] == 1.0
        filled.space.grow()


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_twins_outlive_a_first_that_leaves_during_growth(
    *, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the one listed of some equals leaves while lists are built, the others are found."""
    rows = drawn(200)
    rows[100:110] = rows[0]
    filled = Filled(rows, flat_most=40)
    with growing(filled.space, monkeypatch):
        filled.remove([0])
        if again:
            filled.put_one(0, drawn(1, seed=8)[0])
    assert set(filled.names(rows[0], 10)) == set(range(100, 110))
    filled.space.grow()
    assert set(filled.names(rows[0], 10)) == set(range(100, 110))


def test_threads_together() -> None:
    """Searches, inserts, removals and growth at once neither fail nor return what is removed."""
    rows = drawn(4_000)
    filled = Filled(rows[:1_000], flat_most=300)
    space, removed = filled.space, set[int]()
    until = time.monotonic() + 2

    def search(seed: int) -> int:
        done = 0
        for query in drawn(3_000, seed):
            known = set(removed)
            seen = [number for number, _ in space.search(query, 10)]
            assert not known & set(seen)
            assert len(seen) == len(set(seen)) == 10
            done += 1
            if time.monotonic() > until:
                break
        return done

    def change() -> int:
        for number in range(1_000, 4_000):
            filled.vectors.put(number, rows[number])
            space.add(number)
            space.remove([number - 1_000])
            removed.add(number - 1_000)
            if time.monotonic() > until:
                break
        return len(removed)

    def grow() -> int:
        done = 0
        while time.monotonic() < until:
            space.grow()
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(search, 11), pool.submit(search, 12), pool.submit(change)]
        jobs.append(pool.submit(grow))
        assert all(job.result(60) > 0 for job in jobs)
    assert len(space) == 1_000
    assert set(filled.names(rows[0], 2_000)) == set(range(len(removed), len(removed) + 1_000))
