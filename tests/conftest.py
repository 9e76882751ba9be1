"""Fixtures for every room."""

import pytest

pytest_plugins = ["tests.servers", "tests.disks"]
SHARED = frozenset({"redis_server", "tls_redis"})


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that tests share is never in trouble: what they promise is no matter of a busy
    machine's tenth of a second. Those about a slow server have one of their own."""
    if SHARED.intersection(request.fixturenames):
        monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
