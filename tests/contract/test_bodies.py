"""What every store must do, asked of each: in memory, SQLite, a real Redis and a
cluster, and once more with every column encrypted."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.cipher import Cipher, protect
from index.errors import StoreError
from index.ports import Record, Revision
from index.stores.memory import MemoryBodies
from index.stores.redis import RedisBodies
from index.stores.sqlite import SqliteBodies
from policies.values import Facts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from index.ports import Bodies
    from tests.servers import RedisServer

NOW = time.time()
HOUR = 3600.0
VECTOR = np.array([0.6, 0.8, 0.0], dtype=np.float32)


class Bench:
    """A store under test, its clock, and a way to harm one column of an entry behind its back."""

    def __init__(self) -> None:
        self.now = NOW
        self.bodies: Bodies = MemoryBodies()
        self.harm: Callable[[str, str, bytes], None] = lambda *_: None

    def clock(self) -> float:
        return self.now


@asynccontextmanager
async def memory(bench: Bench, _: pytest.FixtureRequest) -> AsyncIterator[None]:
    bodies = MemoryBodies(clock=bench.clock)

    def harm(entry: str, column: str, data: bytes) -> None:
        gone, sealed = bodies._entries[entry]
        bodies._entries[entry] = (gone, sealed._replace(**{column: data}))

    bench.bodies, bench.harm = bodies, harm
    yield
    await bodies.close()


@asynccontextmanager
async def sqlite(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    tmp_path: Path = request.getfixturevalue("tmp_path")
    path = tmp_path / "likewise.db"
    bodies = SqliteBodies.open(path, clock=bench.clock)

    def harm(entry: str, column: str, data: bytes) -> None:
        with sqlite3.connect(path) as db:
            sql = f"UPDATE entries SET {column} = ? WHERE entry = ?"  # noqa: S608 - our own names
            db.execute(sql, (data, entry))
        db.close()

    bench.bodies, bench.harm = bodies, harm
    yield
    await bodies.close()


@asynccontextmanager
async def redis(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    server = request.getfixturevalue("redis_server")
    async with _redis(bench, request, server.url, lambda _: server):
        yield


@asynccontextmanager
async def cluster(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    servers = request.getfixturevalue("redis_cluster")
    async with _redis(bench, request, servers.url, servers.holder):
        yield


@asynccontextmanager
async def _redis(
    bench: Bench, request: pytest.FixtureRequest, url: str, holder: Callable[[str], RedisServer]
) -> AsyncIterator[None]:
    namespace = f"test-{uuid.uuid4().hex}"
    # As in `conftest`, which cannot see that a store of these needs a server.
    request.getfixturevalue("monkeypatch").setattr("index.stores.redis.READ_SECONDS", 5.0)
    bodies = RedisBodies.open(url, namespace=namespace, clock=bench.clock)

    def harm(entry: str, column: str, data: bytes) -> None:
        key = f"{namespace}:e:{entry}"
        with holder(key).client() as client:
            client.hset(key, column, data)

    bench.bodies, bench.harm = bodies, harm
    yield
    await bodies.close()


@asynccontextmanager
async def encrypted(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    async with sqlite(bench, request):
        await protect(bench.bodies, Cipher([b"k" * 32]))
        yield


@asynccontextmanager
async def encrypted_redis(bench: Bench, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    async with redis(bench, request):
        await protect(bench.bodies, Cipher([b"k" * 32]))
        yield


STORES = {
    "memory": memory,
    "sqlite": sqlite,
    "encrypted": encrypted,
    "redis": redis,
    "encrypted_redis": encrypted_redis,
    "cluster": cluster,
}
REAL = [
    pytest.param(kind, marks=pytest.mark.redis) for kind in ("redis", "encrypted_redis", "cluster")
]


@pytest.fixture(params=["memory", "sqlite", "encrypted", *REAL])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    bench = Bench()
    # Asked for here, where a missing server skips the test instead of failing it.
    async with STORES[request.param](bench, request):
        yield bench


def record(
    number: int, body: bytes = b"answer", *, gone: float = NOW + HOUR, vector: bool = True
) -> Record:
    entry = f"{number:032x}"
    facts = Facts(
        entry=entry,
        space="space",
        owner="owner",
        category="default",
        dialect="chat",
        model="m",
        chain="",
        text=f"question {number}",
        stored=NOW,
        expires=NOW + HOUR,
        gone=gone,
        size=len(body),
        tags=("t",),
    )
    return Record(facts, body, VECTOR if vector else None)


def name(number: int) -> str:
    return f"{number:032x}"


async def test_what_is_written_is_read(bench: Bench) -> None:
    """Facts, vector and body come back equal."""
    await bench.bodies.write(record(1))
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert back.facts == record(1).facts
    assert back.body == b"answer"
    assert back.vector is not None
    assert back.vector.tolist() == VECTOR.tolist()


async def test_bodies_are_byte_true(bench: Bench) -> None:
    """NULs, every byte value, nothing at all, and 5 MB come back as they went."""
    large = bytes(range(256)) * (5 * 4096)
    for number, body in enumerate((b"", b"\x00", bytes(range(256)), large)):
        await bench.bodies.write(record(number, body))
        back = await bench.bodies.read(name(number))
        assert back is not None
        assert back.body == body


async def test_absent_is_none(bench: Bench) -> None:
    """Nothing known of an entry is None, not an error."""
    assert await bench.bodies.read(name(404)) is None


async def test_overwriting_leaves_nothing_of_the_old(bench: Bench) -> None:
    """The newer record stands alone: its body, and no vector where it has none."""
    await bench.bodies.write(record(1, b"old"))
    await bench.bodies.write(record(1, b"new", vector=False))
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert (back.body, back.vector) == (b"new", None)
    assert len([r async for r in bench.bodies.scan()]) == 1


async def test_amended_facts_stand_beside_the_same_body(bench: Bench) -> None:
    """Facts change in place: body and vector stay, the whole record reads and scans as changed."""
    await bench.bodies.write(record(1))
    told = await bench.bodies.amend(name(1), lambda facts: replace(facts, flagged=True))
    assert told == replace(record(1).facts, flagged=True)
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert (back.facts, back.body) == (told, b"answer")
    assert back.vector is not None
    assert back.vector.tolist() == VECTOR.tolist()
    assert [r.facts.flagged async for r in bench.bodies.scan()] == [True]


async def test_another_vector_comes_with_the_change(bench: Bench) -> None:
    """A vector, of another length too, takes the old one's place with what it goes with; where
    nothing is changed it is left out."""
    await bench.bodies.write(record(1))
    other = np.arange(6, dtype=np.float32)
    same = await bench.bodies.amend(name(1), lambda facts: facts, other)
    assert same == record(1).facts
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert back.vector is not None
    assert back.vector.tolist() == VECTOR.tolist()
    told = await bench.bodies.amend(name(1), lambda facts: replace(facts, embedding="new"), other)
    assert told == replace(record(1).facts, embedding="new")
    for found in (await bench.bodies.read(name(1)), *[r async for r in bench.bodies.scan()]):
        assert found is not None
        assert found.facts == told
        assert found.vector is not None
        assert found.vector.tolist() == other.tolist()
    gone = await bench.bodies.amend(name(2), lambda facts: replace(facts, flagged=True), other)
    assert gone is None


async def test_an_amended_end_counts(bench: Bench) -> None:
    """What is to live longer outlives its first end, and what is to end sooner does."""
    for number in (1, 2):
        await bench.bodies.write(record(number, gone=NOW + 2 * HOUR))
    await bench.bodies.amend(name(1), lambda facts: replace(facts, gone=NOW + 5 * HOUR))
    await bench.bodies.amend(name(2), lambda facts: replace(facts, gone=NOW + HOUR))
    bench.now = NOW + HOUR
    assert await bench.bodies.read(name(2)) is None
    bench.now = NOW + 2 * HOUR
    await bench.bodies.sweep(bench.now)
    assert await bench.bodies.read(name(1)) is not None
    assert [r.facts.entry async for r in bench.bodies.scan()] == [name(1)]


async def test_amending_brings_nothing_back(bench: Bench) -> None:
    """What was never there, was deleted or is past its time stays away, and so does damage."""
    await bench.bodies.write(record(1))
    await bench.bodies.delete([name(1)])
    await bench.bodies.write(record(2, gone=NOW + 10))
    await bench.bodies.write(record(3))
    bench.harm(name(3), "facts", b"\x01damaged")
    bench.now = NOW + 10
    for number in (1, 2, 3, 4):
        assert await bench.bodies.amend(name(number), lambda facts: facts) is None
        assert await bench.bodies.read(name(number)) is None
    assert [r async for r in bench.bodies.scan()] == []


async def test_no_amendment_is_lost(bench: Bench) -> None:
    """Of changes made at the same time each builds on the one before it."""
    await bench.bodies.write(record(1))

    def counted(facts: Facts) -> Facts:
        return replace(facts, labels=(*facts.labels, (0.5, True)))

    await asyncio.gather(*(bench.bodies.amend(name(1), counted) for _ in range(8)))
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert len(back.facts.labels) == 8


async def test_the_members_of_a_group(bench: Bench) -> None:
    """Who was written or amended into a group is found by it; other groups and loners are not."""
    first = record(1)
    await bench.bodies.write(first)
    grown = record(2)
    await bench.bodies.write(replace(grown, facts=replace(grown.facts, group=name(1))))
    await bench.bodies.write(record(3))
    await bench.bodies.amend(name(3), lambda facts: replace(facts, group=name(1)))
    other = record(4)
    await bench.bodies.write(replace(other, facts=replace(other.facts, group=name(9))))
    assert sorted(await bench.bodies.members(name(1))) == [name(2), name(3)]
    assert await bench.bodies.members(name(7)) == []


async def test_delete_counts_what_existed(bench: Bench) -> None:
    """Unknown and repeated names are not counted; deleted ones are gone."""
    for number in (1, 2, 3):
        await bench.bodies.write(record(number))
    assert await bench.bodies.delete([name(1), name(2), name(2), name(9)]) == 2
    assert await bench.bodies.delete([]) == 0
    assert await bench.bodies.read(name(1)) is None
    assert await bench.bodies.read(name(3)) is not None


async def test_scan_brings_facts_and_vectors_only(bench: Bench) -> None:
    """Every live record, in however many pages, bodies left out."""
    await asyncio.gather(*(bench.bodies.write(record(n, vector=n % 2 == 0)) for n in range(600)))
    seen = {r.facts.entry: r async for r in bench.bodies.scan()}
    assert set(seen) == {name(n) for n in range(600)}
    assert all(r.body == b"" for r in seen.values())
    assert seen[name(1)].vector is None
    vector = seen[name(2)].vector
    assert vector is not None
    assert vector.tolist() == VECTOR.tolist()


async def test_scan_of_nothing(bench: Bench) -> None:
    """An empty store scans as empty."""
    assert [r async for r in bench.bodies.scan()] == []


async def test_gone_is_unseen(bench: Bench) -> None:
    """Past its `gone` time an entry is neither read nor scanned, swept or not."""
    await bench.bodies.write(record(1, gone=NOW + 10))
    await bench.bodies.write(record(2, gone=NOW + 1000))
    bench.now = NOW + 10
    assert await bench.bodies.read(name(1)) is None
    assert await bench.bodies.read(name(2)) is not None
    assert [r.facts.entry async for r in bench.bodies.scan()] == [name(2)]


async def test_settle_keeps_the_first(bench: Bench) -> None:
    """However many settle one name at once, all are told the same value, and it stays."""
    values = [f"secret {n}".encode() for n in range(20)]
    told = set(await asyncio.gather(*(bench.bodies.settle("secret", v) for v in values)))
    assert len(told) == 1
    assert told <= set(values)
    assert {await bench.bodies.settle("secret", b"late")} == told
    assert await bench.bodies.settle("other", b"\x00\xff") == b"\x00\xff"


async def test_put_replaces_and_get_reads(bench: Bench) -> None:
    """What was put last stands, a megabyte included; what was settled is read alike."""
    assert await bench.bodies.get("learned") is None
    large = bytes(range(256)) * 4096
    for value in (b"", b"\x00\xff", large):
        await bench.bodies.put("learned", value)
        assert await bench.bodies.get("learned") == value
    assert await bench.bodies.settle("learned", b"late") == large
    await bench.bodies.settle("secret", b"s")
    assert await bench.bodies.get("secret") == b"s"


async def test_a_count_grows_until_it_is_forgotten(bench: Bench) -> None:
    """Each call is told how many came before it, of that name and until the last one's time."""
    names = ("s1", "s2", "s1", "s1")
    assert [await bench.bodies.count(one, NOW + HOUR) for one in names] == [0, 0, 1, 2]
    told = await asyncio.gather(*(bench.bodies.count("s3", NOW + HOUR) for _ in range(20)))
    assert sorted(told) == list(range(20))
    assert [r async for r in bench.bodies.scan()] == []


async def test_a_count_that_is_over_begins_anew(bench: Bench) -> None:
    """Swept or not, what was to be forgotten is."""
    for swept in (False, True):
        await bench.bodies.count(f"{swept}", time.time() + 0.05)
        await bench.bodies.count("stays", NOW + HOUR)
        bench.now = max(bench.now, time.time()) + 0.05
        await asyncio.sleep(0.1)
        if swept:
            await bench.bodies.sweep(bench.now)
        assert await bench.bodies.count(f"{swept}", NOW + HOUR) == 0
    assert await bench.bodies.count("stays", NOW + HOUR) == 2


async def test_a_list_keeps_the_newest(bench: Bench) -> None:
    """Members stand with their times, marked again with the later one; past the bound the oldest
    leave, whoever was taken off is off, and lists of other names are others."""
    assert await bench.bodies.marked("refused") == {}
    await bench.bodies.mark("refused", {"a": 1.5, "b": 2.0, "c": 3.0}, 3)
    await bench.bodies.mark("refused", {"a": 4.25, "d": 5.0}, 3)
    assert await bench.bodies.marked("refused") == {"c": 3.0, "a": 4.25, "d": 5.0}
    await bench.bodies.unmark("refused", ["c", "nobody"])
    await bench.bodies.mark("other", {"z": 1.0}, 3)
    assert await bench.bodies.marked("refused") == {"a": 4.25, "d": 5.0}
    await bench.bodies.sweep(NOW + HOUR)
    assert await bench.bodies.marked("other") == {"z": 1.0}
    assert [r async for r in bench.bodies.scan()] == []


async def test_settings_are_no_entries(bench: Bench) -> None:
    """What is settled does not show up as an entry."""
    await bench.bodies.settle(name(1), b"x")
    assert await bench.bodies.read(name(1)) is None
    assert [r async for r in bench.bodies.scan()] == []


@pytest.mark.parametrize("column", ["facts", "vector", "body"])
async def test_a_damaged_record_is_none(bench: Bench, column: str) -> None:
    """Bytes changed behind the store's back make the entry absent; others stay whole."""
    await bench.bodies.write(record(1))
    await bench.bodies.write(record(2))
    bench.harm(name(1), column, b"\x01damaged")
    assert await bench.bodies.read(name(1)) is None
    assert await bench.bodies.read(name(2)) is not None
    await bench.bodies.write(record(1, b"healed"))
    back = await bench.bodies.read(name(1))
    assert back is not None
    assert back.body == b"healed"


async def test_scan_passes_over_damage(bench: Bench) -> None:
    """One damaged record does not end a scan."""
    for number in (1, 2, 3):
        await bench.bodies.write(record(number))
    bench.harm(name(2), "facts", b"\x01damaged")
    assert {r.facts.entry async for r in bench.bodies.scan()} == {name(1), name(3)}


async def test_two_hundred_writes_at_once(bench: Bench) -> None:
    """All are there, each with its own body."""
    bodies = {name(n): f"body {n}".encode() * 50 for n in range(200)}
    await asyncio.gather(*(bench.bodies.write(record(int(e, 16), b)) for e, b in bodies.items()))
    back = await asyncio.gather(*(bench.bodies.read(e) for e in bodies))
    assert [r.body for r in back if r is not None] == list(bodies.values())


async def test_a_working_store_checks(bench: Bench) -> None:
    """`check` is silent when all is well."""
    await bench.bodies.check()


async def test_unwritable_facts_are_refused_alone(bench: Bench) -> None:
    """A record that cannot be kept is a StoreError; the store goes on."""
    with pytest.raises(StoreError, match="not finite"):
        await bench.bodies.write(record(1, gone=float("inf")))
    await bench.bodies.write(record(2))
    assert await bench.bodies.read(name(2)) is not None


async def test_a_closed_store_says_so(bench: Bench) -> None:
    """After `close` every call is a StoreError with the next step; closing twice is harmless."""
    await bench.bodies.write(record(1))
    await bench.bodies.close()
    await bench.bodies.close()
    for call in (
        bench.bodies.read(name(1)),
        bench.bodies.write(record(1)),
        bench.bodies.delete([name(1)]),
        bench.bodies.settle("a", b"b"),
        bench.bodies.put("a", b"b"),
        bench.bodies.get("a"),
        bench.bodies.amend(name(1), lambda facts: facts),
        bench.bodies.members(name(1)),
        bench.bodies.mark("a", {"b": 1.0}, 2),
        bench.bodies.unmark("a", ["b"]),
        bench.bodies.marked("a"),
        bench.bodies.check(),
    ):
        with pytest.raises(StoreError, match="closed; open it again"):
            await call
    with pytest.raises(StoreError, match="closed"):
        _ = [r async for r in bench.bodies.scan()]


async def test_what_changed_is_known_or_not(bench: Bench) -> None:
    """A store names each entry written, amended or deleted since, once; or says that it cannot."""
    bodies = bench.bodies
    for number in range(4):
        await bodies.write(record(number))
    since = await bodies.revision()
    if since is None:
        assert await bodies.changed(Revision("any", 0)) is None
        await bodies.forget_changes(Revision("any", 0))
        return
    assert await bodies.changed(since) == []
    await bodies.write(record(0, b"new"))
    await bodies.write(record(0, b"newer"))
    await bodies.amend(name(1), lambda facts: replace(facts, flagged=True))
    await bodies.delete([name(2), name(9)])
    await bodies.write(record(5))
    assert sorted(await bodies.changed(since) or ()) == [name(n) for n in (0, 1, 2, 5)]
    now = await bodies.revision()
    assert now is not None
    assert now.store == since.store
    assert await bodies.changed(now) == []


async def test_changes_of_another_store_or_time_are_not_known(bench: Bench) -> None:
    """What was forgotten, is to come, or another store counted, is not told as if it were known."""
    bodies = bench.bodies
    await bodies.write(record(0))
    first = await bodies.revision()
    if first is None:
        return
    assert await bodies.changed(first._replace(store="another")) is None
    assert await bodies.changed(first._replace(number=first.number + 1)) is None
    await bodies.write(record(1))
    second = await bodies.revision()
    assert second is not None
    await bodies.write(record(2))
    await bodies.forget_changes(second)
    assert await bodies.changed(first) is None
    assert await bodies.changed(second) == [name(2)]


async def test_a_sweep_counts_as_change(bench: Bench) -> None:
    """Entries that a sweep deletes are among what changed."""
    bodies = bench.bodies
    await bodies.write(record(0, gone=NOW + 1))
    since = await bodies.revision()
    if since is None:
        return
    bench.now += 2
    await bodies.sweep(bench.now)
    assert await bodies.changed(since) == [name(0)]
