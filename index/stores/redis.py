"""Entries in Redis (or a server that speaks like it): shared by every proxy that names it.

Look-ups that wait at the same time travel in one round trip. A server that does not answer costs a
bounded wait, and after a few of those nothing at all until it is tried again. Never shows the
URL's password.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from index.codec import Sealed, revised, seal, unseal, unseal_facts
from index.errors import SetupError, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from index.ports import Record
    from policies.values import Facts

T = TypeVar("T")

READ_SECONDS = 0.1
# Everything else runs behind the answer, where a large body may take its time.
WRITE_SECONDS = 1.0
READ_BATCH = 64
WRITERS = 8
SCAN_COUNT = 256
DELETE_COUNT = 500
# Tries of a change that others keep forestalling.
AMENDS = 20
# Notes of about a second lie in one hash: numbers hold milliseconds above their lowest 22 bits.
NOTES_TOGETHER = 32
TRIPS_AFTER = 3
REST_SECONDS = 1.0

_READ = ("facts", "vector", "body")
_DIRECT = ("redis", "rediss", "unix")
_LATER = ("redis+cluster", "redis+sentinel", "rediss+cluster", "rediss+sentinel")


class RedisBodies:
    """The `Bodies` and `Notes` ports over one Redis server, for the event loop that first uses it.

    The members of an answer group stand in a set of their own, so that one call finds them all.
    """

    shared = True

    def __init__(
        self,
        reads: Redis,
        writes: Redis,
        *,
        namespace: str = "likewise",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where = _where(reads)
        self._reads = reads
        self._writes = writes
        self._entry = f"{namespace}:e:"
        self._setting = f"{namespace}:m:"
        self._group = f"{namespace}:g:"
        self._note = f"{namespace}:n:"
        self._counter = f"{namespace}:c:"
        self._clock = clock
        self._breaker = _Breaker(monotonic)
        self._slots = asyncio.Semaphore(WRITERS)
        self._waiting: list[tuple[str, asyncio.Future[list[bytes | None]]]] = []
        self._fetcher: asyncio.Task[None] | None = None
        self._warnings: list[str] = []
        self._closed = False

    @classmethod
    def open(
        cls, url: str, *, namespace: str = "likewise", clock: Callable[[], float] = time.time
    ) -> RedisBodies:
        """Raise `SetupError` for a URL that cannot serve; connects at the first call, not here."""
        _require_usable(url)
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", namespace):
            raise SetupError(
                f"store namespace {namespace!r}: may hold letters, digits, _ . and - only"
            )
        try:
            reads, writes = _client(url, READ_SECONDS), _client(url, WRITE_SECONDS)
        except (ValueError, TypeError, RedisError):
            # The parser quotes what it stumbled over, which may be part of the password.
            raise SetupError(
                "store.url: not a usable redis:// URL; write redis://[user:password@]host:port/db "
                "and percent-encode special characters in the password"
            ) from None
        return cls(reads, writes, namespace=namespace, clock=clock)

    async def read(self, entry: str) -> Record | None:
        self._require_open()
        future: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._fetcher is None or self._fetcher.done():
            self._fetcher = asyncio.create_task(self._fetch())
        facts, vector, body = await future
        if facts is None or body is None:
            return None
        record = unseal(entry, Sealed(facts, vector, body))
        return record if record is not None and record.facts.gone > self._clock() else None

    async def write(self, record: Record) -> None:
        sealed = seal(record)
        key = self._key(record.facts.entry)
        columns = {"facts": sealed.facts, "body": sealed.body}
        if sealed.vector is not None:
            columns["vector"] = sealed.vector

        async def put() -> None:
            async with self._writes.pipeline(transaction=True) as pipe:
                # Deleted first: an older record's vector must not outlive it.
                pipe.delete(key)
                pipe.hset(key, mapping=columns)  # type: ignore[arg-type]
                pipe.pexpireat(key, int(record.facts.gone * 1000))
                await pipe.execute()

        await self._change(put)
        await self._join(record.facts)

    async def amend(self, entry: str, change: Callable[[Facts], Facts]) -> Facts | None:
        new = await self._change(partial(self._amend, entry, change))
        if new is not None:
            await self._join(new)
        return new

    async def members(self, group: str) -> list[str]:
        async def named() -> set[bytes]:
            return cast("set[bytes]", await self._writes.smembers(self._group + group))

        return sorted(name.decode("utf-8", "replace") for name in await self._change(named))

    async def delete(self, entries: Sequence[str]) -> int:
        keys = [self._key(entry) for entry in dict.fromkeys(entries)]
        total = 0
        for start in range(0, len(keys), DELETE_COUNT):
            some = keys[start : start + DELETE_COUNT]
            total += await self._change(partial(self._unlink, some))
        return total

    async def scan(self) -> AsyncIterator[Record]:
        """Every live record at least once; one that moves meanwhile may come twice."""
        cursor = 0
        while True:
            cursor, keys, rows = await self._change(partial(self._page, cursor))
            for key, (facts, vector) in zip(keys, rows, strict=True):
                entry = key[len(self._entry) :].decode("utf-8", "replace")
                record = None if facts is None else unseal_facts(entry, facts, vector)
                if record is not None and record.facts.gone > self._clock():
                    yield record
            if not cursor:
                return

    async def settle(self, name: str, value: bytes) -> bytes:
        key = self._setting + name

        async def first() -> bytes | None:
            if await self._writes.set(key, value, nx=True):
                return value
            return await self._writes.get(key)  # type: ignore[return-value]

        standing = await self._change(first)
        if standing is None:
            raise StoreError(f"store {self.where}: {key} vanished while being read; try again")
        return standing

    async def put(self, name: str, value: bytes) -> None:
        await self._change(partial(self._writes.set, self._setting + name, value))

    async def get(self, name: str) -> bytes | None:
        async def standing() -> bytes | None:
            return cast("bytes | None", await self._writes.get(self._setting + name))

        return await self._change(standing)

    async def note(self, notes: Mapping[int, bytes], seconds: float) -> None:
        together: dict[str, dict[bytes, bytes]] = {}
        for number, value in notes.items():
            together.setdefault(self._page_of(number), {})[b"%x" % number] = value

        async def put() -> None:
            async with self._writes.pipeline(transaction=False) as pipe:
                for key, fields in together.items():
                    pipe.hset(key, mapping=fields)  # type: ignore[arg-type]
                    pipe.pexpire(key, int(seconds * 1000))
                await pipe.execute()

        await self._change(put)

    async def noted(self, number: int) -> bytes | None:
        async def standing() -> bytes | None:
            found = await self._writes.hmget(self._page_of(number), [f"{number:x}"])
            return cast("bytes | None", found[0])

        return await self._change(standing)

    async def ruled(self, number: int, ruling: bytes | None = None) -> bytes | None:
        key, field = self._page_of(number), f"{number:x}!"

        async def first() -> bytes | None:
            # A page that has gone meanwhile must not come back without an expiry.
            if ruling is not None and await self._writes.pttl(key) > 0:
                await self._writes.hsetnx(key, field, ruling)
            return cast("bytes | None", (await self._writes.hmget(key, [field]))[0])

        return await self._change(first)

    async def count(self, name: str, until: float) -> int:
        key = f"{self._counter}{name}"

        async def counted() -> int:
            async with self._reads.pipeline(transaction=True) as pipe:
                pipe.incr(key)
                pipe.pexpireat(key, int(until * 1000))
                times, _ = await pipe.execute()
            return int(times) - 1

        # A request waits for it, so with the patience of a look-up.
        self._require_open()
        return await self._reach(counted)

    async def sweep(self, now: float) -> int:  # noqa: ARG002 - the server expires by itself
        """Nothing to do; 0."""
        self._require_open()
        return 0

    async def check(self) -> None:
        await self._change(self._writes.ping)
        self._warnings = await self._change(self._look_at_eviction)

    def warnings(self) -> list[str]:
        """Say what the last `check` found that works but is unwise; one line each."""
        return list(self._warnings)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._fetcher is not None:
            await asyncio.gather(self._fetcher, return_exceptions=True)
        await self._reads.aclose()
        await self._writes.aclose()

    def _key(self, entry: str) -> str:
        return self._entry + entry

    def _page_of(self, number: int) -> str:
        return f"{self._note}{number >> NOTES_TOGETHER:x}"

    async def _amend(self, entry: str, change: Callable[[Facts], Facts]) -> Facts | None:
        """Raises StoreError where others change the entry all the time."""
        key = self._key(entry)
        async with self._writes.pipeline(transaction=True) as pipe:
            for _ in range(AMENDS):
                await pipe.watch(key)
                found = await pipe.hmget(key, ["facts", "body"])
                known, body = cast("list[bytes | None]", found)
                new = None if known is None or body is None else revised(entry, known, change)
                if new is None or new[0].gone <= self._clock():
                    return None
                pipe.multi()  # type: ignore[no-untyped-call]
                pipe.hset(key, "facts", new[1])
                # Should the key have gone all the same, what is written goes with it.
                pipe.pexpireat(key, int(new[0].gone * 1000))
                with contextlib.suppress(WatchError):
                    await pipe.execute()
                    return new[0]
        raise StoreError(f"store {self.where}: {key} is changed by others all the time; try again")

    async def _join(self, facts: Facts) -> None:
        """Put an entry on its group's list, which lasts as long as the last of them."""
        if not facts.group:
            return
        key, until = self._group + facts.group, int(facts.gone * 1000)

        async def put() -> None:
            await self._writes.sadd(key, facts.entry)
            left = await self._writes.pttl(key)
            if left < 0 or self._clock() * 1000 + left < until:
                await self._writes.pexpireat(key, until)

        await self._change(put)

    async def _unlink(self, keys: Sequence[str]) -> int:
        return int(await self._writes.unlink(*keys))

    async def _page(self, cursor: int) -> tuple[int, list[bytes], list[list[bytes | None]]]:
        following, keys = await self._writes.scan(cursor, match=self._entry + "*", count=SCAN_COUNT)
        found = cast("list[bytes]", keys)
        return int(following), found, await _columns(self._writes, found, ("facts", "vector"))

    async def _fetch(self) -> None:
        """Answer waiting look-ups, as many as there are at a time, until none waits."""
        while self._waiting:
            batch, self._waiting = self._waiting[:READ_BATCH], self._waiting[READ_BATCH:]
            keys = [self._key(entry) for entry, _ in batch]
            try:
                rows = await self._reach(partial(_columns, self._reads, keys, _READ))
            except Exception as error:  # noqa: BLE001 - a look-up must never wait for ever
                for _, future in batch:
                    if not future.done():
                        future.set_exception(StoreError(str(error)))
                continue
            for (_, future), row in zip(batch, rows, strict=True):
                if not future.done():
                    future.set_result(row)

    async def _look_at_eviction(self) -> list[str]:
        try:
            memory: dict[str, Any] = await self._writes.info("memory")
        except RedisError as error:
            if isinstance(error, RedisConnectionError | RedisTimeoutError):
                raise
            return [f"store {self.where}: eviction cannot be checked ({_line(error)}); allow INFO"]
        policy = str(memory.get("maxmemory_policy", ""))
        if not policy.startswith("allkeys-"):
            return []
        warning = (
            f"store {self.where}: maxmemory-policy is {policy}, which may evict the secret that "
            "replicas share; set it to volatile-ttl or volatile-lru"
        )
        return [warning]

    async def _change(self, call: Callable[[], Awaitable[T]]) -> T:
        self._require_open()
        async with self._slots:
            return await self._reach(call)

    async def _reach(self, call: Callable[[], Awaitable[T]]) -> T:
        if not self._breaker.admits():
            raise StoreError(
                f"store {self.where}: did not answer a moment ago; it is tried again every "
                f"{REST_SECONDS:g} s"
            )
        try:
            result = await call()
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            self._breaker.failed()
            raise StoreError(
                f"store {self.where}: does not answer ({_line(error)}); "
                "start the server, or correct store.url"
            ) from error
        except RedisError as error:
            self._breaker.answered()
            raise StoreError(
                f"store {self.where}: refused ({_line(error)}); "
                "see the server's memory limit and the user's permissions"
            ) from error
        self._breaker.answered()
        return result

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {self.where}: closed; open it again")


class _Breaker:
    """After some failures in a row, lets one call through per `REST_SECONDS` until one succeeds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._next = 0.0

    def admits(self) -> bool:
        if self._failures < TRIPS_AFTER:
            return True
        now = self._monotonic()
        if now < self._next:
            return False
        self._next = now + REST_SECONDS
        return True

    def failed(self) -> None:
        self._failures += 1
        self._next = self._monotonic() + REST_SECONDS

    def answered(self) -> None:
        self._failures = 0


async def _columns(
    client: Redis, keys: Sequence[str] | Sequence[bytes], names: Sequence[str]
) -> list[list[bytes | None]]:
    if not keys:
        return []
    async with client.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hmget(key, list(names))
        rows = await pipe.execute(raise_on_error=False)
    # A key of another type under our name is damage, and damage is absence; a refusal is not.
    for row in rows:
        if isinstance(row, RedisError) and not str(row).startswith("WRONGTYPE"):
            raise row
    return [row if isinstance(row, list) else [None] * len(names) for row in rows]


def _require_usable(url: str) -> None:
    scheme = url.partition("://")[0].lower()
    if scheme in _LATER:
        raise SetupError(
            f"store.url: {scheme}:// is not supported yet; "
            "redis://, rediss:// (TLS) and unix:// to a single server work"
        )
    if scheme not in _DIRECT:
        raise SetupError(
            "store.url: a Redis store starts with redis://, rediss:// (TLS) or unix://"
        )
    if scheme != "unix" and not url.partition("://")[2].strip("/"):
        raise SetupError("store.url: names no host; write redis://host:6379/0")


def _client(url: str, seconds: float) -> Redis:
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=READ_SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        decode_responses=False,
        protocol=2,
    )
    return Redis.from_pool(pool)


def _where(client: Redis) -> str:
    settings = client.connection_pool.connection_kwargs
    place = settings.get("path") or f"{settings.get('host')}:{settings.get('port', 6379)}"
    return f"redis at {place}/{settings.get('db', 0)}"


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
