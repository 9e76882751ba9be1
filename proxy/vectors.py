"""Vectors of texts that were embedded before, in RAM and in one file, for commands that ask the
same texts again and again. The request path has its own.
"""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from index.ports import Embedded
from index.texts import sound

if TYPE_CHECKING:
    from pathlib import Path

    from index.ports import Embedder
    from policies.values import Vector

# Of one file; some 80 MB with the default encoder. What comes first is kept.
MOST = 50_000
_TRUNCATED, _UNKNOWN = 1, 2


class Vectors:
    """An `Embedder` that asks another one for what it does not know. Not thread-safe.

    Texts are known by their digests; a file that cannot be read or written is done without.
    """

    def __init__(self, embedder: Embedder, folder: Path | None = None) -> None:
        self._embedder = embedder
        self._embed = sound(embedder)
        name = sha256(embedder.id.encode()).hexdigest()[:12]
        self._file = None if folder is None else folder / f"vectors-{name}.npz"
        self._known: dict[str, tuple[Vector, int]] = {}
        self._stored = 0
        if self._file is not None and self._file.is_file():
            self._load(self._file)

    @property
    def id(self) -> str:
        return self._embedder.id

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    def embed(self, text: str) -> Embedded:
        key = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        known = self._known.get(key)
        if known is None:
            made = self._embed(text)
            flags = _TRUNCATED * made.truncated | _UNKNOWN * made.unknown
            known = self._known[key] = (made.vector, flags)
        vector, flags = known
        return Embedded(vector, bool(flags & _TRUNCATED), bool(flags & _UNKNOWN))

    def save(self) -> None:
        """Write what is new, for the next time."""
        if self._file is None or len(self._known) <= self._stored < MOST:
            return
        keys = list(self._known)[:MOST]
        vectors = np.stack([self._known[key][0] for key in keys])
        flags = np.array([self._known[key][1] for key in keys], np.uint8)
        part = self._file.with_suffix(f".{os.getpid()}")
        try:
            part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                np.savez(file, key=np.array(keys), vector=vectors, flags=flags)
            part.replace(self._file)
        except OSError:
            with suppress(OSError):
                part.unlink()

    def _load(self, file: Path) -> None:
        try:
            with np.load(file) as held:
                keys, vectors, flags = held["key"], held["vector"], held["flags"]
        except Exception:  # noqa: BLE001 - whatever a damaged file is, it can be made anew
            return
        if vectors.ndim == 2 and vectors.shape[1] == self.dimension:  # noqa: PLR2004 - a row each
            rows = zip(keys.tolist(), vectors, flags.tolist(), strict=False)
            self._known = {key: (vector, flag) for key, vector, flag in rows}
            self._stored = len(self._known)
