"""What is damaged is one value after the other, and nothing around it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.chaos import rot
from tests.chaos.load import Question
from tests.chaos.rot import KNOWN, PAGE, _bits, _mixed, _values
from tests.chaos.short import nobody_notices, scenarios_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer

DICE = random.Random(1)  # noqa: S311 - repeatable


def test_one_bit_flips_inside_of_each_answer(tmp_path: Path) -> None:
    """None at the edges of a page, where SQLite's own bytes may stand."""
    inner = b"." * 500 + b'{"choices":[{"index":0}]}'
    edge = b"-" * (PAGE - 20) + b'"choices":[{}'
    before = (inner.ljust(PAGE, b".") + edge).ljust(2 * PAGE, b".")
    store = tmp_path / "store"
    store.write_bytes(before)
    assert len(list(_bits(store, DICE))) == 1
    after = store.read_bytes()
    (place,) = (n for n, (one, other) in enumerate(zip(before, after, strict=True)) if one != other)
    assert place == 500 + len(b'{"choices":[')
    assert (before[place] ^ after[place]).bit_count() == 1


def test_values_are_overwritten_each_in_another_way(redis_server: RedisServer) -> None:
    """Only those of entries; of five, one becomes another kind of value."""
    with redis_server.client() as client:
        client.flushdb()
        for number in range(5):
            client.hset(f"e{number}", mapping={"body": b"whole", "facts": b"{facts}"})
        client.hset("other", "field", b"kept")
        assert len(list(_values(client, DICE))) == 5
        kinds = [client.type(f"e{number}") for number in range(5)]
        assert sorted(kinds) == [b"hash"] * 4 + [b"string"]
        held = [client.hgetall(f"e{n}") for n in range(5) if kinds[n] == b"hash"]
        assert all(one != {b"body": b"whole", b"facts": b"{facts}"} for one in held)
        assert client.hget("other", "field") == b"kept"
        client.flushdb()


def test_the_load_asks_for_what_is_kept() -> None:
    """In its share, one after the other, among new questions."""
    known = [Question(f"kept {number}") for number in range(7)]
    load = _mixed("x", known)
    asked = [next(load) for _ in range(100)]
    kept = [question for question in asked if question in known]
    assert len(kept) == KNOWN
    assert kept[:8] == [*known, known[0]]
    assert len({question.prompt for question in asked}) == 100 - KNOWN + 7


@scenarios_of(rot)
def test_nobody_notices(name: str) -> None:
    """Damaged values are misses, and are replaced."""
    nobody_notices(name)
