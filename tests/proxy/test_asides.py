"""Purges with a way back, through the real admin port and over a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy import asides
from proxy.settings import load
from tests.proxy.house import House, serving, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN, TIDES = "Why is the sky blue?", "why is the sky blue", "How do tides work?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, policy={"defaults": {"threshold": 0.85}}) as running:
        running.chat(SKY, "sk-1")
        running.chat(TIDES, "sk-1")
        yield running


def purge(house: House, **selection: Any) -> Any:
    asked = {"selection": selection, "dry_run": False, "undo": True}
    return house.api("/api/entries/purge", asked)["aside"]


def remembered(house: House) -> set[str]:
    return {one["text"] for one in house.api("/api/entries")["entries"]}


def cached(house: House, prompt: str) -> bool:
    answer = house.chat(prompt, "sk-1", {"cache-control": "only-if-cached"})
    return answer.status_code == 200


def test_what_was_purged_comes_back(house: House) -> None:
    """Out of service at once; afterwards found by words and by meaning as before."""
    aside = purge(house, text="sky")
    assert aside["entries"] == 1
    assert aside["until"] - aside["at"] == 60
    assert remembered(house) == {TIDES}
    assert not cached(house, SKY)
    assert not cached(house, SKY_AGAIN)
    told = house.api(f"/api/entries/asides/{aside['id']}/undo", {})
    assert told == {"restored": 1, "renewed": 0}
    assert remembered(house) == {SKY, TIDES}
    assert cached(house, SKY)
    assert cached(house, SKY_AGAIN)
    assert house.calls("sk-1") == 2
    assert house.api("/api/entries/asides")["asides"] == []


def test_what_was_answered_anew_stays(house: House) -> None:
    """The newer answer wins over the one that was set aside."""
    aside = purge(house)
    fresh = house.chat(SKY, "sk-1").json()["id"]
    told = house.api(f"/api/entries/asides/{aside['id']}/undo", {})
    assert told == {"restored": 1, "renewed": 1}
    assert house.chat(SKY, "sk-1").json()["id"] == fresh


def test_the_way_back_is_open_for_a_while_only(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then, or on demand, the entries are gone for good."""
    monkeypatch.setattr(asides, "MINUTE", 0.05)
    purge(house, text="sky")
    until(lambda: house.api("/api/entries/asides")["asides"] == [])
    monkeypatch.setattr(asides, "MINUTE", 60.0)
    aside = purge(house, text="tides")
    house.api(f"/api/entries/asides/{aside['id']}", method="DELETE")
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        house.api(f"/api/entries/asides/{aside['id']}/undo", {})
    assert remembered(house) == set()


def test_a_purge_for_good_reaches_what_is_set_aside(house: House) -> None:
    """What an operator wants gone does not come back by an undo of something else."""
    aside = purge(house)
    house.api("/api/entries/purge", {"selection": {"text": "sky"}, "dry_run": False})
    assert house.api(f"/api/entries/asides/{aside['id']}/undo", {})["restored"] == 1
    assert remembered(house) == {TIDES}


def test_nothing_comes_back_with_another_process(tmp_path: Path) -> None:
    """It was deleted from the store when it was purged; only this process could bring it back."""
    with with_oracle(tmp_path) as house:
        house.chat(SKY, "sk-1")
        purge(house)
        settings = load(house.config, env={})
    with serving(tmp_path, settings.upstreams[0].base_url.removesuffix("/v1")) as house:
        assert remembered(house) == set()
        assert house.api("/api/entries/asides")["asides"] == []


def test_too_much_is_not_set_aside(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is purged then, and what to do is said."""
    monkeypatch.setattr(asides, "MOST_BYTES", 10)
    with pytest.raises(httpx.HTTPStatusError, match="409") as caught:
        purge(house)
    assert "purge without undo" in caught.value.response.text
    assert remembered(house) == {SKY, TIDES}
