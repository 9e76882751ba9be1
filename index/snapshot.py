"""What RAM holds, written down in one file: whole or not at all, and every byte looked at again.

    sections, one after the other | their directory as JSON | its place, length and checksum | mark

A new file takes its name when it is on disk, and the one before is kept. What sections mean is the
business of those who write and read them.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO
from zlib import crc32

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

VERSION = 1
MARK = b"LKWINDEX"
_TAIL = struct.Struct(f"<QII{len(MARK)}s")
# Copied, looked at and written at once: a moment without the interpreter lock for others.
PIECE = 4 << 20


class SnapshotError(Exception):
    """The file is not whole, or not one that this version reads."""


@dataclass(frozen=True, slots=True)
class Section:
    """Where it lies, how long it is, and the checksum of its bytes."""

    start: int
    length: int
    crc: int


class Writer:
    """Takes sections, which may change while they are copied: what is written is what is summed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sections: dict[str, Section] = {}
        self._at = 0

    def put(self, name: str, array: NDArray[Any]) -> None:
        """An array's bytes; its type is for the reader to know."""
        rows = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        with self.section(name) as write:
            for start in range(0, len(rows), PIECE):
                write(rows[start : start + PIECE].tobytes())

    @contextmanager
    def section(self, name: str) -> Iterator[Any]:
        """A section in pieces: yields what takes the next one and says how much it took."""
        start, crc = self._at, 0

        def write(piece: bytes) -> int:
            nonlocal crc
            crc = crc32(piece, crc)
            self._file.write(piece)
            self._at += len(piece)
            return len(piece)

        yield write
        self._sections[name] = Section(start, self._at - start, crc)

    def put_json(self, name: str, value: Any) -> None:
        """Lists and texts, whatever these hold."""
        self.put(name, np.frombuffer(json.dumps(value).encode(), np.uint8))

    def close(self, meta: dict[str, Any]) -> None:
        """Write the directory and `meta`, which says what this is a snapshot of."""
        sections = {name: [s.start, s.length, s.crc] for name, s in self._sections.items()}
        told = orjson.dumps({"version": VERSION, "meta": meta, "sections": sections})
        self._file.write(told)
        self._file.write(_TAIL.pack(self._at, len(told), crc32(told), MARK))
        self._file.flush()


class Reader:
    """Gives sections back; raises `SnapshotError` for any that is not there as it was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        size = file.seek(0, os.SEEK_END)
        if size < _TAIL.size:
            raise SnapshotError("it is cut short")
        file.seek(size - _TAIL.size)
        start, length, crc, mark = _TAIL.unpack(file.read(_TAIL.size))
        if mark != MARK or start + length + _TAIL.size != size:
            raise SnapshotError("it is cut short, or none")
        file.seek(start)
        told = file.read(length)
        if crc32(told) != crc:
            raise SnapshotError("its directory is damaged")
        known = orjson.loads(told)
        if known["version"] != VERSION:
            raise SnapshotError(f"it is of version {known['version']}, not {VERSION}")
        self.meta: dict[str, Any] = known["meta"]
        self._sections = {name: Section(*place) for name, place in known["sections"].items()}

    def get(self, name: str, kind: type[np.generic]) -> NDArray[Any]:
        """A section as a new array."""
        size = np.dtype(kind).itemsize
        array: NDArray[Any] = np.empty(self._place(name).length // size, kind)
        self.fill(name, array)
        return array

    def get_json(self, name: str) -> Any:
        return json.loads(self.get(name, np.uint8).tobytes())

    def has(self, name: str) -> bool:
        return name in self._sections

    def fill(self, name: str, into: NDArray[Any]) -> None:
        """Read a section into the first rows of an array that may have more of them."""
        place = self._place(name)
        room = into.reshape(-1).view(np.uint8)
        if place.length > len(room):
            raise SnapshotError(f"{name} is longer than it can be")
        self._file.seek(place.start)
        crc = 0
        for start in range(0, place.length, PIECE):
            piece = room[start : min(start + PIECE, place.length)]
            if self._file.readinto(piece.data) != len(piece):  # type: ignore[attr-defined]
                raise SnapshotError(f"{name} is cut short")
            crc = crc32(piece.data, crc)
        if crc != place.crc:
            raise SnapshotError(f"{name} is damaged")

    def rows(self, name: str, width: int) -> int:
        """How many rows of so many bytes a section has."""
        return self._place(name).length // width

    def _place(self, name: str) -> Section:
        if name not in self._sections:
            raise SnapshotError(f"{name} is missing")
        return self._sections[name]


class Files:
    """The latest snapshot and the one before, in a folder of the process's own."""

    def __init__(self, path: Path) -> None:
        before = path.with_name(path.name + ".before")
        self.paths = (path, before)
        self._part = path.with_name(path.name + ".part")

    @contextmanager
    def writing(self) -> Iterator[tuple[Writer, Callable[[], None]]]:
        """A new snapshot, and what makes it the latest. Raises OSError, also where another process
        is writing one."""
        self._part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(handle, "wb") as file:
            self._seize(handle)
            try:
                yield Writer(file), partial(self._finish, handle)
            finally:
                if self._is_ours(handle):
                    self._part.unlink()

    def discard(self) -> None:
        """Remove what there is. Raises OSError."""
        if not any(path.exists() for path in (*self.paths, self._part)):
            return
        for path in (*self.paths, self._part):
            path.unlink(missing_ok=True)
        if self._part.parent.exists():
            self._settle()

    def _seize(self, handle: int) -> None:
        """Have the new file for this process alone, and empty."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._require_ours(handle)
        os.truncate(handle, 0)

    def _finish(self, handle: int) -> None:
        os.fsync(handle)
        self._require_ours(handle)
        latest, before = self.paths
        if latest.exists():
            latest.replace(before)
        self._part.replace(latest)
        self._settle()

    def _require_ours(self, handle: int) -> None:
        if not self._is_ours(handle):
            raise OSError(f"{self._part.name} was taken away by another process")

    def _is_ours(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), self._part.stat())
        except FileNotFoundError:
            return False

    def _settle(self) -> None:
        """Names, too, are on disk from now on."""
        folder = os.open(self._part.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
