"""The vectors of all entries of a process in one array: a number is a row.

Numbers are small, dense and used again after removal; whoever gives them out must not give one
out anew while a search that may still return it is under way. One thread writes; others may read
meanwhile, and see a row that is being replaced as either or neither of its vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import faiss as whole
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from index.snapshot import Reader, Writer
    from policies.values import Vector

# The types that it ships know a part of it only.
faiss: Any = whole

Numbers: TypeAlias = NDArray[np.int32]

# Columns of zeros cost nothing until they are written to, so there is room from the start.
RESERVE = 65_536
# A unit vector's product with itself misses 1 by less than this.
ROUNDING = 1e-6
# What storage rounds off brings no vector's product with itself down to this.
ALMOST = 0.99
# Rows decoded at once: they stay in the processor's cache.
CHUNK = 512
STORAGES = {"float32": np.float32, "float16": np.float16, "int8": np.int8}
NOWHERE = -1
_SAVED = ("_codes", "_rests", "_scale", "home")
# int8: how finely a byte's step is divided again, and the code of a vector's largest number.
STEPS, LARGEST = 16, 16 * 127


class Vectors:
    """Unit vectors of one dimension, as `float32`, `float16` or `int8`.

    `pca` is to how many dimensions the lists over them reduce theirs, None where to none fewer;
    what is kept here keeps all.

    int8 keeps direction only: a byte for each number, half a byte of what that rounds off, and the
    factor that makes the length one. `home` says which space a number is in, `marks` is a hash of
    the stored form: equal marks, equal vectors.
    """

    def __init__(
        self,
        dimension: int,
        *,
        storage: str = "int8",
        reserve: int = RESERVE,
        pca: int | None = None,
    ) -> None:
        self.dimension = dimension
        self.pca = pca if pca is not None and pca < dimension else None
        self.storage = storage
        self._codes: NDArray[Any] = np.zeros((reserve, dimension), STORAGES[storage])
        halves = (dimension + 1) // 2 if storage == "int8" else 0
        self._rests = np.zeros((reserve, halves), np.uint8)
        self._scale = np.zeros(reserve, np.float32)
        self.home = np.full(reserve, NOWHERE, np.int32)
        self.marks = np.zeros(reserve, np.uint64)

    @property
    def nbytes(self) -> int:
        """Of the columns, whether or not the system has had to provide them yet."""
        columns = (self._codes, self._rests, self._scale, self.home, self.marks)
        return sum(column.nbytes for column in columns)

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return self.nbytes // len(self.home)

    def put(self, number: int, vector: Vector) -> None:
        self.put_many(np.array([number], np.int32), vector.reshape(1, -1))

    def put_many(self, numbers: Numbers, vectors: Vector) -> None:
        if not len(numbers):
            return
        self._reach(int(numbers.max()))
        codes, rests, scale = self._encode(np.asarray(vectors, np.float32))
        self._codes[numbers] = codes
        self._rests[numbers] = rests
        self._scale[numbers] = scale
        self.marks[numbers] = _marks(codes, rests)

    def save(self, out: Writer, rows: int) -> None:
        """Write down the first so many rows."""
        for name in _SAVED:
            out.put(name.strip("_"), getattr(self, name)[:rows])

    def restore(self, source: Reader) -> None:
        """Take over rows that were written down; their marks are this process' own."""
        rows = source.rows("home", self.home.itemsize)
        self._reach(rows)
        for name in _SAVED:
            source.fill(name.strip("_"), getattr(self, name))
        for start in range(0, rows, CHUNK):
            part = slice(start, min(start + CHUNK, rows))
            self.marks[part] = _marks(self._codes[part], self._rests[part])

    def rows(self, numbers: Numbers) -> Vector:
        """The vectors as stored, in single precision and of length one."""
        rows: Vector = self._codes.take(numbers, 0).astype(np.float32)
        if self.storage == "int8":
            rows *= STEPS
            rows += _halves(self._rests.take(numbers, 0), self.dimension)
        rows *= self._scale.take(numbers)[:, None]
        return rows

    def rough(self, query: Vector, numbers: Numbers) -> Vector:
        """Cosines as well as the first byte of each number tells: enough to choose by."""
        query = np.ascontiguousarray(query, np.float32)
        parts = [self._products(query, part) for part in _parts(numbers)]
        found = np.concatenate(parts) if len(parts) != 1 else parts[0]
        found *= self._scale.take(numbers)
        return found * np.float32(STEPS) if self.storage == "int8" else found

    def scores(self, query: Vector, numbers: Numbers) -> Vector:
        """Cosines in [0, 1] of a unit vector with the stored ones; 1 for an equal vector.

        What int8 makes of a vector lies a little beside it. So a vector equals a stored one when
        both have the same stored form, and one that has not is never said to be equal.
        """
        query = np.ascontiguousarray(query, np.float32)
        parts = [inner(query, self.rows(part)) for part in _parts(numbers)]
        found = np.concatenate(parts) if len(parts) != 1 else parts[0]
        # Not `clip`: what is no number is near nothing.
        found[~(found > 0)] = 0
        if found.size and found.max() > ALMOST:
            found[found > 1 - ROUNDING] = 1 if self.storage != "int8" else 1 - ROUNDING
            codes, rests, _ = self._encode(query.reshape(1, -1))
            found[self.marks.take(numbers) == _marks(codes, rests)[0]] = 1
        return found

    def _products(self, query: Vector, numbers: Numbers) -> Vector:
        return inner(query, self._codes.take(numbers, 0).astype(np.float32))

    def _encode(self, vectors: Vector) -> tuple[NDArray[Any], NDArray[np.uint8], Vector]:
        """Codes, what they round off, and what brings both to length one."""
        codes: NDArray[Any] = vectors.astype(STORAGES[self.storage])
        rests, whole = np.zeros((len(vectors), 0), np.uint8), codes.astype(np.float32)
        if self.storage == "int8":
            largest = np.abs(vectors).max(1, keepdims=True)
            whole = np.rint(vectors * (LARGEST / np.maximum(largest, ROUNDING)))
            codes = np.floor((whole + STEPS // 2) / STEPS).astype(np.int8)
            rests = _paired((whole - STEPS * codes.astype(np.float32)).astype(np.int8))
        length = np.linalg.norm(whole, axis=1)
        return codes, rests, (1 / np.maximum(length, ROUNDING)).astype(np.float32)

    def _reach(self, number: int) -> None:
        """Make room by doubling. Readers go on with the columns that they hold."""
        rows = len(self.home)
        if number < rows:
            return
        while rows <= number:
            rows *= 2
        self._codes = _longer(self._codes, rows)
        self._rests = _longer(self._rests, rows)
        self._scale = _longer(self._scale, rows)
        self.marks = _longer(self.marks, rows)
        home = np.full(rows, NOWHERE, np.int32)
        home[: len(self.home)] = self.home
        self.home = home


def _longer(column: NDArray[Any], rows: int) -> NDArray[Any]:
    longer = np.zeros((rows, *column.shape[1:]), column.dtype)
    longer[: len(column)] = column
    return longer


def _marks(codes: NDArray[Any], rests: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """64 bits of each row: Python's own keyed hash, so nobody can aim at a collision."""
    whole = np.concatenate([np.ascontiguousarray(codes).view(np.uint8), rests], axis=1)
    return np.array([hash(row.tobytes()) & (2**64 - 1) for row in whole], np.uint64)


def _paired(rests: NDArray[np.int8]) -> NDArray[np.uint8]:
    """From -8 to 7 each, two to a byte."""
    raised = (rests + STEPS // 2).astype(np.uint8)
    odd = np.zeros((len(raised), (raised.shape[1] + 1) // 2), np.uint8)
    odd[:, : raised.shape[1] // 2] = raised[:, 1::2] << 4
    paired: NDArray[np.uint8] = raised[:, ::2] | odd
    return paired


def _halves(paired: NDArray[np.uint8], dimension: int) -> Vector:
    """`_paired` undone."""
    halves = np.empty((len(paired), 2 * paired.shape[1]), np.float32)
    halves[:, ::2] = paired & 15
    halves[:, 1::2] = paired >> 4
    halves -= STEPS // 2
    return halves[:, :dimension]


def _parts(numbers: Numbers) -> list[Numbers]:
    """At least one, which may be empty."""
    if len(numbers) <= CHUNK:
        return [numbers]
    return [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]


def inner(query: Vector, rows: Vector) -> Vector:
    """The products of one vector with each row."""
    products = np.empty(len(rows), np.float32)
    # numpy's own product wakes a second thread, and waits for it where the core is busy.
    faiss.fvec_inner_products_ny(
        *map(faiss.swig_ptr, (products, query, rows)), len(query), len(rows)
    )
    return products
