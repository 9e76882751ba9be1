"""What is known of an entry may change while its answer stands, and never brings one back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index.amending import MOST_LABELS, Change, alike
from index.embedders.hashing import HashingEmbedder
from index.errors import StoreError
from index.memory import Memory
from index.stores.redis import RedisBodies
from policies.values import Facts
from tests.index.test_memory import Troubled, ask, body_of, facts, find, keep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from index.stores.memory import MemoryBodies
    from tests.servers import RedisServer

GROUP = "f" * 32
KNOWN = Facts("e" * 32, "space", "o", "default", "chat", "m", "", "text", 100.0, 200.0, 300.0, 1)


@pytest.fixture
def bodies() -> Troubled:
    return Troubled()


@pytest.fixture
async def memory(bodies: Troubled) -> AsyncIterator[Memory]:
    made = Memory(HashingEmbedder(), bodies)
    yield made
    bodies.down = False
    bodies.gate.set()
    await made.close()


@pytest.fixture
async def replicas(redis_server: RedisServer) -> AsyncIterator[tuple[Memory, Memory]]:
    """Two processes on one Redis."""
    stores = [RedisBodies.open(redis_server.url, namespace="amending") for _ in range(2)]
    here, there = (Memory(HashingEmbedder(), bodies) for bodies in stores)
    yield here, there
    await here.bodies.delete([r.facts.entry async for r in here.bodies.scan()])
    await here.close()
    await there.close()


async def stored(bodies: MemoryBodies, entry: str) -> Facts:
    """What a process that starts now would know."""
    record = await bodies.read(entry)
    assert record is not None
    return record.facts


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(), {}),
        (Change(flagged=True), {"flagged": True}),
        (Change(group=GROUP), {"group": GROUP}),
        (Change(label=(0.9, False)), {"labels": ((0.9, False),)}),
        (Change(100.0, GROUP, (0.9, True), True),
         {"group": GROUP, "labels": ((0.9, True),), "flagged": True}),
        (Change(99.9, GROUP, (0.9, True), True), {}),
        (Change(encoder=KNOWN.embedding), {}),
        (Change(label=(float("nan"), True)), {}),
        (Change(label=(float("inf"), True)), {}),
        (Change(pinned=True), {"pinned": True}),
        (Change(expires=KNOWN.expires + 50),
         {"expires": KNOWN.expires + 50, "gone": KNOWN.gone + 50}),
        (Change(99.9, pinned=True, expires=1.0), {}),
    ],
)  # fmt: skip
def test_a_change_touches_what_it_names(change: Change, expected: dict[str, Any]) -> None:
    """The rest stays, and an answer that was stored later than the one meant stays whole."""
    assert change.onto(KNOWN) == replace(KNOWN, **expected)


def test_labels_are_bounded() -> None:
    """The newest 64 are kept, newest last."""
    now = KNOWN
    for n in range(MOST_LABELS + 6):
        now = Change(label=(n / 100, n % 2 == 0)).onto(now)
    assert len(now.labels) == 64
    assert (now.labels[0], now.labels[-1]) == ((0.06, True), (0.69, False))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"group": GROUP, "flagged": True, "labels": ((0.1, True),)}, True),
        ({"pinned": True, "expires": 1.0, "gone": 2.0}, True),
        ({"stored": 100.5}, False),
        ({"text": "another"}, False),
        ({}, True),
    ],
)
def test_facts_of_one_answer_are_alike(change: dict[str, Any], same: bool) -> None:
    """What was amended does not make it another answer; everything else does."""
    assert alike(KNOWN, replace(KNOWN, **change)) is same
    assert alike(None, KNOWN) is False


async def test_amended_at_once_and_soon_in_the_store(memory: Memory, bodies: Troubled) -> None:
    """RAM knows before anything is awaited; the store follows; body and vector stay."""
    kept = await keep(memory, ask())
    assert memory.amend(kept.entry, group=GROUP, label=(0.97, True), flagged=True)
    changed = replace(kept, group=GROUP, labels=((0.97, True),), flagged=True)
    assert memory.facts(kept.entry) == changed
    assert await body_of(memory, kept) == b"answer"
    await memory.settled()
    assert await stored(bodies, kept.entry) == changed
    near = (await find(memory, ask(kept.text.upper()))).near
    assert near[0].facts == changed


async def test_what_is_not_held_is_not_amended(memory: Memory) -> None:
    """An unknown entry, and one that was forgotten, are told as such."""
    kept = await keep(memory, ask())
    await memory.forget([kept.entry])
    assert memory.amend(kept.entry, flagged=True) is False
    assert memory.amend("0" * 32, flagged=True) is False
    await memory.settled()
    assert len(memory) == 0


async def test_forgetting_overtakes_amending(memory: Memory, bodies: Troubled) -> None:
    """An entry that is forgotten while its amendment is under way stays forgotten."""
    kept = await keep(memory, ask())
    memory.amend(kept.entry, flagged=True)
    await memory.forget([kept.entry])
    assert await bodies.read(kept.entry) is None
    assert memory.facts(kept.entry) is None


async def test_a_new_answer_does_not_inherit(memory: Memory, bodies: Troubled) -> None:
    """An amendment of the old answer, still under way, leaves the one that replaced it alone."""
    kept = await keep(memory, ask())
    bodies.gate.clear()
    memory.amend(kept.entry, label=(0.5, False), flagged=True)
    found = await find(memory, ask())
    newer = facts(ask(), found, stored=kept.stored + 1)
    await memory.keep(newer, b"newer", None, meaning=False)
    bodies.gate.set()
    await memory.settled()
    held = memory.facts(kept.entry)
    assert held is not None
    assert (held.flagged, held.labels) == (False, ())
    assert (await stored(bodies, kept.entry)).flagged is False


async def test_an_answer_still_being_written(memory: Memory, bodies: Troubled) -> None:
    """Amended before it reached the store it is read as amended, and written so, once."""
    bodies.gate.clear()
    found = await find(memory, ask())
    made = facts(ask(), found)
    await memory.keep(made, b"answer", found.vector, meaning=True)
    memory.amend(made.entry, label=(0.9, True), flagged=True)
    record = await memory.read(made)
    assert record is not None
    assert record.facts.flagged
    bodies.gate.set()
    await memory.settled()
    after = await stored(bodies, made.entry)
    assert (after.flagged, after.labels) == (True, ((0.9, True),))


async def test_amendments_of_one_entry_keep_their_order(memory: Memory, bodies: Troubled) -> None:
    """However many are made at once, the store ends as RAM does."""
    kept = await keep(memory, ask())
    for n in range(40):
        memory.amend(kept.entry, label=(n / 100, True), flagged=n % 2 == 0)
    await memory.settled()
    now = memory.facts(kept.entry)
    assert now is not None
    assert (now.flagged, len(now.labels)) == (False, 40)
    assert await stored(bodies, kept.entry) == now


async def test_a_failing_store_does_not_undo_it_here(memory: Memory, bodies: Troubled) -> None:
    """The verdict holds in this process, the fault is counted, and `flag` says that it failed."""
    kept = await keep(memory, ask())
    await bodies.close()
    memory.amend(kept.entry, flagged=True)
    await memory.settled()
    held = memory.facts(kept.entry)
    assert held is not None
    assert held.flagged
    assert memory.faults.store_write == 1
    with pytest.raises(StoreError):
        await memory.flag([kept.entry], flagged=True)


async def test_flagging_counts_what_there_is(memory: Memory, bodies: Troubled) -> None:
    """Durable when it returns; unknown names are not counted; it can be taken back."""
    kept = await keep(memory, ask())
    assert await memory.flag([kept.entry, "0" * 32], flagged=True) == 1
    assert (await stored(bodies, kept.entry)).flagged
    assert await memory.flag([kept.entry], flagged=False) == 1
    assert not (await stored(bodies, kept.entry)).flagged


async def test_twins_are_the_others_of_the_group(memory: Memory) -> None:
    """Found from any of them, the founder included; a loner has none."""
    texts = [f"How long do I boil egg {n}?" for n in range(4)]
    kept = [await keep(memory, ask(text)) for text in texts]
    founder, second, third, loner = kept
    for one in (second, third):
        memory.amend(one.entry, group=founder.entry)
    now = memory.facts(second.entry)
    assert now is not None
    assert await memory.twins(now) == sorted([founder.entry, third.entry])
    assert await memory.twins(founder) == sorted([second.entry, third.entry])
    assert await memory.twins(loner) == []


@pytest.mark.redis
async def test_another_replica_honours_a_flag(replicas: tuple[Memory, Memory]) -> None:
    """What one flags, the other knows with its next reading, held there or not."""
    here, there = replicas
    kept = await keep(here, ask())
    seen = await there.recall(kept.entry)
    assert seen == kept
    assert await there.flag([kept.entry], flagged=True) == 1
    record = await here.read(kept)
    assert record is not None
    assert record.facts.flagged
    held = here.facts(kept.entry)
    assert held is not None
    assert held.flagged


@pytest.mark.redis
async def test_one_who_never_saw_an_entry_flags_it(replicas: tuple[Memory, Memory]) -> None:
    """Any replica may be told; twins that only the other knows are found through the store."""
    here, there = replicas
    founder, twin = await keep(here, ask()), await keep(here, ask("How long for two eggs?"))
    here.amend(twin.entry, group=founder.entry)
    await here.settled()
    known_there = await there.recall(founder.entry)
    assert known_there is not None
    twins = await there.twins(known_there)
    assert twins == [twin.entry]
    assert await there.flag([founder.entry, *twins], flagged=True) == 2
    for one in (founder, twin):
        record = await here.read(one)
        assert record is not None
        assert record.facts.flagged


@pytest.mark.redis
async def test_labels_of_two_replicas_add_up(replicas: tuple[Memory, Memory]) -> None:
    """Amendments made here and there at the same time are all kept."""
    here, there = replicas
    kept = await keep(here, ask())
    await there.recall(kept.entry)
    for n in range(5):
        here.amend(kept.entry, label=(0.9, n % 2 == 0))
        there.amend(kept.entry, label=(0.8, n % 2 == 0))
        await asyncio.sleep(0)
    await here.settled()
    await there.settled()
    told = await here.recall(kept.entry)
    assert told is not None
    assert sorted(told.labels) == sorted([(0.9, n % 2 == 0) for n in range(5)]
                                         + [(0.8, n % 2 == 0) for n in range(5)])  # fmt: skip
