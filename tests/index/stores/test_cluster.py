"""A store on a cluster: every key found, slots that move followed, a silent node survived."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot

from index.errors import StoreError
from index.stores.redis import RedisBodies
from tests.index.stores.test_sqlite import name, record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from policies.values import Facts
    from tests.servers import RedisCluster, RedisServer

pytestmark = pytest.mark.redis
SOON = 8.0


@pytest.fixture
async def bodies(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisBodies]:
    # What is promised here is no matter of a busy machine's tenth of a second.
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 2.0)
    bodies = RedisBodies.open(redis_cluster.url, namespace=f"test-{uuid.uuid4().hex}")
    yield bodies
    await bodies.close()


def together(bodies: RedisBodies, wanted: int) -> tuple[int, list[int]]:
    """A slot and the numbers of some entries that lie in it."""
    found: dict[int, list[int]] = {}
    for number in range(400_000):
        slot = key_slot(bodies._key(name(number)).encode())
        found.setdefault(slot, []).append(number)
        if len(found[slot]) == wanted:
            return slot, found[slot]
    pytest.fail("no slot has so many")


def counted(facts: Facts) -> Facts:
    return replace(facts, labels=(*facts.labels, (0.5, True)))


async def test_entries_lie_on_every_server(
    bodies: RedisBodies, redis_cluster: RedisCluster
) -> None:
    """Keys are spread, each is found where it lies, and all are scanned and deleted."""
    for number in range(60):
        await bodies.write(record(number))
    held = []
    for server in redis_cluster.servers:
        with server.client() as client:
            held.append(sum(1 for _ in client.scan_iter(bodies._entry + "*")))
    assert sum(held) == 60
    assert all(held)
    found = await asyncio.gather(*(bodies.read(name(number)) for number in range(60)))
    assert all(found)
    assert {r.facts.entry async for r in bodies.scan()} == {name(number) for number in range(60)}
    assert await bodies.delete([name(number) for number in range(100)]) == 60
    assert [r async for r in bodies.scan()] == []


async def test_entries_expire_as_on_one_server(
    bodies: RedisBodies, redis_cluster: RedisCluster
) -> None:
    """Written and changed at once with its expiry, which a record's `gone` time is."""
    await bodies.write(record(1))
    await bodies.amend(name(1), counted)
    key = bodies._key(name(1))
    with redis_cluster.holder(key).client() as client:
        assert client.pexpiretime(key) == 4_000_000_000_000


async def test_notes_and_rulings(bodies: RedisBodies) -> None:
    """Notes of several pages are noted in one call wherever the pages lie; first rulings stand."""
    numbers = [page << 32 for page in range(20)]
    await bodies.note({number: b"%d" % number for number in numbers}, 60)
    assert [await bodies.noted(n) for n in numbers] == [b"%d" % n for n in numbers]
    told = await asyncio.gather(*(bodies.ruled(numbers[3], b"%d" % n) for n in range(10)))
    assert len(set(told)) == 1


async def test_sheets(bodies: RedisBodies) -> None:
    """An owner's lie together, so that they come in one call, wherever owners lie."""
    owners = [f"replica{number}" for number in range(20)]
    for owner in owners:
        await bodies.post(owner, {f"60:{n}": b"%d" % n for n in range(5)}, 60)
    for owner in owners:
        told = await bodies.posted(owner, ["60:4", "60:9", "60:0"])
        assert told == [b"4", None, b"0"]


class Traffic:
    """Reads and changes of some entries, each right or a StoreError, until it is stopped."""

    def __init__(self, bodies: RedisBodies, numbers: list[int]) -> None:
        self.reads = 0
        self.made = dict.fromkeys(numbers, 0)
        self._bodies = bodies
        self._over = False
        self._tasks = [
            asyncio.create_task(self._go_on(call))
            for call in (self._read, self._read, self._read, self._change)
        ]

    async def goes_on(self) -> None:
        """Wait until each entry has been read and changed once more."""
        reads, made = self.reads + 3 * len(self.made), dict(self.made)
        async with asyncio.timeout(SOON):
            while self.reads < reads or any(  # noqa: ASYNC110 - counts, not one event
                self.made[number] == count for number, count in made.items()
            ):
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, call: Callable[[int], Awaitable[None]]) -> None:
        while not self._over:
            for number in self.made:
                with contextlib.suppress(StoreError):
                    await call(number)
            await asyncio.sleep(0)

    async def _read(self, number: int) -> None:
        back = await self._bodies.read(name(number))
        assert back is not None
        assert back.body == b"%d" % number
        self.reads += 1

    async def _change(self, number: int) -> None:
        assert await self._bodies.amend(name(number), counted) is not None
        self.made[number] += 1


async def test_a_slot_moves_under_reads_and_writes(
    bodies: RedisBodies, redis_cluster: RedisCluster
) -> None:
    """No answer is wrong, no change that was confirmed is lost, and all is well afterwards."""
    slot, numbers = together(bodies, 8)
    for number in numbers:
        await bodies.write(record(number, b"%d" % number))
    # Leaves several idle connections to each node, of which ASKING holds for one only.
    await asyncio.gather(*(bodies.put(f"{number}", b"") for number in range(60)))
    source = redis_cluster.owner(slot)
    target = next(server for server in redis_cluster.servers if server is not source)
    traffic = Traffic(bodies, numbers)
    for _ in redis_cluster.moved(slot, target):
        # Every state of the move sees all entries read and changed.
        await traffic.goes_on()
    await traffic.stop()
    assert redis_cluster.owner(slot) is target
    for number in numbers:
        back = await bodies.read(name(number))
        assert back is not None
        assert len(back.facts.labels) >= min(traffic.made[number], 64)
    assert await bodies.delete([name(number) for number in numbers]) == len(numbers)


async def test_a_silent_node_is_a_fault_soon(redis_cluster: RedisCluster) -> None:
    """Its keys fail within the time of a look-up; when it answers again all is well by itself."""
    bodies = RedisBodies.open(redis_cluster.url, namespace=f"test-{uuid.uuid4().hex}")
    await bodies.check()
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None
    holder = redis_cluster.holder(bodies._key(name(1)))
    holder.pause()
    try:
        for _ in range(5):
            started = time.monotonic()
            with pytest.raises(StoreError, match="redis cluster at"):
                await bodies.read(name(1))
            assert time.monotonic() - started < 1.0
    finally:
        holder.resume()
    async with asyncio.timeout(SOON):
        while True:
            with contextlib.suppress(StoreError):
                assert await bodies.read(name(1)) is not None
                break
            await asyncio.sleep(0.05)
    await bodies.close()


async def test_eviction_is_looked_at_on_every_node(
    bodies: RedisBodies, redis_cluster: RedisCluster
) -> None:
    """One server of many that may evict the secret is warned of by its name."""
    odd = redis_cluster.servers[1]
    with odd.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lfu")
        await bodies.check()
        client.config_set("maxmemory-policy", "noeviction")
    assert [f"127.0.0.1:{odd.port} is allkeys-lfu" in said for said in bodies.warnings()] == [True]


async def test_a_full_node_keeps_what_it_has(
    bodies: RedisBodies, redis_cluster: RedisCluster
) -> None:
    """Out of memory a new record is refused with the reason, and the old one stands whole."""
    await bodies.write(record(1))
    with redis_cluster.holder(bodies._key(name(1))).client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match=r"refused.*memory"):
            await bodies.write(record(1, b"new"))
        client.config_set("maxmemory", 0)
    back = await bodies.read(name(1))
    assert back is not None
    assert back.body == b"answer"


async def test_a_server_that_is_no_cluster(redis_server: RedisServer) -> None:
    """A cluster's URL to a single server is a fault that says so."""
    url = redis_server.url.replace("redis://", "redis+cluster://")
    bodies = RedisBodies.open(url)
    with pytest.raises(StoreError, match="Cluster mode is not enabled"):
        await bodies.check()
    await bodies.close()


async def test_a_single_url_to_a_cluster(redis_cluster: RedisCluster) -> None:
    """A single server's URL to one of a cluster is told what to write instead."""
    bodies = RedisBodies.open(redis_cluster.servers[0].url)
    puts = (bodies.put(f"{number}", b"") for number in range(20))
    faults = [told for told in await asyncio.gather(*puts, return_exceptions=True) if told]
    assert faults
    assert all("write redis+cluster:// in store.url" in str(fault) for fault in faults)
    await bodies.close()
