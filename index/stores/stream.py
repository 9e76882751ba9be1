"""What changed in a shared store, as a Redis stream with numbers of our own that leave none out.

Every call is one script over three keys of one slot: the log's head, its steps, and how far each
replica has read. The log is made anew, under another epoch, where its head is not there or came up
with another server, which may hold an older copy: then nobody can tell what is missing. It neither
asks nor trips the store's breaker.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisClusterException, RedisError

from index.ending import end
from index.errors import GapError, StoreError
from index.faults import Told
from index.ports import Heard, Mark, News, Roll, Step, StepKind
from index.stores import link

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LOG = logging.getLogger("likewise.replicas")

# Steps that the stream keeps at least; who is further behind compares all.
KEPT = 50_000
READ_AT_ONCE = 1_000
ENTRIES_PER_STEP = 500
# Seconds after which a replica that was not heard of is off the list.
BURIED = 60.0
_KINDS = frozenset(kind.value for kind in StepKind)
RETRY_SECONDS = 0.5
# Names that wait to be told. Beyond that everybody compares all.
UNTOLD = 100_000
# Notes that wait; beyond that the oldest are lost.
UNSAID = 100

_ENTER = """
local server = redis.pcall('INFO', 'server')
local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)') or ''
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if redis.call('HGET', KEYS[1], 'run') ~= run then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  redis.call('HSET', KEYS[1], 'run', run, 'epoch', ARGV[1], 'seq', 0)
end
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
"""
_TELL = (
    _ENTER
    + """
local seq = head[2]
for i = 4, #ARGV, 3 do
  seq = string.format('%d', redis.call('HINCRBY', KEYS[1], 'seq', 1))
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], seq .. '-0',
    'kind', ARGV[i], 'by', ARGV[2], 'entries', ARGV[i + 1], 'note', ARGV[i + 2])
end
return {head[1], seq}
"""
)
# A full server takes no word of how far one has read, but its steps can be read all the same.
_READ = (
    _ENTER
    + """
if head[1] ~= ARGV[3] then return {head[1], head[2], 0, {}} end
local told = redis.pcall('HSET', KEYS[3], ARGV[2], ARGV[4] .. ' ' .. now)
local steps = redis.call('XRANGE', KEYS[2], ARGV[5], '+', 'COUNT', ARGV[6])
return {head[1], head[2], type(told) == 'number' and 1 or 0, steps}
"""
)
# Leaves no word of how far one has read: what was missed is read for a snapshot, not taken in.
_PAST = (
    _ENTER
    + """
return {head[1], head[2], redis.call('XRANGE', KEYS[2], ARGV[2], '+', 'COUNT', ARGV[3])}
"""
)
_ROLL = (
    _ENTER
    + """
local roll = {}
local replicas = redis.call('HGETALL', KEYS[3])
for i = 1, #replicas, 2 do
  local seq, at = string.match(replicas[i + 1], '(%d+) (%d+)')
  local age = now - at
  if age > tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[3], replicas[i])
  else
    roll[#roll + 1] = {replicas[i], seq, age}
  end
end
return {head[1], roll}
"""
)


class Stream:
    """The `Log` port, for the event loop that first uses it."""

    def __init__(self, servers: link.Link, *, namespace: str, kept: int = KEPT) -> None:
        self.origin = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._link = servers
        # In braces, so that a cluster keeps them together.
        self._keys = [f"{{{namespace}}}:{name}" for name in ("log", "steps", "replicas")]
        self._kept = kept
        self._untold: dict[str, StepKind] = {}
        self._unsaid: deque[bytes] = deque(maxlen=UNSAID)
        self._lost = False
        self._warned = Told(LOG)
        self._telling: asyncio.Task[None] | None = None

    def tell(self, kind: StepKind, entries: Iterable[str]) -> None:
        self._untold.update(dict.fromkeys(entries, kind))
        if len(self._untold) > UNTOLD:
            self._untold.clear()
            self._lost = True
        self._begin()

    def say(self, note: bytes) -> None:
        self._unsaid.append(note)
        self._begin()

    async def mark(self) -> Mark:
        return (await self._read(Mark("", 0), 0)).end

    async def since(self, mark: Mark) -> News:
        news = await self._read(mark, READ_AT_ONCE)
        if news.end.epoch != mark.epoch:
            raise GapError(f"store {self._link.where}: its log of changes was begun anew")
        self._require_next(mark, news.steps, news.end.seq)
        return news

    async def changed(self, mark: Mark) -> list[str]:
        names: dict[str, None] = {}
        while True:
            epoch, last, rows = await self._run(_PAST, f"{mark.seq + 1}-0", READ_AT_ONCE)
            if epoch.decode() != mark.epoch:
                raise GapError(f"store {self._link.where}: its log of changes was begun anew")
            steps = [_step(number, fields) for number, fields in rows]
            self._require_next(mark, steps, int(last))
            if any(step.kind is StepKind.FENCE for step in steps):
                raise GapError(f"store {self._link.where}: there was a purge")
            if not steps:
                return list(names)
            names.update(dict.fromkeys(name for step in steps for name in step.entries))
            mark = Mark(mark.epoch, steps[-1].seq)

    async def fence(self) -> Mark:
        return await self._append([(StepKind.FENCE, (), b"")])

    async def roll(self) -> Roll:
        epoch, replicas = await self._run(_ROLL, int(BURIED * 1000))
        heard = (Heard(name.decode(), int(seq), age / 1000) for name, seq, age in replicas)
        return Roll(epoch.decode(), tuple(sorted(heard)))

    async def leave(self) -> None:
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=RETRY_SECONDS)
            await end(self._telling)
        with suppress(StoreError):
            await self._reach("HDEL", self._keys[2], self.origin)

    def _require_next(self, mark: Mark, steps: Sequence[Step], last: int) -> None:
        """Raise `GapError` unless these are the next steps after a mark, or that is the end."""
        if any(step.seq != mark.seq + n for n, step in enumerate(steps, 1)) or (
            not steps and last != mark.seq
        ):
            raise GapError(f"store {self._link.where}: its log of changes is cut off")

    def _begin(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        """Tell what waits, again and again until it is told."""
        while self._untold or self._unsaid or self._lost:
            told, self._untold = self._untold, {}
            said = list(self._unsaid)
            self._unsaid.clear()
            try:
                if self._lost:
                    await self._reach("DEL", self._keys[0])
                    self._lost = False
                notes = [(StepKind.LEARNED, (), note) for note in said]
                await self._append([*_steps(told), *notes])
            except StoreError as fault:
                self._untold = told | self._untold
                self._unsaid.extendleft(reversed(said))
                self._warned.warn("replicas", f"{fault}; it is told later")
                await asyncio.sleep(RETRY_SECONDS)

    async def _append(self, steps: Iterable[tuple[StepKind, Sequence[str], bytes]]) -> Mark:
        words = [
            word for kind, entries, note in steps for word in (kind.value, " ".join(entries), note)
        ]
        epoch, seq = await self._run(_TELL, self.origin, self._kept, *words)
        return Mark(epoch.decode(), int(seq))

    async def _read(self, mark: Mark, most: int) -> News:
        after = f"{mark.seq + 1}-0"
        words = (self.origin, mark.epoch, mark.seq, after, most)
        epoch, seq, told, steps = await self._run(_READ, *words)
        found = tuple(_step(number, fields) for number, fields in steps)
        return News(found, Mark(epoch.decode(), int(seq)), bool(told))

    async def _run(self, script: str, *words: str | int | bytes) -> Any:
        return await self._reach("EVAL", script, 3, *self._keys, secrets.token_hex(8), *words)

    async def _reach(self, *words: str | int | bytes) -> Any:
        try:
            return await self._link.writes.execute_command(*words)  # type: ignore[no-untyped-call]
        except (RedisError, RedisClusterException, OSError) as error:
            self._link.stumbled()
            raise StoreError(
                f"store {self._link.where}: its log of changes cannot be used ({link.line(error)})"
            ) from error


def _steps(told: dict[str, StepKind]) -> Iterable[tuple[StepKind, Sequence[str], bytes]]:
    for kind in (StepKind.GONE, StepKind.PUT):
        names = [name for name, became in told.items() if became is kind]
        for start in range(0, len(names), ENTRIES_PER_STEP):
            yield kind, names[start : start + ENTRIES_PER_STEP], b""


def _step(number: bytes, fields: list[bytes]) -> Step:
    """What a newer version may tell of besides is a change of nothing."""
    held = dict(zip(fields[::2], fields[1::2], strict=True))
    seq = int(number.partition(b"-")[0])
    kind, by = held.get(b"kind", b"").decode(), held.get(b"by", b"").decode()
    if kind not in _KINDS:
        return Step(seq, StepKind.PUT, by)
    entries = tuple(held.get(b"entries", b"").decode().split())
    return Step(seq, StepKind(kind), by, entries, held.get(b"note", b""))
