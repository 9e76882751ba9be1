"""A task ends, whatever it makes of being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from index.ending import end


async def test_a_task_that_waits_is_ended() -> None:
    """One cancellation is enough for a task that heeds it; an ended one is left alone."""
    task = asyncio.create_task(asyncio.sleep(3600))
    await end(task)
    assert task.cancelled()
    await end(task)


async def test_a_lost_cancellation_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that goes on after the first is ended by a later one."""
    monkeypatch.setattr("index.ending.AGAIN_SECONDS", 0.01)
    lost = 0

    async def stubborn() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert (lost, task.cancelled()) == (3, True)


async def test_what_a_task_raised_is_kept_for_who_asks() -> None:
    """Ending raises nothing of the task's; the task still tells it."""

    async def failing() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await end(task)
    with pytest.raises(ValueError, match="broken"):
        task.result()
