"""Numbers are small and dense, and none changes hands under a search that is under way."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from index.register import Register


def name(letter: str) -> str:
    """An entry's name: 32 hex digits."""
    return letter.encode().hex() * 16


def test_an_entry_keeps_its_number() -> None:
    """Numbers count up from zero, and an entry has the same one until it is given back."""
    register = Register()
    assert [register.take(name(entry)) for entry in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert [register.of(name(entry)) for entry in ("a", "b", "c", "d")] == [0, 1, 2, None]
    assert [register.entry(number) for number in range(3)] == [name(one) for one in "abc"]
    assert len(register) == 3


def test_numbers_are_used_again() -> None:
    """A number that was given back is nobody's, then the next one's; unknown entries give none."""
    register = Register()
    for entry in ("a", "b", "c"):
        register.take(name(entry))
    register.give(name("b"))
    register.give(name("b"))
    register.give("unknown")
    assert (register.of(name("b")), register.entry(1), len(register)) == (None, None, 2)
    assert [register.take(name("d")), register.take(name("e"))] == [1, 3]
    assert [register.entry(number) for number in range(4)] == [name(one) for one in "adce"]


def test_a_number_rests_while_a_search_goes_on() -> None:
    """What was given back under a search goes to nobody before it ends, though later ones run."""
    register = Register()
    register.take(name("a"))
    with ExitStack() as later:
        with register.search():
            register.give(name("a"))
            later.enter_context(register.search())
            assert register.take(name("b")) == 1
            register.give(name("b"))
            assert (register.take(name("c")), register.entry(0)) == (2, None)
        # `a` went before the second search began, `b` under it.
        assert register.take(name("d")) == 0
        assert register.take(name("e")) == 3
    assert register.take(name("f")) == 1


def test_a_search_that_fails_ends_too() -> None:
    """A search that raises holds no number back."""
    register = Register()
    register.take(name("a"))
    with suppress(ValueError), register.search():
        register.give(name("a"))
        int("no number")
    assert register.take(name("b")) == 0


@pytest.mark.parametrize("other", ["", "a", "0" * 31, "A" * 32, "g" * 32])
def test_only_names_of_entries_are_taken(other: str) -> None:
    """What is not 32 hex digits has no number, and gets none."""
    register = Register()
    assert register.of(other) is None
    with pytest.raises(ValueError, match="is not the name of an entry"):
        register.take(other)


def test_many_entries() -> None:
    """Far beyond what there was room for, entries and numbers lead to each other."""
    register = Register()
    names = [f"{n:032x}" for n in range(5_000)]
    assert [register.take(one) for one in names] == list(range(5_000))
    assert [register.of(one) for one in names] == list(range(5_000))
    assert [register.entry(number) for number in range(5_000)] == names
