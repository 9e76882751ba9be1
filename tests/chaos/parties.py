"""The parties of a scenario: a proxy as a process of its own, a small disk, a Redis to trouble."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import redis
from redis.crc import key_slot

from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import TOKEN, configuration, surroundings, uvicorn_of
from tests.servers import RedisCluster, RedisServer, free_port

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Mapping

LIKEWISE = Path(sys.executable).with_name("likewise")
OPENS_IN = 90.0
ENDS_IN = 30.0
POLL = 0.03
# Between the steps of a slot's move, so that requests meet each of them.
STEP = 0.02


class Absent(Exception):
    """What a scenario needs is not to be had here; the message says what."""


class Proxy:
    """`likewise serve` in a folder of its own, on the same ports after every start.

    `bent`: its encoder and index do as `trouble` says, see `launcher`.
    """

    def __init__(
        self,
        folder: Path,
        upstream: str,
        store: str,
        *,
        bent: bool = False,
        env: Mapping[str, str] | None = None,
        **parts: Any,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port, admin = free_port(), free_port()
        self.url, self.admin = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin}"
        self.log = folder / "likewise.log"
        self._folder = folder
        self._program = [sys.executable, "-m", "tests.chaos.launcher"] if bent else [LIKEWISE]
        self._env = dict(env or {}) | {"LIKEWISE_ADMIN_TOKEN": TOKEN}
        server = {"port": port, "admin": {"port": admin}}
        parts = {"store": {"url": store}} | parts | {"server": parts.get("server", {}) | server}
        text = configuration(folder, upstream, **parts)
        (folder / "likewise.yaml").write_text(text)
        self.code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the proxy is not running"
        return self._process

    def start(self) -> bool:
        """Whether it was ready in time."""
        self.launch()
        until = time.monotonic() + OPENS_IN
        while time.monotonic() < until and self.process.poll() is None:
            if self.ready():
                return True
            time.sleep(POLL)
        return False

    def launch(self) -> None:
        """Begin to start; `ready` says when it has."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._program, "serve"],
                cwd=self._folder,
                env=surroundings() | self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """`kill -9`; nothing is told and nothing written."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end as an operator asks for it, or a kill should it take too long."""
        try:
            self._end(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            self.kill()

    def purge(self, **selection: Any) -> int:
        """Purge as an operator with the token; how many entries went."""
        answer = httpx.post(
            f"{self.admin}/api/entries/purge",
            json={"selection": selection, "dry_run": False},
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=ENDS_IN,
            trust_env=False,
        )
        answer.raise_for_status()
        return int(answer.json()["removed"])

    def trouble(self, word: str) -> None:
        """What a bent proxy suffers from now on; nothing for an empty word."""
        told = self._folder / "trouble"
        if not word:
            told.unlink(missing_ok=True)
            return
        # In one step, since it is looked at all the time.
        told.with_suffix(".new").write_text(word)
        told.with_suffix(".new").replace(told)

    def metric(self, line: str) -> float:
        """The value that stands behind a name with its labels in the metrics; 0 where none does."""
        headers = {"authorization": f"Bearer {TOKEN}"}
        text = httpx.get(f"{self.admin}/metrics", headers=headers, trust_env=False).text
        found = (row.rpartition(" ") for row in text.splitlines())
        return next((float(value) for name, _, value in found if name == line), 0.0)

    def ready(self) -> bool:
        """What it says of itself."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=1.0, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self.code = self._process.wait(ENDS_IN)
            self._process = None


@dataclass
class Stage:
    """Where a scenario plays: an upstream whose answers prove themselves, and an empty folder.

    What is opened on it is closed when the scenario ends.
    """

    folder: Path
    oracle: OracleUpstream
    upstream: str
    stack: ExitStack

    def proxy(self, store: str, name: str = "proxy", **parts: Any) -> Proxy:
        """A proxy that is ready; `parts` are further sections of its likewise.yaml."""
        made = Proxy(self.folder / name, self.upstream, store, **parts)
        self.stack.callback(made.kill)
        if not made.start():
            raise RuntimeError(f"the proxy did not become ready: {made.log.read_text()[-2000:]}")
        return made

    def redis(self, *options: str) -> RedisServer:
        """A server of this scenario alone, started. Raises `Absent`."""
        server = RedisServer(*self._redis(), *options)
        self.stack.callback(server.stop)
        server.start()
        return server

    def cluster(self) -> RedisCluster:
        """Three servers that share the keys, of this scenario alone, started. Raises `Absent`."""
        servers = RedisCluster(*self._redis())
        self.stack.callback(servers.stop)
        servers.start()
        return servers

    def disk(self, size: int) -> Path:
        """An empty file system of so many bytes. Raises `Absent`."""
        place = self.folder / "disk"
        place.mkdir()
        mount = shutil.which("mount")
        if os.geteuid() != 0 or mount is None:
            raise Absent("mounting a small disk takes root")
        words = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        made = subprocess.run(words, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Absent(f"no small disk can be mounted here: {made.stderr.strip()}")
        self.stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False)
        return place

    def _redis(self) -> tuple[str, Path]:
        """The server's program, and an empty folder for it."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise Absent("redis-server is not on PATH (Debian: apt-get install redis-server)")
        home = self.folder / "redis"
        home.mkdir()
        return binary, home


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """An upstream on a free port, and nothing else yet."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream, ExitStack() as stack:
        yield Stage(folder, oracle, upstream, stack)


def resize(disk: Path, size: int) -> None:
    """Give a mounted disk another size."""
    words = ["mount", "-o", f"remount,size={size}", str(disk)]
    subprocess.run(words, capture_output=True, check=True)


def used(server: RedisServer) -> int:
    """Bytes that a Redis has in use."""
    with redis.Redis(port=server.port) as client:
        return int(client.info("memory")["used_memory"])


def limit(server: RedisServer, size: int, policy: str) -> None:
    """Set a Redis's `maxmemory` in bytes; 0 is none."""
    with redis.Redis(port=server.port) as client:
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", size)


def move_a_slot(cluster: RedisCluster, dice: random.Random) -> int:
    """Move a slot that holds something to another server; 0 where nothing is held."""
    source, *others = dice.sample(cluster.servers, len(cluster.servers))
    with source.client() as client:
        key = client.randomkey()
    if key is None:
        return 0
    for _ in cluster.moved(key_slot(key), others[0]):
        time.sleep(STEP)
    return 1
