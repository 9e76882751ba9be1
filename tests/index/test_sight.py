"""What is seen of a text: its vector, its category, its neighbours, or why none of them."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from index.catalog import Catalog
from index.errors import EmbedderError
from index.faults import Faults, Told
from index.pool import Pool
from index.sight import Sight
from policies import text
from policies.values import Found
from policies.verdicts import Reason
from tests.index.test_memory import EGG, EGGS, RULES, WITH_EXAMPLES, Scripted, ask, facts, lookup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policies.values import Facts

BUDGET = 5.0


class Room:
    """A sight over one entry, the answer to `EGG`."""

    def __init__(self) -> None:
        self.embedder = Scripted()
        self.faults = Faults(Told(logging.getLogger("tests")))
        self.catalog = Catalog(self.embedder, storage="float32", reserve=16)
        self.pool = Pool(1)
        self.sight = self.opened()
        plan = lookup(ask())
        held = facts(ask(), Found(plan.entry, plan.space, plan.category), embedding="scripted/1")
        self.catalog.hold(held)
        self.catalog.place([held], [self.embedder.embed(text.normalise(EGG)).vector])
        self.held = held

    def opened(self, budget: float = BUDGET) -> Sight:
        return Sight(
            self.embedder, lambda: self.catalog, self.faults, pool=self.pool, budget=budget
        )


@pytest.fixture
def room() -> Iterator[Room]:
    made = Room()
    yield made
    made.pool.close()


async def test_neighbours_come_from_the_space_of_the_lookup(room: Room) -> None:
    """An entry of the same space is near, one of another is not."""
    seen = await room.sight.see(lookup(ask(EGGS)), ask(EGGS), RULES)
    assert seen is not None
    assert [c.facts.entry for c in seen.near] == [room.held.entry]
    other = await room.sight.see(replace(lookup(ask(EGGS)), space="another"), ask(EGGS), RULES)
    assert other is not None
    assert (other.near, other.fault) == ((), None)


@pytest.mark.parametrize(
    ("flag", "fault"), [("truncated", Reason.TRUNCATED), ("unknown", Reason.LANGUAGE)]
)
async def test_what_the_encoder_could_not_read_is_compared_with_nothing(
    room: Room, flag: str, fault: Reason
) -> None:
    """A text beyond its window or its words has no neighbours and no vector."""
    room.embedder.flags[text.normalise(EGGS)] = {flag: True}
    seen = await room.sight.see(lookup(ask(EGGS)), ask(EGGS), RULES)
    assert seen is not None
    assert (seen.near, seen.vector, seen.fault) == ((), None, fault)
    assert await room.sight.vector_of(made_for(EGGS)) is None


async def test_a_late_encoder_is_not_waited_for(room: Room) -> None:
    """After the budget nothing is seen, and that is counted as late."""
    room.embedder.act = lambda _: time.sleep(0.2)
    assert await room.opened(budget=0.01).see(lookup(ask()), ask(), RULES) is None
    assert (room.faults.embed_timeout, room.faults.embed) == (1, 0)


async def test_a_failing_encoder_raises_nothing(room: Room) -> None:
    """Its fault is counted; an answer is kept without a vector, categories have no examples."""

    def fail(_: str) -> None:
        raise EmbedderError("broken")

    room.embedder.act = fail
    assert await room.sight.see(lookup(ask()), ask(), RULES) is None
    assert await room.sight.vector_of(made_for("another")) is None
    assert len((await room.sight.learn_examples(WITH_EXAMPLES)).names) == 0
    assert room.faults.embed == 3
    assert "broken" in room.faults.last["embed"]


async def test_an_exchanged_catalog_is_the_one_searched(room: Room) -> None:
    """After the whole catalog was exchanged, nothing of the old one is found."""
    assert len((await room.sight.nearest_anywhere(EGGS, 5))[0]) == 1
    room.catalog = Catalog(room.embedder, storage="float32", reserve=16)
    assert (await room.sight.nearest_anywhere(EGGS, 5))[0] == []


def made_for(asked: str) -> Facts:
    plan = lookup(ask(asked))
    return facts(ask(asked), Found(plan.entry, plan.space, plan.category))
