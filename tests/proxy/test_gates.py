"""An upstream gets so many calls at once; who waits too long hears so, or goes elsewhere."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from proxy.gates import Gates
from proxy.settings import Upstream
from tests.proxy.house import serving, until
from tests.proxy.test_outages import listed, sides

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-1"
SLOW = {"x-oracle-mode": "slow:4", "x-likewise-mode": "exact"}
ONE = Upstream("one", "openai", "http://a", max_parallel=1)
OTHER = Upstream("other", "openai", "http://b", max_parallel=1)


async def test_who_finds_no_place_in_time_is_told() -> None:
    """Another upstream's gate is another's; a place given back is somebody's."""
    gates = Gates(patience=0.05)
    assert await gates.enter(ONE)
    assert not await gates.enter(ONE)
    assert await gates.enter(OTHER)
    gates.leave("one")
    assert await gates.enter(ONE)


async def test_who_waits_gets_the_next_place() -> None:
    """In the order of coming; one who gave up takes no place."""
    gates = Gates(patience=20)
    assert await gates.enter(ONE)
    order: list[int] = []

    async def wait(number: int) -> None:
        assert await gates.enter(ONE)
        order.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    for _ in range(2):
        gates.leave("one")
        await asyncio.sleep(0.01)
    assert order == [0, 2]


@pytest.mark.parametrize("pool", [None, "here"])
def test_a_full_upstream_is_busy_or_stood_in_for(tmp_path: Path, pool: str | None) -> None:
    """A 503 after two seconds, or another of the pool answers; afterwards there is room again."""
    more: dict[str, Any] = {"max_parallel": 1} | ({} if pool is None else {"pool": pool})
    with (
        sides(2) as (first, second),
        serving(tmp_path, "", first.oracle, upstreams=listed(first, second, **more)) as house,
        ThreadPoolExecutor(1) as threads,
    ):
        slow = threads.submit(house.chat, "slow?", KEY, SLOW)
        until(lambda: first.oracle.calls)
        begun = time.monotonic()
        answer = house.chat("quick?", KEY)
        if pool is None:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"]["code"] == "upstream_busy"
            assert time.monotonic() - begun >= 2
        else:
            assert (answer.status_code, second.oracle.calls) == (200, 1)
        assert slow.result().status_code == 200
        assert house.chat("later?", KEY).status_code == 200
