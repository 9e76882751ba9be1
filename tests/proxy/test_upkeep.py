"""Beside the requests: a policy taken over or refused, memory kept in bounds, old entries swept."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from index.catalog import Catalog
from index.embedders.hashing import HashingEmbedder
from index.journal import Journal
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies.values import Facts
from proxy.demo.oracle import OracleUpstream
from proxy.engine import Engine
from proxy.judges import build as judges
from proxy.learning import Learner
from proxy.metrics import Meters
from proxy.settings import load
from proxy.upkeep import SAVE_EVERY, SWEEP_EVERY, Upkeep
from proxy.upstream import Upstreams
from tests.proxy.house import (
    MODEL,
    House,
    body,
    command,
    configuration,
    until,
    uvicorn_of,
    with_oracle,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from policies.eviction import Bounds, Rule

KEY = "sk-upkeep"
TIDES, TIDES_AGAIN = "How do tides work?", "How do the tides work?"
STRICT = {"defaults": {"threshold": 0.999}}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path) as running:
        yield running


def rewrite(house: House, **parts: Any) -> None:
    """Edit the file as an editor does: another file takes its name."""
    upstream = house.config.read_text().split("base_url: ")[1].split("/v1")[0]
    new = house.config.with_suffix(".new")
    new.write_text(configuration(house.config.parent, upstream, **parts))
    new.replace(house.config)


# --- the policy file


def test_an_edit_of_the_policy_is_taken_over(house: House) -> None:
    """Without a restart, memory kept; taking it back gives the old policy back."""
    before = house.api("/api/policy")["version"]
    house.chat(TIDES, KEY)
    assert house.chat(TIDES_AGAIN, KEY).headers["x-cache"] == "HIT"
    rewrite(house, policy=STRICT)
    until(lambda: house.api("/api/policy")["version"] != before)
    refused = house.chat(TIDES_AGAIN, KEY, {"x-likewise-mode": "semantic"})
    assert refused.headers["x-likewise-reason"] == "below-threshold"
    assert house.chat(TIDES, KEY).headers["x-likewise-match"] == "exact"
    rewrite(house)
    until(lambda: house.api("/api/policy")["version"] == before)
    assert house.chat("how do the tides work", KEY).headers["x-cache"] == "HIT"


def test_a_byte_identical_repeat_follows_the_new_policy(house: House) -> None:
    """What was read of a request under the old policy is not kept for the new one."""
    for wanted in ("MISS", "HIT"):
        assert house.chat(TIDES, KEY).headers["x-cache"] == wanted
    before = house.api("/api/policy")["version"]
    rewrite(house, policy={"max_temperature": 0.5})
    until(lambda: house.api("/api/policy")["version"] != before)
    assert house.chat(TIDES, KEY).headers["x-likewise-reason"] == "sampling"


def test_new_examples_recognise_new_questions(house: House) -> None:
    """A category's examples are embedded before it rules."""
    before = house.api("/api/policy")["version"]
    tide = {"sea": {"examples": ["How do the tides work?", "Why are there waves?"], "ttl": "5m"}}
    rewrite(house, policy={"categories": tide})
    until(lambda: house.api("/api/policy")["version"] != before)
    assert house.chat(TIDES, KEY).headers["x-likewise-category"] == "sea"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy: {defaults: {threshhold: 0.9}}", "threshold"),
        ("policy: [", "likewise.yaml"),
        ("policy: {defaults: {threshold: 7}}", "threshold"),
    ],
)
def test_a_bad_edit_keeps_the_old_policy(house: House, text: str, said: str) -> None:
    """Requests go on as before, and the dashboard shows what is wrong until it is mended."""
    good = house.config.read_text()
    before = house.api("/api/policy")["version"]
    house.chat(TIDES, KEY)
    house.config.write_text(text)
    told = until(lambda: house.api("/api/policy")["refused_edit"])
    assert said in told
    assert house.api("/api/policy")["version"] == before
    assert house.chat(TIDES_AGAIN, KEY).headers["x-cache"] == "HIT"
    house.config.write_text(good)
    until(lambda: not house.api("/api/policy")["refused_edit"])


def test_a_file_that_vanishes_keeps_the_old_policy(house: House) -> None:
    """Some editors remove before they write."""
    text = house.config.read_text()
    house.config.unlink()
    until(lambda: house.api("/api/policy")["refused_edit"])
    assert "likewise_policy_refused 1.0" in house.api("/metrics")
    assert house.chat(TIDES, KEY).status_code == 200
    house.config.write_text(text)
    until(lambda: not house.api("/api/policy")["refused_edit"])


def test_a_hangup_signal_reads_the_file_again(tmp_path: Path) -> None:
    """Even where the file looks untouched, as on file systems that lie about times. An access log
    that was moved away is let go."""
    oracle = OracleUpstream()
    config = tmp_path / "likewise.yaml"
    log, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    words = ("serve", "-c", str(config), "--port", "0", "--admin-port", "0")
    words += ("--access-log", str(log))
    with uvicorn_of(oracle) as upstream:
        config.write_text(configuration(tmp_path, upstream))
        with command(*words, cwd=tmp_path) as running:
            where = running.found(r"serves (http://\S+)/v1")
            _post(where, TIDES)
            assert _post(where, TIDES_AGAIN).headers["x-cache"] == "HIT"
            seen = config.stat()
            with config.open("r+") as file:
                text = file.read().replace("threshold: 0.95", "threshold: 0.99")
                file.seek(0)
                file.write(text)
            os.utime(config, ns=(seen.st_atime_ns, seen.st_mtime_ns))
            until(lambda: log.read_bytes().count(b"\n") == 2)
            log.rename(moved)
            running.process.send_signal(signal.SIGHUP)
            running.found(r"policy (\w+) is in force")
            until(log.exists)
            assert _post(where, "how do the tides work").headers["x-cache"] == "MISS"
            assert running.end(signal.SIGTERM) == 0
    assert log.read_bytes().count(b'"outcome":"miss"') == 1
    assert moved.read_bytes().count(b"\n") == 2


def _post(where: str, prompt: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"}
    url = f"{where}/v1/chat/completions"
    return httpx.post(url, json=body(prompt), headers=headers, trust_env=False, timeout=20)


# --- bounds


def _entries(house: House) -> list[Any]:
    found: list[Any] = house.api("/api/entries?limit=1000")["entries"]
    return found


def test_memory_stays_within_its_number_of_entries(tmp_path: Path) -> None:
    """The least recently used go, those in use stay, and what went is asked again."""
    with with_oracle(tmp_path, index={"max_entries": 20, "eviction": "lru"}) as house:
        house.chat("number 0", KEY)
        for number in range(1, 40):
            house.chat(f"number {number}", KEY)
            house.chat("number 0", KEY)
        until(lambda: len(_entries(house)) <= 20)
        kept = {one["text"] for one in _entries(house)}
        assert {"number 0", "number 39"} <= kept
        assert "number 1" not in kept
        cached = {"cache-control": "only-if-cached"}
        assert house.chat("number 1", KEY, cached).status_code == 504
        assert house.chat("number 39", KEY, cached).status_code == 200


def test_memory_stays_within_its_bytes(tmp_path: Path) -> None:
    """Large answers push out more than small ones."""
    with with_oracle(tmp_path, index={"max_bytes": "100KB"}) as house:
        for number in range(12):
            house.chat(f"number {number}", KEY, {"x-oracle-mode": "big:20000"})
        until(lambda: house.api("/api/health")["entry_bytes"] <= 100_000)
        assert 1 <= len(_entries(house)) < 12


def test_a_category_stays_within_its_quota(tmp_path: Path) -> None:
    """A tenth of twenty is two; the other categories are left alone."""
    policy = {"categories": {"chat": {"keywords": ["chat"], "quota": "10%"}}}
    index = {"max_entries": 20, "eviction": "lru"}
    with with_oracle(tmp_path, index=index, policy=policy) as house:
        for number in range(6):
            house.chat(f"chat number {number}", KEY)
            house.chat(f"number {number}", KEY)
        until(lambda: sum(one["category"] == "chat" for one in _entries(house)) <= 2)
        kept = [one["text"] for one in _entries(house) if one["category"] == "chat"]
        assert "chat number 5" in kept
        assert sum(one["category"] == "default" for one in _entries(house)) == 6


def test_a_key_stays_within_its_quota(tmp_path: Path) -> None:
    """A tenth of twenty is two; other keys are left alone."""
    index = {"max_entries": 20, "eviction": "lru", "tenant_quota": "10%"}
    with with_oracle(tmp_path, index=index) as house:
        for number in range(6):
            house.chat(f"number {number}", "sk-hog")
        house.chat("number 0", KEY)
        until(lambda: len(_entries(house)) <= 3)
        asked = {"cache-control": "only-if-cached"}
        assert house.chat("number 0", KEY, asked).headers["x-cache"] == "HIT"
        assert house.chat("number 5", "sk-hog", asked).headers["x-cache"] == "HIT"
        assert house.chat("number 0", "sk-hog", asked).status_code == 504


@asynccontextmanager
async def turning(
    tmp_path: Path, gone: Sequence[float], **parts: Any
) -> AsyncIterator[tuple[Upkeep, Memory]]:
    """Upkeep over a memory in this process, which holds an entry for each of the times `gone`."""
    config = tmp_path / "likewise.yaml"
    config.write_text(configuration(tmp_path, "http://127.0.0.1:1", **parts))
    settings = load(config, env={})
    memory = Memory(HashingEmbedder(), MemoryBodies(clock=time.time))
    journal = Journal.open(tmp_path / "journal.db")
    engine = Engine(
        memory=memory,
        upstreams=Upstreams(()),
        rules=settings.rules,
        journal=journal,
        meters=Meters(dict),
        ids=iter(range(10)).__next__,
    )
    for number, end in enumerate(gone):
        facts = Facts(
            entry=f"{number:032x}",
            space="s",
            owner="o",
            category="default",
            dialect="chat",
            model=MODEL,
            chain="",
            text=f"text {number}",
            stored=time.time() - 100 + number,
            expires=end,
            gone=end,
            size=10,
        )
        await memory.keep(facts, b"body", None, meaning=False)
    await memory.settled()
    judge = judges.judge(settings, settings.rules, memory.embedder, engine.upstreams)
    learner = Learner(memory, journal, judge, lambda: engine.rules, clock=time.time)
    upkeep = Upkeep(settings, engine, learner)
    tending = asyncio.create_task(upkeep.run())
    try:
        yield upkeep, memory
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        await learner.close()
        await memory.close()
        await journal.close()


async def test_what_is_past_all_use_is_swept(tmp_path: Path) -> None:
    """From memory and from the store, every fifteenth turn."""
    now = time.time()
    async with turning(tmp_path, [now - 1, now + 60]) as (upkeep, memory):
        upkeep._turn = SWEEP_EVERY - 1
        upkeep.ask_reload()
        while len(memory) > 1:  # noqa: ASYNC110 - upkeep tells nobody
            await asyncio.sleep(0.01)
        assert memory.facts(f"{1:032x}") is not None
        assert await memory.bodies.read(f"{0:032x}") is None


async def test_the_index_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every six hundredth turn what RAM holds is saved."""
    saved = asyncio.Event()

    async def save(_: Memory) -> None:
        saved.set()

    monkeypatch.setattr(Memory, "save", save)
    async with turning(tmp_path, [time.time() + 60]) as (upkeep, _):
        upkeep._turn = SAVE_EVERY - 2
        upkeep.ask_reload()
        while upkeep._turn < SAVE_EVERY:
            assert not saved.is_set()
            await asyncio.sleep(0.01)
        await asyncio.wait_for(saved.wait(), 10)
        monkeypatch.undo()


async def test_entries_are_weighed_beside_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request waits while a full memory is listed: another thread does it."""
    threads: list[int] = []
    weigh = Catalog.worst

    def worst(catalog: Catalog, bounds: Bounds, rule: Rule) -> list[tuple[str, float]]:
        threads.append(threading.get_ident())
        return weigh(catalog, bounds, rule)

    monkeypatch.setattr(Catalog, "worst", worst)
    ends = [time.time() + 60] * 3
    async with turning(tmp_path, ends, index={"max_entries": 2}) as (upkeep, memory):
        upkeep.ask_reload()
        while len(memory) > 2:  # noqa: ASYNC110 - upkeep tells nobody
            await asyncio.sleep(0.01)
        assert memory.facts(f"{0:032x}") is None
    assert threads
    assert threading.get_ident() not in threads
