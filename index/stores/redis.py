"""Entries in Redis (or servers that speak like it): shared by every proxy that names them.

Look-ups that wait at the same time travel in one round trip. A server that does not answer costs
those a bounded wait that were waiting then; until it answers again it costs one look-up at a time,
and soon one a second. Never shows the URL's password.
"""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from redis.exceptions import ClusterDownError, MovedError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from index import codec
from index.errors import GapError, SetupError, StoreError
from index.ports import Mark, Sealed, StepKind
from index.stores import link
from index.stores.patience import Patience, within
from index.stores.stream import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from redis.asyncio import Redis

    from index.ports import Codec, Record, Revision
    from policies.values import Facts, Vector

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
_SILENT = (
    RedisConnectionError, RedisTimeoutError, OSError, RedisClusterException, ClusterDownError,
)  # fmt: skip


class RedisBodies:
    """The `Shared`, `Notes` and `Board` ports over Redis, for the event loop that first uses it.

    The members of an answer group stand in a set of their own, so that one call finds them all.
    """

    shared = True

    def __init__(
        self,
        servers: link.Link,
        *,
        namespace: str = "likewise",
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.where = servers.where
        self.codec: Codec = codec
        self.log = Stream(servers, namespace=namespace)
        self._link = servers
        self._patience = servers.patience
        self._reads = servers.reads
        self._writes = servers.writes
        self._entry = f"{namespace}:e:"
        self._setting = f"{namespace}:m:"
        self._group = f"{namespace}:g:"
        self._note = f"{namespace}:n:"
        self._counter = f"{namespace}:c:"
        self._list = f"{namespace}:l:"
        self._sheet = f"{namespace}:b:"
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
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", namespace):
            raise SetupError(
                f"store namespace {namespace!r}: may hold letters, digits, _ . and - only"
            )
        servers = link.opened(url, read=READ_SECONDS, write=WRITE_SECONDS)
        return cls(servers, namespace=namespace, clock=clock)

    async def read(self, entry: str) -> Record | None:
        self._require_open()
        fetching = self._fetcher is not None and not self._fetcher.done()
        if fetching and self._breaker.doubtful:
            raise self._resting()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bytes | None]] = loop.create_future()
        self._waiting.append((entry, future))
        if not fetching:
            self._fetcher = loop.create_task(self._fetch())
        late = Patience(self._patience, partial(self._expire, future))
        try:
            facts, vector, body = await future
        finally:
            late.cancel()
        if facts is None or body is None:
            return None
        record = self.codec.unseal(entry, Sealed(facts, vector, body))
        return record if record is not None and record.facts.gone > self._clock() else None

    async def write(self, record: Record) -> None:
        sealed = self.codec.seal(record)
        key = self._key(record.facts.entry)
        columns = {"facts": sealed.facts, "body": sealed.body}
        if sealed.vector is not None:
            columns["vector"] = sealed.vector

        until = int(record.facts.gone * 1000)
        await self._change(partial(self._link.replace, key, columns, until))
        self.log.tell(StepKind.PUT, [record.facts.entry])
        await self._join(record.facts)

    async def amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None = None
    ) -> Facts | None:
        new = await self._change(partial(self._amend, entry, change, vector))
        if new is not None:
            self.log.tell(StepKind.PUT, [entry])
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
            total += await self._change(partial(self._link.unlink, some))
        self.log.tell(StepKind.GONE, entries)
        return total

    async def scan(self) -> AsyncIterator[Record]:
        """Every live record at least once; one that moves meanwhile may come twice."""
        for primary in await self._change(self._link.primaries):
            async for record in self._scanned(primary):
                yield record

    async def look(self, entries: Sequence[str]) -> list[Record | None]:
        keys = [self._key(entry) for entry in entries]
        rows = await self._change(partial(_columns, self._writes, keys, ("facts", "vector")))
        return [self._live(entry, *row) for entry, row in zip(entries, rows, strict=True)]

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

    async def post(self, owner: str, sheets: Mapping[str, bytes], seconds: float) -> None:
        async def put() -> None:
            async with self._writes.pipeline(transaction=False) as pipe:
                for name, sheet in sheets.items():
                    pipe.set(self._sheet_of(owner, name), sheet, px=int(seconds * 1000))
                await pipe.execute()

        await self._change(put)

    async def posted(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        keys = [self._sheet_of(owner, name) for name in names]

        async def standing() -> list[bytes | None]:
            return cast("list[bytes | None]", await self._writes.mget(keys))

        return await self._change(standing)

    async def count(self, name: str, until: float) -> int:
        key = f"{self._counter}{name}"

        # A request waits for it, so with the patience of a look-up.
        self._require_open()
        return await self._look(partial(self._link.count, key, int(until * 1000))) - 1

    async def mark(self, name: str, members: Mapping[str, float], most: int) -> None:
        key = self._list + name

        async def put() -> None:
            async with self._writes.pipeline(transaction=False) as pipe:
                pipe.zadd(key, dict(members))
                pipe.zremrangebyrank(key, 0, -most - 1)
                await pipe.execute()

        await self._change(put)

    async def unmark(self, name: str, members: Sequence[str]) -> None:
        await self._change(partial(self._writes.zrem, self._list + name, *members))

    async def marked(self, name: str) -> dict[str, float]:
        async def standing() -> list[tuple[bytes, float]]:
            found = await self._writes.zrange(self._list + name, 0, -1, withscores=True)
            return cast("list[tuple[bytes, float]]", found)

        return {member.decode(): at for member, at in await self._change(standing)}

    async def revision(self) -> Revision | None:
        return None

    async def changed(self, since: Revision) -> list[str] | None:
        try:
            return await self.log.changed(Mark(since.store, since.number))
        except GapError:
            return None

    async def forget_changes(self, until: Revision) -> None:
        """There is nothing to forget."""

    async def sweep(self, now: float) -> int:  # noqa: ARG002 - the server expires by itself
        """Nothing to do; 0."""
        self._require_open()
        return 0

    async def check(self) -> None:
        await self._change(self._link.ping)
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
        await self.log.leave()
        await self._link.close()

    def _key(self, entry: str) -> str:
        return self._entry + entry

    def _page_of(self, number: int) -> str:
        return f"{self._note}{number >> NOTES_TOGETHER:x}"

    def _sheet_of(self, owner: str, name: str) -> str:
        # In braces, so that a cluster keeps an owner's together and gives them in one call.
        return f"{self._sheet}{{{owner}}}:{name}"

    async def _amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None
    ) -> Facts | None:
        """Raises StoreError where others change the entry all the time."""
        key = self._key(entry)
        for _ in range(AMENDS):
            found = await self._writes.hmget(key, ["facts", "body"])
            known, body = cast("list[bytes | None]", found)
            if known is None or body is None:
                return None
            new = self.codec.revised(entry, known, change, vector)
            if new is None or new.known.gone <= self._clock():
                return None
            columns = {"facts": new.facts} | ({} if new.vector is None else {"vector": new.vector})
            if await self._link.swap(key, known, columns, int(new.known.gone * 1000)):
                return new.known
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

    async def _scanned(self, primary: str) -> AsyncIterator[Record]:
        cursor = 0
        while True:
            cursor, keys, rows = await self._change(partial(self._page, primary, cursor))
            for key, (facts, vector) in zip(keys, rows, strict=True):
                entry = key[len(self._entry) :].decode("utf-8", "replace")
                if (record := self._live(entry, facts, vector)) is not None:
                    yield record
            if not cursor:
                return

    def _live(self, entry: str, facts: bytes | None, vector: bytes | None) -> Record | None:
        record = None if facts is None else self.codec.unseal_facts(entry, facts, vector)
        return record if record is not None and record.facts.gone > self._clock() else None

    async def _page(
        self, primary: str, cursor: int
    ) -> tuple[int, list[bytes], list[list[bytes | None]]]:
        following, keys = await self._link.page(primary, cursor, self._entry + "*", SCAN_COUNT)
        return following, keys, await _columns(self._writes, keys, ("facts", "vector"))

    async def _fetch(self) -> None:
        """Answer waiting look-ups, as many as there are at a time, until none waits."""
        while self._waiting:
            batch, self._waiting = self._waiting[:READ_BATCH], self._waiting[READ_BATCH:]
            keys = [self._key(entry) for entry, _ in batch]
            try:
                rows = await self._look(partial(_columns, self._reads, keys, _READ))
            except Exception as error:  # noqa: BLE001 - a look-up must never wait for ever
                if self._breaker.doubtful:
                    # Those that came meanwhile would wait in vain for as long again.
                    batch, self._waiting = batch + self._waiting, []
                for _, future in batch:
                    if not future.done():
                        future.set_exception(StoreError(str(error)))
                continue
            for (_, future), row in zip(batch, rows, strict=True):
                if not future.done():
                    future.set_result(row)

    def _expire(self, waiter: asyncio.Future[list[bytes | None]]) -> None:
        """End a look-up that has waited long enough, in the queue and under way together."""
        if not waiter.done():
            waiter.set_exception(self._silent(f"nothing within {self._patience * 1000:g} ms"))

    async def _look_at_eviction(self) -> list[str]:
        try:
            known = await self._link.memory()
        except RedisError as error:
            if isinstance(error, _SILENT):
                raise
            told = link.line(error)
            return [f"store {self.where}: eviction cannot be checked ({told}); allow INFO"]
        policies = ((name, str(memory.get("maxmemory_policy", ""))) for name, memory in known)
        return [
            f"store {self.where}: maxmemory-policy {f'of {name} ' if name else ''}is {policy}, "
            "which may evict the secret that replicas share; set it to volatile-ttl or volatile-lru"
            for name, policy in policies
            if policy.startswith("allkeys-")
        ]

    async def _change(self, call: Callable[[], Awaitable[T]]) -> T:
        self._require_open()
        async with self._slots:
            return await self._reach(call)

    async def _look(self, call: Callable[[], Awaitable[T]]) -> T:
        """Reach for what a request waits for, in the time that it has for all servers."""
        return await self._reach(partial(within, self._patience, call))

    async def _reach(self, call: Callable[[], Awaitable[T]]) -> T:
        if not self._breaker.admits():
            raise self._resting()
        try:
            result = await call()
        except _SILENT as error:
            self._breaker.failed()
            self._link.stumbled()
            raise self._silent(link.line(error)) from error
        except RedisError as error:
            self._breaker.answered()
            raise StoreError(
                f"store {self.where}: refused ({link.line(error)}); {_advice(error)}"
            ) from error
        self._breaker.answered()
        return result

    def _silent(self, how: str) -> StoreError:
        return StoreError(
            f"store {self.where}: does not answer ({how}); start the server, or correct store.url"
        )

    def _resting(self) -> StoreError:
        return StoreError(
            f"store {self.where}: did not answer a moment ago; it is tried again every "
            f"{REST_SECONDS:g} s"
        )

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"store {self.where}: closed; open it again")


class _Breaker:
    """After some failures in a row, lets one call through per `REST_SECONDS` until one succeeds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._next = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether the last call failed, so that only another can tell how things are."""
        return self._failures > 0

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


def _advice(error: RedisError) -> str:
    if isinstance(error, MovedError):
        return "the server is one of a cluster: write redis+cluster:// in store.url"
    return "see the server's memory limit and the user's permissions"
