"""The whole house on loopback sockets, in threads of its own. No test lives here."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
import yaml

from proxy import app
from proxy.demo.oracle import OracleUpstream, tenant
from proxy.server import Stop, bind, run
from proxy.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.app import Addresses

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0  # seconds after which a test gives up; nothing asserts on it
MODEL = "gpt-4o-mini"
TOKEN = "a-token-for-the-tests-of-the-house"


@dataclass
class House:
    """A running house: where it is, and how a client and an operator talk to it."""

    where: Addresses
    config: Path
    client: httpx.Client
    oracle: OracleUpstream

    def chat(
        self, prompt: str, key: str, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> httpx.Response:
        """Ask as a plain HTTP client does; `rest` are more fields of the body."""
        return self.post(body(prompt, **rest), key, headers)

    def post(
        self, content: Any, key: str, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a body, bytes as they are and anything else as JSON."""
        sent = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        where = f"{self.where.data}/v1/chat/completions"
        given = {"content": content} if isinstance(content, bytes) else {"json": content}
        return self.client.post(where, headers=sent | dict(headers or {}), **given)

    def api(self, path: str, json: Any = None, method: str = "") -> Any:
        """What the admin port says, as an operator with the token."""
        answer = self.client.request(
            method or ("GET" if json is None else "POST"),
            self.where.admin + path,
            json=json,
            headers={"authorization": f"Bearer {self.where.token}"},
        )
        answer.raise_for_status()
        text = answer.headers["content-type"].startswith("text/plain")
        return answer.text if text else answer.json()

    def calls(self, key: str) -> int:
        """How many requests of a key reached the upstream."""
        return sum(seen.tenant == tenant(key) for seen in list(self.oracle.log))

    def decision(self, answer: httpx.Response) -> dict[str, Any]:
        """What the journal says of an answer's request."""
        wanted = str(int(answer.headers["x-likewise-request"], 16))

        def found() -> dict[str, Any] | None:
            rows = self.api("/api/decisions?limit=1000")["decisions"]
            return next((row for row in rows if row["id"] == wanted), None)

        row: dict[str, Any] = until(found)
        return row


def body(prompt: str, **rest: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **rest}


def until(seen: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """The first true value of `seen`; fails when there is none in time."""
    end = time.monotonic() + patience
    while not (value := seen()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value


@contextmanager
def uvicorn_of(application: Any) -> Iterator[str]:
    """The address of an application, served by uvicorn in a thread."""
    bound = bind("127.0.0.1", 0)
    config = uvicorn.Config(application, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE)
        bound.close()


@contextmanager
def serving(
    folder: Path,
    upstream: str,
    oracle: OracleUpstream | None = None,
    /,
    env: Mapping[str, str] | None = None,
    **parts: Any,
) -> Iterator[House]:
    """A house in front of `upstream`; `parts` are the sections of its likewise.yaml."""
    config = folder / "likewise.yaml"
    config.write_text(configuration(folder, upstream, **parts))
    surrounded = {"LIKEWISE_ADMIN_TOKEN": TOKEN} | dict(env or {})
    settings = load(config, env=surrounded, port=0, admin_port=0)
    ready: Future[Addresses] = Future()
    ended: Future[int] = Future()
    stop = Stop()
    loops: list[Any] = []

    async def main() -> int:
        loops.append(asyncio.get_running_loop())
        return await app.run(settings, on_ready=ready.set_result, stop=stop)

    def work() -> None:
        try:
            ended.set_result(run(main()))
        except BaseException as fault:  # noqa: BLE001 - told to the test below
            ended.set_exception(fault)
            if not ready.done():
                ready.set_exception(fault)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    where = ready.result(PATIENCE)
    client = httpx.Client(trust_env=False, timeout=PATIENCE)
    try:
        yield House(where, config, client, oracle or OracleUpstream())
    finally:
        client.close()
        loops[0].call_soon_threadsafe(stop.ask)
        loops[0].call_soon_threadsafe(stop.ask)
        assert ended.result(PATIENCE) == 0
        thread.join(PATIENCE)
        # A house is a large ring of few objects, so nobody would come to look for a long time.
        gc.collect()


# Tests of other things need a threshold that stays where it is, and hits that are hits.
STEADY = {"defaults": {"threshold": 0.95}, "audits": "0%"}


def configuration(folder: Path, upstream: str, **parts: Any) -> str:
    """A likewise.yaml; what `parts` does not say is the default, the store under `folder`.

    Except for the threshold: a fixed cut without audits, unless `parts` names another.
    """
    written = {
        "upstreams": [{"name": "oracle", "base_url": f"{upstream}/v1"}],
        "store": {"url": f"sqlite:{folder}/likewise.db"},
    }
    policy = STEADY | parts.get("policy", {})
    policy["defaults"] = STEADY["defaults"] | policy["defaults"]
    text: str = yaml.safe_dump(written | parts | {"policy": policy}, allow_unicode=True)
    return text


@contextmanager
def with_oracle(folder: Path, **parts: Any) -> Iterator[House]:
    """A house in front of an oracle of its own."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream, serving(folder, upstream, oracle, **parts) as house:
        yield house


class Command:
    """`likewise …` as a process of its own; `said` collects what it writes to stderr."""

    def __init__(self, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy.cli", *words],
            cwd=cwd,
            env=surroundings() | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def found(self, pattern: str) -> str:
        """The first group of `pattern` in what was written, waited for."""

        def seen() -> re.Match[str] | None:
            match = re.search(pattern, self.said)
            assert match or self.process.poll() is None, self.said
            return match

        text: str = until(seen)[1]
        return text

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal the process and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@contextmanager
def command(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Command]:
    """A running command that is gone when the block ends."""
    running = Command(*words, cwd=cwd, env=env)
    try:
        yield running
    finally:
        running.end()


def surroundings() -> dict[str, str]:
    """This process's environment without what would steer the house."""
    outer = ("LIKEWISE_", "REDIS_URL", "OPENAI_", "ANTHROPIC_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(outer)}
    caches = {k: v for k, v in os.environ.items() if k == "LIKEWISE_CACHE"}
    return kept | caches | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
