"""A purge ends what was asked for before it, and says so when that is not sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from index.errors import StoreError
from index.fences import LATELY, Fences, Replica

if TYPE_CHECKING:
    from collections.abc import Callable


class Others:
    """The other processes, as far as a test lets them answer."""

    def __init__(self, complaint: str = "") -> None:
        self.in_touch = True
        self.complaint = complaint
        self.asked = 0
        self.resyncs = 0
        self.heard: Callable[[bytes], None] = lambda _: None

    async def fence(self) -> str:
        self.asked += 1
        return self.complaint

    @property
    def own(self) -> Replica:
        return Replica("here", 0.0, 0)

    def say(self, note: bytes) -> None:
        self.heard(note)

    async def roll(self) -> list[Replica]:
        return [self.own]


async def test_a_purge_is_a_new_generation() -> None:
    """Each purge, here or heard of, ends a generation; without others all is always heard of."""
    fences = Fences()
    before = fences.generation
    async with fences.purging():
        within = fences.generation
    fences.rise()
    assert len({before, within, fences.generation}) == 3
    assert fences.in_touch
    fences.require_touch()


async def test_the_others_are_asked_first() -> None:
    """What is chosen and forgotten within comes after everybody has been told."""
    fences, others = Fences(), Others()
    fences.others = others
    async with fences.purging():
        assert others.asked == 1


async def test_a_purge_that_is_not_sure_happens_and_says_so() -> None:
    """The deletion is not held up by a silent replica; the error comes after it."""
    fences, done = Fences(), False
    fences.others = Others("not confirmed by b")
    with pytest.raises(StoreError, match="not confirmed by b"):
        async with fences.purging():
            done = True
    assert done


async def test_a_failing_deletion_is_what_is_told() -> None:
    """Where the deletion itself fails, its own error stands."""
    fences = Fences()
    fences.others = Others("not confirmed by b")
    with pytest.raises(StoreError, match="down"):
        async with fences.purging():
            raise StoreError("the store is down")


def test_out_of_touch_nothing_outlives_a_second() -> None:
    """While purges are not heard of, a generation lasts a second, and none of them comes back."""
    now = 100.2
    fences, others = Fences(clock=lambda: now), Others()
    fences.others = others
    before = fences.generation
    others.in_touch = False
    first = fences.generation
    now = 100.9
    assert fences.generation == first
    now = 101.1
    second = fences.generation
    assert len({before, first, second}) == 3
    with pytest.raises(StoreError, match="nothing is kept"):
        fences.require_touch()
    others.in_touch = True
    assert fences.generation == before


def test_entries_of_before_a_purge_are_named_once() -> None:
    """Kept before the last purge is outdated, kept after it or not at all is not."""
    fences = Fences()
    fences.kept("old")
    fences.kept("renewed")
    fences.rise()
    fences.kept("renewed")
    fences.kept("new")
    assert fences.outdated(["new", "old", "renewed", "foreign"]) == ["old"]
    assert fences.outdated(["old"]) == []


def test_only_the_newest_entries_are_remembered() -> None:
    """However many are kept, the list is bounded, and the newest are on it."""
    fences = Fences()
    names = [str(number) for number in range(LATELY + 10)]
    for name in names:
        fences.kept(name)
    fences.rise()
    assert fences.outdated(names) == names[10:]
