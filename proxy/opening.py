"""The store of one process: opened at the start, or as soon as its disk has room.

Until then there is no memory: every caller gets the upstream's answer. Keys are then told apart
under a secret of that time alone, so that nothing of it is found under the store's own.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from index import build
from index.errors import NoRoomError, StoreError
from index.stores.absent import AbsentBodies

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.ports import Bodies
    from proxy.engine import Engine
    from proxy.identity import Identity
    from proxy.learning import Learner
    from proxy.settings import Settings

LOG = logging.getLogger("likewise.opening")

SECRET_NAME = "hmac-secret"  # noqa: S105 - a name in the store, no secret


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and the secret under which its entries are found."""

    bodies: Bodies
    secret: bytes


async def opened(settings: Settings, clock: Callable[[], float]) -> Opened:
    """The store of these settings, seen to work. Raises `StoreError` or `SetupError`."""
    store = await build.opened(settings.store_url, clock=clock, keys=settings.keys)
    try:
        given, made = settings.secret, os.urandom(32)
        secret = given.reveal().encode() if given else await store.secret(SECRET_NAME, made)
    except BaseException:
        await store.bodies.close()
        raise
    return Opened(store.bodies, secret)


async def opened_or_absent(settings: Settings, clock: Callable[[], float]) -> Opened:
    """The same, or a stand-in where the disk has no room."""
    try:
        return await opened(settings, clock)
    except NoRoomError as fault:
        return Opened(AbsentBodies(str(fault)), os.urandom(32))


class Opening:
    """What a store that comes late is for the others."""

    def __init__(
        self, settings: Settings, engine: Engine, identity: Identity, learner: Learner
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._identity = identity
        self._learner = learner
        # Of a store that was opened and is not in use as yet.
        self._secret: bytes | None = None

    async def begin(self) -> None:
        """Take up what a store that is there remembers. Raises `StoreError`."""
        if not self._engine.memory.missing:
            await self._take_up()

    async def go_on(self) -> None:
        """Open the store, if that is still to be done. Raises `StoreError`."""
        memory = self._engine.memory
        if memory.missing:
            memory.bodies, self._secret = await self._late()
        if self._secret is None:
            return
        # Only under its secret are its entries found, so not before it is known who is refused.
        await self._take_up()
        self._identity.adopt(self._secret)
        self._secret = None
        # Nothing that was read, asked or kept under the other secret counts from here on.
        self._engine.rules = replace(self._engine.rules)
        memory.fences.rise()
        await memory.forget([slot.facts.entry for slot in memory.catalog.slots()])
        LOG.info("memory is on: the store is open")

    async def _late(self) -> tuple[Bodies, bytes]:
        try:
            found = await opened(self._settings, self._engine.clock)
        except StoreError as fault:
            self._engine.memory.bodies = AbsentBodies(str(fault))
            raise
        return found.bodies, found.secret

    async def _take_up(self) -> None:
        await self._engine.refusals.load()
        await self._learner.load()
