"""What a `store.url` means: which servers, with which limits, and what is refused."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

import pytest
from redis.exceptions import ResponseError

from index.errors import SetupError, StoreError
from index.stores.link import address, opened
from index.stores.redis import RedisBodies
from tests.index.stores.test_sqlite import name, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.servers import RedisServer, Sentinels, TlsServer

T = TypeVar("T")
SOON = 8.0


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://h", "redis at h:6379/0"),
        ("redis://u:p@h:7000/3", "redis at h:7000/3"),
        ("rediss://127.0.0.1:6380/1", "redis at 127.0.0.1:6380/1"),
        ("unix:///run/redis.sock?db=2", "redis at /run/redis.sock/2"),
        ("redis+cluster://h1:7000,h2:7001", "redis cluster at h1:7000,h2:7001"),
        ("rediss+cluster://u:p@h1,[::1]:7001/0", "redis cluster at h1:6379,::1:7001"),
        ("redis+sentinel://s1,s2:7/main", "redis main of sentinels at s1:26379,s2:7/0"),
        ("rediss+sentinel://:p%40@s1/my%20main/2", "redis my main of sentinels at s1:26379/2"),
    ],
)
def test_where(url: str, where: str) -> None:
    """Messages name every server that the URL names, with the ports meant, and no credentials."""
    assert opened(url, read=0.1, write=1.0).where == where


def test_credentials_and_options_are_redis_pys() -> None:
    """A URL of several hosts means what one of redis-py's means, percent-encoding included."""
    known = address("rediss+cluster://me:p%2Fw%40@a:1,b/?ssl_cert_reqs=none&client_name=x", 6379)
    assert known.hosts == (("a", 1), ("b", 6379))
    assert known.path == ()
    assert known.options == {
        "username": "me", "password": "p/w@", "ssl": True, "ssl_cert_reqs": "none",
        "client_name": "x",
    }  # fmt: skip


class Unreadable(bytes):
    """An answer that nobody may turn into text."""

    def decode(self, *_: object, **__: object) -> str:
        raise AssertionError("the whole answer was read for a complaint")


@pytest.mark.parametrize("url", ["redis://h", "unix:///run/redis.sock", "redis+sentinel://h/main"])
def test_a_refusal_is_not_told_with_the_answer(url: str) -> None:
    """A complaint about one command of several says which, and reads nothing that it carries."""
    pipe = opened(url, read=0.1, write=1.0).writes.pipeline()
    refusal = ResponseError("OOM command not allowed")
    pipe.annotate_exception(refusal, 2, ("HSET", "likewise:e:1", "body", Unreadable(b"x")))
    assert str(refusal) == "HSET, command 2 of several: OOM command not allowed"


@pytest.mark.parametrize(
    ("scheme", "read", "patience"),
    [("redis", 0.5, 0.1), ("redis+cluster", 0.5, 0.1), ("redis+sentinel", 0.1, 0.2)],
)
def test_every_client_is_impatient(scheme: str, read: float, patience: float) -> None:
    """Look-ups wait a tenth of a second, one more for the sentinels, and writes a second; the
    clients, which cannot tell a busy loop from a silent server, wait longer than the look-ups."""
    link = opened(f"{scheme}://h/0", read=0.1, write=1.0)
    assert link.patience == patience
    for client, answer in ((link.reads, read), (link.writes, 1.0)):
        pool = client if scheme == "redis+cluster" else client.connection_pool
        assert pool.connection_kwargs["socket_timeout"] == answer
        connect = 0.1 if scheme == "redis+sentinel" else answer
        assert pool.connection_kwargs["socket_connect_timeout"] == connect
        assert pool.connection_kwargs["health_check_interval"] == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:s3cr3t@h", r"starts with redis://.*redis\+cluster://.*redis\+sentinel://"),
        ("redis://", "names no host"),
        ("redis+cluster://", "names no host"),
        ("redis+cluster://a:1,,b:2", "names no host"),
        ("redis+sentinel://:s3cr3t@/main", "names no host"),
        ("redis+cluster://:s3cr3t@h:port", "percent-encode"),
        ("redis+cluster://:s3cr3t/x@h:1", "percent-encode"),
        ("redis+cluster://:s3cr3t#x@h:1", "percent-encode"),
        ("redis+cluster://h:99999", "percent-encode"),
        ("redis+cluster://[h:1", "percent-encode"),
        ("redis+cluster://h/3", "no numbered databases"),
        ("redis+cluster://h?db=3", "no numbered databases"),
        ("redis+cluster://h?colour=s3cr3t", "options that redis-py knows"),
        ("redis://h?colour=s3cr3t", "options that redis-py knows"),
        ("redis+sentinel://h:1", "names no master"),
        ("redis+sentinel://h/main/first", "percent-encode"),
        ("redis+sentinel://h/main?colour=s3cr3t", "options that redis-py knows"),
        ("redis+cluster://h?password=s3cr3t", "password stands after"),
        ("redis://h?password=s3cr3t", "password stands after"),
        ("rediss://h?ssl_ca_certs=/no/ca.pem", "ssl_ca_certs names a file that is not there"),
        ("rediss+cluster://h?ssl_keyfile=/no/k", "ssl_keyfile names a file that is not there"),
    ],
)
def test_what_cannot_serve_is_refused(url: str, said: str) -> None:
    """At once, with what would do, and without a secret."""
    with pytest.raises(SetupError, match=said) as caught:
        opened(url, read=0.1, write=1.0)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.redis
async def test_tls(tls_redis: TlsServer) -> None:
    """A certificate that is vouched for is spoken to, or any where that is asked for."""
    for options in (f"ssl_ca_certs={tls_redis.certificate}", "ssl_cert_reqs=none"):
        bodies = RedisBodies.open(f"{tls_redis.url}?{options}")
        await bodies.check()
        await bodies.write(record(1))
        assert await bodies.read(name(1)) is not None
        await bodies.close()


@pytest.mark.redis
async def test_tls_asks_for_a_known_certificate(tls_redis: TlsServer) -> None:
    """A certificate that nobody vouches for is a fault, and so is a client that speaks plainly."""
    for url in (tls_redis.url, tls_redis.url.replace("rediss", "redis")):
        bodies = RedisBodies.open(url)
        with pytest.raises(StoreError, match=f"127.0.0.1:{tls_redis.port}"):
            await bodies.check()
        await bodies.close()


@pytest.mark.redis
async def test_a_new_master_is_found(own_sentinels: Sentinels) -> None:
    """When the master is gone the sentinels' choice is used, without a restart; none is a fault."""
    bodies = RedisBodies.open(own_sentinels.url)
    await bodies.check()
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None
    await copied(own_sentinels, 1)
    own_sentinels.master.stop()
    with pytest.raises(StoreError, match="mymaster of sentinels"):
        await bodies.read(name(1))
    found = await in_time(lambda: bodies.read(name(1)))
    assert found is not None
    await in_time(lambda: bodies.write(record(2)))
    with own_sentinels.replica.client() as client:
        assert client.info("replication")["role"] == "master"
    await bodies.close()


async def copied(servers: Sentinels, keys: int) -> None:
    """Wait until the replica holds what its master was told."""
    until = time.monotonic() + SOON
    with servers.replica.client() as client:
        while client.dbsize() < keys:
            assert time.monotonic() < until, "the replica never caught up"
            await asyncio.sleep(0.02)


async def in_time(call: Callable[[], Awaitable[T]]) -> T:
    """What a call gives once the store answers again; until then it may only be a StoreError."""
    until = time.monotonic() + SOON
    while True:
        try:
            return await call()
        except StoreError:
            assert time.monotonic() < until, "the store never came back"
            await asyncio.sleep(0.1)


@pytest.mark.redis
async def test_an_unknown_master(own_sentinels: Sentinels) -> None:
    """A name that the sentinels do not know is said, and where they were asked."""
    bodies = RedisBodies.open(own_sentinels.url.replace("mymaster", "other"))
    with pytest.raises(StoreError, match=rf"other of sentinels at .*{own_sentinels.sentinel.port}"):
        await bodies.check()
    await bodies.close()


@pytest.mark.redis
async def test_sentinels_that_ask_for_a_password(tmp_path: Path) -> None:
    """The URL's password goes to the sentinels only where it says so."""
    for option, told in (("", False), ("?sentinel_auth=yes", True)):
        bodies = RedisBodies.open(f"redis+sentinel://u:p@127.0.0.1:1/m{option}")
        sentinels = bodies._link._sentinels.sentinels  # type: ignore[attr-defined]
        settings = sentinels[0].connection_pool.connection_kwargs
        assert (settings.get("password") == "p", settings.get("username") == "u") == (told, told)
        await bodies.close()


@pytest.mark.redis
async def test_a_socket(own_redis: RedisServer, tmp_path: Path) -> None:
    """A Unix socket is a server like another."""
    path = tmp_path / "redis.sock"
    own_redis.stop()
    own_redis._command += ["--unixsocket", str(path)]
    own_redis.start()
    bodies = RedisBodies.open(f"unix://{path}")
    await bodies.write(record(1))
    assert await bodies.read(name(1)) is not None
    await bodies.close()
