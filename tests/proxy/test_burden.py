"""Memory has one bound over all connections: what is large is turned away, what is small is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.burden import Burden
from tests.proxy.house import House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-1"
LARGE = {"x-oracle-mode": "big:1000000"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, server={"limits": {"in_flight": "300KB"}}) as running:
        yield running


def held(house: House) -> float:
    lines = house.api("/metrics").splitlines()
    return float(next(x for x in lines if x.startswith("likewise_in_flight_bytes ")).split()[1])


def test_shares_add_up() -> None:
    """The burden is what all shares hold, whoever gave back what."""
    burden = Burden(most=100)
    first, second = burden.share(), burden.share()
    first.take(60)
    second.take(40)
    assert (burden.held, burden.full) == (100, False)
    second.take(1)
    assert burden.full
    assert first.full
    first.give(10)
    assert (burden.held, burden.full) == (91, False)
    first.give_all()
    first.give_all()
    assert burden.held == 41


def test_a_large_request_is_turned_away_and_a_small_one_served(house: House) -> None:
    """503 with `Retry-After` in the caller's envelope; nothing of it is left behind."""
    refused = house.chat("x" * 2_000_000, KEY)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"
    assert house.chat("small?", KEY).status_code == 200
    assert house.calls(KEY) == 1
    until(lambda: held(house) == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_large_answer_is_passed_on_and_not_kept(house: House, stream: bool) -> None:
    """The caller gets all of it, as if it were over the limit of what is stored."""
    for calls in (1, 2):
        answer = house.chat("large?", KEY, LARGE, stream=stream)
        assert answer.status_code == 200
        assert len(answer.content) > 1_000_000
        assert answer.headers["x-cache"] == "MISS"
        assert house.calls(KEY) == calls
    assert house.decision(answer)["kept"] == "too-large"
    until(lambda: held(house) == 0)


@pytest.mark.parametrize(("stream", "size"), [(False, 100_000), (True, 1_000)])
def test_what_fits_is_kept(house: House, stream: bool, size: int) -> None:
    """And weighs nothing once it is told."""
    medium = {"x-oracle-mode": f"big:{size}"}
    for outcome in ("MISS", "HIT"):
        answer = house.chat("medium?", KEY, medium, stream=stream)
        assert answer.headers["x-cache"] == outcome
    until(lambda: held(house) == 0)
