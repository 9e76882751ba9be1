"""Nobody waits for threads longer than it said, or for hung ones at all."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from index import pool
from index.pool import NICE, NICEST, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def threads() -> AsyncIterator[Pool]:
    made = Pool(1)
    yield made
    made.close()


async def test_work_comes_back(threads: Pool) -> None:
    """Results and faults reach whoever waits, in time or at leisure."""
    assert await threads.within(5, divmod, 7, 2) == (3, 1)
    assert await threads.whenever(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.within(5, divmod, 7, 0)
    with pytest.raises(ZeroDivisionError):
        await threads.whenever(divmod, 7, 0)


async def test_waiting_ends(threads: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long is left alone; hung threads are not waited for, then used again."""
    monkeypatch.setattr(pool, "STALL", 0.1)
    release = threading.Event()
    with pytest.raises(TimeoutError, match="within 20 ms"):
        await threads.within(0.02, release.wait, 10)
    until = time.monotonic() + 5
    while not threads.stalled:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError, match="not finishing"):
        await threads.within(60, divmod, 7, 2)
    release.set()
    while threads.stalled:
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    assert await threads.within(5, divmod, 7, 2) == (3, 1)


async def test_meanwhile_runs_here(threads: Pool) -> None:
    """What can be done meanwhile is done in the caller's own thread."""
    where: list[int] = []
    release = threading.Event()

    def noted() -> None:
        where.append(threading.get_ident())
        release.set()

    assert await threads.within(5, release.wait, 5, meanwhile=noted)
    assert where == [threading.get_ident()]


async def test_a_full_queue_takes_nobody_more(
    threads: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who would wait in vain is told so at once, and those who wait are served."""
    monkeypatch.setattr(pool, "QUEUE", 2)
    release = threading.Event()
    waiting = [asyncio.create_task(threads.within(20, release.wait)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError, match="too many"):
        await threads.within(20, divmod, 7, 2)
    release.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await threads.within(20, divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize(("options", "niceness"), [({}, NICE), ({"nice": NICEST}, NICEST)])
async def test_what_can_wait_gives_way(options: dict[str, int], niceness: int) -> None:
    """Threads stand as far behind others for the scheduler as was asked for."""
    made = Pool(1, **options)
    try:
        own = partial(os.getpriority, os.PRIO_PROCESS)
        assert await made.whenever(lambda: own(threading.get_native_id())) == niceness
    finally:
        made.close()
