"""The whole proxy in this process, without sockets before it; its clock, disk and end are ours.

Built by the application's own wiring. Behind it is the oracle, whose answers say what they are for.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import yaml

from admin_ui.console import Selection
from index.embedders.hashing import HashingEmbedder
from proxy import app
from proxy.breakers import Breakers
from proxy.console import HouseConsole
from proxy.settings import load
from proxy.upkeep import Upkeep
from tests.proxy.house import body
from tests.security.tenants import said

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from proxy.engine import Engine

DATA = "likewise.db"
MOST = 10_000
CHAT = "http://likewise/v1/chat/completions"


class Bed:
    """A proxy that can be asked, moved in time, killed and started again."""

    def __init__(self, folder: Path, upstream: str, policy: Mapping[str, Any]) -> None:
        self.now = 1_800_000_000.0
        self._upstream = upstream
        self._lives = 0
        self._home = folder
        self._stack = AsyncExitStack()
        self._policy = policy

    async def start(self) -> None:
        """Open what is on disk, and serve."""
        self._write()
        settings = load(self._config, env={})
        stack = self._stack = AsyncExitStack()
        engine, identity = await app._engine(
            settings, HashingEmbedder(), stack, clock=lambda: self.now
        )
        engine.flights.clock = lambda: self.now
        learner = app._learner(settings, engine, stack)
        upkeep = Upkeep(settings, engine, learner)
        await upkeep.adopt(settings.rules)
        opening = app.Opening(settings, engine, identity, learner)
        await opening.begin()
        await upkeep.load(opening.go_on, lambda: None)
        verdicts = app._verdicts(engine, learner, stack)
        ledger = app.Ledger.open(self._folder / "ledger.db")
        stack.push_async_callback(ledger.close)
        fleet = app._fleet(engine, upkeep, stack)
        self.console = HouseConsole(
            settings, engine, identity, upkeep, learner, verdicts, ledger, fleet
        )
        await self.console.begin()
        self.engine: Engine = engine
        self._upkeep = upkeep
        port = app._port(settings, engine, identity, verdicts, upkeep)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(port), trust_env=False)
        stack.push_async_callback(self._client.aclose)

    async def ask(
        self, prompt: str, key: str, headers: Mapping[str, str], **rest: Any
    ) -> tuple[httpx.Response, str]:
        """An answer and its text, which is empty where it is none."""
        lines = {"authorization": f"Bearer {key}"} | dict(headers)
        answer = await self._client.post(CHAT, json=body(prompt, **rest), headers=lines)
        if answer.status_code != httpx.codes.OK:
            return answer, ""
        try:
            return answer, said(answer.content, stream=rest.get("stream") is True)
        except ValueError:
            return answer, ""

    async def settle(self) -> None:
        """Wait for what goes on behind the answers."""
        if tasks := list(self.engine.flights._tasks):
            await asyncio.wait(tasks)
        await self.engine.memory.settled()
        await self.engine.refusals.flush()

    async def purge(self, **selection: Any) -> int:
        return await self.console.purge(Selection(**selection), dry_run=False)

    async def adopt(self, policy: Mapping[str, Any]) -> None:
        """Put another policy in force, by way of the file."""
        self._policy = policy
        self._write()
        await self._upkeep.reload()

    async def sweep(self) -> None:
        """What runs beside the requests, once."""
        self._upkeep._turn = 0
        for step in (self._upkeep._evict, self._upkeep._tend, self._upkeep._sweep):
            await step()

    def recover(self) -> None:
        """As if upstream had been good for a while: no circuit is open."""
        self.engine.upstreams.breakers = Breakers()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def crash(self) -> None:
        """Go on from what was on disk at this moment, as after a kill."""
        before, image = self._folder, self._home / f"life-{self._lives + 1}"
        image.mkdir()
        for path in before.glob(f"{DATA}*"):
            shutil.copy(path, image / path.name)
        await self.stop()
        shutil.rmtree(before)
        self._lives += 1
        await self.start()

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def _folder(self) -> Path:
        folder = self._home / f"life-{self._lives}"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def _config(self) -> Path:
        return self._folder / "likewise.yaml"

    def _write(self) -> None:
        settings = {
            "upstreams": [{"name": "oracle", "base_url": f"{self._upstream}/v1"}],
            "store": {"url": f"sqlite:{self._folder}/{DATA}"},
            "policy": self._policy,
            # What is reserved for a million is let go too late for hundreds of lives.
            "index": {"max_entries": MOST},
        }
        self._config.write_text(yaml.safe_dump(settings))


def number(text: str) -> int:
    """Which of the oracle's answers a text is."""
    return int(orjson.loads(text)["seq"])
