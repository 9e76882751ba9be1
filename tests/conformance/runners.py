"""The clients' processes, as seen from here: a job in, an outcome out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
OUTFIT = ROOT / ".venv-conformance"
NODE = OUTFIT / "node"
PYTHON = OUTFIT / "bin/python"
# A client gives up after 30 seconds by itself; this is for one that hangs all the same.
PATIENCE = 45.0
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
_SILENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "PYTHONWARNINGS": "ignore",
    "CONFORMANCE_NODE": str(NODE),
}


class RunnerError(Exception):
    """A client's process ended or hung."""


@dataclass(frozen=True, slots=True)
class Client:
    """An official client: its name and how its process is started."""

    name: str
    command: tuple[str, ...]
    apis: tuple[str, ...]

    def absent(self) -> str:
        """Why it cannot be run here; empty where it can."""
        if self.command[0] == "node":
            if shutil.which("node") is None:
                return "no node on PATH"
            return "" if (NODE / "node_modules/openai").is_dir() else "npm install brought none"
        return "" if PYTHON.exists() else f"{OUTFIT.name} is not there: run make conformance"


def _python(module: str) -> tuple[str, ...]:
    return (str(PYTHON), "-m", f"tests.conformance.clients.{module}")


CLIENTS = (
    Client("openai", _python("openai"), ("chat", "completions", "responses", "embeddings")),
    Client("anthropic", _python("anthropic"), ("messages",)),
    Client("litellm", _python("litellm"), ("chat", "messages", "embeddings")),
    Client("langchain-openai", _python("langchain"), ("chat", "responses", "embeddings")),
    Client("pydantic-ai", _python("pydantic_ai"), ("chat", "responses", "messages")),
    Client(
        "openai-node",
        ("node", str(ROOT / "tests/conformance/clients/openai.mjs")),
        ("chat", "completions", "responses", "embeddings"),
    ),
)


class Runner:
    """A running client."""

    def __init__(self, process: subprocess.Popen[str], said: Any) -> None:
        self._process = process
        self._said = said

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The outcome of one job. Raises `RunnerError` where none comes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            raise RunnerError(self._last_words())
        outcome: dict[str, Any] = json.loads(line)
        return outcome

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended or hung without a word"


def surroundings() -> dict[str, str]:
    """The environment of a client: nothing that steers it, nothing that it would fetch or tell."""
    return {k: v for k, v in os.environ.items() if k in _KEPT} | _SILENT


@contextmanager
def running(client: Client) -> Iterator[Runner]:
    """A client's process, gone when the block ends."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            client.command,
            cwd=ROOT,
            env=surroundings() | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            yield Runner(process, said)
        finally:
            process.kill()
            process.communicate()
