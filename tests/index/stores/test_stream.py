"""The log of changes: no number left out, no loss unnoticed, on one server and on a cluster."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from index.errors import GapError, StoreError
from index.ports import Mark, StepKind
from index.stores import link, stream
from index.stores.stream import Stream
from tests.index.stores.test_sqlite import name
from tests.servers import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from index.ports import Step
    from tests.servers import RedisCluster, RedisServer, Sentinels

pytestmark = pytest.mark.redis

PUT, GONE, FENCE = StepKind.PUT, StepKind.GONE, StepKind.FENCE


class Desk:
    """Two processes at one log, and the server that holds it."""

    def __init__(self, url: str, holder: Callable[[str], RedisServer]) -> None:
        self.namespace = f"test-{uuid.uuid4().hex}"
        self.server = holder(f"{{{self.namespace}}}:log")
        self._links = [link.opened(url, read=5.0, write=5.0) for _ in range(2)]
        self.here, self.there = (Stream(one, namespace=self.namespace) for one in self._links)

    def key(self, part: str) -> str:
        return f"{{{self.namespace}}}:{part}"

    async def close(self) -> None:
        for log, servers in zip((self.here, self.there), self._links, strict=True):
            await log.leave()
            await servers.close()


@asynccontextmanager
async def desk_at(url: str, holder: Callable[[str], RedisServer]) -> AsyncIterator[Desk]:
    desk = Desk(url, holder)
    yield desk
    await desk.close()


@pytest.fixture(params=["server", "cluster"])
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    if request.param == "server":
        server: RedisServer = request.getfixturevalue("redis_server")
        url, holder = server.url, lambda _: server
    else:
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        url, holder = cluster.url, cluster.holder
    async with desk_at(url, holder) as made:
        yield made


@pytest.fixture
async def own(own_redis: RedisServer) -> AsyncIterator[Desk]:
    """A desk whose server the test may trouble."""
    async with desk_at(own_redis.url, lambda _: own_redis) as made:
        yield made


async def told(log: Stream, kind: StepKind, *numbers: int) -> None:
    log.tell(kind, [name(number) for number in numbers])
    assert log._telling is not None
    await log._telling


async def steps(log: Stream, mark: Mark) -> tuple[Step, ...]:
    return (await log.since(mark)).steps


async def test_steps_come_in_order_and_none_is_left_out(desk: Desk) -> None:
    """What either tells is read by both, numbered one by one, with what it was and who told it."""
    start = await desk.here.mark()
    await told(desk.here, PUT, 1, 2)
    await told(desk.there, GONE, 1)
    fenced = await desk.here.fence()
    for log in (desk.here, desk.there):
        found = await steps(log, start)
        assert [(s.seq - start.seq, s.kind, s.entries) for s in found] == [
            (1, PUT, (name(1), name(2))),
            (2, GONE, (name(1),)),
            (3, FENCE, ()),
        ]
        assert [s.origin for s in found] == [desk.here.origin, desk.there.origin, desk.here.origin]
    assert fenced == await desk.there.mark() == Mark(start.epoch, start.seq + 3)
    assert await steps(desk.here, fenced) == ()


async def test_two_that_tell_at_once_leave_no_gap(desk: Desk) -> None:
    """Two hundred names from two processes at the same time: every one is read, without a gap."""
    start = await desk.here.mark()
    for number in range(100):
        desk.here.tell(PUT, [name(number)])
        desk.there.tell(PUT, [name(100 + number)])
        await asyncio.sleep(0.001)
    assert desk.here._telling is not None
    assert desk.there._telling is not None
    await asyncio.gather(desk.here._telling, desk.there._telling)
    found = await steps(desk.here, start)
    assert [s.seq for s in found] == [start.seq + 1 + n for n in range(len(found))]
    assert {entry for s in found for entry in s.entries} == {name(n) for n in range(200)}


async def test_the_last_word_on_an_entry_is_told(desk: Desk) -> None:
    """An entry that is put and gone before it could be told is told as gone, once."""
    start = await desk.here.mark()
    desk.here.tell(PUT, [name(1), name(2)])
    desk.here.tell(GONE, [name(1)])
    await told(desk.here, PUT)
    assert {(s.kind, s.entries) for s in await steps(desk.there, start)} == {
        (GONE, (name(1),)),
        (PUT, (name(2),)),
    }


async def test_notes_are_passed_on_as_they_are(desk: Desk) -> None:
    """What was learned is bytes to the log, one step a note, none of it an entry."""
    start = await desk.here.mark()
    notes = [bytes(range(256)), b"\n second"]
    for note in notes:
        desk.here.say(note)
    await told(desk.here, PUT, 1)
    found = [s for s in await steps(desk.there, start) if s.kind is StepKind.LEARNED]
    assert [(s.note, s.entries) for s in found] == [(note, ()) for note in notes]


async def test_notes_that_wait_are_the_newest(own: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server is away a bounded number of notes is held; then they are told in order."""
    own.server.stop()
    for number in range(stream.UNSAID + 5):
        own.here.say(b"%d" % number)
        await asyncio.sleep(0)
    own.server.start()
    assert own.here._telling is not None
    await asyncio.wait_for(own.here._telling, 30)
    found = await steps(own.there, Mark((await own.there.mark()).epoch, 0))
    assert [int(s.note) for s in found][-stream.UNSAID :] == list(range(5, stream.UNSAID + 5))


async def test_many_names_are_several_steps(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step stays small, and what is not read at once is read next."""
    monkeypatch.setattr(stream, "ENTRIES_PER_STEP", 3)
    monkeypatch.setattr(stream, "READ_AT_ONCE", 2)
    start = await desk.here.mark()
    await told(desk.here, PUT, *range(8))
    first = await desk.there.since(start)
    assert ([len(s.entries) for s in first.steps], first.end.seq) == ([3, 3], start.seq + 3)
    rest = await steps(desk.there, Mark(start.epoch, first.steps[-1].seq))
    assert [len(s.entries) for s in rest] == [2]


async def test_what_was_cut_off_is_a_gap(desk: Desk) -> None:
    """Steps that the server dropped are missed by who had not read them, and by nobody else."""
    start = await desk.here.mark()
    for number in range(5):
        await told(desk.here, PUT, number)
    with desk.server.client() as client:
        client.execute_command("XTRIM", desk.key("steps"), "MAXLEN", 2)
    with pytest.raises(GapError, match="cut off"):
        await desk.there.since(start)
    left = await steps(desk.there, Mark(start.epoch, start.seq + 3))
    assert [s.entries for s in left] == [(name(3),), (name(4),)]


async def test_what_changed_since_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whomever, each name once, however many looks it takes; and nobody hears of the reader."""
    monkeypatch.setattr(stream, "READ_AT_ONCE", 2)
    await told(desk.there, PUT, 9)
    start = await desk.here.mark()
    for number in (1, 2, 3, 2):
        await told(desk.there, PUT, number)
    await told(desk.here, GONE, 1)
    assert await desk.here.changed(start) == [name(1), name(2), name(3)]
    assert await desk.here.changed(await desk.here.mark()) == []
    assert (await desk.there.roll()).heard == ()


@pytest.mark.parametrize("trouble", ["fence", "cut", "log", "ahead"])
async def test_what_changed_since_is_not_guessed(desk: Desk, trouble: str) -> None:
    """A purge meanwhile, steps cut off, a log begun anew or an older one: all is to be read."""
    start = await desk.here.mark()
    await told(desk.there, PUT, 1)
    await told(desk.there, PUT, 2)
    with desk.server.client() as client:
        if trouble == "fence":
            await desk.there.fence()
        elif trouble == "cut":
            client.execute_command("XTRIM", desk.key("steps"), "MAXLEN", 1)
        elif trouble == "log":
            client.delete(desk.key("log"))
        else:
            start = Mark(start.epoch, start.seq + 7)
    with pytest.raises(GapError):
        await desk.here.changed(start)


async def test_the_log_does_not_grow_for_ever(redis_server: RedisServer) -> None:
    """Its oldest steps go when it is long."""
    servers = link.opened(redis_server.url, read=5.0, write=5.0)
    log = Stream(servers, namespace=f"test-{uuid.uuid4().hex}", kept=100)
    start = await log.mark()
    for number in range(500):
        await log._append([(PUT, (name(number),), b"")])
    with redis_server.client() as client:
        length = client.execute_command("XLEN", log._keys[1])
    assert 100 <= length < 300  # type: ignore[operator]
    with pytest.raises(GapError):
        await log.since(start)
    await servers.close()


@pytest.mark.parametrize("lost", [["log"], ["steps"], ["log", "steps", "replicas"]])
async def test_what_is_lost_is_noticed(desk: Desk, lost: list[str]) -> None:
    """Head, steps or all gone: whoever had read before learns that it must compare."""
    await told(desk.here, PUT, 1)
    read = await desk.there.mark()
    await told(desk.here, PUT, 2)
    with desk.server.client() as client:
        client.delete(*(desk.key(part) for part in lost))
    with pytest.raises(GapError):
        await desk.there.since(read)
    again = await desk.there.mark()
    await told(desk.here, PUT, 3)
    assert [s.entries for s in await steps(desk.there, again)] == [(name(3),)]


async def test_steps_of_a_lost_log_are_not_taken_for_those_of_the_new(desk: Desk) -> None:
    """Where the head alone is lost, the new log begins empty, under another epoch."""
    await told(desk.here, PUT, 1)
    read = await desk.there.mark()
    with desk.server.client() as client:
        client.delete(desk.key("log"))
    again = await desk.there.mark()
    assert (again.seq, again.epoch == read.epoch) == (0, False)
    assert await steps(desk.there, again) == ()


async def test_a_server_that_came_back_is_another_log(own: Desk) -> None:
    """A restart from a copy in which the numbers go on from further back is a gap."""
    await told(own.here, PUT, 1)
    with own.server.client() as client:
        client.save()
    read = await own.there.mark()
    await told(own.here, PUT, 2)
    own.server.stop()
    own.server.start()
    with own.server.client() as client:
        wait_until(lambda: client.exists(own.key("log")) == 1, "the copy was not loaded")
    with suppress(StoreError):  # the connection that the old server closed
        await own.there.mark()
    with pytest.raises(GapError, match="anew"):
        await own.there.since(read)


async def test_a_new_master_is_another_log(own_sentinels: Sentinels) -> None:
    """A replica that became master may lack the newest steps, so everybody compares."""
    servers = link.opened(own_sentinels.url, read=5.0, write=5.0)
    log = Stream(servers, namespace="test")
    read = await log.mark()
    own_sentinels.master.stop()

    async def noticed() -> bool:
        try:
            await log.since(read)
        except GapError:
            return True
        except StoreError:
            return False
        return False

    async with asyncio.timeout(30):
        while not await noticed():  # noqa: ASYNC110 - nothing says when
            await asyncio.sleep(0.1)
    await servers.close()


async def heard(log: Stream) -> dict[str, int]:
    return {one.name: one.seq for one in (await log.roll()).heard}


async def test_how_far_each_has_read_is_known(desk: Desk) -> None:
    """A look says that everything before it was taken in, and nothing of what it brings."""
    start = await desk.here.mark()
    await desk.there.since(start)
    await desk.here.since(start)
    mark = await desk.here.fence()
    both = {desk.here.origin: start.seq, desk.there.origin: start.seq}
    assert await heard(desk.here) == both
    await desk.there.since(start)
    assert await heard(desk.here) == both
    assert (await desk.there.since(mark)).heard
    assert await heard(desk.here) == both | {desk.there.origin: mark.seq}
    told = await desk.here.roll()
    assert told.epoch == mark.epoch
    assert all(0 <= one.seconds < 60 for one in told.heard)


async def test_who_left_is_not_waited_for(desk: Desk) -> None:
    """An orderly end, or a minute of silence, takes a replica off the list."""
    start = await desk.here.mark()
    await desk.there.since(start)
    with desk.server.client() as client:
        client.hset(desk.key("replicas"), "dead:1:0", f"0 {1_000_000_000_000}")
        await desk.here.roll()
        assert client.hkeys(desk.key("replicas")) == [desk.there.origin.encode()]
    await desk.there.leave()
    assert await heard(desk.here) == {}


async def test_what_could_not_be_told_is_told_later(own: Desk) -> None:
    """While the server is away nothing raises; afterwards it is told, the last word first."""
    own.server.stop()
    own.here.tell(PUT, [name(1)])
    await asyncio.sleep(0.05)
    own.here.tell(GONE, [name(1)])
    with pytest.raises(StoreError, match="cannot be used"):
        await own.there.mark()
    own.server.start()
    assert own.here._telling is not None
    await asyncio.wait_for(own.here._telling, 30)
    assert [s.kind for s in await steps(own.there, Mark((await own.there.mark()).epoch, 0))] == [
        GONE
    ]


async def test_too_much_to_tell_makes_everybody_compare(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be told is bounded; beyond that the log is begun anew."""
    monkeypatch.setattr(stream, "UNTOLD", 10)
    read = await desk.there.mark()
    await told(desk.here, PUT, *range(20))
    with pytest.raises(GapError):
        await desk.there.since(read)


async def test_a_full_server_can_be_read_but_hears_nothing(own: Desk) -> None:
    """Steps are read where memory is full; that they were is not noted, and is said."""
    start = await own.here.mark()
    await told(own.here, PUT, 1)
    with own.server.client() as client:
        client.config_set("maxmemory", 1)
    news = await own.there.since(start)
    assert (len(news.steps), news.heard) == (1, False)
    with pytest.raises(StoreError, match="maxmemory"):
        await own.here.fence()


async def test_kinds_of_a_newer_version_change_nothing(desk: Desk) -> None:
    """A step that is not understood counts, so that no gap is seen, and names nothing."""
    start = await desk.here.mark()
    await desk.here._run(stream._TELL, desk.here.origin, 100, "novel", name(1), "")
    assert [(s.seq - start.seq, s.entries) for s in await steps(desk.there, start)] == [(1, ())]
