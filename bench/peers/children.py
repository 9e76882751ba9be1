"""The processes of one set-up: started on loopback, waited for, weighed, ended."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from bench.peers.environments import Unavailable
from proxy.server import bind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
_OPENS_IN = 180.0
# Nothing leaves the machine: no proxy, no hub, no telemetry, nothing installed behind the scenes.
OFFLINE: Mapping[str, str] = {
    "NO_PROXY": "*",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "PIP_NO_INDEX": "1",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "NO_DOCS": "True",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass
class Stage:
    """An empty folder, the upstream's address, and the processes that were started here."""

    folder: Path
    upstream: str = ""
    ready_after: float = 0.0
    pids: list[int] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def launch(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        path: str,
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Start a server and return its port once `path` answers at all.

        Raise `Unavailable` with its last words when it does not.
        """
        log = self.folder / f"{port}.log"
        started = time.perf_counter()
        with log.open("wb") as out:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env={**os.environ, **OFFLINE, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._stack.callback(_end, child)
        self.pids.append(child.pid)
        until = time.monotonic() + _OPENS_IN
        while time.monotonic() < until and child.poll() is None:
            if answers(port, path):
                self.ready_after = time.perf_counter() - started
                return port
            time.sleep(0.02)
        raise Unavailable(f"did not start: {last_words(log)}")

    def megabytes(self) -> float:
        """What these processes and their children hold in memory, shared pages counted once."""
        return sum(_kilobytes(pid) for pid in family(self.pids)) / 1024

    def cpu_seconds(self) -> float:
        """What these processes and their children have computed so far."""
        return sum(_ticks(pid) for pid in family(self.pids)) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with bind("127.0.0.1", 0) as probe:
        port: int = probe.getsockname()[1]
    return port


def answers(port: int, path: str) -> bool:
    """Whether an HTTP server is there; without a path, whether anything listens."""
    try:
        httpx.get(f"http://127.0.0.1:{port}{path}", timeout=2.0, trust_env=False)
    except httpx.RemoteProtocolError:
        return not path
    except httpx.HTTPError:
        return False
    return True


def last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (lines or ["it said nothing"])[-1][:200]


def family(pids: Sequence[int]) -> set[int]:
    """These processes and all that they started."""
    entries = {int(entry.name): _stat(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    parents = {pid: int(fields[1]) for pid, fields in entries.items() if fields}
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _kilobytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in text.splitlines() if row.startswith("Pss:")), 0)


def _ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields after a process's name; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _end(child: subprocess.Popen[bytes]) -> None:
    """End it and what it started; a kill should it take too long."""
    child.terminate()
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        for pid in family([child.pid]):
            os.kill(pid, 9)
        child.wait()
