"""The end of a task that was told to go on for ever.

A cancellation may be lost on the way: until Python 3.12 `asyncio.wait_for` swallows one that comes
as what it waits for is done, and redis-py sends by it. So it is said again.
"""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_SECONDS = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task, as often as it takes; what it raised stays with it."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
