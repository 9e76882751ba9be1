"""Numbers are small and dense, and none changes hands under a search that is under way."""

from __future__ import annotations

from contextlib import ExitStack, suppress

from index.register import Register


def test_an_entry_keeps_its_number() -> None:
    """Numbers count up from zero, and an entry has the same one until it is given back."""
    register = Register()
    assert [register.take(entry) for entry in ("a", "b", "a", "c")] == [0, 1, 0, 2]
    assert [register.of(entry) for entry in ("a", "b", "c", "d")] == [0, 1, 2, None]
    assert [register.entry(number) for number in range(3)] == ["a", "b", "c"]
    assert len(register) == 3


def test_numbers_are_used_again() -> None:
    """A number that was given back is nobody's, then the next one's; unknown entries give none."""
    register = Register()
    for entry in ("a", "b", "c"):
        register.take(entry)
    register.give("b")
    register.give("b")
    register.give("unknown")
    assert (register.of("b"), register.entry(1), len(register)) == (None, None, 2)
    assert [register.take("d"), register.take("e")] == [1, 3]
    assert [register.entry(number) for number in range(4)] == ["a", "d", "c", "e"]


def test_a_number_rests_while_a_search_goes_on() -> None:
    """What was given back under a search goes to nobody before it ends, though later ones run."""
    register = Register()
    register.take("a")
    with ExitStack() as later:
        with register.search():
            register.give("a")
            later.enter_context(register.search())
            assert register.take("b") == 1
            register.give("b")
            assert (register.take("c"), register.entry(0)) == (2, None)
        # `a` went before the second search began, `b` under it.
        assert register.take("d") == 0
        assert register.take("e") == 3
    assert register.take("f") == 1


def test_a_search_that_fails_ends_too() -> None:
    """A search that raises holds no number back."""
    register = Register()
    register.take("a")
    with suppress(ValueError), register.search():
        register.give("a")
        int("no number")
    assert register.take("b") == 0
