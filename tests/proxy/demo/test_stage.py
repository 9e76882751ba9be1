"""The whole demo: everything up, the set played, everything gone."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from rich.console import Console

from proxy.demo import stage
from proxy.demo.conversation import load
from proxy.demo.upstream import SampleUpstream

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample upstream does not take its time."""
    monkeypatch.setattr(stage, "SampleUpstream", partial(SampleUpstream, latency=0, per_token=0))


def page() -> Console:
    return Console(file=io.StringIO(), width=110, force_terminal=False)


def printed(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


async def test_the_demo_shows_the_main_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every prompt is answered, hits of both kinds, no wrong one; nothing is left behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    console = page()
    assert await stage.play(0, 0, progress=lambda *_: None, stay=False, out=console) == 0
    text = printed(console)
    assert len(re.findall(r"\b(?:exact|semantic|miss|bypass)\s+(?:facts|code)", text)) > 5
    for word in ("exact", "semantic", "facts", "support", "hit rate", "Dashboard", "token"):
        assert word in text
    wrong = re.search(r"wrong hits\s+(\d+) \((\d+) of", text)
    assert wrong is not None
    assert wrong.groups() == ("0", "0")
    share = re.search(r"hit rate\s+\d+% \((\d+) of (\d+)\)", text)
    assert share is not None
    assert int(share[2]) == len(load())
    assert 0 < int(share[1]) < int(share[2])
    assert not any(os.scandir(tmp_path))


async def test_the_demo_takes_other_ports_where_its_own_are_taken() -> None:
    """It says where it is, keeps serving until it is told to end, and then is gone."""
    console = page()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        playing = asyncio.create_task(
            stage.play(port, port, progress=lambda *_: None, stay=True, out=console)
        )
        while "Still serving" not in printed(console):
            assert not playing.done()
            await asyncio.sleep(0.05)
    found = re.search(r"Proxy\s+(http://\S+:(\d+))/v1", printed(console))
    assert found is not None
    assert int(found[2]) != port
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{found[1]}/readyz")).status_code == 200
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        try:
            answer = await client.get(f"{found[1]}/readyz")
        except httpx.TransportError:
            answer = None
    assert answer is None
