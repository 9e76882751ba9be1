"""Entries as operators see and change them, through the real admin port."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.proxy.house import MODEL, House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN, TIDES, BREAD = (
    "Why is the sky blue?", "why is the sky blue", "How do tides work?", "How is rye bread baked?",
)  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, policy={"defaults": {"threshold": 0.85}}) as running:
        for prompt in (SKY, TIDES, BREAD):
            running.chat(prompt, "sk-1")
        yield running


def texts(house: House, query: str) -> list[str]:
    return [one["text"] for one in house.api(f"/api/entries?{query}")["entries"]]


def entry(house: House, prompt: str) -> dict[str, Any]:
    (found,) = (one for one in house.api("/api/entries")["entries"] if one["text"] == prompt)
    told: dict[str, Any] = house.api(f"/api/entries/{found['entry']}")
    return told


def test_entries_are_sorted(house: House) -> None:
    """By when they were stored, how often they served, what that saved, and their size."""
    for prompt in (TIDES, TIDES, SKY_AGAIN):
        house.chat(prompt, "sk-1")
    assert texts(house, "sort=stored") == [BREAD, TIDES, SKY]
    assert texts(house, "sort=age") == [SKY, TIDES, BREAD]
    assert texts(house, "sort=hits") == [TIDES, SKY, BREAD]
    assert texts(house, "sort=saved") == [TIDES, SKY, BREAD]
    sizes = [one["size"] for one in house.api("/api/entries?sort=size")["entries"]]
    assert sizes == sorted(sizes, reverse=True)
    assert texts(house, "sort=age&limit=1&offset=1") == [TIDES]


def test_entries_are_found_by_meaning(house: House) -> None:
    """The nearest first, with how near; other filters still narrow."""
    found = house.api("/api/entries?meaning=the%20colour%20of%20the%20heavens&limit=2")["entries"]
    assert found[0]["text"] == SKY
    assert found[0]["similarity"] > found[1]["similarity"]
    assert texts(house, "meaning=sky&text=tides") == [TIDES]
    assert texts(house, "meaning=sky&model=other") == []


def test_one_entry_is_shown_whole(house: House) -> None:
    """Its answer's text, what it saved, and its group."""
    hit = house.chat(SKY_AGAIN, "sk-1")
    told = entry(house, SKY)
    assert told["answer"] == hit.json()["choices"][0]["message"]["content"]
    assert (told["model"], told["hits"], told["twins"]) == (MODEL, 1, [])
    assert told["dollars_saved"] > 0
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        house.api(f"/api/entries/{'0' * 32}")


def test_a_lifetime_is_changed(house: House) -> None:
    """From now on, here and in the store; stale windows come after it as before."""
    before = entry(house, SKY)
    path = f"/api/entries/{before['entry']}"
    after = house.api(path, {"ttl": 3600}, "PATCH")
    assert after["expires"] == pytest.approx(time.time() + 3600, abs=30)
    assert after["gone"] - after["expires"] == pytest.approx(before["gone"] - before["expires"])
    assert house.chat(SKY, "sk-1").headers["x-cache"] == "HIT"
    house.api(path, {"ttl": 0.05}, "PATCH")
    answer = until(lambda: (a := house.chat(SKY, "sk-1")).headers["x-cache"] != "HIT" and a)
    assert answer.headers["x-likewise-reason"] == "stale-while-revalidate"


def test_a_pinned_entry_is_not_evicted(tmp_path: Path) -> None:
    """Room is made by others, however rarely it is used; refreshed, it stays pinned."""
    policy = {"defaults": {"threshold": 0.85}}
    with with_oracle(tmp_path, policy=policy, index={"max_entries": 4}) as house:
        house.chat(SKY, "sk-1")
        pinned = entry(house, SKY)["entry"]
        assert house.api(f"/api/entries/{pinned}", {"pinned": True}, "PATCH")["pinned"]
        house.chat(SKY, "sk-1", {"cache-control": "no-cache"})
        for number in range(12):
            house.chat(f"What is {number * 7} squared?", "sk-1")
        until(lambda: len(texts(house, "")) <= 4)
        assert SKY in texts(house, "pinned=true")


def test_pinned_entries_survive_the_process(tmp_path: Path) -> None:
    """It is written down with the entry."""
    with with_oracle(tmp_path) as house:
        house.chat(SKY, "sk-1")
        pinned = entry(house, SKY)["entry"]
        house.api(f"/api/entries/{pinned}", {"pinned": True}, "PATCH")
    with with_oracle(tmp_path) as house:
        assert texts(house, "pinned=true") == [SKY]


def test_an_entry_that_is_gone_is_not_amended(house: House) -> None:
    """404, and nothing is brought back."""
    told = entry(house, SKY)
    house.api(f"/api/entries/{told['entry']}", method="DELETE")
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        house.api(f"/api/entries/{told['entry']}", {"pinned": True}, "PATCH")
    assert len(texts(house, "")) == 2
