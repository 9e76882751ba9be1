"""After a restart from a snapshot there is what the store has: nothing more, and nothing less."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from index import spaces
from index.catalog import Catalog
from index.embedders.hashing import HashingEmbedder
from index.memory import Memory
from index.ports import Record
from index.space import Space
from index.stores.memory import MemoryBodies
from index.stores.sqlite import SqliteBodies
from policies.context import answered
from policies.values import Facts

if TYPE_CHECKING:
    from pathlib import Path

MODEL = HashingEmbedder(64)
WORDS = (
    "how",
    "do",
    "I",
    "boil",
    "fry",
    "bake",
    "cut",
    "an",
    "egg",
    "two",
    "eggs",
    "rice",
    "a",
    "fish",
)
# Large enough for lists, as `flat_most` is here.
MANY = 200


def entry(number: int) -> str:
    return f"{number:032x}"


def text(number: int) -> str:
    dice = np.random.default_rng(number)
    return " ".join(dice.choice(WORDS, 9)) + f" {number}"


def record(number: int, version: int = 0, **changes: Any) -> Record:
    facts = Facts(
        entry=entry(number),
        space=f"space{number % 3 if number < MANY else 0}",
        owner=f"k{number % 5}:u{number}",
        category=("default", "code")[number % 2],
        dialect="openai",
        model="m",
        chain="",
        text=text(number),
        stored=100.0 + version,
        expires=4e9,
        gone=4e9,
        size=10,
        embedding=MODEL.id if number % 7 else "",
        tags=("t",),
        group=entry(1) if number % 10 == 3 else "",
        said=answered(f"answer {number}"),
    )
    facts = replace(facts, **changes)
    vector = MODEL.embed(text(number + 10_000 * version)).vector
    return Record(facts, b"%d.%d" % (number, version), vector if facts.embedding else None)


class House:
    """A store that outlives the memories over it, and their snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.snapshot = folder / "index.snapshot"

    async def start(self, model: Any = MODEL, **options: Any) -> Memory:
        bodies = SqliteBodies.open(self.folder / "likewise.db")
        memory = Memory(model, bodies, snapshot=self.snapshot, **options)
        await memory.load()
        return memory

    async def crash(self, memory: Memory) -> None:
        """End without the orderly end's snapshot."""
        await memory.settled()
        memory._pool.close()
        await memory.bodies.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(spaces, "Space", partial(Space, flat_most=40))
    return House(tmp_path)


async def keep(memory: Memory, one: Record) -> None:
    meaning = bool(one.facts.embedding)
    await memory.keep(one.facts, one.body, one.vector, meaning=meaning)
    await memory.settled()


async def fill(memory: Memory, numbers: Any = range(MANY)) -> None:
    for number in numbers:
        await keep(memory, record(number))
    await memory.tend()


def state(memory: Memory) -> dict[str, Any]:
    """All that is held, and what a search for each entry's own vector finds first."""
    catalog = memory.catalog
    held = {slot.facts.entry: slot.facts for slot in catalog.slots()}
    found = {}
    for facts in held.values():
        within = catalog.spaces.within(facts.space) if facts.embedding else None
        vectors = catalog.spaces.vectors([facts.entry])
        if within is not None and vectors:
            best = within.search(vectors[facts.entry], 3)
            found[facts.entry] = {name for name, score in best if score == 1.0}
    sums = (catalog.size, +catalog.counts, catalog.owners, catalog.groups, len(catalog))
    said = {e: getattr(catalog.saying(f.said), "entry", None) for e, f in held.items() if f.said}
    members = sorted(catalog.members(entry(1)))
    return {"held": held, "found": found, "sums": sums, "said": said, "members": members}


async def restarted(house: House, **options: Any) -> dict[str, Any]:
    memory = await house.start(**options)
    seen = state(memory)
    await house.crash(memory)
    return seen


async def from_the_store(house: House, **options: Any) -> dict[str, Any]:
    """The truth: what a start without any snapshot comes to."""
    memory = Memory(MODEL, SqliteBodies.open(house.folder / "likewise.db"), **options)
    await memory.load()
    seen = state(memory)
    await house.crash(memory)
    return seen


def uses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.name == "likewise.recovery"]


@pytest.mark.parametrize("options", [{}, {"pca": 8}])
async def test_a_restart_holds_the_same(
    house: House, caplog: pytest.LogCaptureFixture, options: dict[str, int]
) -> None:
    """Facts, sums, answers, groups and neighbours are as before, and as the store has them."""
    memory = await house.start(**options)
    await fill(memory)
    before = state(memory)
    await memory.save(least=1)
    await house.crash(memory)
    assert house.snapshot.exists()
    caplog.clear()
    after = await restarted(house, **options)
    assert after == before == await from_the_store(house, **options)
    assert uses(caplog) == []
    assert len(after["held"]) == MANY
    assert all(name in found for name, found in after["found"].items())


async def test_it_is_the_snapshot_that_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a snapshot of use the store is not scanned."""
    memory = await house.start()
    await fill(memory)
    await memory.save(least=1)
    await house.crash(memory)
    monkeypatch.setattr(SqliteBodies, "scan", None)
    assert len((await restarted(house))["held"]) == MANY


async def test_what_changed_since_is_made_good(house: House) -> None:
    """What is written, amended, deleted and swept after the snapshot ends as in the store."""
    memory = await house.start()
    await fill(memory)
    await memory.save(least=1)
    for number in range(0, 40, 2):
        await keep(memory, record(number, version=1, gone=4e9 if number % 4 else 5.0))
    await fill(memory, range(MANY, MANY + 20))
    await memory.forget([entry(number) for number in range(1, 60, 3)])
    await memory.flag([entry(number) for number in range(60, 70)], flagged=True)
    memory.amend(entry(71), exact=True)
    await memory.settled()
    await memory.bodies.sweep(6.0)
    await house.crash(memory)
    after = await restarted(house)
    assert after == await from_the_store(house)
    assert sum(facts.flagged for facts in after["held"].values()) > 5
    assert entry(1) not in after["held"]
    assert entry(MANY + 19) in after["held"]


async def test_what_the_snapshot_saw_half_is_made_good(house: House) -> None:
    """Entries that come, go and change while it is written end as in the store, whatever it saw."""
    memory = await house.start()
    await fill(memory)
    slow, save = threading.Event(), Catalog.save

    def slowly(self: Catalog, out: Any) -> None:
        put = out.put

        def wait(name: str, array: Any) -> None:
            put(name, array)
            slow.wait(0.05)

        out.put = wait
        save(self, out)

    Catalog.save = slowly  # type: ignore[method-assign]
    try:
        saving = asyncio.create_task(memory.save(least=1))
        for number in range(150):
            await asyncio.sleep(0.004)
            await memory.forget([entry(number)])
            await keep(memory, record(MANY + number))
            await keep(memory, record(number // 2 + 60, version=number + 1))
        await asyncio.wait_for(saving, 20)
    finally:
        Catalog.save = save  # type: ignore[method-assign]
    await house.crash(memory)
    assert house.snapshot.exists()
    assert await restarted(house) == await from_the_store(house)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
async def test_a_damaged_snapshot_is_ignored(
    house: House, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so; the one before serves, and without one the store does."""
    memory = await house.start()
    await fill(memory, range(100))
    await memory.save(least=1)
    await fill(memory, range(100, MANY))
    await memory.save(least=1)
    await house.crash(memory)
    data = house.snapshot.read_bytes()
    half = len(data) // 2
    harmed = {
        "cut": data[:half],
        "flipped": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :],
        "empty": b"",
        "text": b"no snapshot at all, but some text that is longer than its end",
    }[damage]
    house.snapshot.write_bytes(harmed)
    truth = await from_the_store(house)
    caplog.clear()
    assert await restarted(house) == truth
    assert [line.split(" is not used: ")[0] for line in uses(caplog)] == ["index.snapshot"]
    (house.folder / "index.snapshot.before").write_bytes(harmed)
    caplog.clear()
    assert await restarted(house) == truth
    assert len(uses(caplog)) == 2


async def test_a_snapshot_of_something_else_is_ignored(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another model, another storage, lists of other dimensions, or another store."""
    memory = await house.start()
    await fill(memory)
    await memory.save(least=1)
    await house.crash(memory)
    caplog.clear()
    other = HashingEmbedder(32)
    assert (await restarted(house, model=other))["found"] == {}
    assert len((await restarted(house, storage="float32"))["held"]) == MANY
    assert len((await restarted(house, pca=8))["held"]) == MANY
    for name in ("likewise.db", "likewise.db-wal", "likewise.db-shm"):
        (house.folder / name).unlink(missing_ok=True)
    assert (await restarted(house))["held"] == {}
    lines = uses(caplog)
    assert len(lines) == 4
    assert "does not know what has changed" in lines[3]


async def test_a_store_put_back_to_an_earlier_state_is_not_mixed_up(house: House) -> None:
    """A snapshot that is ahead of its store, as after a restored backup, is ignored."""
    memory = await house.start()
    await fill(memory, range(50))
    await house.crash(memory)
    backup = (house.folder / "likewise.db").read_bytes()
    memory = await house.start()
    await fill(memory, range(50, 100))
    await memory.save(least=1)
    await house.crash(memory)
    for name in ("likewise.db-wal", "likewise.db-shm"):
        (house.folder / name).unlink(missing_ok=True)
    (house.folder / "likewise.db").write_bytes(backup)
    assert len((await restarted(house))["held"]) == 50


async def test_a_purge_leaves_no_snapshot_that_tells_of_it(house: House) -> None:
    """What somebody wants forgotten stands in no file afterwards, not even in one under way."""
    memory = await house.start()
    await fill(memory)
    await memory.save(least=1)
    await fill(memory, range(10))
    await memory.save(least=1)
    secret = text(9).encode()
    files = list(house.folder.glob("index.snapshot*"))
    assert len(files) == 2
    assert all(secret in file.read_bytes() for file in files)
    saving = asyncio.create_task(memory.save(least=0))
    await asyncio.sleep(0)
    assert await memory.purge([entry(9)]) == 1
    await saving
    assert list(house.folder.glob("index.snapshot*")) == []
    await house.crash(memory)
    assert await restarted(house) == await from_the_store(house)


async def test_an_orderly_end_writes_one_where_it_is_worth_it(house: House) -> None:
    """A thousand changes are, a few are not; a store that writes no changes down has none."""
    memory = await house.start()
    await fill(memory, range(50))
    await memory.close()
    assert not house.snapshot.exists()
    memory = await house.start()
    for number in range(1_000):
        memory.catalog.hold(record(number).facts)
    await memory.close()
    assert house.snapshot.exists()
    other = Memory(MODEL, MemoryBodies(), snapshot=house.folder / "other")
    await fill(other, range(10))
    await other.save(least=1)
    assert not (house.folder / "other").exists()
    await other.close()


async def test_nothing_is_written_while_entries_are_loaded(house: House) -> None:
    """Half of the entries are no snapshot."""
    memory = await house.start()
    await fill(memory, range(50))
    memory.loading.begin()
    await memory.save(least=1)
    assert not house.snapshot.exists()
    await house.crash(memory)


async def test_a_disk_that_is_full_costs_a_line(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that cannot be written is given up, and the one before stays."""
    memory = await house.start()
    await fill(memory, range(50))
    await memory.save(least=1)
    first = house.snapshot.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Catalog, "save", full)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        await memory.save(least=0)
    assert [line.split(":")[0] for line in uses(caplog)] == ["no snapshot of the index"]
    assert house.snapshot.read_bytes() == first
    assert len(list(house.folder.glob("index.snapshot*"))) == 1
    monkeypatch.undo()
    await house.crash(memory)


async def test_requests_meanwhile_count(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found, kept, flagged and forgotten while a snapshot is read stands afterwards."""
    memory = await house.start()
    await fill(memory)
    await memory.save(least=1)
    await house.crash(memory)
    restore, go_on = Catalog.restore, threading.Event()

    def slowly(self: Catalog, source: Any) -> None:
        restore(self, source)
        assert go_on.wait(20)

    monkeypatch.setattr(Catalog, "restore", slowly)
    bodies = SqliteBodies.open(house.folder / "likewise.db")
    memory = Memory(MODEL, bodies, snapshot=house.snapshot)
    memory.loading.begin()
    loading = asyncio.create_task(memory.load())
    assert await memory.recall(entry(5)) is not None
    assert await memory.recall(entry(9_999)) is None
    await memory.purge([entry(5), entry(6)])
    await keep(memory, record(6, version=1))
    await keep(memory, record(MANY))
    await memory.flag([entry(8)], flagged=True)
    go_on.set()
    await asyncio.wait_for(loading, 20)
    after = state(memory)
    await house.crash(memory)
    assert after == await from_the_store(house)
    assert entry(5) not in after["held"]
    assert after["held"][entry(6)].stored == 101.0
    assert after["held"][entry(8)].flagged


async def test_a_snapshot_of_nothing_is_of_use(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """An index that was emptied is written down and read again like any other."""
    memory = await house.start()
    await fill(memory, range(3))
    await memory.purge([entry(number) for number in range(3)])
    await memory.save()
    await keep(memory, record(4))
    await house.crash(memory)
    assert house.snapshot.exists()
    caplog.clear()
    assert [*(await restarted(house))["held"]] == [entry(4)]
    assert uses(caplog) == []
