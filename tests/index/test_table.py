"""Rows hold facts and use, add up, and cost little."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from dataclasses import replace

import pytest

from index.packing import Kind
from index.table import ROW, Kinds, Table, Use
from policies.context import answered
from policies.values import Facts

ENTRY = "0123456789abcdef" * 2


def made(number: int = 0, **changes: object) -> Facts:
    facts = Facts(
        *(f"{number:032x}", "s" * 32, "k1", "default", "openai", "m", "", "How are you?"),
        *(100.0, 200.0, 300.0 + number, 10),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def test_a_row_comes_back() -> None:
    """Facts and use of a number; none of a number that has no row, or an empty one."""
    table = Table()
    table.put(5, made(5))
    assert (table.facts(5), table.use(5)) == (made(5), Use(100.0, 0, 0))
    assert [table.facts(number) for number in (0, 4, 6, 10_000)] == [None] * 4
    assert (len(table), list(table.numbers())) == (6, [5])


def test_use_goes_on_under_new_facts() -> None:
    """Hits add up; new facts keep them, and count as use when they are later."""
    table = Table()
    table.put(0, made())
    table.touch(0, 150.0, 20)
    table.touch(0, 160.0, 30)
    table.put(0, made(flagged=True))
    assert table.use(0) == Use(160.0, 2, 50)
    table.put(0, made(stored=170.0))
    assert table.use(0) == Use(170.0, 2, 50)
    assert table.facts(0) == made(stored=170.0)


def test_an_emptied_row_starts_anew() -> None:
    """What comes after a cleared row has none of its use; clearing twice is no matter."""
    table = Table()
    table.put(0, made())
    table.touch(0, 150.0, 20)
    table.clear(0)
    table.clear(0)
    table.clear(99)
    assert (table.facts(0), table.weight(0), list(table.numbers())) == (None, 0, [])
    table.put(0, made(7))
    assert (table.facts(0), table.use(0)) == (made(7), Use(100.0, 0, 0))


def test_changed_facts_are_another_object() -> None:
    """What was read from packed facts stands until the row is written to, equal facts or not."""
    table = Table()
    table.put(0, made())
    packed = table.packed(0)
    assert packed is not None
    assert table.packed(0) is packed
    table.put(0, made())
    assert table.packed(0) is not packed
    assert table.read(packed) == made()


def test_what_is_asked_of_all() -> None:
    """Numbers past their last use, numbers in a group, and columns, empty rows left out or not."""
    table = Table()
    for number in range(5):
        table.put(number, made(number, group="g" * number if number % 2 else "", cost_ms=number))
    table.clear(1)
    assert table.gone(299.0) == []
    assert table.gone(302.0) == [0, 2]
    assert table.grouped() == [3]
    table.put(4, made(4, cost_ms=4.0, pinned=True))
    assert table.column("pinned", table.filled()).tolist() == [False, False, False, True]
    assert table.filled().tolist() == [0, 2, 3, 4]
    assert table.column("cost", table.filled()).tolist() == [0.0, 2.0, 3.0, 4.0]


def test_weight_is_what_the_row_costs() -> None:
    """Each byte of text counts, and what stands beside the row."""
    table = Table()
    short, long = (
        table.put(0, made()),
        table.put(1, made(1, text="How are you?" + "x" * 100), 1_000),
    )
    assert long - short == 1_100
    assert (table.weight(0), table.weight(1), table.weight(2)) == (short, long, 0)
    table.clear(1)
    assert table.weight(1) == 0


def test_kinds_are_kept_once_and_let_go() -> None:
    """Equal kinds are one, gone with their last entry; a number never means another kind."""
    kinds = Kinds()
    one, other = Kind.of(made()), Kind.of(made(model="other"))
    numbers = [kinds.take(one), kinds.take(other), kinds.take(one)]
    assert (numbers, len(kinds)) == ([0, 1, 0], 2)
    kinds.give(0)
    assert kinds.get(0) == one
    kinds.give(0)
    assert (kinds.get(0), kinds.get(1), len(kinds)) == (None, other, 1)
    assert kinds.take(one) == 2


def test_rows_let_their_kinds_go() -> None:
    """Whatever is replaced and cleared, only kinds of rows that are there remain."""
    table = Table()
    for number in range(20):
        table.put(number, made(number, owner=f"k{number}"))
        table.put(number, made(number, owner=f"k{number // 10}"))
    assert len(table.kinds) == 2
    for number in range(20):
        table.clear(number)
    assert len(table.kinds) == 0


def test_room_is_made() -> None:
    """Rows beyond the reserve change nothing of those before."""
    table = Table(8)
    for number in range(3_000):
        table.put(number, made(number))
        table.touch(number, 500.0 + number, number)
    assert [table.facts(number) for number in (0, 1_023, 1_024, 2_999)] == [
        made(number) for number in (0, 1_023, 1_024, 2_999)
    ]
    assert table.use(2_999) == Use(3_499.0, 1, 2_999)


@pytest.mark.parametrize("words", [8, 40])
def test_what_an_entry_costs(words: int) -> None:
    """The weight of a row is what it takes in RAM, within a tenth, its two keys counted as said."""
    text = "word " * words
    table = Table(20_000)
    gc.collect()
    tracemalloc.start()
    for number in range(20_000):
        facts = made(number, text=f"{text}{number:06}", said=answered(str(number)))
        table.put(number, facts)
    used = tracemalloc.get_traced_memory()[0] / 20_000
    tracemalloc.stop()
    columns = sum(column.itemsize for column in table._columns.values())
    keys = 2 * (16 + 2 * 4)
    assert table.weight(0) == pytest.approx(used + columns + keys, rel=0.1)
    packed = table.packed(0)
    assert packed is not None
    assert table.weight(0) == ROW + sys.getsizeof(packed) - sys.getsizeof(b"")
