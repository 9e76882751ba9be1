"""Real servers for the tests: a Redis on a free loopback port, started once and stopped at the end.

Fixtures: `redis_server` (one for the session, to be shared by name space) and `own_redis` (a
server that the test alone may pause, stop or fill).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START_SECONDS = 10.0


class RedisServer:
    """One redis-server process. `options` are command line words, such as `--requirepass x`."""

    def __init__(self, binary: str, home: Path, *options: str) -> None:
        self._command = [binary, "--bind", "127.0.0.1", "--dir", str(home), "--save", ""]
        self._command += ["--appendonly", "no", "--daemonize", "no", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                pytest.fail(f"redis-server ended at once with {self._process.returncode}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.02)
        pytest.fail(f"redis-server did not listen on port {self.port} in {START_SECONDS:g} s")

    def pause(self) -> None:
        """Stop answering while connections stay open, as a stalled server does."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server is not running"
        self._process.send_signal(number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_binary() -> str:
    """Where redis-server is. Without one a test is skipped, except in CI, where that is a fault."""
    found = shutil.which("redis-server")
    if found is None:
        advice = "redis-server is not on PATH; install it (Debian: apt-get install redis-server)"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    return found


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(redis_binary(), tmp_path)
    server.start()
    yield server
    server.stop()
