"""Many servers that share the keys: each command goes to the one that has its key.

redis-py knows the nodes, the slots and the connections. Following a slot that moves is done here:
redis-py sends ASKING and the command over two connections of its pool, where ASKING holds for one.
Its transactions start a thread for each command, so what must happen at once is a script instead.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from redis.asyncio.cluster import ClusterNode, PipelineCommand, RedisCluster
from redis.exceptions import (
    AskError,
    MovedError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio import Redis

# From one node to the next, and once more where the slot arrives meanwhile.
HOPS = 5
TRY_AGAIN_SECONDS = 0.01
REFRESH_SECONDS = 1.0

# What needs memory comes first: a full server refuses it before anything is changed.
REPLACE = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if #ARGV == 5 then redis.call('HDEL', KEYS[1], 'vector') end
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
"""
SWAP = """
if redis.call('HGET', KEYS[1], 'facts') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return 1
"""
COUNT = """
local times = redis.call('INCR', KEYS[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[1])
return times
"""


class ClusterClient(RedisCluster):
    """redis-py's client, following each key to its node; commands without a key name theirs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._learning: asyncio.Task[Any] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = 0.0

    @classmethod
    def of(cls, hosts: Sequence[tuple[str, int]], **options: Any) -> ClusterClient:
        return cls(startup_nodes=[ClusterNode(host, port) for host, port in hosts], **options)

    async def initialize(self, *args: Any, **options: Any) -> ClusterClient:
        """Learn the nodes; goes on behind a caller that stops waiting."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(super().initialize(*args, **options))
            self._learning.add_done_callback(_heard)
        await asyncio.shield(self._learning)
        return self

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if "target_nodes" in options:
            return await super().execute_command(*args, **options)
        if self.get_default_node() is None:
            await self.initialize()
        key = args[3] if args[0] == "EVAL" else args[1]
        node = self.get_node_from_key(key)
        if node is None:
            raise RedisConnectionError(f"no node has {key}")
        return await self._follow(node, args, options)

    def refresh(self) -> None:
        """Learn the nodes anew behind the calls, at most once a second."""
        now = time.monotonic()
        if self.get_default_node() is None or now - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = now
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._learn_anew())

    async def aclose(self) -> None:
        tasks = [task for task in (self._learning, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().aclose()
        await self.nodes_manager.aclose()
        await self.nodes_manager.aclose("startup_nodes")

    async def _follow(
        self, node: ClusterNode, args: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        asking = False
        for _ in range(HOPS):
            try:
                return await _told(node, args, options, asking=asking)
            except TryAgainError:
                await asyncio.sleep(TRY_AGAIN_SECONDS)
            except AskError as told:
                asking = not isinstance(told, MovedError)
                node = self._named(told.host or node.host, told.port)
                if not asking:
                    self.refresh()
        raise RedisConnectionError("the cluster's nodes send the command to and fro")

    def _named(self, host: str, port: int) -> ClusterNode:
        """A node by its address; a new one has no slots yet, so that no list shows it."""
        node = self.get_node(host, port)
        if node is None:
            node = ClusterNode(host, port, "primary", **self.connection_kwargs)
            self.nodes_manager.set_nodes(self.nodes_manager.nodes_cache, {node.name: node})
        return node

    async def _learn_anew(self) -> None:
        try:
            await self.nodes_manager.initialize()
        except (RedisClusterException, RedisError, OSError):
            # All may have new addresses, to which the names in the URL still lead.
            for node in self.startup_nodes:
                self.nodes_manager.startup_nodes.setdefault(node.name, node)


async def _told(
    node: ClusterNode, args: tuple[Any, ...], options: dict[str, Any], *, asking: bool
) -> Any:
    if not asking:
        return await node.execute_command(*args, **options)
    both = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *args, **options)]
    await node.execute_pipeline(both)
    result = both[1].result
    if isinstance(result, Exception):
        raise result
    return result


def _heard(task: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()


class Cluster:
    """The `Link` to a cluster."""

    def __init__(
        self, reads: ClusterClient, writes: ClusterClient, where: str, *, patience: float
    ) -> None:
        self.where = where
        self.patience = patience
        self._clients = (reads, writes)
        # Commands on one key, and pipelines of them, are called as on a single server.
        self.reads, self.writes = cast("Redis", reads), cast("Redis", writes)

    @property
    def _nodes(self) -> ClusterClient:
        return self._clients[1]

    async def primaries(self) -> list[str]:
        await self._nodes.initialize()
        return [node.name for node in self._nodes.get_primaries()]

    async def ping(self) -> None:
        await asyncio.gather(*(client.initialize() for client in self._clients))
        for node in self._nodes.get_primaries():
            await self._nodes.execute_command("PING", target_nodes=node)

    async def memory(self) -> list[tuple[str, Mapping[str, Any]]]:
        await self._nodes.initialize()
        return [
            (node.name, await self._nodes.info("memory", target_nodes=node))
            for node in self._nodes.get_nodes()
        ]

    async def page(
        self, primary: str, cursor: int, pattern: str, count: int
    ) -> tuple[int, list[bytes]]:
        node = self._nodes.get_node(node_name=primary)
        if node is None:
            raise RedisConnectionError(f"{primary} has left the cluster")
        words = ("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        following, keys = await node.execute_command(*words)
        return int(following), keys

    async def replace(self, key: str, columns: Mapping[str, bytes], until: int) -> None:
        await self._nodes.execute_command("EVAL", REPLACE, 1, key, until, *_flat(columns))

    async def swap(self, key: str, old: bytes, new: Mapping[str, bytes], until: int) -> bool:
        words = ("EVAL", SWAP, 1, key, old, until, *_flat(new))
        return bool(await self._nodes.execute_command(*words))

    async def count(self, key: str, until: int) -> int:
        return int(await self._clients[0].execute_command("EVAL", COUNT, 1, key, until))

    async def unlink(self, keys: Sequence[str]) -> int:
        """One by one: of several keys of a slot that moves, some may be here and some there."""
        async with self._nodes.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.execute_command("UNLINK", key)
            return sum(await pipe.execute())

    def stumbled(self) -> None:
        for client in self._clients:
            client.refresh()

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()


def _flat(columns: Mapping[str, bytes]) -> list[str | bytes]:
    return [part for column in columns.items() for part in column]
