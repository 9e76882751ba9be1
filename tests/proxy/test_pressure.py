"""Load and the rules in force: on a clock of the test's own, then in a running house."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from index.embedders.hashing import HashingEmbedder
from index.journal import Journal
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies.config import read_policy
from policies.document import read
from proxy.engine import Engine
from proxy.metrics import Meters
from proxy.pressure import Pressure, gauges
from proxy.upstream import Upstreams
from tests.proxy.house import until, with_oracle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from policies.values import Rules

LOADED = (
    "policy: {defaults: {threshold: 0.95, ttl: 1m}, load: {signal: in_flight, low: 0, high: 2}}"
)
KEY = "sk-pressure"
TIDES, TIDES_AGAIN = "How do tides work?", "How do the tides work?"


def rules(text: str = LOADED) -> Rules:
    return read_policy(read(text, ""))


class Clock:
    """Stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    memory = Memory(HashingEmbedder(), MemoryBodies(clock=lambda: 0.0))
    journal = Journal.open(tmp_path / "journal.db")
    yield Engine(
        memory=memory,
        upstreams=Upstreams(()),
        rules=rules(),
        journal=journal,
        meters=Meters(dict),
        ids=iter(range(10)).__next__,
    )
    await memory.close()
    await journal.close()


async def test_the_rules_in_force_follow_the_calls_under_way(engine: Engine) -> None:
    """Up at once, down in a minute; what is written is what it comes back to."""
    clock, written = Clock(), engine.rules
    pressure = Pressure(engine, clock)
    calls = [engine.meters.calls.open() for _ in range(2)]
    pressure.turn()
    assert engine.rules.level == 1.0
    assert engine.rules.defaults.threshold.start == pytest.approx(0.92)
    assert engine.rules.defaults.ttl == 120
    for call in calls:
        engine.meters.calls.close(call)
    clock.now += 30
    pressure.turn()
    assert engine.rules.level == 0.5
    clock.now += 30
    pressure.turn()
    assert engine.rules is written


async def test_rules_are_replaced_only_for_a_step(engine: Engine) -> None:
    """What is known of repeated requests holds under the very same rules only."""
    clock = Clock()
    pressure = Pressure(engine, clock)
    engine.meters.calls.open()
    pressure.turn()
    before = engine.rules
    for _ in range(5):
        clock.now += 1
        pressure.turn()
        assert engine.rules is before


async def test_a_policy_is_adopted_at_the_level_that_is_reached(engine: Engine) -> None:
    """An edit under load loosens from the new values; one without `load:` ends it."""
    pressure = Pressure(engine, Clock())
    for _ in range(2):
        engine.meters.calls.open()
    pressure.turn()
    edited = rules(LOADED.replace("0.95", "0.99"))
    pressure.adopt(edited)
    assert engine.rules.defaults.threshold.start == pytest.approx(0.96)
    plain = rules("policy: {defaults: {threshold: 0.95}}")
    pressure.adopt(plain)
    pressure.turn()
    assert engine.rules is plain
    assert pressure.level == 0.0


async def test_gauges_tell_what_can_be_told(engine: Engine) -> None:
    """Percentile and share appear with the answers that they are made of."""
    calls = engine.meters.calls
    assert gauges(engine) == {"load": 0.0, "in_flight": 0.0}
    for _ in range(5):
        calls.began(calls.open(), 429)
    calls.began(calls.open(), 200)
    told = gauges(engine)
    assert told.keys() == {"load", "in_flight", "rate_429"}
    assert told["rate_429"] == pytest.approx(5 / 6)


def test_an_upstream_that_refuses_loosens_the_threshold(tmp_path: Path) -> None:
    """A near question, too far before, is answered from memory; metrics and explain say why."""
    policy = {
        "defaults": {"threshold": 0.999},
        "overrides": {"threshold": [0.8, 1.0]},
        "load": {"signal": "rate_429", "max_threshold_drop": 0.2},
    }
    with with_oracle(tmp_path, policy=policy) as house:
        house.chat(TIDES, KEY)
        assert house.api("/api/explain", {"prompt": TIDES_AGAIN})["reason"] == "below-threshold"
        for number in range(20):
            turned = house.chat(f"Number {number}?", KEY, {"x-oracle-mode": "status:429"})
            assert turned.status_code == 429
        until(lambda: house.api("/api/policy")["load"] == 1.0)
        assert "likewise_load 1.0" in house.api("/metrics").splitlines()
        told = house.api("/api/explain", {"prompt": TIDES_AGAIN})
        assert told["cut"] == pytest.approx(0.8)
        assert any(step["name"] == "load" for step in told["steps"])
        assert house.chat(TIDES_AGAIN, KEY).headers["x-likewise-reason"] == "semantic"
