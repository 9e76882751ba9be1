"""Names in the configuration to the objects they mean. The only place that knows every kind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from index.embedders import onnx
from index.errors import SetupError
from index.keys import SEALED, read
from index.stores import link
from index.stores.redis import RedisBodies
from index.stores.sqlite import SqliteBodies

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.cipher import Cipher
    from index.embedders.weights import Progress
    from index.ports import Board, Bodies, Embedder, Notes, Shared


def embedder(
    model: str, *, runtime: str, precision: str, threads: int, progress: Progress | None = None
) -> Embedder:
    """The encoder named in `embedding:`, built first where it is not there yet.

    Raises `SetupError` or `EmbedderError` with the next step.
    """
    if runtime == "torch":
        from index.embedders.torch import TorchEmbedder  # noqa: PLC0415 - an extra

        return TorchEmbedder.load(model, threads=threads)
    chosen: onnx.Precision = "fp32" if precision == "fp32" else "int8"
    folder = onnx.build(model, precision=chosen, progress=progress)
    return onnx.OnnxEmbedder.load(folder, threads=threads)


def bodies(url: str, *, clock: Callable[[], float]) -> Bodies:
    """The store behind a `store.url`. Raises `StoreError` or `SetupError` with the next step."""
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        return SqliteBodies.open(Path(rest), clock=clock)
    if scheme in link.SCHEMES:
        return RedisBodies.open(url, clock=clock)
    raise SetupError(f"store.url: {scheme}: is not known; use sqlite:PATH or redis://HOST:PORT/DB")


async def opened(url: str, *, clock: Callable[[], float], keys: str | None) -> Store:
    """The store, tried and ready: encrypted where there are `keys` (`LIKEWISE_STORE_KEY`).

    Raises `StoreError` or `SetupError` with the next step.
    """
    store = await asyncio.to_thread(bodies, url, clock=clock)
    try:
        await store.check()
        cipher = await _protected(store, keys)
    except BaseException:
        await store.close()
        raise
    return Store(store, cipher)


async def _protected(store: Bodies, keys: str | None) -> Cipher | None:
    if keys is None:
        if await store.get(SEALED) is not None:
            raise SetupError(
                "store.encrypt: this store is encrypted; set encrypt: aes-gcm and "
                "LIKEWISE_STORE_KEY, or name another store"
            )
        return None
    from index import cipher  # noqa: PLC0415 - the library takes a while, and is seldom wanted

    made = cipher.Cipher(read(keys))
    await cipher.protect(store, made)
    return made


@dataclass(frozen=True, slots=True)
class Store:
    """A store in use, and what encrypts it."""

    bodies: Bodies
    cipher: Cipher | None

    async def secret(self, name: str, value: bytes) -> bytes:
        """Keep `value` under `name` if nothing is there yet, in an encrypted store as all else is;
        return what stands."""
        if self.cipher is None:
            return await self.bodies.settle(name, value)
        return await self.cipher.settle(self.bodies, name, value)


def notes(store: Bodies) -> Notes | None:
    """Where processes that share a store leave each other notes; None where there are no others."""
    return store if isinstance(store, RedisBodies) else None


def board(store: Bodies) -> Board | None:
    """Where processes that share a store tell of themselves; None where there are no others."""
    return store if isinstance(store, RedisBodies) else None


def shared(store: Bodies) -> Shared | None:
    """The store as one that others write to as well; None where nobody else can."""
    return store if isinstance(store, RedisBodies) else None


def home(url: str) -> Path:
    """The folder of this node's own files (journal, token): beside the store when it is a file."""
    scheme, _, rest = url.partition(":")
    return Path(rest).parent if scheme == "sqlite" else Path(".likewise")
