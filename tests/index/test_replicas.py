"""Several memories on one Redis are one cache: what one does, the others know."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from index.ending import end
from index.errors import GapError, StoreError
from index.memory import Memory
from index.replicas import LOST, TOUCH, Follower
from index.stores.redis import RedisBodies
from policies.values import Reach
from tests.index.test_memory import EGGS, Scripted, ask, body_of, facts, find, keep

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from index.ports import Record
    from policies.values import Facts
    from tests.servers import RedisServer

pytestmark = pytest.mark.redis

PATIENCE = 20.0


class Replica:
    """A memory over Redis with its follower, which looks when the test says so."""

    def __init__(
        self, url: str, namespace: str, embedder: Scripted, snapshot: Path | None = None
    ) -> None:
        self.late = 0.0
        self.store = RedisBodies.open(url, namespace=namespace)
        self.memory = Memory(embedder, self.store, snapshot=snapshot)
        self.follower = Follower(
            self.memory, self.store, clock=lambda: time.monotonic() + self.late
        )

    async def start(self) -> None:
        await self.follower.start()
        await self.memory.load()
        await self.follower.catch_up()

    async def settled(self) -> None:
        """All that was kept here is stored, and the others can hear of it."""
        await self.memory.settled()
        if self.store.log._telling is not None:
            await self.store.log._telling

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield
        finally:
            await end(task)

    async def near(self, text: str = EGGS) -> list[Facts]:
        return [c.facts for c in (await find(self.memory, ask(text))).near]

    async def close(self) -> None:
        await self.memory.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is promised here is no matter of a busy machine's tenth of a second.
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)


@asynccontextmanager
async def replicas(url: str, *embedders: Scripted) -> AsyncIterator[list[Replica]]:
    namespace = f"replicas-{uuid.uuid4().hex}"
    made = [Replica(url, namespace, embedder) for embedder in embedders]
    for one in made:
        await one.start()
    yield made
    for one in made:
        await one.close()


@pytest.fixture(params=["redis_server", "redis_cluster"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[list[Replica]]:
    """Two replicas, on one server and on a cluster."""
    servers = request.getfixturevalue(request.param)
    async with replicas(servers.url, Scripted(), Scripted()) as made:
        yield made


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not seen():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.01)


# -- inserts, amendments, deletions ----------------------------------------------------------------


async def test_what_one_keeps_the_other_finds_by_meaning(pair: list[Replica]) -> None:
    """An answer kept elsewhere is a neighbour here, without having been asked for here."""
    here, there = pair
    kept = await keep(here.memory, ask(), b"shared")
    await here.settled()
    assert await there.near() == []
    assert await there.follower.follow()
    assert await there.near() == [kept]
    assert await body_of(there.memory, kept) == b"shared"
    assert there.memory.size == here.memory.size


async def test_what_is_amended_is_known_elsewhere(pair: list[Replica]) -> None:
    """Group, labels and a bad verdict reach the other; its counts follow."""
    here, there = pair
    kept = await keep(here.memory, ask())
    await here.settled()
    await there.follower.follow()
    here.memory.amend(kept.entry, group="g", label=(0.9, True))
    await here.memory.flag([kept.entry], flagged=True)
    await here.settled()
    await there.follower.follow()
    known = there.memory.facts(kept.entry)
    assert known == here.memory.facts(kept.entry)
    assert known is not None
    assert (known.flagged, known.group, known.labels) == (True, "g", ((0.9, True),))
    assert there.memory.groups == {"g": 1}


async def test_an_amended_entry_is_not_indexed_again(
    pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label from elsewhere changes facts; the vector stays where it is."""
    here, there = pair
    kept = await keep(here.memory, ask())
    await here.settled()
    await there.follower.follow()
    monkeypatch.setattr(there.memory.catalog, "place", None)
    here.memory.amend(kept.entry, label=(0.9, True))
    await here.settled()
    await there.follower.follow()
    assert len(await there.near()) == 1


async def test_what_is_made_exact_only_is_no_neighbour_elsewhere(pair: list[Replica]) -> None:
    """An entry that is taken out of the search is out of it everywhere."""
    here, there = pair
    kept = await keep(here.memory, ask())
    await here.settled()
    await there.follower.follow()
    here.memory.amend(kept.entry, exact=True)
    await here.settled()
    await there.follower.follow()
    assert await there.near() == []
    assert (await find(there.memory, ask())).exact is not None


async def test_what_is_deleted_is_gone_elsewhere(pair: list[Replica]) -> None:
    """An eviction or a bad verdict here takes the neighbour away there."""
    here, there = pair
    kept = await keep(here.memory, ask())
    await here.settled()
    await there.follower.follow()
    assert await there.memory.forget([kept.entry]) == 1
    await there.settled()
    await here.follower.follow()
    assert (len(here.memory), len(there.memory)) == (0, 0)


async def test_a_step_is_read_as_what_the_store_holds_now(pair: list[Replica]) -> None:
    """An old deletion does not hide what was kept anew, nor an old insert bring back what went."""
    here, there = pair
    kept = await keep(here.memory, ask())
    await here.memory.forget([kept.entry])
    again = await keep(here.memory, ask(), b"anew")
    gone = await keep(here.memory, ask("Where is the nearest station?"))
    await here.settled()
    await here.memory.bodies.delete([gone.entry])
    await there.follower.follow()
    assert await there.near() == [again]
    assert there.memory.facts(gone.entry) is None


async def test_another_model_is_matched_exactly_only(redis_server: RedisServer) -> None:
    """A vector of another model is never compared with; equal questions are answered."""
    other = Scripted()
    other.id = "scripted/2"
    async with replicas(redis_server.url, Scripted(), other) as (here, there):
        await keep(here.memory, ask())
        await here.settled()
        await there.follower.follow()
        assert await there.near() == []
        assert (await find(there.memory, ask(reach=Reach.EXACT))).exact is not None


async def test_what_is_being_written_here_is_newer(pair: list[Replica]) -> None:
    """A step about an entry that this process is just replacing changes nothing here."""
    here, there = pair
    await keep(here.memory, ask(), b"old")
    await here.settled()
    gate, write = asyncio.Event(), there.store.write

    async def slow(record: Record) -> None:
        await gate.wait()
        await write(record)

    there.store.write = slow  # type: ignore[method-assign]
    found = await find(there.memory, ask())
    made = facts(ask(), found)
    await there.memory.keep(made, b"new", found.vector, meaning=True)
    await there.follower.follow()
    known = there.memory.facts(made.entry)
    assert known is not None
    assert known.stored == made.stored
    gate.set()
    await there.settled()
    await here.follower.follow()
    assert await body_of(here.memory, made) == b"new"
    assert len(await here.near()) == 1


async def test_what_one_learns_the_other_hears(pair: list[Replica]) -> None:
    """A note is heard once, by the others only; a hearer that fails holds nothing up."""
    here, there = pair
    heard: list[bytes] = []
    here.follower.heard = heard.append

    def failing(note: bytes) -> None:
        heard.append(note)
        raise ValueError("not understood")

    there.follower.heard = failing
    here.follower.say(b"first")
    here.follower.say(b"second")
    kept = await keep(here.memory, ask())
    await here.settled()
    for one in (here, there):
        while await one.follower.follow():
            pass
    assert heard == [b"first", b"second"]
    assert await there.near() == [kept]


# -- purges ----------------------------------------------------------------------------------------


async def test_a_purge_ends_what_another_is_asking_for(pair: list[Replica]) -> None:
    """When the purge is acknowledged, no other replica keeps what it asked for before."""
    here, there = pair
    kept = await keep(here.memory, ask())
    before = there.memory.generation
    async with there.following():
        assert await here.memory.purge([kept.entry]) == 1
    assert there.memory.generation > before
    assert (await find(there.memory, ask())).exact is None


async def test_a_purge_waits_for_what_another_is_writing(pair: list[Replica]) -> None:
    """What another replica was storing meanwhile is stored, and then chosen and removed."""
    here, there = pair
    gate, write = asyncio.Event(), there.store.write

    async def slow(record: Record) -> None:
        await gate.wait()
        await write(record)

    there.store.write = slow  # type: ignore[method-assign]
    found = await find(there.memory, ask())
    made = facts(ask(), found)
    await there.memory.keep(made, b"old", found.vector, meaning=True)
    asyncio.get_running_loop().call_later(0.2, gate.set)
    async with there.following(), here.memory.fences.purging():
        chosen = [slot.facts.entry for slot in await here.memory.every()]
        assert chosen == [made.entry]
        await here.memory.forget(chosen)
    assert (await find(there.memory, ask())).exact is None


async def test_a_silent_replica_is_named(
    pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purge that another has not confirmed removes what it can, fails, and may be repeated."""
    here, there = pair
    monkeypatch.setattr("index.replicas.CONFIRM", 0.1)
    kept = await keep(here.memory, ask())
    with pytest.raises(StoreError) as told:
        await here.memory.purge([kept.entry])
    assert there.store.log.origin in str(told.value)
    assert "purge again" in str(told.value)
    assert (await find(there.memory, ask())).exact is None
    async with there.following():
        monkeypatch.setattr("index.replicas.CONFIRM", PATIENCE)
        assert await here.memory.purge([kept.entry]) == 0


async def test_who_is_out_of_touch_keeps_nothing(
    pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that could not look for a while stores nothing, answers nothing from what it has
    not stored, and is back when it has read on."""
    here, there = pair
    assert there.follower.in_touch
    there.late = TOUCH + 1
    assert not there.follower.in_touch
    found = await find(there.memory, ask())
    made = facts(ask(), found)
    await there.memory.keep(made, b"old", found.vector, meaning=True)
    assert (await find(there.memory, ask())).exact is None
    assert await body_of(there.memory, made) is None
    await there.memory.settled()
    assert await here.store.read(made.entry) is None
    assert "nothing is kept" in there.memory.faults.last["store_write"]
    monkeypatch.setattr("index.replicas.LOST", 0.0)  # as if it had been silent for that long
    assert await here.memory.purge([]) == 0
    generation = there.memory.fences.generation
    await there.follower.catch_up()
    assert there.follower.in_touch
    assert there.memory.generation != generation
    assert (await keep(there.memory, ask())).entry == made.entry


async def test_in_touch_is_who_has_read_all(
    pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that does not reach the end of the log confirms nothing."""
    here, there = pair
    monkeypatch.setattr("index.stores.stream.READ_AT_ONCE", 1)
    there.late = TOUCH + 1
    for _ in range(2):
        await here.store.log.fence()
    await there.follower.follow()
    assert (there.follower.in_touch, there.follower.behind) == (False, 1)
    await there.follower.follow()
    assert (there.follower.in_touch, there.follower.behind) == (True, 0)


async def test_what_was_written_too_late_is_deleted_again(pair: list[Replica]) -> None:
    """An answer of before a purge that reaches the store after it goes when the purge is heard."""
    here, there = pair
    kept = await keep(there.memory, ask())
    late = await there.store.read(kept.entry)
    assert late is not None
    await here.store.log.fence()
    await here.memory.forget([kept.entry])
    await here.settled()
    await there.store.write(late)
    await there.follower.catch_up()
    await there.follower.follow()
    assert await here.store.read(kept.entry) is None
    assert there.memory.facts(kept.entry) is None


async def test_how_far_each_is(pair: list[Replica], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replica is told with its lag, this one first; alone where the log cannot be asked."""
    here, there = pair
    await here.follower.follow()
    await here.store.log.fence()
    await here.follower.follow()
    own, other = await here.follower.roll()
    assert (own.name, own.behind) == (here.store.log.origin, 0)
    assert (other.name, other.behind) == (there.store.log.origin, 1)
    assert own.lag is not None
    assert other.lag is not None
    assert 0 <= own.lag < PATIENCE
    assert 0 <= other.lag < PATIENCE

    async def failing() -> None:
        raise StoreError("down")

    monkeypatch.setattr(here.store.log, "roll", failing)
    assert [one.name for one in await here.follower.roll()] == [own.name]


# -- losses ----------------------------------------------------------------------------------------


async def lose(one: Replica, server: RedisServer, *parts: str) -> None:
    with server.client() as client:
        keys = one.store.log._keys
        client.delete(*(key for key in keys if key.rpartition(":")[2] in parts))


@pytest.mark.parametrize("parts", [("log",), ("steps",), ("log", "steps", "replicas")])
async def test_a_lost_log_makes_a_replica_compare(
    redis_server: RedisServer, parts: tuple[str, ...]
) -> None:
    """What was missed, inserts, deletions and amendments, is known after a comparison; answers
    that were being asked for are not kept."""
    async with replicas(redis_server.url, Scripted(), Scripted()) as (here, there):
        stays = await keep(here.memory, ask("Who wrote the Odyssey?"))
        goes = await keep(here.memory, ask("Where is the nearest station?"))
        await here.settled()
        await there.follower.follow()
        generation = there.memory.generation
        comes = await keep(here.memory, ask())
        await here.memory.forget([goes.entry])
        await here.memory.flag([stays.entry], flagged=True)
        await here.settled()
        await lose(here, redis_server, *parts)
        with pytest.raises(GapError):
            await there.follower.follow()
        async with there.following():
            await until(lambda: there.follower.resyncs == 1 and not there.follower.comparing)
        assert {s.facts.entry for s in there.memory.catalog.slots()} == {stays.entry, comes.entry}
        known = there.memory.facts(stays.entry)
        assert known is not None
        assert known.flagged
        assert there.memory.generation > generation
        assert (await there.near())[0] == comes


async def test_a_flushed_server_leaves_nothing_behind(own_redis: RedisServer) -> None:
    """After a flush every replica knows nothing, and what is kept next is shared again."""
    async with replicas(own_redis.url, Scripted(), Scripted()) as (here, there):
        await keep(here.memory, ask())
        await here.settled()
        await there.follower.follow()
        with own_redis.client() as client:
            client.flushall()
        async with here.following(), there.following():
            await until(lambda: len(here.memory) == len(there.memory) == 0)
            await keep(here.memory, ask("Who wrote the Odyssey?"))
            await until(lambda: len(there.memory) == 1)


async def test_what_is_written_during_a_comparison_stays(
    pair: list[Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that comes after the scan has passed its place is not taken for a lost one."""
    there = pair[1]
    scan = there.store.scan
    made: list[Facts] = []

    async def passing() -> AsyncIterator[Record]:
        async for record in scan():
            yield record
        made.append(await keep(there.memory, ask()))

    monkeypatch.setattr(there.store, "scan", passing)
    await there.follower._resync()
    await until(lambda: not there.follower.comparing)
    assert await there.near() == made


async def test_after_a_resync_a_purge_waits_for_who_may_be_unknown(pair: list[Replica]) -> None:
    """A log that was begun anew does not list everybody, so the purge takes its time."""
    here, there = pair
    await there.close()
    await here.follower._resync()
    task = asyncio.create_task(here.follower.fence())
    await asyncio.sleep(0.2)
    assert not task.done()
    await end(task)
    here.late = LOST + 1
    assert await here.follower.fence() == ""


async def test_a_server_that_is_away_is_followed_again(own_redis: RedisServer) -> None:
    """Following survives a restart, says how long it has been out of touch, and goes on."""
    async with (
        replicas(own_redis.url, Scripted(), Scripted()) as (here, there),
        here.following(),
        there.following(),
    ):
        own_redis.stop()
        await until(lambda: there.follower.lag > 0.5)
        own_redis.start()
        for one in (here, there):
            await until(lambda one=one: one.follower.resyncs > 0 and one.follower.in_touch)
        await keep(here.memory, ask())
        await until(lambda: len(there.memory) == 1)


async def test_a_purge_that_nobody_can_be_told_of_fails(own_redis: RedisServer) -> None:
    """Where the log cannot be written, what is chosen is removed and the purge says so."""
    async with replicas(own_redis.url, Scripted()) as (here,):
        kept = await keep(here.memory, ask())
        with own_redis.client() as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match="could not be told"):
            await here.memory.purge([kept.entry])
        with own_redis.client() as client:
            client.config_set("maxmemory", 0)
        assert await here.store.read(kept.entry) is None
        assert await here.memory.purge([]) == 0


async def test_what_this_process_did_is_not_done_again(pair: list[Replica]) -> None:
    """Its own steps are read past: nothing is looked up, no generation ends."""
    here, _ = pair
    await keep(here.memory, ask())
    await here.settled()
    generation = here.memory.generation
    known = [replace(slot.facts) for slot in here.memory.catalog.slots()]
    here.store.look = None  # type: ignore[method-assign, assignment]
    assert await here.follower.follow()
    assert here.follower.behind == 0
    assert [slot.facts for slot in here.memory.catalog.slots()] == known
    assert here.memory.generation == generation


# -- starting from a snapshot ----------------------------------------------------------------------


@asynccontextmanager
async def kept_by(url: str, folder: Path) -> AsyncIterator[tuple[Replica, Callable[[], Replica]]]:
    """A replica that has written down three entries and is gone; another; and who starts anew."""
    namespace = f"replicas-{uuid.uuid4().hex}"

    def anew() -> Replica:
        return Replica(url, namespace, Scripted(), folder / "index.snapshot")

    first, other = anew(), Replica(url, namespace, Scripted())
    await first.start()
    await other.start()
    for text in ("one?", "two?", "three?"):
        await keep(first.memory, ask(text))
    await first.settled()
    await first.follower.catch_up()
    await first.memory.save(least=0)
    assert (folder / "index.snapshot").exists()
    await first.follower.follow()
    await first.store.close()
    yield other, anew
    await other.close()


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def known(replica: Replica) -> set[str]:
    return {slot.facts.text for slot in replica.memory.catalog.slots()}


async def test_a_start_from_a_snapshot_is_brought_up_to_date(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others kept and deleted while it was down is known, without reading the whole store."""
    async with kept_by(redis_server.url, tmp_path) as (other, anew):
        await keep(other.memory, ask("four?"))
        await other.follower.follow()
        (gone,) = [s.facts.entry for s in other.memory.catalog.slots() if s.facts.text == "two?"]
        await other.memory.forget([gone])
        await other.settled()
        again = anew()
        monkeypatch.setattr(RedisBodies, "scan", None)
        await again.start()
        assert known(again) == {"one?", "three?", "four?"}
        assert again.memory.catalog.spaces.searched == 3
        await again.close()


@pytest.mark.parametrize("trouble", ["purge", "lost"])
async def test_a_snapshot_that_cannot_be_brought_up_to_date_is_removed(
    redis_server: RedisServer, tmp_path: Path, trouble: str
) -> None:
    """After a purge, or with the log lost, all is read; what was purged stays on no disk."""
    async with kept_by(redis_server.url, tmp_path) as (other, anew):
        await other.follower.follow()
        (gone,) = [s.facts.entry for s in other.memory.catalog.slots() if s.facts.text == "two?"]
        if trouble == "purge":
            await other.memory.purge([gone])
        else:
            await other.memory.forget([gone])
            await other.settled()
            with redis_server.client() as client:
                client.delete(other.store.log._keys[0])
        again = anew()
        await again.start()
        assert known(again) == {"one?", "three?"}
        assert files(tmp_path) == []
        await again.close()


async def test_a_purge_elsewhere_removes_the_snapshot(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """And the next one is worth writing at once, without what was purged."""
    async with kept_by(redis_server.url, tmp_path) as (other, anew):
        again = anew()
        await again.start()
        await other.follower.follow()
        (gone,) = [s.facts.entry for s in other.memory.catalog.slots() if s.facts.text == "two?"]
        async with again.following():
            await other.memory.purge([gone])
            assert files(tmp_path) == []
            await other.settled()
            await until(lambda: known(again) == {"one?", "three?"})
        await again.memory.save()
        assert (tmp_path / "index.snapshot").exists()
        await again.close()


async def test_nothing_is_written_down_while_it_is_unsure(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a comparison with the whole store nobody knows up to where all is known."""
    async with kept_by(redis_server.url, tmp_path) as (_, anew):
        again = anew()
        await again.start()
        assert await again.follower.stands() is not None
        monkeypatch.setattr(Follower, "comparing", True)
        assert await again.follower.stands() is None
        (tmp_path / "index.snapshot").unlink()
        await again.memory.save(least=0)
        assert files(tmp_path) == []
        await again.close()
