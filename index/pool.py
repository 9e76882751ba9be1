"""A few threads of low priority for what takes long: embedding, searching, building an index.

Nobody waits longer than it said it would, and nobody at all on threads that hang.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# A pool that finished nothing for this long while work waits is taken for hung: nobody waits on it.
STALL = 1.0
# More than this many would wait in vain: two threads embed about as many in the time they have.
QUEUE = 100
# Exact hits on the event loop go before embeddings, and these before what nobody waits for.
NICE, NICEST = 10, 19
# Seconds after which the model itself runs, without the interpreter lock.
HEAD_START = 0.001


class Pool:
    """Threads for the work of one event loop."""

    def __init__(self, workers: int, *, nice: int = NICE) -> None:
        self._threads = ThreadPoolExecutor(workers, "embed", _be_nice, (nice,))
        self._waiting = 0
        self._finished = time.monotonic()

    @property
    def stalled(self) -> bool:
        return self._waiting > 0 and time.monotonic() - self._finished > STALL

    @property
    def waiting(self) -> int:
        """How many requests wait for the threads."""
        return self._waiting

    async def within(
        self,
        seconds: float,
        work: Callable[..., T],
        *args: Any,
        meanwhile: Callable[[], None] | None = None,
    ) -> T:
        """The work's result; TimeoutError after `seconds`, and at once where the pool is hung or
        its queue full.

        `meanwhile` runs here while the pool is busy.
        """
        if self.stalled:
            raise TimeoutError("the embedder is not finishing its work")
        if self._waiting >= QUEUE:
            raise TimeoutError("too many texts wait for the embedder")
        if self._waiting == 0:
            self._finished = time.monotonic()
        self._waiting += 1
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[T] = loop.create_future()
        job = self._threads.submit(copy_context().run, work, *args)
        # One hop back to the loop: the library's own bridge, shield and timeout make four.
        job.add_done_callback(lambda done: _tell(loop, self._done, waiter, done))
        late = loop.call_later(seconds, _expire, waiter, seconds)
        if meanwhile is not None:
            # At once, it would hold the interpreter lock that the pool needs to begin.
            loop.call_later(HEAD_START, meanwhile)
        try:
            return await waiter
        finally:
            late.cancel()
            # Not begun yet, it would only keep those waiting whom it can still serve.
            job.cancel()

    async def whenever(self, work: Callable[..., T], *args: Any) -> T:
        """The work's result, however long it takes."""
        loop, begun = asyncio.get_running_loop(), partial(copy_context().run, work, *args)
        return await loop.run_in_executor(self._threads, begun)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, waiter: asyncio.Future[T], job: Future[T]) -> None:
        """Back on the loop: pass on what the pool made, if somebody still waits."""
        self._waiting -= 1
        if job.cancelled():
            return
        self._finished = time.monotonic()
        fault = job.exception()
        if waiter.done():
            return
        if fault is not None:
            waiter.set_exception(fault)
        else:
            waiter.set_result(job.result())


def _tell(
    loop: asyncio.AbstractEventLoop,
    done: Callable[[asyncio.Future[T], Future[T]], None],
    waiter: asyncio.Future[T],
    job: Future[T],
) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
        loop.call_soon_threadsafe(done, waiter, job)


def _expire(waiter: asyncio.Future[T], seconds: float) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError(f"no embedding within {seconds * 1000:.0f} ms"))


def _be_nice(nice: int) -> None:
    """Linux: niceness is per thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
