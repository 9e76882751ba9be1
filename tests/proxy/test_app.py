"""The house as a whole: it starts, outlives its parts' faults, restarts, and says what is wrong."""

from __future__ import annotations

import asyncio
import stat
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from index import build
from index.embedders.hashing import HashingEmbedder
from index.errors import EmbedderError, MemoryFault, StoreError
from index.stores.sqlite import SqliteBodies
from proxy import app
from proxy.demo.oracle import OracleUpstream, verify
from proxy.server import Stop
from proxy.settings import load
from proxy.token import token_file
from tests.proxy.house import (
    PATIENCE,
    TOKEN,
    Command,
    House,
    body,
    command,
    configuration,
    serving,
    until,
    uvicorn_of,
    with_oracle,
)
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from index.ports import Embedded, Record
    from tests.servers import RedisServer

KEY = "sk-app"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES, TIDES_AGAIN = "How do tides work?", "How do the tides work?"


def said(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


# --- what is remembered lasts


def test_a_restart_keeps_what_was_remembered(tmp_path: Path) -> None:
    """By text and by meaning, for the same key only: the secret is kept with the store."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        with serving(tmp_path, upstream, oracle) as house:
            house.chat(SKY, KEY)
            house.chat(TIDES, KEY, stream=True)
        with serving(tmp_path, upstream, oracle) as house:
            assert house.chat(SKY, KEY).headers["x-likewise-match"] == "exact"
            assert house.chat(SKY_AGAIN, KEY).headers["x-likewise-match"] == "semantic"
            streamed = house.chat(TIDES_AGAIN, KEY, stream=True)
            assert streamed.headers["x-likewise-match"] == "semantic"
            assert house.chat(SKY, "sk-other").headers["x-cache"] == "MISS"
            assert len(house.api("/api/decisions")["decisions"]) >= 6
    assert len(oracle.log) == 3


def test_a_killed_process_keeps_what_it_answered_a_second_ago(tmp_path: Path) -> None:
    """`kill -9` loses no answer that is a second old, and the next start serves it."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        config = tmp_path / "likewise.yaml"
        config.write_text(configuration(tmp_path, upstream))
        words = ("serve", "-c", str(config), "--port", "0", "--admin-port", "0")
        for wanted in ("MISS", "HIT"):
            with command(*words, cwd=tmp_path) as running:
                where = running.found(r"serves (http://\S+)/v1")
                answers = [_post(where, SKY), _post(where, SKY_AGAIN)]
                time.sleep(1)  # what the contract allows to be lost
                running.end()
            assert [a.headers["x-cache"] for a in answers] == [wanted, "HIT"]
    assert oracle.calls == 1


def _post(where: str, prompt: str) -> httpx.Response:
    return httpx.post(
        f"{where}/v1/chat/completions",
        json=body(prompt),
        headers={"authorization": f"Bearer {KEY}"},
        trust_env=False,
        timeout=20,
    )


def test_two_houses_share_one_redis(
    tmp_path: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one remembers, the other serves: at once by text, and by meaning once it knows it."""
    monkeypatch.chdir(tmp_path)
    oracle = OracleUpstream()
    store = {"url": redis_server.url}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        uvicorn_of(oracle) as upstream,
        serving(tmp_path / "a", upstream, oracle, store=store) as first,
    ):
        first.chat(TIDES, KEY)
        with serving(tmp_path / "b", upstream, oracle, store=store) as second:
            assert second.chat(TIDES_AGAIN, KEY).headers["x-likewise-match"] == "semantic"
            fresh = first.chat(SKY, KEY)
            stored = lambda: second.chat(SKY, KEY, {"cache-control": "only-if-cached"})  # noqa: E731
            answer = until(lambda: (a := stored()).status_code == 200 and a)
            assert answer.headers["x-likewise-match"] == "exact"
            assert said(answer) == said(fresh)
            assert second.chat(SKY_AGAIN, KEY).headers["x-likewise-match"] == "semantic"
            second.api("/api/entries/purge", {"selection": {}, "dry_run": False})
            assert first.chat(SKY, KEY).headers["x-cache"] == "MISS"
    assert oracle.calls == 3


# --- a fault of memory is a miss


def test_requests_pass_while_redis_is_gone(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every caller gets the upstream's answer; the faults are counted; it recovers by itself."""
    monkeypatch.chdir(tmp_path)
    with with_oracle(tmp_path, store={"url": own_redis.url}) as house:
        house.chat(SKY, KEY)
        until(lambda: house.chat(SKY, KEY).headers["x-cache"] == "HIT")
        before = _faults(house)
        own_redis.stop()
        for prompt in (SKY, SKY_AGAIN, TIDES, SKY):
            answer = house.chat(prompt, KEY)
            assert answer.status_code == 200
            assert answer.headers["x-cache"] == "MISS"
            assert verify(said(answer), credential=KEY, prompt=prompt)
        assert _faults(house) > before
        assert house.api("/api/health")["store_faults"]["read"] > 0
        own_redis.start()
        until(lambda: house.chat(SKY, KEY).headers["x-cache"] == "HIT")


def _faults(house: House) -> float:
    lines = dict(
        line.rsplit(" ", 1)
        for line in house.api("/metrics").splitlines()
        if line.startswith("likewise_store_")
    )
    return sum(float(value) for name, value in lines.items() if "_faults_total" in name)


class Moody(HashingEmbedder):
    """An embedder that fails, or hangs, while it is told to."""

    mood = ""

    def embed(self, text: str) -> Embedded:
        if self.mood == "fails":
            raise EmbedderError("told to fail")
        if self.mood == "breaks":
            raise ZeroDivisionError
        if self.mood == "hangs":
            time.sleep(2)
        return super().embed(text)


@pytest.mark.parametrize("mood", ["fails", "breaks", "hangs"])
def test_requests_pass_while_the_embedder_is_ill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: str
) -> None:
    """Exact hits go on, everything else is asked, and nothing reaches the caller but answers."""
    embedder = Moody()
    monkeypatch.setattr(build, "embedder", lambda *_, **__: embedder)
    with with_oracle(tmp_path) as house:
        house.chat(SKY, KEY)
        embedder.mood = mood
        answer = house.chat(TIDES, KEY)
        assert answer.headers["x-likewise-reason"] == "embed-timeout"
        assert verify(said(answer), credential=KEY, prompt=TIDES)
        assert house.chat(SKY, KEY).headers["x-likewise-match"] == "exact"
        assert sum(house.api("/api/health")["embedder_faults"].values()) > 0
        embedder.mood = ""
        until(lambda: "embed" not in house.chat("Is it well?", KEY, {"cache-control": "no-cache"})
              .headers["x-likewise-reason"])  # fmt: skip
        until(lambda: house.chat(SKY_AGAIN, KEY).headers["x-cache"] == "HIT")


# --- what it says of itself


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    """By outcome, reason and category, with the upstream's answers, as aggregates only."""
    with with_oracle(tmp_path) as house:
        for prompt in (SKY, SKY, SKY_AGAIN, TIDES):
            house.chat(prompt, KEY)
        house.chat("Hot", KEY, temperature=1.9)
        house.chat("Bad", KEY, {"x-oracle-mode": "length"})
        text = house.api("/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    counts: Counter[str] = Counter()
    for name, value in values.items():
        if name.startswith("likewise_requests_total"):
            counts[name.split('reason="')[1].split('"')[0]] += int(float(value))
    assert counts["exact"] == counts["semantic"] == counts["sampling"] == counts["empty"] == 1
    assert values['likewise_upstream_responses_total{status="200",upstream="oracle"}'] == "4.0"
    assert values["likewise_stored_total"] == "2.0"
    assert values['likewise_not_stored_total{reason="finish-reason"}'] == "1.0"
    assert values["likewise_entries"] == "2.0"
    assert float(values["likewise_tokens_saved_total"]) > 0
    assert values['likewise_request_seconds_count{outcome="hit"}'] == "2.0"
    assert KEY not in text
    assert SKY not in text


def test_the_admin_port_needs_the_token(tmp_path: Path) -> None:
    """Without it, or with a wrong one, not one fact is told."""
    with with_oracle(tmp_path) as house:
        for path in ("/api/overview", "/api/entries", "/api/health", "/metrics"):
            for headers in ({}, {"authorization": "Bearer guess"}):
                answer = house.client.get(house.where.admin + path, headers=headers)
                assert answer.status_code == 401, path
        assert house.api("/api/health")["ready"] is True


async def test_a_token_is_made_and_kept_for_its_owner(tmp_path: Path) -> None:
    """Without one in the environment: a file beside the store that only its owner reads."""
    with uvicorn_of(OracleUpstream()) as upstream:
        config = tmp_path / "likewise.yaml"
        config.write_text(configuration(tmp_path / "store", upstream))
        tokens = []
        for _ in range(2):
            stop = Stop()

            def ready(where: app.Addresses, stop: Stop = stop) -> None:
                tokens.append(where.token)
                stop.ask()
                stop.ask()

            settings = load(config, env={}, port=0, admin_port=0)
            assert await app.run(settings, on_ready=ready, stop=stop) == 0
    file = token_file(settings)
    assert tokens == [file.read_text().strip()] * 2
    assert len(tokens[0]) >= 32
    assert tokens[0] != TOKEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_not_ready_while_it_drains(tmp_path: Path) -> None:
    """A stop signal turns `/readyz` to 503, an answer under way is finished, and it ends well."""
    with uvicorn_of(OracleUpstream()) as upstream:
        words = ("serve", "--upstream", f"{upstream}/v1", "--port", "0", "--admin-port", "0")
        with command(*words, cwd=tmp_path) as running:
            where = running.found(r"serves (http://\S+)/v1")
            assert httpx.get(f"{where}/readyz", trust_env=False).status_code == 200
            answer = _while_draining(running, where)
            assert running.process.wait(20) == 0
    assert verify(said(answer), credential=KEY, prompt=SKY)


def _while_draining(running: Command, where: str) -> httpx.Response:
    """The answer to a request that was under way when the stop signal came."""
    import threading  # noqa: PLC0415 - this test alone asks from two sides

    got: list[httpx.Response] = []

    def ask() -> None:
        headers = {"authorization": f"Bearer {KEY}", "x-oracle-mode": "slow:1"}
        where_to = f"{where}/v1/chat/completions"
        got.append(
            httpx.post(where_to, json=body(SKY), headers=headers, trust_env=False, timeout=20)
        )

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    running.process.terminate()
    until(lambda: httpx.get(f"{where}/readyz", trust_env=False).status_code == 503)
    asking.join(20)
    return got[0]


async def test_it_answers_exactly_while_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the store's entries are in RAM: not ready, how far it is, and exact hits; a store that
    fails meanwhile is asked again."""
    go_on, scan, faults = asyncio.Event(), SqliteBodies.scan, [StoreError("half way")]

    async def held(self: SqliteBodies) -> AsyncIterator[Record]:
        async for record in scan(self):
            yield record
        await go_on.wait()
        if faults:
            raise faults.pop()

    with uvicorn_of(OracleUpstream()) as upstream:
        with serving(tmp_path, upstream) as house:
            house.chat(SKY, KEY)
        monkeypatch.setattr(SqliteBodies, "scan", held)
        ports = {"port": free_port(), "admin_port": free_port()}
        settings = load(house.config, env={"LIKEWISE_ADMIN_TOKEN": TOKEN}, **ports)
        stop, ready = Stop(), asyncio.Event()
        running = asyncio.create_task(app.run(settings, on_ready=lambda _: ready.set(), stop=stop))
        data, admin = (f"http://127.0.0.1:{port}" for port in ports.values())
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            await answering(client, f"{data}/healthz")
            waiting = await client.get(f"{data}/readyz")
            assert (waiting.status_code, waiting.text) == (503, "loading, 0 entries so far\n")
            hit = await client.post(f"{data}/v1/chat/completions", json=body(SKY), headers=headers)
            assert hit.headers["x-likewise-match"] == "exact"
            told = await client.get(
                f"{admin}/api/health", headers={"authorization": f"Bearer {TOKEN}"}
            )
            assert (told.json()["ready"], told.json()["state"]) == (False, waiting.text.strip())
            assert not ready.is_set()
            go_on.set()
            await asyncio.wait_for(ready.wait(), PATIENCE)
            assert (await client.get(f"{data}/readyz")).status_code == 200
        stop.ask()
        stop.ask()
        assert await asyncio.wait_for(running, PATIENCE) == 0


async def answering(client: httpx.AsyncClient, url: str) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(httpx.TransportError):
                await client.get(url)
                return
            await asyncio.sleep(0.02)


# --- it refuses to start


async def _refusal(config: Path, **ports: int) -> str:
    settings = load(config, env={}, **({"port": 0, "admin_port": 0} | ports))  # type: ignore[arg-type]
    with pytest.raises(MemoryFault) as caught:
        await app.run(settings)
    text = str(caught.value)
    assert "\n" not in text
    return text


async def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """Data port or admin port: the setting to change, and the address."""
    config = tmp_path / "likewise.yaml"
    with uvicorn_of(OracleUpstream()) as upstream:
        config.write_text(configuration(tmp_path, upstream))
        taken = int(upstream.rsplit(":", 1)[1])
        assert f"server.port: 127.0.0.1:{taken} is in use" in await _refusal(config, port=taken)
        told = await _refusal(config, admin_port=taken)
        assert f"server.admin.port: 127.0.0.1:{taken} is in use" in told


@pytest.mark.parametrize(
    ("parts", "hint"),
    [
        ({"store": {"url": "redis://127.0.0.1:{port}/0"}}, "127.0.0.1:{port}"),
        ({"store": {"url": "sqlite:/proc/likewise/x.db"}}, "make the directory writable"),
        ({"embedding": {"model": "no/such-model-anywhere"}}, "no/such-model-anywhere"),
    ],
)
async def test_what_cannot_be_had_is_named(
    tmp_path: Path, parts: dict[str, Any], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the place and the next step; nothing listens afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    port = free_port()
    filled = {
        name: {k: v.replace("{port}", str(port)) for k, v in part.items()}
        for name, part in parts.items()
    }
    config = tmp_path / "likewise.yaml"
    config.write_text(configuration(tmp_path, "http://127.0.0.1:1", **filled))
    assert hint.replace("{port}", str(port)) in await _refusal(config)
