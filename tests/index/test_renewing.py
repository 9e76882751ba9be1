"""Another model: entries match exactly at once, and by meaning once they are embedded anew."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from index import renewing
from index.amending import Change
from index.embedders.hashing import HashingEmbedder
from index.memory import Memory
from index.renewing import renew
from index.stores.sqlite import SqliteBodies
from tests.index.test_memory import Scripted, Troubled, ask, find, keep

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from policies.values import Facts

FAST = 100_000.0


class Other(Scripted):
    """Another encoder, of another dimension."""

    id = "other/1"

    def __init__(self) -> None:
        super().__init__(32)
        self._inner = HashingEmbedder(32)


class Deaf(Troubled):
    """A store that, while it is down, takes no change either."""

    async def amend(self, *change: Any) -> Facts | None:
        self._answer()
        return await super().amend(*change)


async def remembered(bodies: Troubled, count: int = 3) -> list[Facts]:
    """Entries that an earlier model has read, the latest last."""
    memory = Memory(Scripted(), bodies)
    return [await keep(memory, ask(f"number {n}"), stored=100.0 + n) for n in range(count)]


async def test_nothing_goes_cold() -> None:
    """Exact matches go on; matches by meaning come back one by one, the latest used first, here and
    after a restart."""
    bodies, other = Troubled(), Other()
    old = await remembered(bodies)
    memory = Memory(other, bodies)
    await memory.load()
    assert memory.catalog.unread == 3
    found = await find(memory, ask("number 1"))
    assert found.exact == old[1]
    assert (await find(memory, ask("number 1 please"))).near == ()
    other.calls.clear()
    assert await renew(memory, FAST) == 3
    assert other.calls == ["number 2", "number 1", "number 0"]
    assert memory.catalog.unread == 0
    for restarted in (memory, Memory(Other(), bodies)):
        await restarted.load()
        near = (await find(restarted, ask("number 1 please"))).near
        assert {c.facts.entry for c in near} == {one.entry for one in old}
        assert {c.facts.embedding for c in near} == {"other/1"}
    assert await renew(memory, FAST) == 0


async def test_what_one_encoder_was_taught_goes() -> None:
    """Labels of the old similarities are dropped, all else of the entry stays."""
    bodies = Troubled()
    (old,) = await remembered(bodies, 1)
    await bodies.amend(old.entry, Change(group="a" * 32, label=(0.97, True), flagged=True).onto)
    memory = Memory(Other(), bodies)
    await memory.load()
    assert await memory.renew(old.entry)
    told = await bodies.read(old.entry)
    assert told is not None
    assert told.facts == replace(old, embedding="other/1", group="a" * 32, flagged=True)
    assert told.body == b"answer"
    assert told.vector is not None
    assert told.vector.shape == (32,)


async def test_what_cannot_be_read_stays_exact() -> None:
    """What the new model cuts or cannot embed is not found by meaning, nor what never was."""
    bodies, other = Troubled(), Other()
    cut, failing, exact = await remembered(bodies)
    await bodies.amend(exact.entry, Change(exact=True).onto)
    other.flags["number 0"] = {"truncated": True}

    def act(text: str) -> None:
        if text == "number 1":
            raise RuntimeError(text)

    other.act = act
    memory = Memory(other, bodies)
    await memory.load()
    assert await renew(memory, FAST) == 0
    assert memory.catalog.unread == 2
    for one in (cut, failing, exact):
        assert (await find(memory, ask(one.text))).exact is not None
        assert not await memory.renew(one.entry)
    assert not await memory.renew("f" * 32)


async def test_what_changes_meanwhile_counts() -> None:
    """An answer that was replaced or forgotten while its question was embedded stays so."""
    bodies, other = Troubled(), Other()
    replaced, forgotten, _ = await remembered(bodies)
    memory = Memory(other, bodies)
    await memory.load()
    loop = asyncio.get_running_loop()

    def act(text: str) -> None:
        change = {
            "number 0": lambda: keep(memory, ask("number 0"), b"newer", stored=900.0),
            "number 1": lambda: memory.purge([forgotten.entry]),
        }.get(text)
        other.act = lambda _: None
        if change is not None:
            asyncio.run_coroutine_threadsafe(change(), loop).result(10)

    for one in (replaced, forgotten):
        other.act = act
        await memory.renew(one.entry)
    await memory.settled()
    assert memory.facts(forgotten.entry) is None
    assert await bodies.read(forgotten.entry) is None
    told = await bodies.read(replaced.entry)
    assert told is not None
    assert (told.body, told.facts.stored, told.facts.embedding) == (b"newer", 900.0, "other/1")


async def test_it_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more a second than wanted, none where none is, and a store that is down is asked again."""
    monkeypatch.setattr(renewing, "REST_SECONDS", 0.01)
    bodies = Deaf()
    await remembered(bodies)
    memory = Memory(Other(), bodies)
    await memory.load()
    assert await renew(memory, 0) == 0
    bodies.down = True
    task = asyncio.create_task(renew(memory, 50.0))
    await asyncio.sleep(0.1)
    assert not task.done()
    began = time.monotonic()
    bodies.down = False
    assert await task == 3
    assert time.monotonic() - began >= 2 / 50.0


async def test_a_local_store_keeps_it(tmp_path: Path) -> None:
    """On disk as well, the vector stands beside the facts that name its encoder."""
    bodies = SqliteBodies.open(tmp_path / "likewise.db")
    old = await keep(Memory(Scripted(), bodies), ask("number 0"))
    memory = Memory(Other(), bodies)
    await memory.load()
    assert await renew(memory, FAST) == 1
    back = await bodies.read(old.entry)
    assert back is not None
    assert back.vector is not None
    assert (back.facts.embedding, back.vector.shape) == ("other/1", (32,))
    await memory.close()
