from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.condition import disk, embedding, policy
from tests.index.test_journal import decision
from tests.proxy.house import with_oracle
from tests.proxy.test_settings import UPSTREAM, loaded

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_health_of_a_running_house(tmp_path: Path) -> None:
    """Each part is told as it is."""
    with with_oracle(tmp_path) as house:
        for prompt in ("Why is the sky blue?", "How do tides work?"):
            house.chat(prompt, "sk-1")
        told = house.api("/api/health")
        assert (told["ready"], told["state"], told["entries"]) == (True, "ready", 2)
        assert told["index"]["vectors"] == 2
        assert told["index"]["spaces"] == 1
        assert 2 * 384 < told["index"]["bytes"] < 10_000 < told["index"]["reserved"]
        assert 0 < told["embedder_ms"] < 60_000
        assert (told["embedder_queue"], told["embedder_stalled"]) == (0, False)
        assert 0 < told["disk"]["free"] <= told["disk"]["total"]
        assert (told["upstreams"], told["upstreams_failing"]) == (["oracle"], [])
        assert told["uptime"] > 0
        assert told["replicas"] == []


def test_equal_policies_are_told_by_their_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else the files hold, in whatever order it is written."""
    monkeypatch.chdir(tmp_path)
    first = "policy: {mode: shadow, defaults: {ttl: 1h, threshold: 0.9}}"
    same = "server: {port: 7}\npolicy:\n  defaults: {threshold: 0.9, ttl: 1h}\n  mode: shadow"
    told = [policy(loaded(f"{UPSTREAM}{text}\n")) for text in (first, same, "", "policy: {}")]
    assert told[0] == told[1]
    assert len({*told}) == 3
    assert policy(loaded(UPSTREAM + "prices: {m: {input: 1, output: 2}}\n")) not in told


def test_a_typical_embedding_is_that_in_the_middle() -> None:
    """Of requests that were embedded at all."""
    rows = [decision(n, ms_embed=ms) for n, ms in enumerate((0.0, 2.0, 3.0, 90.0, 0.0))]
    assert embedding(rows) == 3.0
    assert embedding(rows[:1]) is None
    assert embedding([]) is None


def test_a_disk_that_cannot_be_asked(tmp_path: Path) -> None:
    """Nothing is said of it."""
    assert disk(tmp_path / "gone") is None
