"""A finder does what a dictionary does, with keys of 16 bytes."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from index import finder as module
from index.finder import LEAST, Finder, key_of


def test_names_that_are_keys() -> None:
    """32 lower-case hex digits are a key, and nothing else is."""
    name = "00112233445566778899aabbccddeeff"
    assert key_of(name) == bytes(range(0, 256, 17))
    for other in ("", "a", name[:-1], name + "0", name.upper(), name[:-1] + "g", " " + name[1:]):
        assert key_of(other) is None
    assert key_of("00 1" + name[4:]) is None
    assert key_of("é" * 32) is None


def test_a_key_leads_to_the_number_put_last() -> None:
    """A key put again leads to the new number; taking the old one out then changes nothing."""
    finder, key = Finder(), bytes(range(16))
    assert finder.get(key) is None
    finder.put(key, 7)
    finder.put(key, 9)
    assert (finder.get(key), len(finder)) == (9, 1)
    finder.pop(key, 7)
    assert finder.get(key) == 9
    finder.pop(key, 9)
    finder.pop(key, 9)
    assert (finder.get(key), len(finder)) == (None, 0)


def test_a_number_has_its_last_key() -> None:
    """A number put under another key is not found under the first."""
    finder = Finder()
    one, other = bytes(range(16)), bytes(range(1, 17))
    finder.put(one, 3)
    finder.put(other, 3)
    assert (finder.get(one), finder.get(other), len(finder)) == (None, 3, 1)
    assert (finder.key(3), finder.key(4)) == (other, bytes(16))


@pytest.mark.parametrize("crowd", [1, 40, LEAST], ids=["one place", "few places", "anywhere"])
def test_it_does_what_a_dictionary_does(crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is put and taken out, and however keys crowd together, each is found or absent."""
    monkeypatch.setattr(module, "_home", lambda key, cells: key[0] % crowd * 7919 % cells)
    dice = random.Random(crowd)  # noqa: S311 - repeatable on purpose
    finder, held = Finder(), dict[bytes, int]()
    keys = [dice.randbytes(16) for _ in range(400)]
    free = list(range(500))
    for _ in range(5_000):
        key = dice.choice(keys)
        if key in held:
            number = held.pop(key)
            finder.pop(key, number)
            free.append(number)
        else:
            held[key] = free.pop(dice.randrange(len(free)))
            finder.put(key, held[key])
    assert len(finder) == len(held)
    assert {key: finder.get(key) for key in keys} == {key: held.get(key) for key in keys}


def test_it_grows() -> None:
    """Far beyond what there was room for, each key is found."""
    dice = random.Random(1)  # noqa: S311 - repeatable on purpose
    keys = [dice.randbytes(16) for _ in range(20_000)]
    finder = Finder()
    for number, key in enumerate(keys):
        finder.put(key, number)
    assert [finder.get(key) for key in keys] == list(range(len(keys)))
    assert finder.get(dice.randbytes(16)) is None


def test_it_grows_when_all_crowd_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys whose place is the table's last are found behind its beginning, grown or not."""
    monkeypatch.setattr(module, "_home", lambda _, cells: cells - 1)
    monkeypatch.setattr(module, "_homes", lambda keys, cells: np.full(len(keys), cells - 1))
    finder, keys = Finder(), [n.to_bytes(16, "little") for n in range(1, 1_200)]
    for number, key in enumerate(keys):
        finder.put(key, number)
    assert [finder.get(key) for key in keys[::50]] == list(range(0, len(keys), 50))


def test_keys_in_a_row_do_not_crowd() -> None:
    """Keys that differ in a few bits only are found within some steps, not thousands."""
    finder = Finder(4_096)
    for number in range(4_000):
        finder.put(number.to_bytes(16, "big"), number)
    cells = np.asarray(finder._cells)
    gaps = np.diff(np.flatnonzero(cells == 0))
    assert gaps.max() <= 512


def test_keys_are_taken_over() -> None:
    """Of keys that were written down those of some numbers count; of equal ones the last."""
    dice = random.Random(2)  # noqa: S311 - repeatable on purpose
    keys = [dice.randbytes(16) for _ in range(3_000)]
    keys[2_999] = keys[7]
    finder, written = Finder(), np.frombuffer(b"".join(keys), np.uint8)
    numbers = np.array([n for n in range(3_000) if n % 3 != 2 or n == 2_999], np.int32)
    found = finder.restore(written, numbers)
    assert sorted(found.tolist()) == [n for n in numbers.tolist() if n != 7]
    assert finder.get(keys[7]) == 2_999
    assert [finder.get(keys[n]) for n in (0, 1, 2, 3, 2_998)] == [0, 1, None, 3, 2_998]
    assert len(finder) == len(numbers) - 1
    finder.pop(keys[0], 0)
    finder.put(keys[2], 2)
    assert (finder.get(keys[0]), finder.get(keys[2])) == (None, 2)
    assert finder.keys(3_000).tobytes() == written.tobytes()


def test_it_is_small() -> None:
    """With as many keys as it was made for it takes 32 bytes for each at most."""
    dice = random.Random(1)  # noqa: S311 - repeatable on purpose
    keys = [dice.randbytes(16) for _ in range(30_000)]
    tracemalloc.start()
    finder = Finder(32_768)
    for number, key in enumerate(keys):
        finder.put(key, number)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used / len(keys) <= 32
