"""Real servers for the tests: a Redis on a free loopback port, started once and stopped at the end.

Fixtures: `redis_server` (one for the session, to be shared by name space) and `own_redis` (a
server that the test alone may pause, stop or fill). `redis_cluster` is three servers that share the
keys, for the session; `own_sentinels` a master, its replica and the sentinel that watches them;
`tls_redis` a server that speaks TLS alone, with a certificate made for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.crc import key_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

START_SECONDS = 10.0
AGREE_SECONDS = 30.0
SLOTS = 16_384


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

    def client(self) -> Redis:
        """A client for what a test does behind the store's back."""
        return Redis(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._command, *self._ports()],
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

    def _ports(self) -> list[str]:
        return ["--port", str(self.port)]

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


class TlsServer(RedisServer):
    """A redis-server that listens with TLS alone. `folder` holds its certificate and key."""

    def __init__(self, binary: str, home: Path, folder: Path) -> None:
        self.certificate = folder / "server.crt"
        options = ["--tls-cert-file", str(self.certificate), "--tls-auth-clients", "no"]
        options += ["--tls-key-file", str(folder / "server.key")]
        super().__init__(binary, home, *options, "--tls-ca-cert-file", str(self.certificate))

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    def _ports(self) -> list[str]:
        return ["--port", "0", "--tls-port", str(self.port)]


class RedisCluster:
    """Three servers that share the slots, known to each other. All must be started together."""

    def __init__(self, binary: str, home: Path) -> None:
        self.servers = [_member(binary, home, number) for number in range(3)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.start()
        bounds = [SLOTS * number // 3 for number in range(4)]
        for number, server in enumerate(self.servers):
            with server.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "ADDSLOTS", *range(*bounds[number : number + 2]))
                for other in self.servers[:number]:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(self._agreed, "the cluster did not come up")

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def owner(self, slot: int) -> RedisServer:
        with self.servers[0].client() as client:
            ranges: Any = client.execute_command("CLUSTER SLOTS")
        port = next(at[1] for low, high, at, *_ in ranges if low <= slot <= high)
        return next(server for server in self.servers if server.port == port)

    def moved(self, slot: int, target: RedisServer) -> Iterator[None]:
        """Steps of a resharding, one key at a time, as redis-cli takes them."""
        source = self.owner(slot)
        others = [server for server in self.servers if server not in (source, target)]
        with source.client() as giving, target.client() as taking, contextlib.ExitStack() as stack:
            ids = [
                client.execute_command("CLUSTER MYID").decode()  # type: ignore[union-attr]
                for client in (giving, taking)
            ]
            taking.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
            giving.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
            yield
            keys = giving.execute_command("CLUSTER GETKEYSINSLOT", slot, 1)
            while keys:
                giving.execute_command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
                yield
                keys = giving.execute_command("CLUSTER GETKEYSINSLOT", slot, 1)
            clients = [stack.enter_context(other.client()) for other in others]
            for client in (taking, giving, *clients):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])

    def holder(self, key: str) -> RedisServer:
        return self.owner(key_slot(key.encode()))

    def _agreed(self) -> bool:
        told = []
        for server in self.servers:
            with server.client() as client:
                told.append(client.execute_command("CLUSTER INFO"))
        return all(
            one["cluster_state"] == "ok" and one["cluster_known_nodes"] == "3" for one in told
        )


class Sentinels:
    """A master, its replica, and one sentinel that makes the replica master when it is gone."""

    service = "mymaster"

    def __init__(self, binary: str, home: Path) -> None:
        self._homes = [home / name for name in ("master", "replica", "sentinel")]
        for folder in self._homes:
            folder.mkdir()
        # Or the first copy waits five seconds for more replicas to come.
        self.master = RedisServer(binary, self._homes[0], "--repl-diskless-sync-delay", "0")
        after = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisServer(
            binary, self._homes[1], *after, "--repl-diskless-sync-delay", "0"
        )
        self.sentinel = _Watcher(binary, self._homes[2], self.master.port)

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/{self.service}/0"

    def start(self) -> None:
        for server in (self.master, self.replica):
            server.start()
        wait_until(self._following, "the replica did not follow its master")
        self.sentinel.start()
        wait_until(self._watched, "the sentinel did not find the replica")

    def stop(self) -> None:
        for server in (self.sentinel, self.replica, self.master):
            server.stop()

    def _following(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication")["master_link_status"] == "up"

    def _watched(self) -> bool:
        with self.sentinel.client() as client:
            known = client.execute_command("SENTINEL REPLICAS", self.service)
        return len(known) == 1


class _Watcher(RedisServer):
    def __init__(self, binary: str, home: Path, master: int) -> None:
        super().__init__(binary, home)
        self._file = home / "sentinel.conf"
        self._file.write_text(
            f"sentinel monitor {Sentinels.service} 127.0.0.1 {master} 1\n"
            f"sentinel down-after-milliseconds {Sentinels.service} 500\n"
            f"sentinel failover-timeout {Sentinels.service} 2000\n"
        )
        words = ["--sentinel", "--bind", "127.0.0.1", "--dir", str(home), "--daemonize", "no"]
        self._command = [binary, str(self._file), *words]


def _member(binary: str, home: Path, number: int) -> RedisServer:
    folder = home / f"node-{number}"
    folder.mkdir()
    server = RedisServer(binary, folder, "--cluster-enabled", "yes")
    server.port = bus_port()
    return server


def bus_port() -> int:
    """A free port whose bus port, ten thousand higher, is free as well."""
    for _ in range(100):
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port + 10_000))
            return port
    pytest.fail("no port is free together with its bus port")


def wait_until(done: Callable[[], bool], complaint: str) -> None:
    until = time.monotonic() + AGREE_SECONDS
    while time.monotonic() < until:
        if done():
            return
        time.sleep(0.05)
    pytest.fail(f"{complaint} in {AGREE_SECONDS:g} s")


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


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    yield from running(RedisCluster(redis_binary(), tmp_path_factory.mktemp("cluster")))


@pytest.fixture
def own_sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    yield from running(Sentinels(redis_binary(), tmp_path))


@pytest.fixture(scope="session")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    binary, openssl = redis_binary(), shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on PATH; it makes the server's certificate")
    home = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext"
    made = ["subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "server.key", "-out"]
    subprocess.run(
        [openssl, *words.split(), *made, "server.crt"], cwd=home, check=True, capture_output=True
    )
    if not speaks_tls(binary):
        pytest.skip("this redis-server was built without TLS")
    yield from running(TlsServer(binary, home, home))


def speaks_tls(binary: str) -> bool:
    """Of two options, one about TLS and one that none knows, it names the first unknown one."""
    words = ["--tls-auth-clients", "no", "--no-such-option", "yes"]
    tried = subprocess.run([binary, *words], check=False, capture_output=True, timeout=10)
    return b"no-such-option" in tried.stdout + tried.stderr


def running(servers: Any) -> Iterator[Any]:
    """Started servers, stopped whatever becomes of the start."""
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
