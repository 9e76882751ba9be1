"""A `store.url` to the clients behind it: one server, a cluster, or the master that sentinels name.

Every client gives up soon and tries nothing twice, so that a fault is the store's to judge. What is
refused is said without the URL, which may hold a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, WatchError

from index.errors import SetupError
from index.stores.cluster import Cluster, ClusterClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SERVER = ("redis", "rediss", "unix")
CLUSTER = ("redis+cluster", "rediss+cluster")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
SCHEMES = (*SERVER, *CLUSTER, *SENTINEL)

_PARTS = re.compile(
    r"(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?"
)
# How much longer than its look-ups the client for reads waits.
SLACK = 5
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SECRET = ("username", "password", "ssl_password")


class Terse(Pipeline):
    """redis-py's pipeline, which says of a refused command its name alone: its own complaint would
    quote the whole command, key and answer included, milliseconds of work for a long one."""

    def annotate_exception(
        self, exception: Exception, number: int, command: Iterable[object]
    ) -> None:
        name = next(iter(command), "")
        told = f"{name}, command {number} of several: {exception}"
        exception.args = (told, *exception.args[1:])


class Client(Redis):
    """redis-py's client for one server, with the pipeline above."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Terse:
        return Terse(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Link(Protocol):
    """What a store needs of its servers beyond commands on one key.

    `reads` give up sooner than `writes`. `patience`: the longest a look-up may take in all.
    """

    where: str
    reads: Redis
    writes: Redis
    patience: float

    async def primaries(self) -> list[str]:
        """Names of the servers that together hold every key."""

    async def ping(self) -> None:
        """Raise unless every primary answers."""

    async def memory(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What each server says of its memory, by its name."""

    async def page(
        self, primary: str, cursor: int, pattern: str, count: int
    ) -> tuple[int, list[bytes]]:
        """Some keys of one primary, and where to go on; 0 at the end."""

    async def replace(self, key: str, columns: Mapping[str, bytes], until: int) -> None:
        """Make the hash hold these columns and nothing else, all at once."""

    async def swap(self, key: str, old: bytes, new: Mapping[str, bytes], until: int) -> bool:
        """Change columns of an entry, unless its facts are no longer the old ones."""

    async def count(self, key: str, until: int) -> int:
        """Count up and say to how many; forgotten at `until`, in milliseconds."""

    async def unlink(self, keys: Sequence[str]) -> int:
        """Delete keys, wherever they are; say how many there were."""

    def stumbled(self) -> None:
        """Hear that a call found no server that answers."""

    async def close(self) -> None: ...


class Server:
    """The `Link` to one server, which may be whichever the sentinels name."""

    def __init__(
        self,
        reads: Redis,
        writes: Redis,
        where: str,
        *,
        patience: float,
        sentinels: Sentinel | None = None,
    ) -> None:
        self.reads = reads
        self.writes = writes
        self.where = where
        self.patience = patience
        self._sentinels = sentinels

    async def primaries(self) -> list[str]:
        return [""]

    async def ping(self) -> None:
        await self.writes.ping()

    async def memory(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [("", await self.writes.info("memory"))]

    async def page(
        self,
        primary: str,  # noqa: ARG002 - there is one
        cursor: int,
        pattern: str,
        count: int,
    ) -> tuple[int, list[bytes]]:
        following, keys = await self.writes.scan(cursor, match=pattern, count=count)
        return int(following), cast("list[bytes]", keys)

    async def replace(self, key: str, columns: Mapping[str, bytes], until: int) -> None:
        async with self.writes.pipeline(transaction=True) as pipe:
            # Deleted first: an older record's vector must not outlive it.
            pipe.delete(key)
            pipe.hset(key, mapping=columns)  # type: ignore[arg-type]
            pipe.pexpireat(key, until)
            await pipe.execute()

    async def swap(self, key: str, old: bytes, new: Mapping[str, bytes], until: int) -> bool:
        async with self.writes.pipeline(transaction=True) as pipe:
            await pipe.watch(key)
            if (await pipe.hmget(key, ["facts"]))[0] != old:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(key, mapping=new)  # type: ignore[arg-type]
            # Should the key have gone all the same, what is written goes with it.
            pipe.pexpireat(key, until)
            try:
                await pipe.execute()
            except WatchError:
                return False
        return True

    async def count(self, key: str, until: int) -> int:
        async with self.reads.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.pexpireat(key, until)
            times, _ = await pipe.execute()
        return int(times)

    async def unlink(self, keys: Sequence[str]) -> int:
        return int(await self.writes.unlink(*keys))

    def stumbled(self) -> None:
        """Nothing to do: the next call connects anew."""

    async def close(self) -> None:
        await self.reads.aclose()
        await self.writes.aclose()
        if self._sentinels is not None:
            await self._sentinels.aclose()


def opened(url: str, *, read: float, write: float) -> Link:
    """The clients that a URL means, with these limits in seconds; connects at the first call.

    Raises `SetupError` with the next step.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise SetupError(
            "store.url: a Redis store starts with redis://, rediss:// (TLS) or unix://, or with "
            "redis+cluster:// or redis+sentinel:// (with TLS rediss+cluster://, rediss+sentinel://)"
        )
    make = _cluster if scheme in CLUSTER else _sentinel if scheme in SENTINEL else _server
    try:
        return make(url, read, write)
    except (ValueError, TypeError, RedisError, RedisClusterException):
        # The parser quotes what it stumbled over, which may be part of the password.
        raise SetupError(
            f"store.url: not a usable {scheme}:// URL; write {_LIKE[make.__name__]} with options "
            "that redis-py knows, and percent-encode special characters in the password"
        ) from None


_LIKE = {
    "_server": "redis://[user:password@]host:port/db or unix:///path",
    "_cluster": "redis+cluster://[user:password@]host:port,host:port",
    "_sentinel": "redis+sentinel://[user:password@]host:port,host:port/master/db",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of several hosts. `options` are those of redis-py's own URLs."""

    hosts: tuple[tuple[str, int], ...]
    path: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def places(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self.hosts)


def address(url: str, port: int) -> Address:
    """Read a URL of several hosts. Raises `SetupError`, or a `ValueError` that quotes it."""
    scheme, _, rest = url.partition("://")
    parts = _PARTS.fullmatch(rest)
    if parts is None:
        raise ValueError
    user = f"{parts['user']}@" if parts["user"] is not None else ""
    options = dict(parse_url(f"{scheme.lower().partition('+')[0]}://{user}h{parts['query'] or ''}"))
    _require_plain(parts["query"] or "", options)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    path = tuple(unquote(step) for step in parts["path"].split("/") if step)
    return Address(tuple(_hosts(parts["hosts"], port)), path, _without(options, ("host", "port")))


def _hosts(places: str, port: int) -> Iterable[tuple[str, int]]:
    for place in places.split(","):
        parts = urlsplit(f"//{place}")
        number = parts.port
        if not parts.hostname:
            raise SetupError(f"store.url: names no host; write host:{port}, several with commas")
        yield parts.hostname, port if number is None else number


def _server(url: str, read: float, write: float) -> Link:
    if not url.partition("://")[2].strip("/"):
        raise SetupError("store.url: names no host; write redis://host:6379/0 or unix:///path")
    _require_plain(urlsplit(url).query, parse_url(url))
    # The client counts a busy loop's own delay as the server's, so a look-up ends by `patience`.
    pools = [ConnectionPool.from_url(url, **_limits(s, s)) for s in (SLACK * read, write)]
    for pool in pools:
        pool.connection_class(**pool.connection_kwargs)
    settings = pools[0].connection_kwargs
    place = settings.get("path") or f"{settings.get('host')}:{settings.get('port', 6379)}"
    reads, writes = (Client.from_pool(pool) for pool in pools)
    return Server(reads, writes, f"redis at {place}/{settings.get('db', 0)}", patience=read)


def _cluster(url: str, read: float, write: float) -> Link:
    known = address(url, 6379)
    if known.path not in ((), ("0",)) or known.options.get("db"):
        raise SetupError("store.url: a cluster has no numbered databases; end it after the hosts")
    reads, writes = (
        ClusterClient.of(known.hosts, **{**known.options, **_limits(s, s)})
        for s in (SLACK * read, write)
    )
    return Cluster(reads, writes, f"redis cluster at {known.places}", patience=read)


def _sentinel(url: str, read: float, write: float) -> Link:
    known = address(url, 26379)
    if not known.path:
        raise SetupError("store.url: names no master; end it as the sentinels know it: /mymaster/0")
    service, db = known.path[0], int("/".join(known.path[1:]) or 0)
    options = {"db": db, **known.options}
    asked = options.pop("sentinel_auth", "no") == "yes"
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        known.hosts, sentinel_kwargs=_for_sentinels(options, read, asked=asked)
    )
    reads, writes = (
        _master(sentinels, service, {**options, **_limits(read, seconds)})
        for seconds in (read, write)
    )
    where = f"redis {service} of sentinels at {known.places}/{options['db']}"
    # One sentinel that hangs must leave time to ask the next.
    return Server(reads, writes, where, patience=2 * read, sentinels=sentinels)


def _master(sentinels: Sentinel, service: str, options: Mapping[str, Any]) -> Redis:
    pool = SentinelConnectionPool(  # type: ignore[no-untyped-call]
        service, sentinels, is_master=True, **options
    )
    pool.connection_class(**pool.connection_kwargs)
    return Client.from_pool(pool)


def _for_sentinels(options: Mapping[str, Any], read: float, *, asked: bool) -> dict[str, Any]:
    """Sentinels speak TLS where the servers do; the password is told only to those that ask."""
    own = {name: value for name, value in options.items() if name.startswith("ssl")}
    if asked:
        own |= {name: options[name] for name in ("username", "password") if name in options}
    # Half of a look-up's time: the other half is the master's.
    return {**own, **_limits(read / 2, read / 2)}


def line(error: Exception) -> str:
    """What went wrong, in one line that may be shown."""
    # A sentinel that was asked in vain is shown as its client with all its settings.
    text = re.sub(r"<redis\..*>", "sentinel", str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__


def _limits(connect: float, answer: float) -> dict[str, Any]:
    return {
        "socket_timeout": answer,
        "socket_connect_timeout": connect,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,
    }


def _require_plain(query: str, options: Mapping[str, Any]) -> None:
    """What others may be shown holds no secret, and the files that it names are there."""
    for name in parse_qs(query.removeprefix("?")):
        if name in _SECRET:
            raise SetupError(f"store.url: {name} stands after ?; write it as user:password@host")
    for name in _FILES:
        if name in options and not Path(str(options[name])).is_file():
            raise SetupError(f"store.url: {name} names a file that is not there: {options[name]}")


def _without(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in names}
