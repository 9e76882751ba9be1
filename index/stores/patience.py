"""How long a look-up waits for a store, by the time in which the event loop ran.

While the loop is held up by other work, an answer may have arrived that nobody could read: what a
busy process owes to itself must not be taken for a silent server. Knows nothing of any store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# However long the loop was held up, it counts as one of these parts.
PARTS = 5


class Patience:
    """A timer in parts, each begun when the one before was seen to end."""

    def __init__(self, seconds: float, expire: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._part = seconds / PARTS
        self._left = PARTS
        self._expire = expire
        self._timer = self._loop.call_later(self._part, self._tick)

    def cancel(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        self._left -= 1
        if self._left:
            self._timer = self._loop.call_later(self._part, self._tick)
        else:
            self._expire()


async def within(seconds: float, call: Callable[[], Awaitable[T]]) -> T:
    """Await a call for so long; raises `TimeoutError`, and the call is cancelled."""
    limit = asyncio.timeout(None)
    try:
        async with limit:
            now = asyncio.get_running_loop().time
            patience = Patience(seconds, lambda: limit.reschedule(now()))
            try:
                return await call()
            finally:
                patience.cancel()
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"nothing within {seconds * 1000:g} ms") from None
        raise
