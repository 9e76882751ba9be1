"""A disk without room costs the memory, never an answer, and memory comes back by itself."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from index.errors import NoRoomError, StoreError
from index.stores.memory import MemoryBodies
from proxy import opening
from proxy.demo.oracle import OracleUpstream
from proxy.settings import load
from proxy.token import token_file
from tests.proxy.house import (
    TOKEN,
    House,
    body,
    command,
    configuration,
    serving,
    until,
    uvicorn_of,
    with_oracle,
)

if TYPE_CHECKING:
    from pathlib import Path

    from index.ports import Bodies
    from tests.disks import Disk

KEY, OTHER = "sk-opening", "sk-opening-other"
SKY = "Why is the sky blue?"
ALONE = {"cache-control": "only-if-cached"}


def readiness(house: House) -> tuple[int, str]:
    answer = house.client.get(f"{house.where.data}/readyz")
    return answer.status_code, answer.text.strip()


def test_a_full_disk_at_the_start_costs_the_memory_alone(
    tmp_path: Path, small_disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers get the upstream's answers; `/readyz`, `/api/health` and one line of the log say what
    is the matter; with room again, entries, decisions and secret are there as if nothing was."""
    store = {"url": f"sqlite:{small_disk.place}/likewise.db"}
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        with serving(tmp_path, upstream, oracle, store=store) as house:
            house.chat(SKY, KEY)
        small_disk.fill()
        with serving(tmp_path, upstream, oracle, store=store) as house:
            for _ in range(20):
                answer = house.chat("Who fills disks?", OTHER)
                assert answer.status_code == 200
            first = house.chat(SKY, KEY)
            assert (first.status_code, first.headers["x-likewise-reason"]) == (200, "store-down")
            code, said = readiness(house)
            assert code == 200
            assert re.fullmatch(r"ready, without memory: store .*free.* space.*", said)
            health = house.api("/api/health")
            assert health["store_missing"]
            assert health["journal"]["missing"]
            lines = [r.getMessage() for r in caplog.records if "memory is off" in r.getMessage()]
            assert len(lines) == 1
            small_disk.clear()
            until(lambda: readiness(house) == (200, "ready"))
            until(lambda: not house.api("/api/health")["journal"]["missing"])
            assert house.api("/api/health")["store_missing"] == ""
            assert house.chat(SKY, KEY, ALONE).headers["x-likewise-match"] == "exact"
            assert house.chat("Who fills disks?", OTHER, ALONE).status_code == 504
            house.chat("Who fills disks?", OTHER)
            assert house.decision(first)["reason"] == "store-down"
        with serving(tmp_path, upstream, oracle, store=store) as house:
            assert house.chat("Who fills disks?", OTHER, ALONE).status_code == 200


def test_a_disk_that_fills_while_serving(tmp_path: Path, small_disk: Disk) -> None:
    """Nobody gets an error; what cannot be kept is asked again; with room all is kept again."""
    store = {"url": f"sqlite:{small_disk.place}/likewise.db"}
    with with_oracle(tmp_path, store=store) as house:
        house.chat(SKY, KEY)
        small_disk.fill()
        large = {"x-oracle-mode": "big:40000"}
        for number in range(300):
            assert house.chat(f"number {number}", KEY, large).status_code == 200
        faults = house.api("/api/health")
        assert faults["store_faults"]["write"] > 0
        assert faults["journal"]["faults"] > 0
        assert house.chat(SKY, KEY, ALONE).status_code == 200
        small_disk.clear()
        until(lambda: house.api("/api/overview")["total"]["requests"] >= 302)
        house.chat("Is there room?", KEY)
        assert house.chat("Is there room?", KEY, ALONE).status_code == 200


def test_a_full_disk_has_no_room_for_the_token_either(tmp_path: Path, small_disk: Disk) -> None:
    """The token that was printed works, and its file is written when there is room."""
    small_disk.fill()
    config = tmp_path / "likewise.yaml"
    with uvicorn_of(OracleUpstream()) as upstream:
        store = {"url": f"sqlite:{small_disk.place}/likewise.db"}
        config.write_text(configuration(tmp_path, upstream, store=store))
        words = ("serve", "-c", str(config), "--port", "0", "--admin-port", "0")
        with command(*words, cwd=tmp_path) as running:
            admin = running.found(r"dashboard (http://\S+)")
            token = running.found(r"token (\S+)\n")
            asked = httpx.get(
                f"{admin}/api/health",
                headers={"authorization": f"Bearer {token}"},
                trust_env=False,
            )
            assert asked.status_code == 200
            file = token_file(load(config, env={}))
            assert not file.exists()
            small_disk.clear()
            assert until(lambda: file.exists() and file.read_text().strip()) == token
            assert file.stat().st_mode & 0o777 == 0o600


class Full(MemoryBodies):
    """A store that opens and has no room for the secret; `tries` counts how often it was closed."""

    tries = 0

    async def settle(self, name: str, value: bytes) -> bytes:
        raise NoRoomError(f"no room for {name}")

    async def close(self) -> None:
        type(self).tries += 1
        await super().close()


async def test_a_store_without_room_for_its_secret_is_closed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as absent as one that does not open, and nothing holds it."""
    monkeypatch.setattr("proxy.opening.build.bodies", lambda *_, **__: Full())
    found = await opening.opened_or_absent(settings(tmp_path), time.time)
    with pytest.raises(StoreError, match="no room for hmac-secret"):
        await found.bodies.check()
    assert Full.tries == 1
    assert len(found.secret) == 32


async def test_other_faults_of_a_store_end_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody has to mend is said at once, not served around."""

    def other(*_: Any, **__: Any) -> Bodies:
        raise StoreError("another program's database")

    monkeypatch.setattr("proxy.opening.build.bodies", other)
    with pytest.raises(StoreError, match="another program's"):
        await opening.opened_or_absent(settings(tmp_path), time.time)


def settings(folder: Path) -> Any:
    config = folder / "likewise.yaml"
    config.write_text(configuration(folder, "http://127.0.0.1:1"))
    return load(config, env={"LIKEWISE_ADMIN_TOKEN": TOKEN})


def test_what_was_kept_without_a_store_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of the time without a store stand under no key that counts afterwards, and what was
    read of a request then is read anew."""
    real, full = opening.build.bodies, [True]

    def moody(*words: Any, **rest: Any) -> Bodies:
        if full[0]:
            raise NoRoomError("the disk is full")
        return real(*words, **rest)

    monkeypatch.setattr("proxy.opening.build.bodies", moody)
    with with_oracle(tmp_path) as house:
        for _ in range(2):
            assert house.chat(SKY, KEY).status_code == 200
        refused = house.client.post(
            f"{house.where.data}/v1/chat/completions",
            json=body(SKY),
            headers={"x-likewise-session": "s", "authorization": f"Bearer {KEY}"},
        )
        assert refused.status_code == 200
        full[0] = False
        until(lambda: readiness(house) == (200, "ready"))
        asked = house.oracle.calls
        assert house.chat(SKY, KEY, ALONE).status_code == 504
        assert house.chat(SKY, KEY).headers["x-likewise-reason"] == "empty"
        assert house.chat(SKY, KEY).headers["x-likewise-match"] == "exact"
        assert house.oracle.calls == asked + 1
        assert house.api("/api/health")["entries"] == 1
