"""Patience ends what takes too long, and not what a busy loop held up."""

from __future__ import annotations

import asyncio
import time

import pytest

from index.stores.patience import PARTS, Patience, within

SECONDS = 0.1


async def test_what_is_in_time_is_returned() -> None:
    """The call's own result, and its own fault."""

    async def soon() -> str:
        await asyncio.sleep(0)
        return "here"

    async def broken() -> None:
        raise OSError("no route")

    assert await within(SECONDS, soon) == "here"
    with pytest.raises(OSError, match="no route"):
        await within(SECONDS, broken)


async def test_what_never_ends_is_ended() -> None:
    """The call is cancelled and the caller told."""
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError, match="nothing within 100 ms"):
        await within(SECONDS, never)
    assert ended.is_set()


async def test_a_loop_that_was_held_up_has_time_to_read_the_answer() -> None:
    """Work that takes longer than the patience does not make an answer late that came meanwhile."""
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def held_up() -> str:
        time.sleep(2 * SECONDS)  # noqa: ASYNC251 - the loop is to stand still
        asyncio.get_running_loop().call_later(SECONDS / PARTS, answer.set_result, "here")
        return await answer

    assert await within(SECONDS, held_up) == "here"


async def test_cancelled_it_says_nothing() -> None:
    """Whoever was answered hears no more."""
    told: list[bool] = []
    patience = Patience(SECONDS / 10, lambda: told.append(True))
    patience.cancel()
    await asyncio.sleep(SECONDS / 5)
    assert told == []
