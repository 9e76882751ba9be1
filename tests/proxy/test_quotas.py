"""What one key may take of the way upstream, and that nobody else pays for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from proxy.quotas import Buckets, Quotas
from tests.proxy.house import PATIENCE, House, body, until, with_oracle

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = "sk-1", "sk-2"
EXACT = {"x-likewise-mode": "exact"}


def test_a_bucket_fills_up_again() -> None:
    """At its rate, up to as many at once; a key's own waiting is its own."""
    now = 0.0
    buckets = Buckets(60, 1.0, lambda: now)
    assert [buckets.wait("a") for _ in range(60)] == [0.0] * 60
    assert buckets.wait("a") == pytest.approx(1.0)
    assert buckets.wait("b") == 0.0
    now = 0.75
    assert buckets.wait("a") == pytest.approx(0.25)
    now = 1.0
    assert buckets.wait("a") == 0.0
    assert buckets.wait("a") > 0
    now = 1e6
    assert [buckets.wait("a") for _ in range(60)] == [0.0] * 60
    assert buckets.wait("a") > 0


def test_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without end cost no memory without end."""
    monkeypatch.setattr("proxy.quotas.KEYS", 3)
    buckets = Buckets(60, 1.0, lambda: 0.0)
    for n in range(10):
        buckets.wait(str(n))
    assert len(buckets._left) == 3


def test_without_a_quota_everything_goes() -> None:
    """Off is off."""
    quotas = Quotas()
    assert all(quotas.enter("a") is None for _ in range(10_000))
    quotas.leave("a")
    assert quotas.refused == 0


def test_calls_at_once_are_counted_while_they_last() -> None:
    """The third of two waits until one has ended; of another key it does not."""
    quotas = Quotas(calls=2)
    assert [quotas.enter("a") is None for _ in range(3)] == [True, True, False]
    assert quotas.enter("b") is None
    quotas.leave("a")
    assert quotas.enter("a") is None
    for _ in range(2):
        quotas.leave("a")
    assert quotas.refused == 1
    assert [quotas.enter("a") is None for _ in range(3)] == [True, True, False]


def test_what_is_refused_takes_nothing_from_the_minute() -> None:
    """A call over the number at once does not cost one of the minute's as well."""
    quotas = Quotas(calls=1, misses=2, clock=lambda: 0.0)
    assert quotas.enter("a") is None
    assert quotas.enter("a") is not None
    quotas.leave("a")
    assert quotas.enter("a") is None
    quotas.leave("a")
    exceeded = quotas.enter("a")
    assert exceeded is not None
    assert exceeded.after == pytest.approx(30.0)


def test_misses_are_bounded_and_hits_are_not(tmp_path: Path) -> None:
    """The 429 comes in the caller's envelope and says when to come back; memory still answers."""
    limits = {"limits": {"key_misses": 2}}
    with with_oracle(tmp_path, server=limits) as house:
        assert house.chat("one?", KEY, EXACT).status_code == 200
        assert house.chat("two?", KEY, EXACT).status_code == 200
        refused = house.chat("three?", KEY, EXACT)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert house.chat("one?", KEY, EXACT).headers["x-cache"] == "HIT"
        assert house.chat("three?", OTHER, EXACT).status_code == 200
        assert house.calls(KEY) == 2
        assert "likewise_over_quota_total 1.0" in house.api("/metrics")


def test_other_paths_count_too(tmp_path: Path) -> None:
    """What passes through is a call of the key like any other."""
    with with_oracle(tmp_path, server={"limits": {"key_misses": 1}}) as house:
        headers = {"authorization": f"Bearer {KEY}"}
        url = f"{house.where.data}/v1/models"
        assert house.client.get(url, headers=headers).status_code == 200
        refused = house.client.get(url, headers=headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"


async def _together(house: House, prompts: list[str]) -> list[int]:
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
        asked = (
            client.post(
                f"{house.where.data}/v1/chat/completions",
                json=body(prompt),
                headers={"authorization": f"Bearer {KEY}", "x-oracle-mode": "slow:0.5"} | EXACT,
            )
            for prompt in prompts
        )
        return sorted(answer.status_code for answer in await asyncio.gather(*asked))


def test_calls_under_way_are_bounded_and_waiters_are_not(tmp_path: Path) -> None:
    """Who waits for an equal call makes none; when all have ended there is room again."""
    with with_oracle(tmp_path, server={"limits": {"key_calls": 2}}) as house:
        distinct = [f"new {number}?" for number in range(5)]
        assert asyncio.run(_together(house, distinct)) == [200, 200, 429, 429, 429]
        assert asyncio.run(_together(house, ["same?"] * 5)) == [200] * 5
        until(lambda: house.chat("later?", KEY, EXACT).status_code == 200)
