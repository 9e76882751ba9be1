"""What runs beside the requests: sweeping, evicting, growing indexes, reloading the policy.

One supervised loop; a failing step is logged and tried again at the next turn.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from index.errors import StoreError
from index.faults import Told
from index.renewing import renew
from policies.errors import PolicyError
from policies.eviction import Bounds, Rule
from proxy.judges import build as judges
from proxy.pressure import Pressure
from proxy.settings import notices, reread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.memory import Memory
    from policies.values import Rules
    from proxy.engine import Engine
    from proxy.learning import Learner
    from proxy.settings import Settings

LOG = logging.getLogger("likewise.upkeep")
TOLD = Told(LOG)
PERIOD = 1.0
# Reading every entry's age is cheap but not free; nobody waits for expired ones to go.
SWEEP_EVERY = 15
# So much of the index is made again after a crash: what changed in ten minutes.
SAVE_EVERY = 600


class Upkeep:
    """The background of one process, and the facts about it that people see.

    `settings` are those in force. `on_policy` is told the settings whenever another policy is.
    """

    def __init__(self, settings: Settings, engine: Engine, learner: Learner) -> None:
        self.draining = False
        self._loaded = False
        self.refused_edit = ""
        self.notices = notices(settings)
        self.settings = settings
        self.on_policy: Callable[[Settings], Awaitable[None]] = _unheard
        self._engine = engine
        self._learner = learner
        self.pressure = Pressure(engine)
        engine.meters.also(self.gauges)
        self._mark = self._stamp()
        self._turn = 0
        self._reload = asyncio.Event()
        self._watching = asyncio.Lock()

    @property
    def ready(self) -> bool:
        return (self._loaded or bool(self._engine.memory.missing)) and not self.draining

    def readiness(self) -> tuple[bool, str]:
        """What `/readyz` says."""
        missing = self._engine.memory.missing
        if self.draining:
            return False, "draining"
        if missing:
            return True, f"ready, without memory: {missing}"
        return (True, "ready") if self._loaded else (False, str(self._engine.memory.loading))

    def gauges(self) -> dict[str, float]:
        """For the metrics: what is off, and how full memory may become."""
        memory, index = self._engine.memory, self.settings.index
        return {
            "ready": self.ready,
            "memory_missing": bool(memory.missing),
            "policy_refused": bool(self.refused_edit),
            "entries_limit": index.max_entries,
            "entry_bytes_limit": index.max_bytes,
        }

    def drain(self) -> None:
        """From now on `/readyz` says no."""
        self.draining = True

    def ask_reload(self) -> None:
        """Read the policy again at once (SIGHUP)."""
        self._mark = ()
        self._reload.set()

    async def reload(self) -> None:
        """Read the policy again and put it in force before this returns, if it is sound."""
        self._mark = ()
        await self._watch()

    async def run(self) -> None:
        """Turn once a second until cancelled. Load is measured beside it: a turn may take long."""
        measuring = asyncio.create_task(self.pressure.run())
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._reload.wait(), PERIOD)
                self._reload.clear()
                self._turn += 1
                for step in (self._watch, self._evict, self._tend, self._sweep, self._save):
                    await self._guarded(step)
        finally:
            measuring.cancel()

    async def load(self, opened: Callable[[], Awaitable[None]], ready: Callable[[], None]) -> None:
        """Bring the entries of the store into RAM, however often it takes.

        `opened` raises `StoreError` while it is not there; `ready` is called once, when requests
        can be answered as well as they can be.
        """
        told = False
        while not self._loaded:
            try:
                await opened()
                await self._engine.memory.load()
                self._loaded = True
            except StoreError as fault:
                TOLD.warn("memory is off" if self._engine.memory.missing else "loading", str(fault))
            if self.ready and not told:
                told = True
                ready()
            if not self._loaded:
                await asyncio.sleep(PERIOD)
        await renew(self._engine.memory, self.settings.embedding.renew)

    async def adopt(self, rules: Rules) -> None:
        """Put a policy in force: its examples embedded first, then everything in one assignment."""
        memory = self._engine.memory
        memory.sight.centroids = await memory.sight.learn_examples(rules)
        upstreams = self._engine.upstreams
        self._learner.judging.adopt(judges.judge(self.settings, rules, memory.embedder, upstreams))
        self.pressure.adopt(rules)
        await self._learner.fold()

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except StoreError as fault:
            TOLD.warn("upkeep", str(fault))
        except Exception:
            LOG.exception("an upkeep step failed")

    async def _watch(self) -> None:
        async with self._watching:
            await self._look()

    async def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._mark:
            return
        self._mark = stamp
        try:
            changed = await asyncio.to_thread(reread, self.settings)
        except PolicyError as fault:
            self.refused_edit = str(fault)
            LOG.error("the changed policy is not taken over: %s", fault)  # noqa: TRY400 - no trace
            return
        self.refused_edit = ""
        if changed.rules.version == self._engine.rules.version and not self._turn:
            return
        self.settings = changed
        self.notices = notices(changed)
        await self.adopt(changed.rules)
        LOG.info("policy %s is in force", changed.rules.version)
        await self.on_policy(changed)

    async def _evict(self) -> None:
        memory, limits = self._engine.memory, self.settings.index
        rules = self._engine.rules
        quotas = {
            c.name: int(c.quota * limits.max_entries)
            for c in (*rules.categories, rules.defaults)
            if c.quota is not None
        }
        share = limits.tenant_quota
        each = None if share is None else int(share * limits.max_entries)
        bounds = Bounds(limits.max_entries, limits.max_bytes, quotas, each)
        if not _full(memory, bounds):
            return
        gone = await memory.evict(bounds, Rule(limits.eviction))
        if gone:
            self._engine.meters.evicted += gone
            LOG.info("evicted %d entries", gone)

    async def _tend(self) -> None:
        await self._engine.memory.tend()

    async def _sweep(self) -> None:
        if self._turn % SWEEP_EVERY:
            return
        memory = self._engine.memory
        now = self._engine.clock()
        expired = memory.sweep(now)
        if memory.shared:
            memory.drop(expired)  # the store lets them go itself, and may hold newer ones
        elif expired:
            await memory.forget(expired)
        await memory.bodies.sweep(now)

    async def _save(self) -> None:
        if self._turn % SAVE_EVERY == 0:
            await self._engine.memory.save()

    def _stamp(self) -> tuple[int, ...]:
        source = self.settings.source
        if source is None:
            return ()
        try:
            status = source.stat()
        except OSError:
            return (0,)
        return status.st_mtime_ns, status.st_size, status.st_ino


def _full(memory: Memory, bounds: Bounds) -> bool:
    """Whether anything is over its bound."""
    if len(memory) > bounds.entries or memory.size > bounds.size:
        return True
    if any(memory.counts[name] > most for name, most in bounds.quotas.items()):
        return True
    if bounds.each is None:
        return False
    return any(held > bounds.each for owner, held in memory.owners.items() if owner)


async def _unheard(_: Settings) -> None:
    """Nobody keeps a history."""
