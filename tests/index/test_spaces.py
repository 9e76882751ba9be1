"""Entries are found in the space they were last put into, under their own names."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from index import spaces as module
from index.register import Register
from index.space import Space
from index.spaces import Spaces

DIMENSION = 32


def drawn(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def made(**options: object) -> Spaces:
    return Spaces(Register(), DIMENSION, **options)  # type: ignore[arg-type]


def called(name: str) -> str:
    """An entry's name: 32 hex digits."""
    return name.encode().hex().zfill(32)


def names(spaces: Spaces, space: str, query: np.ndarray, k: int = 10) -> list[str]:
    found = spaces.within(space)
    found_names = [] if found is None else found.search(query, k)
    return [bytes.fromhex(entry).lstrip(b"\0").decode() for entry, _ in found_names]


def test_entries_are_found_in_their_own_space() -> None:
    """A search sees the entries of its space, best first, and those of no other."""
    spaces, rows = made(), drawn(4)
    spaces.put_many([called("a"), called("b")], "one", rows[:2])
    spaces.put(called("c"), "two", rows[2])
    (first, score), *_ = spaces.within("one").search(rows[1], 5)  # type: ignore[union-attr]
    assert (first, score) == (called("b"), 1.0)
    assert sorted(names(spaces, "one", rows[2])) == ["a", "b"]
    assert names(spaces, "two", rows[0]) == ["c"]
    assert (spaces.within("three"), len(spaces), [len(s) for s in spaces.every()]) == (
        None,
        2,
        [2, 1],
    )


def test_an_entry_moves() -> None:
    """Put into another space an entry leaves the first, which goes when it was the last there."""
    spaces, rows = made(), drawn(3)
    spaces.put_many([called("a"), called("b")], "one", rows[:2])
    spaces.put(called("a"), "two", rows[2])
    assert (names(spaces, "one", rows[0]), names(spaces, "two", rows[0])) == (["b"], ["a"])
    spaces.put(called("b"), "two", rows[1])
    assert (spaces.within("one"), sorted(names(spaces, "two", rows[0]))) == (None, ["a", "b"])


def test_removed_is_not_found() -> None:
    """Removed entries go from wherever they are; unknown ones and empty spaces are no matter."""
    spaces, rows = made(), drawn(3)
    spaces.put_many([called("a"), called("b")], "one", rows[:2])
    spaces.put(called("c"), "two", rows[2])
    spaces.remove([called("a"), called("c"), called("u"), "unknown"])
    spaces.remove([])
    assert (names(spaces, "one", rows[0]), spaces.within("two"), len(spaces)) == (["b"], None, 1)


def test_what_the_spaces_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors in all; what was removed lies in the lists of a large space until it grows again."""
    monkeypatch.setattr("index.space.FLAT_MOST", 10)
    spaces, rows = made(), drawn(40)
    entries = [called(chr(ord("a") + n % 26) + str(n // 26)) for n in range(40)]
    spaces.put_many(entries, "one", rows)
    assert (spaces.searched, spaces.dead) == (40, 0)
    for space in spaces.crowded():
        space.grow()
    spaces.remove(entries[:3])
    assert spaces.searched == 37
    assert spaces.nbytes > 40 * rows.shape[1]


def test_room_that_nothing_lies_in_does_not_count_as_used() -> None:
    """Used are the rows that were given out, more than each vector's numbers alone; all the rest
    is reserved. What was removed still counts, as its row waits for the next."""
    register = Register()
    spaces = Spaces(register, DIMENSION, reserve=1_000)
    assert spaces.used == 0
    for place, row in enumerate(drawn(10)):
        spaces.put(called(str(place)), "one", row)
    used, a_row = spaces.used, spaces.nbytes // 1_000
    assert (used, a_row > DIMENSION) == (10 * a_row, True)
    spaces.remove([called("3")])
    register.give(called("3"))
    assert spaces.used == used


def test_an_entry_beyond_the_reserve_is_unknown_until_put() -> None:
    """An entry that is registered beyond the rows, and has no vector, can be removed and put."""
    register = Register()
    spaces = Spaces(register, DIMENSION, reserve=2)
    for entry in "abcde":
        register.take(called(entry))
    spaces.remove([called("e")])
    spaces.put(called("e"), "one", drawn(1)[0])
    assert names(spaces, "one", drawn(1)[0]) == ["e"]


def test_only_the_crowded_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space that wants to grow is named until it has grown, others never."""
    monkeypatch.setattr(module, "Space", partial(Space, flat_most=50))
    spaces, rows = made(), drawn(140)
    spaces.put_many([called(f"a{n}") for n in range(60)], "one", rows[:60])
    spaces.put_many([called(f"b{n}") for n in range(40)], "two", rows[60:100])
    for _ in range(2):
        (crowded,) = spaces.crowded()
        assert len(crowded) == 60
    crowded.grow()
    assert spaces.crowded() == []
    spaces.put_many([called(f"a{n}") for n in range(60, 100)], "one", rows[100:])
    (again,) = spaces.crowded()
    assert again is crowded
    spaces.remove([called(f"a{n}") for n in range(100)])
    assert spaces.crowded() == []


@pytest.mark.parametrize(("storage", "each"), [("int8", 1.5), ("float16", 2), ("float32", 4)])
def test_what_a_vector_costs(storage: str, each: float) -> None:
    """A row with its factor, home and mark; and half a byte for each dimension in the lists."""
    assert made(storage=storage).weight == DIMENSION * each + 16 + DIMENSION // 2 + 8


def test_no_score_is_told_of_another_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """While entries come and go under the same numbers, each found one has its own similarity."""
    monkeypatch.setattr(module, "Space", partial(Space, flat_most=50))
    register, rows = Register(), drawn(3_000)
    spaces = Spaces(register, DIMENSION, storage="float32")
    spaces.put_many([f"{n:032}" for n in range(200)], "one", rows[:200])
    (found,) = spaces.every()
    over = threading.Event()

    def search(seed: int) -> int:
        for done, query in enumerate(np.tile(drawn(300, seed), (100, 1)), 1):
            for entry, score in found.search(query, 5):
                assert score == pytest.approx(max(0.0, float(rows[int(entry)] @ query)), abs=1e-5)
            if over.is_set():
                return done
        return 0

    def grow() -> int:
        for turns in range(1, 100_000):
            found._space.grow()
            if over.is_set():
                return turns
        return 0

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(search, 11), pool.submit(search, 12), pool.submit(grow)]
        for n in range(200, 3_000):
            spaces.put(f"{n:032}", "one", rows[n])
            spaces.remove([f"{n - 200:032}"])
            register.give(f"{n - 200:032}")
        over.set()
        assert all(job.result(60) > 0 for job in jobs)
    assert len(register._taken) < 1_000
