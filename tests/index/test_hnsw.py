"""A space finds what a brute-force scan finds, through growth, removal and concurrent use."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index import hnsw
from index.hnsw import Space

if TYPE_CHECKING:
    from collections.abc import Iterator

DIMENSION = 32


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def vectors(number: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(number, DIMENSION)))


def clustered(number: int, seed: int = 0) -> np.ndarray:
    """Points around a few hundred centres, as prompts are: many near ties."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(300, DIMENSION))
    return unit(centres[dice.integers(0, 300, number)] + dice.normal(0, 0.3, (number, DIMENSION)))


def filled(rows: np.ndarray, **options: int) -> Space:
    space = Space(DIMENSION, **options)
    space.extend([str(n) for n in range(len(rows))], rows)
    return space


def brute(rows: np.ndarray, alive: list[int], query: np.ndarray, k: int) -> list[tuple[str, float]]:
    scores = np.clip(rows[alive] @ query, 0, 1)
    best = np.argsort(-scores, kind="stable")[:k]
    return [(str(alive[n]), float(scores[n])) for n in best]


def agree(space: Space, rows: np.ndarray, alive: list[int], queries: np.ndarray) -> float:
    """The share of queries whose nearest is the true one; scores are checked throughout."""
    right = 0
    for query in queries:
        seen, true = space.search(query, 5), brute(rows, alive, query, 5)
        assert len(seen) == len(true)
        assert [s for _, s in seen] == sorted((s for _, s in seen), reverse=True)
        for name, score in seen:
            assert score == pytest.approx(max(0.0, float(rows[int(name)] @ query)), abs=1e-5)
        right += seen[0][0] == true[0][0]
    return right / len(queries)


def test_flat_is_exact() -> None:
    """A small space returns exactly the scan's neighbours, in order."""
    rows = vectors(500)
    space = filled(rows)
    for query in vectors(50, seed=1):
        names = [name for name, _ in space.search(query, 10)]
        assert names == [name for name, _ in brute(rows, list(range(500)), query, 10)]


def test_an_empty_space_finds_nothing() -> None:
    """Searching, removing and growing an empty space do nothing."""
    space = Space(DIMENSION)
    space.remove(["absent"])
    assert (len(space), space.crowded, space.search(vectors(1)[0], 5)) == (0, False, [])
    space.grow()
    assert (len(space), space.search(vectors(1)[0], 5)) == (0, [])


@pytest.mark.parametrize("grown", [False, True])
def test_k_larger_than_the_space(*, grown: bool) -> None:
    """Asked for more than there is, a space returns all it has."""
    rows = vectors(7)
    space = filled(rows)
    if grown:
        space.grow()
    assert {name for name, _ in space.search(rows[0], 100)} == set("0123456")


@pytest.mark.parametrize("grown", [False, True])
def test_equal_vectors_score_one(*, grown: bool) -> None:
    """An equal vector's similarity is 1.0 itself, not almost: a cut of 1.0 can be met."""
    rows = vectors(300)
    space = filled(rows)
    if grown:
        space.grow()
    assert all(space.search(row, 1) == [(str(n), 1.0)] for n, row in enumerate(rows))


def test_opposite_vectors_score_zero() -> None:
    """A negative cosine is 0, the scale's lower end."""
    rows = vectors(1)
    assert filled(rows).search(-rows[0], 1) == [("0", 0.0)]


@pytest.mark.parametrize("grown", [False, True])
def test_duplicates_are_all_found(*, grown: bool) -> None:
    """Entries with one and the same vector are each found, and each removed by itself."""
    space = filled(np.repeat(vectors(1), 20, axis=0))
    if grown:
        space.grow()
    query = vectors(1)[0]
    assert {name for name, _ in space.search(query, 20)} == {str(n) for n in range(20)}
    space.remove(["3", "5"])
    assert {name for name, _ in space.search(query, 20)} == {str(n) for n in range(20)} - {"3", "5"}


@pytest.mark.parametrize("grown", [False, True])
def test_a_query_without_numbers_finds_no_hit(*, grown: bool) -> None:
    """A vector of NaN is near nothing."""
    space = filled(vectors(20))
    if grown:
        space.grow()
    assert all(score == 0 for _, score in space.search(np.full(DIMENSION, np.nan, np.float32), 5))


@pytest.mark.parametrize("when", ["flat", "grown", "both"])
def test_a_replaced_vector_counts(when: str) -> None:
    """Adding an entry again replaces its vector, wherever the old one lies."""
    rows, new = vectors(50), vectors(1, seed=9)[0]
    space = filled(rows)
    if when != "flat":
        space.grow()
    space.add("7", new)
    if when == "both":
        space.grow()
    assert len(space) == 50
    assert space.search(new, 1) == [("7", 1.0)]
    assert all(name != "7" or score < 0.99 for name, score in space.search(rows[7], 50))
    assert [name for name, _ in space.search(new, 50)].count("7") == 1


def test_recall_after_growing() -> None:
    """At 8,000 clustered vectors the graph finds the true nearest at least 99 times in 100."""
    rows = clustered(8_000)
    space = filled(rows)
    assert space.crowded
    space.grow()
    assert not space.crowded
    alive = list(range(8_000))
    assert agree(space, rows, alive, clustered(300, seed=0)[:100]) >= 0.99
    assert agree(space, rows, alive, vectors(200, seed=3)) >= 0.99


def test_graph_and_fresh_are_searched_together() -> None:
    """Entries added after growing are found beside those in the graph."""
    rows = clustered(3_000)
    space = filled(rows[:2_000], flat_most=500)
    space.grow()
    for n in range(2_000, 3_000):
        space.add(str(n), rows[n])
    assert space.crowded
    assert agree(space, rows, list(range(3_000)), vectors(100, seed=4)) >= 0.99


def test_removals_hold_through_growth() -> None:
    """Removed entries are gone at once, and do not come back when the graph is built again."""
    rows = clustered(3_000)
    space = filled(rows[:2_500], flat_most=1_000)
    space.grow()
    for n in range(2_500, 3_000):
        space.add(str(n), rows[n])
    gone = set(range(0, 3_000, 3))
    space.remove([str(n) for n in gone] + ["absent"])
    alive = [n for n in range(3_000) if n not in gone]
    queries = vectors(100, seed=5)
    for step in range(2):
        assert len(space) == 2_000
        assert agree(space, rows, alive, queries) >= 0.99
        if not step:
            space.grow()


def test_many_removals_make_it_crowded() -> None:
    """A graph with nearly a third of dead rows asks to be built again."""
    space = filled(vectors(1_000), flat_most=500)
    space.grow()
    space.remove([str(n) for n in range(290)])
    assert not space.crowded
    space.remove([str(n) for n in range(310)])
    assert space.crowded
    space.grow()
    assert (len(space), space.crowded) == (690, False)


@contextmanager
def growing(space: Space, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Holds the space's growth after it has looked at its entries, as a long build does."""
    looked, go, build = threading.Event(), threading.Event(), hnsw._graph

    def slow(dimension: int) -> object:
        looked.set()
        assert go.wait(10)
        return build(dimension)

    monkeypatch.setattr(hnsw, "_graph", slow)
    thread = threading.Thread(target=space.grow)
    thread.start()
    assert looked.wait(10)
    yield
    go.set()
    thread.join(10)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_changes_during_growth_are_kept(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added, removed and replaced while the graph is built holds after the swap."""
    rows, new = vectors(120), vectors(3, seed=8)
    space = filled(rows[:100])
    for _ in range(before):
        space.grow()
    if before:
        for n in range(100, 110):
            space.add(str(n), rows[n])
    alive = set(range(110 if before else 100))
    with growing(space, monkeypatch):
        for n in range(110, 120):
            space.add(str(n), rows[n])
        space.remove(["3", "99", "115"])
        space.add("5", new[0])
        space.add("98", new[1])
        space.remove(["7"])
        space.add("7", new[2])
        inside = {name for name, _ in space.search(rows[0], 200)}
    alive = (alive | set(range(110, 120))) - {3, 99, 115}
    expected = {str(n) for n in alive}
    for _ in range(2):
        assert inside == {name for name, _ in space.search(rows[0], 200)} == expected
        assert len(space) == len(expected)
        for name, vector in zip(("5", "98", "7"), new, strict=True):
            assert space.search(vector, 1) == [(name, 1.0)]
        assert all(space.search(rows[n], 1) == [(str(n), 1.0)] for n in alive - {5, 98, 7})
        space.grow()


def test_threads_together() -> None:
    """Searches, inserts, removals and growth at once neither fail nor return what is removed."""
    rows = vectors(4_000)
    space = filled(rows[:1_000], flat_most=300)
    until = time.monotonic() + 1.5
    numbers = count(1_000)
    removed: set[str] = set()

    def search(seed: int) -> int:
        done = 0
        for query in vectors(100_000 // DIMENSION, seed):
            known = set(removed)
            seen = [name for name, _ in space.search(query, 10)]
            assert not known & set(seen)
            assert len(seen) == len(set(seen))
            done += 1
            if time.monotonic() > until:
                break
        return done

    def change() -> int:
        done = 0
        while time.monotonic() < until:
            n = next(numbers)
            if n >= len(rows):
                break
            space.add(str(n), rows[n])
            old = str(n - 1_000)
            space.remove([old])
            removed.add(old)
            done += 1
        return done

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
    names = {name for name, _ in space.search(rows[0], 2_000)}
    assert not names & removed
