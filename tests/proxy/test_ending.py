"""The end of a running proxy: whoever is under way is served, or told in its own words."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import openai
import orjson
import pytest

from proxy.demo.oracle import OracleUpstream
from proxy.demo.upstream import MODEL
from tests.proxy.house import PATIENCE, body, command, configuration, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.proxy.house import Command

KEY = "sk-1"
PATH = "/v1/chat/completions"
LIMITS = {"grace": "0.3s", "drain": "1s"}


@pytest.fixture
def oracle() -> OracleUpstream:
    return OracleUpstream()


@pytest.fixture
def running(tmp_path: Path, oracle: OracleUpstream) -> Iterator[Command]:
    with uvicorn_of(oracle) as upstream:
        config = tmp_path / "likewise.yaml"
        server = {"limits": LIMITS}
        config.write_text(
            configuration(tmp_path, upstream, server=server, policy={"replay": "original"})
        )
        words = ("serve", "-c", str(config), "--port", "0", "--admin-port", "0")
        with command(*words, cwd=tmp_path) as started:
            yield started


def address(running: Command) -> str:
    return running.found(r"serves (http://\S+)/v1")


def clients(where: str) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=where, headers=headers, trust_env=False, timeout=PATIENCE)


async def stream(client: httpx.AsyncClient, prompt: str, mode: str, begun: asyncio.Event) -> str:
    """All that came; raises where the connection broke."""
    asked = body(prompt, stream=True)
    headers = {"x-oracle-mode": mode}
    async with client.stream("POST", PATH, json=asked, headers=headers) as answer:
        told = ""
        async for piece in answer.aiter_text():
            told += piece
            begun.set()
        return told


async def end(running: Command, number: signal.Signals = signal.SIGTERM) -> int:
    return await asyncio.to_thread(running.end, number)


async def test_a_stream_past_the_drain_ends_with_an_error(running: Command) -> None:
    """Its transfer ends in order, so only the event tells that the answer is not whole; exit 0."""
    async with clients(address(running)) as client:
        begun = asyncio.Event()
        reading = asyncio.create_task(stream(client, "one?", "stall:3", begun))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        assert await end(running) == 0
        events = [line for line in (await reading).split("\n\n") if line]
    assert len(events) == 4
    error = orjson.loads(events[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "upstream_incomplete")


async def test_official_clients_raise(running: Command) -> None:
    """Nobody takes the part for the whole."""
    async with openai.AsyncOpenAI(
        base_url=f"{address(running)}/v1",
        api_key=KEY,
        max_retries=0,
        http_client=httpx.AsyncClient(trust_env=False),
    ) as client:
        chunks = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "one?"}],
            stream=True,
            extra_headers={"x-oracle-mode": "stall:3"},
        )
        await anext(chunks)
        ending = asyncio.create_task(end(running))
        with pytest.raises(openai.APIError, match="ended before it was complete"):
            async for _ in chunks:
                pass
        assert await ending == 0


async def test_who_still_waits_is_told_to_ask_again(
    running: Command, oracle: OracleUpstream
) -> None:
    """503 with `Retry-After` in the caller's envelope, which clients retry elsewhere; those who
    wait for the same call get the same."""
    headers = {"x-oracle-mode": "slow:30"}
    async with clients(address(running)) as client:
        asked = [
            asyncio.create_task(client.post(PATH, json=body("one?"), headers=headers))
            for _ in range(3)
        ]
        await asyncio.to_thread(until, lambda: oracle.calls)
        assert await end(running) == 0
        for answer in await asyncio.gather(*asked):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["error"]["code"] == "shutting_down"


async def test_a_stream_within_the_drain_is_whole_and_kept(
    running: Command, oracle: OracleUpstream, tmp_path: Path
) -> None:
    """It ends as ever, and what was stored meanwhile is there after a restart."""
    where = address(running)
    async with clients(where) as client:
        asked = body("one?", stream=True)
        slow = {"x-oracle-mode": "slow:0.6"}
        reading = asyncio.create_task(client.post(PATH, json=asked, headers=slow))
        await asyncio.to_thread(until, lambda: oracle.calls)
        assert await end(running) == 0
        told = (await reading).text
        assert told.endswith("data: [DONE]\n\n")
    words = ("serve", "-c", str(tmp_path / "likewise.yaml"), "--port", "0", "--admin-port", "0")
    with command(*words, cwd=tmp_path) as again:
        async with clients(address(again)) as client:
            hit = await client.post(PATH, json=asked)
    assert hit.headers["x-cache"] == "HIT"
    assert hit.text == told


async def test_load_balancers_get_time_to_notice(running: Command) -> None:
    """While `/readyz` says 503 requests are still answered, each as its connection's last."""
    async with clients(address(running)) as client:
        assert (await client.get("/readyz")).status_code == 200
        ending = asyncio.create_task(end(running))
        while (ready := await client.get("/readyz")).status_code == 200:
            pass
        assert ready.status_code == 503
        answer = await client.post(PATH, json=body("one?"))
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert await ending == 0


async def test_a_paced_replay_is_told_whole(running: Command, oracle: OracleUpstream) -> None:
    """What is in memory needs no more time than it takes to send."""
    asked = body("one?", stream=True)
    async with clients(address(running)) as client:
        fresh = await client.post(PATH, json=asked, headers={"x-oracle-mode": "paced:2"})
        begun = asyncio.Event()
        reading = asyncio.create_task(stream(client, "one?", "ok", begun))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        assert await end(running) == 0
        assert await reading == fresh.text
    assert oracle.calls == 1
