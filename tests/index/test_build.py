"""Names in the configuration lead to the right parts, and wrong ones to the next step."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from index import build
from index.errors import EmbedderError, SetupError, StoreError
from index.stores.redis import RedisBodies
from index.stores.sqlite import SqliteBodies


async def test_sqlite_urls_open_a_file(tmp_path: Path) -> None:
    """`sqlite:PATH` makes the file, and the folders above it."""
    bodies = build.bodies(f"sqlite:{tmp_path}/new/cache.db", clock=time.time)
    assert isinstance(bodies, SqliteBodies)
    assert not bodies.shared
    await bodies.check()
    await bodies.close()
    assert (tmp_path / "new" / "cache.db").is_file()


async def test_redis_urls_connect_later() -> None:
    """A redis:// URL is taken without a server; only the first call needs one."""
    bodies = build.bodies("redis://127.0.0.1:1/0", clock=time.time)
    assert isinstance(bodies, RedisBodies)
    assert bodies.shared
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1"):
        await bodies.check()
    await bodies.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgres://host/db", "postgres: is not known; use sqlite:PATH or redis://"),
        ("likewise.db", "is not known"),
        ("", "is not known"),
        ("redis:", "redis://"),
        ("redis+cluster://host/1", "no numbered databases"),
        ("redis+sentinel://host", "names no master"),
    ],
)
def test_unusable_urls_are_refused(url: str, said: str) -> None:
    """What no store serves is refused with what would do, before anything is opened."""
    with pytest.raises(SetupError, match=said):
        build.bodies(url, clock=time.time)


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    """A path that cannot be a file is a fault that names it."""
    with pytest.raises(StoreError, match=tmp_path.name):
        build.bodies(f"sqlite:{tmp_path}", clock=time.time)


@pytest.mark.parametrize(
    ("url", "home"),
    [
        ("sqlite:./.likewise/likewise.db", ".likewise"),
        ("sqlite:/var/lib/likewise/cache.db", "/var/lib/likewise"),
        ("sqlite:cache.db", "."),
        ("redis://host:6379/0", ".likewise"),
        ("rediss://user:word@host/0", ".likewise"),
    ],
)
def test_a_nodes_own_files_lie_beside_its_store(url: str, home: str) -> None:
    """The journal's folder is the SQLite file's own, else `.likewise`."""
    assert build.home(url) == Path(home)


def test_a_folder_without_a_model_is_no_embedder(tmp_path: Path) -> None:
    """A model folder that holds none is a fault with the next step, not a download."""
    with pytest.raises((SetupError, EmbedderError), match=tmp_path.name):
        build.embedder(str(tmp_path), runtime="onnx", precision="int8", threads=1)


KEY, OTHER = "k" * 43 + "=", "o" * 43 + "="


async def test_a_store_is_opened_as_it_was_written(tmp_path: Path) -> None:
    """Encrypted or not: the other way is refused with the next step, and so is another key."""
    url = f"sqlite:{tmp_path}/likewise.db"

    async def opened(keys: str | None, path: str = url) -> build.Store:
        return await build.opened(path, clock=time.time, keys=keys)

    store = await opened(KEY)
    assert await store.secret("secret", b"value") == b"value"
    assert await store.bodies.get("secret") != b"value"
    await store.bodies.close()
    for keys, said in ((None, "is encrypted; set"), (OTHER, "not the key of this store")):
        with pytest.raises(SetupError, match=said):
            await opened(keys)
    store = await opened(f"{OTHER},{KEY}")
    assert await store.secret("secret", b"later") == b"value"
    await store.bodies.close()
    plain = await opened(None, f"sqlite:{tmp_path}/plain.db")
    assert await plain.secret("secret", b"value") == b"value"
    assert await plain.bodies.get("secret") == b"value"
    await plain.bodies.close()
