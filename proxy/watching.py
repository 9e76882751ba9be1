"""New decisions as they are recorded, for people who watch: one bounded queue for each of them.

A viewer that does not keep up loses the oldest and is told how many; the request path never waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from admin_ui.console import Crowded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from index.journal import Journal
    from policies.record import Decision, Filter

VIEWERS = 32
QUEUE = 500
# Seconds after which a viewer has to ask again, and with that to show that it still may.
LASTING = 600.0
# Seconds between two signs of life where nothing happens.
SIGN = 15.0


class Viewer:
    """One who watches. `put` on the event loop, never blocks."""

    def __init__(self, fits: Callable[[Decision], bool], most: int = QUEUE) -> None:
        self._fits = fits
        self._most = most
        self._queue: deque[Decision] = deque()
        self._lost = 0
        self._news = asyncio.Event()

    def put(self, decision: Decision) -> None:
        if not self._fits(decision):
            return
        if len(self._queue) >= self._most:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(decision)
        self._news.set()

    async def take(self, seconds: float) -> tuple[int, list[Decision]]:
        """How many were lost, and what came since the last time; nothing after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return 0, []
        self._news.clear()
        lost, rows = self._lost, list(self._queue)
        self._lost = 0
        self._queue.clear()
        return lost, rows


class Watching:
    """All who watch one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._viewers = 0

    def watch(
        self, chosen: Filter | None, after: int | None = None
    ) -> AsyncIterator[Decision | int]:
        """Decisions as they come; a number says how many were left out, 0 that nothing happened.

        With `after` those recorded behind it come first. Raises `Crowded`.
        """
        if self._viewers >= VIEWERS:
            raise Crowded(f"{VIEWERS} are watching already; close one of them")
        return self._watch(chosen, after)

    async def _watch(
        self, chosen: Filter | None, after: int | None
    ) -> AsyncIterator[Decision | int]:
        viewer = Viewer(lambda row: chosen is None or chosen.fits(row))
        self._viewers += 1
        end = self._journal.listen(viewer.put)
        try:
            missed = await self._missed(chosen, after)
            for row in missed:
                yield row
            twice = {row.id for row in missed}
            async for told in _told(viewer):
                if isinstance(told, int) or told.id not in twice:
                    yield told
        finally:
            end()
            self._viewers -= 1

    async def _missed(self, chosen: Filter | None, after: int | None) -> list[Decision]:
        """What was recorded behind `after`, oldest first; by its id where that is long ago."""
        if after is None:
            return []
        held = self._journal.since(after)
        if held is None:
            rows = await self._journal.recent(QUEUE)
            held = sorted(row for row in rows if row.id > after)
        return [row for row in held if chosen is None or chosen.fits(row)]


async def _told(viewer: Viewer) -> AsyncIterator[Decision | int]:
    loop = asyncio.get_running_loop()
    end = loop.time() + LASTING
    while loop.time() < end:
        lost, rows = await viewer.take(SIGN)
        if lost or not rows:
            yield lost
        for row in rows:
            yield row
