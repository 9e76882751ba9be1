"""How many calls an upstream gets at once, and how long others wait for their turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Upstream

# Longer than this nobody waits: there may be another upstream, and clients ask again.
PATIENCE = 2.0


class Gates:
    """One gate for each upstream, `max_parallel` wide."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._places: dict[str, asyncio.Semaphore] = {}

    async def enter(self, to: Upstream) -> bool:
        """Whether there was a place in time; it is held until `leave`."""
        places = self._places.get(to.name)
        if places is None:
            places = self._places[to.name] = asyncio.Semaphore(to.max_parallel)
        if not places.locked():
            return await places.acquire()
        try:
            async with asyncio.timeout(self._patience):
                return await places.acquire()
        except TimeoutError:
            return False

    def leave(self, name: str) -> None:
        self._places[name].release()
