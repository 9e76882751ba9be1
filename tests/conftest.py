"""Fixtures for every room."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from index import build
from index.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.ports import Embedder

pytest_plugins = ["tests.servers", "tests.disks"]
SHARED = frozenset({"redis_server", "tls_redis"})
# Seconds that an embedding may take where a test does not say otherwise.
EMBEDDING = 2.0

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that tests share is never in trouble: what they promise is no matter of a busy
    machine's tenth of a second. Those about a slow server have one of their own."""
    if SHARED.intersection(request.fixturenames):
        monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)


@pytest.fixture(autouse=True, scope="session")
def _shared_embedders() -> Iterator[None]:
    """A model is loaded once for all houses of this process: embedders remember nothing, and each
    takes as long to load as a test takes to run."""
    load, loaded = build.embedder, dict[tuple[Any, ...], "Embedder"]()

    def embedder(model: str, *, progress: Any = None, **how: Any) -> Embedder:
        key = (model, os.environ.get("LIKEWISE_CACHE"), *how.items())
        if key not in loaded:
            loaded[key] = load(model, progress=progress, **how)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "embedder", embedder)
        yield


@pytest.fixture(autouse=True, scope="session")
def _time_to_embed() -> Iterator[None]:
    """A text that came to nothing within a quarter of a second, as on a busy machine, is treated
    differently, which is the matter of a few tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Memory.__init__.__kwdefaults__, "embed_budget", EMBEDDING)
        yield


def pytest_collection_finish() -> None:
    """What the collected tests are made of stays: without it, looking for garbage is quick."""
    gc.collect()
    gc.freeze()
    # Counts what may be garbage from here on, of which a quarter more makes it look again.
    gc.collect()
