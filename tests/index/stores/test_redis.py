"""What the Redis store does beyond the contract: wait briefly, rest, recover, keep secrets."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from index.errors import SetupError, StoreError
from index.stores import link
from index.stores.redis import RedisBodies
from tests.index.stores.test_sqlite import name, record
from tests.servers import RedisServer, free_port, redis_binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from policies.values import Facts

pytestmark = pytest.mark.redis
# Generous: what must not happen is waiting for ever, or for the library's own 5 s.
SOON = 4.0
COMMANDS = (
    "ping", "hmget", "hset", "hsetnx", "del", "unlink", "pexpire", "pexpireat", "pttl", "multi",
    "exec", "watch", "unwatch", "scan", "set", "get", "sadd", "smembers",
)  # fmt: skip


@pytest.fixture
async def bodies(own_redis: RedisServer) -> AsyncIterator[RedisBodies]:
    bodies = RedisBodies.open(own_redis.url)
    yield bodies
    await bodies.close()


@pytest.fixture
def guarded_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path, "--requirepass", "s3cr3t-pw")
    server.start()
    yield server
    server.stop()


async def recovered(bodies: RedisBodies) -> None:
    """Wait until the store answers again."""
    until = time.monotonic() + 10
    while True:
        try:
            return await bodies.check()
        except StoreError:
            assert time.monotonic() < until, "the store never came back"
            await asyncio.sleep(0.05)


async def test_keys_are_as_documented(bodies: RedisBodies, own_redis: RedisServer) -> None:
    """One hash an entry, one string a setting, all under the name space; entries expire."""
    await bodies.write(record(1))
    await bodies.settle("secret", b"v")
    with Redis.from_url(own_redis.url) as client:
        assert set(client.keys("*")) == {  # type: ignore[arg-type]
            f"likewise:e:{name(1)}".encode(),
            b"likewise:m:secret",
        }
        assert set(client.hkeys(f"likewise:e:{name(1)}")) == {b"facts", b"vector", b"body"}  # type: ignore[arg-type]
        assert client.pexpiretime(f"likewise:e:{name(1)}") == 4_000_000_000_000
        assert client.pttl("likewise:m:secret") == -1
    assert bodies.shared is True


async def test_amending_keeps_the_expiry(bodies: RedisBodies, own_redis: RedisServer) -> None:
    """A changed entry leaves when it always would; its group's list goes with the last of them."""
    await bodies.write(record(1))
    await bodies.write(record(2, gone=time.time() + 900))
    for number in (1, 2):
        await bodies.amend(name(number), lambda facts: replace(facts, group=name(1)))
    with Redis.from_url(own_redis.url) as client:
        assert client.pexpiretime(f"likewise:e:{name(1)}") == 4_000_000_000_000
        assert client.pexpiretime(f"likewise:g:{name(1)}") == 4_000_000_000_000


async def test_an_entry_deleted_under_way_stays_deleted(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """A deletion between the reading and the writing of a change wins; so does a new answer."""
    await bodies.write(record(1))
    with Redis.from_url(own_redis.url) as client:

        def deleted(facts: Facts) -> Facts:
            client.delete(f"likewise:e:{name(1)}")
            return replace(facts, flagged=True)

        assert await bodies.amend(name(1), deleted) is None
        assert client.exists(f"likewise:e:{name(1)}") == 0


async def test_notes_are_seen_by_all_for_a_while(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """Another replica reads them by number; numbers close in time share a key; all expire."""
    near, far = 7 << 32 | 1, 8 << 32
    await bodies.note({near: b"one", near + 1: b"two", far: b"three"}, 3600)
    twin = RedisBodies.open(own_redis.url)
    assert [await twin.noted(n) for n in (near, near + 1, far, near + 2)] == [
        b"one", b"two", b"three", None,
    ]  # fmt: skip
    await twin.close()
    with Redis.from_url(own_redis.url) as client:
        keys = sorted(client.keys("*"))  # type: ignore[arg-type]
        assert keys == [b"likewise:n:7", b"likewise:n:8"]
        assert all(3_500_000 < int(client.pttl(key)) <= 3_600_000 for key in keys)  # type: ignore[arg-type]


async def test_sheets_are_read_by_all_for_a_while(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """Another replica reads an owner's by name, each as it was posted last; all expire."""
    await bodies.post("me", {"a": b"1", "b": b"2"}, 3600)
    await bodies.post("me", {"a": b"3"}, 3600)
    twin = RedisBodies.open(own_redis.url)
    assert await twin.posted("me", ["b", "a", "c"]) == [b"2", b"3", None]
    assert await twin.posted("you", ["a"]) == [None]
    assert await twin.posted("me", []) == []
    await twin.close()
    with Redis.from_url(own_redis.url) as client:
        keys = sorted(client.keys("*"))  # type: ignore[arg-type]
        assert keys == [b"likewise:b:{me}:a", b"likewise:b:{me}:b"]
        assert all(3_500_000 < int(client.pttl(key)) <= 3_600_000 for key in keys)  # type: ignore[arg-type]


async def test_the_first_ruling_stands(bodies: RedisBodies, own_redis: RedisServer) -> None:
    """However many rule on a note, one ruling stands; on what was never noted there is none."""
    await bodies.note({1: b"note"}, 60)
    assert await bodies.ruled(1) is None
    told = await asyncio.gather(*(bodies.ruled(1, b"%d" % n) for n in range(10)))
    assert len(set(told)) == 1
    assert await bodies.ruled(1) == told[0]
    assert await bodies.noted(1) == b"note"
    assert await bodies.ruled(1 << 40, b"bad") is None
    with Redis.from_url(own_redis.url) as client:
        assert len(client.keys("*")) == 1  # type: ignore[arg-type]


async def test_two_replicas_see_each_other(
    bodies: RedisBodies, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one writes the other reads; another name space sees nothing."""
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
    await bodies.write(record(1))
    twin = RedisBodies.open(own_redis.url)
    other = RedisBodies.open(own_redis.url, namespace="other")
    assert await twin.read(name(1)) is not None
    assert await other.read(name(1)) is None
    assert [r async for r in other.scan()] == []
    await twin.close()
    await other.close()


async def test_the_server_expires_entries(bodies: RedisBodies, own_redis: RedisServer) -> None:
    """An entry that is gone leaves the server by itself; there is nothing to sweep."""
    await bodies.write(record(1, gone=time.time() - 1))
    with Redis.from_url(own_redis.url) as client:
        assert client.dbsize() == 0
    assert await bodies.sweep(time.time()) == 0


async def test_a_stalled_server_is_a_fault_soon(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """Every call ends with a StoreError while the server hangs, and works when it is back."""
    await bodies.write(record(1))
    own_redis.pause()
    async with asyncio.timeout(SOON):
        with pytest.raises(StoreError, match="does not answer"):
            await bodies.read(name(1))
        done = await asyncio.gather(
            *(bodies.read(name(n)) for n in range(200)),
            *(bodies.write(record(n)) for n in range(5)),
            return_exceptions=True,
        )
    assert all(isinstance(result, StoreError) for result in done)
    own_redis.resume()
    await recovered(bodies)
    assert await bodies.read(name(1)) is not None


async def test_a_stall_costs_one_wait_at_a_time(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look-ups that come while others wait in vain fail with them, and after that one alone tries:
    a server that hangs is asked twice by four hundred."""
    servers, in_vain = link.opened(own_redis.url, read=0.1, write=1.0), []
    monkeypatch.setattr(servers, "stumbled", lambda: in_vain.append(1))
    bodies = RedisBodies(servers)
    await bodies.write(record(1))
    own_redis.pause()
    for tries in (1, 2):
        first = asyncio.create_task(bodies.read(name(0)))
        await asyncio.sleep(0.01)
        later = [bodies.read(name(n)) for n in range(200)]
        done = await asyncio.gather(first, *later, return_exceptions=True)
        assert all(isinstance(result, StoreError) for result in done)
        # They may have given up a moment before the client under them did.
        async with asyncio.timeout(SOON):
            while len(in_vain) < tries:  # noqa: ASYNC110 - a count, no event
                await asyncio.sleep(0.01)
        assert len(in_vain) == tries
    own_redis.resume()
    await recovered(bodies)
    assert await bodies.read(name(1)) is not None
    await bodies.close()


async def test_no_lookup_waits_for_those_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that stands behind a slow round trip ends in its own time, not after that one's."""
    gone_on = asyncio.Event()

    async def slow(_client: object, keys: list[str], names: tuple[str, ...]) -> list[list[None]]:
        await gone_on.wait()
        return [[None] * len(names) for _ in keys]

    monkeypatch.setattr("index.stores.redis._columns", slow)
    bodies = RedisBodies.open("redis://127.0.0.1:1")
    first = asyncio.create_task(bodies.read(name(1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(SOON):
        for waiting in (bodies.read(name(2)), first):
            with pytest.raises(StoreError, match="nothing within 100 ms"):
                await waiting
    gone_on.set()
    await asyncio.sleep(0.05)  # the round trip, given up at the same time, has ended too
    assert await bodies.read(name(3)) is None
    await bodies.close()


async def test_a_stopped_server_is_a_fault_and_comes_back(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """Refused connections are StoreErrors; a server started anew is used without a restart."""
    await bodies.write(record(1))
    own_redis.stop()
    async with asyncio.timeout(SOON):
        for _ in range(10):
            with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{own_redis.port}"):
                await bodies.read(name(1))
    own_redis.start()
    await recovered(bodies)
    assert await bodies.read(name(1)) is None
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None


async def test_after_three_faults_it_rests() -> None:
    """While resting nothing is tried; once a second one call is, until one succeeds."""
    now = 100.0
    bodies = RedisBodies.open(f"redis://127.0.0.1:{free_port()}/0")
    bodies._breaker._monotonic = lambda: now
    for _ in range(3):
        with pytest.raises(StoreError, match="start the server"):
            await bodies.read(name(1))
    with pytest.raises(StoreError, match="tried again every 1 s"):
        await bodies.read(name(1))
    now = 101.0
    with pytest.raises(StoreError, match="start the server"):
        await bodies.read(name(1))
    with pytest.raises(StoreError, match="tried again every 1 s"):
        await bodies.read(name(1))
    await bodies.close()


async def test_a_full_server_still_reads(bodies: RedisBodies, own_redis: RedisServer) -> None:
    """Out of memory refuses writes with the reason, the same for every entry, and is no reason to
    rest."""
    await bodies.write(record(1))
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
    for _ in range(5):
        with pytest.raises(StoreError, match=r"refused.*memory") as caught:
            await bodies.write(record(2))
        assert name(2) not in str(caught.value)
        assert await bodies.read(name(1)) is not None
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 0)
    await bodies.write(record(2))


async def test_a_key_of_another_type_is_absence(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """A string where a hash should be reads as None and is passed over by a scan."""
    await bodies.write(record(1))
    with Redis.from_url(own_redis.url) as client:
        client.set(f"likewise:e:{name(2)}", b"?")
        client.hset(f"likewise:e:{name(3)}", "facts", b"half a record")
    assert await bodies.read(name(2)) is None
    assert await bodies.read(name(3)) is None
    assert [r.facts.entry async for r in bodies.scan()] == [name(1)]


async def test_check_names_place_and_next_step_but_no_password() -> None:
    """An unreachable server: what, where, what to do; never the credentials."""
    port = free_port()
    bodies = RedisBodies.open(f"redis://me:s3cr3t-pw@127.0.0.1:{port}/2")
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{port}/2: .*; start") as caught:
        await bodies.check()
    assert "s3cr3t" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "\n" not in str(caught.value)
    await bodies.close()


async def test_password(guarded_redis: RedisServer) -> None:
    """The right one works; a wrong or missing one is said without being shown."""
    place = f"127.0.0.1:{guarded_redis.port}/0"
    bodies = RedisBodies.open(f"redis://:s3cr3t-pw@{place}")
    await bodies.check()
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None
    await bodies.close()
    for url in (f"redis://:wrong-pw@{place}", f"redis://{place}"):
        bodies = RedisBodies.open(url)
        with pytest.raises(StoreError) as caught:
            await bodies.check()
        assert "-pw" not in str(caught.value)
        await bodies.close()


@pytest.mark.parametrize(
    ("policy", "warned"), [("noeviction", 0), ("volatile-ttl", 0), ("allkeys-lru", 1)]
)
async def test_eviction_of_everything_is_warned_of(
    bodies: RedisBodies, own_redis: RedisServer, policy: str, warned: int
) -> None:
    """A server that may evict any key may evict the shared secret."""
    with Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", policy)
    await bodies.check()
    assert len(bodies.warnings()) == warned
    assert all(policy in warning and "volatile-ttl" in warning for warning in bodies.warnings())


async def test_a_user_with_few_permissions(own_redis: RedisServer) -> None:
    """An ACL user limited to our keys and commands is enough; no INFO is a warning, not a fault."""
    with Redis.from_url(own_redis.url) as client:
        client.acl_setuser(
            "small",
            enabled=True,
            passwords=["+pw"],
            keys=["likewise:*"],
            commands=[f"+{command}" for command in COMMANDS],
        )
    bodies = RedisBodies.open(own_redis.url.replace("//", "//small:pw@"))
    await bodies.check()
    assert ["allow INFO" in warning for warning in bodies.warnings()] == [True]
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None
    assert await bodies.settle("a", b"b") == b"b"
    assert await bodies.amend(name(1), lambda facts: replace(facts, group=name(2))) is not None
    assert await bodies.members(name(2)) == [name(1)]
    await bodies.note({7: b"note"}, 60)
    assert await bodies.ruled(7, b"bad") == b"bad"
    assert await bodies.delete([name(1)]) == 1
    await bodies.close()


async def test_waiting_lookups_share_round_trips(
    bodies: RedisBodies, own_redis: RedisServer
) -> None:
    """Two hundred look-ups at once are answered each with its own, over few connections."""
    for number in range(0, 200, 2):
        await bodies.write(record(number, f"body {number}".encode()))
    found = await asyncio.gather(*(bodies.read(name(n)) for n in range(200)))
    assert [r.body if r else None for r in found] == [
        f"body {n}".encode() if n % 2 == 0 else None for n in range(200)
    ]
    with Redis.from_url(own_redis.url) as client:
        assert len(client.client_list()) <= 4


async def test_an_abandoned_lookup_disturbs_nobody(bodies: RedisBodies) -> None:
    """A caller that stops waiting does not fail those that travel with it."""
    await bodies.write(record(1))
    tasks = [asyncio.create_task(bodies.read(name(1))) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(getattr(result, "body", None) == b"answer" for result in done[1:])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:s3cr3t@h", "starts with redis://"),
        ("redis://", "names no host"),
        ("redis://:s3cr3t@h:port/0", "percent-encode"),
        ("redis://:s3cr3t/x@h:1/0", "percent-encode"),
        ("redis://:s3cr3t@h:1/0?socket_timeout=s3cr3t", "percent-encode"),
        ("redis://[:s3cr3t@h:1/0", "percent-encode"),
    ],
)
def test_an_unusable_url(url: str, said: str) -> None:
    """Said at once, with what works, and without the password."""
    with pytest.raises(SetupError, match=said) as caught:
        RedisBodies.open(url)
    assert "s3cr3t" not in f"{caught.value}"
    assert caught.value.__cause__ is None


def test_an_unusable_namespace() -> None:
    """A pattern character in the name space would scan other people's keys."""
    with pytest.raises(SetupError, match="letters, digits"):
        RedisBodies.open("redis://127.0.0.1:1", namespace="a*")


def test_tls_is_the_librarys() -> None:
    """rediss:// opens an encrypting client."""
    bodies = RedisBodies.open("rediss://127.0.0.1:6380/1")
    assert bodies.where == "redis at 127.0.0.1:6380/1"
