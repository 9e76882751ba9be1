"""The lists of one large space: which vectors lie near which centre, as FAISS keeps them.

Made over many vectors at once, then added to; nothing is ever taken out, only no longer alive.
Vectors equal to one that is listed become its twins, as a list of equals would crowd out all else.
"""

from __future__ import annotations

import math
from threading import Lock
from typing import TYPE_CHECKING, Any

import faiss as whole
import numpy as np

from index.vectors import inner

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from index.snapshot import Reader, Writer
    from index.vectors import Numbers, Vectors
    from policies.values import Vector

# The types that it ships know a part of it only.
faiss: Any = whole

# Lists for n vectors: this many times the root of n, at least this many vectors each.
LISTS, LISTS_MOST, LEAST = 4, 2_048, 8
# Lists looked into, and how far the graph over their centres is searched for them.
PROBES, REACH = 16, 160
# k-means: vectors per centre, and rounds.
SAMPLE, ROUNDS = 32, 6
LINKS, EF_BUILD = 32, 100
CHUNK = 4_096
# What lies across all axes has no length along them.
SHORTEST = 1e-6
# Bytes that are written down at once.
WRITTEN = 1 << 20


class Postings:
    """Inverted lists with codes of half a byte per dimension, centres found through a small graph.

    With `axes`, a row each, lists and centres know of vectors what lies along those, at length one.
    What the lists find is scored in full elsewhere, so that a similarity stays what it is.

    `search` and `insert` exclude each other: the one takes `lock`, the other wants it held.
    """

    def __init__(
        self, vectors: Vectors, ordinal: int, index: Any, made_for: int, axes: Vector | None
    ) -> None:
        """Over lists that may be empty yet; `made` makes and fills them."""
        self.lock = Lock()
        self.made_for = made_for
        self.lists = int(index.nlist)
        self.probes = min(PROBES, self.lists)
        self.twins: dict[int, dict[int, None]] = {}
        self._first: dict[int, int] = {}
        self._vectors, self._ordinal, self._axes = vectors, ordinal, axes
        self._index, self._centres = index, faiss.downcast_index(index.quantizer)
        self._alive = np.zeros(len(vectors.home) // 8 + 1, np.uint8)

    @classmethod
    def made(cls, vectors: Vectors, ordinal: int, members: Numbers) -> Postings:
        """Lists fitted to those numbers, holding them."""
        _one_thread()
        count = len(members)
        lists = max(1, min(LISTS_MOST, int(LISTS * math.sqrt(count)), count // LEAST))
        sample = vectors.rows(_sample(members, SAMPLE * lists))
        axes = None if vectors.pca is None else _axes(sample, vectors.pca)
        sample = _along(axes, sample)
        index = faiss.IndexIVFScalarQuantizer(
            _centres(sample, lists),
            sample.shape[1],
            lists,
            faiss.ScalarQuantizer.QT_4bit,
            faiss.METRIC_INNER_PRODUCT,
            False,  # codes of the vectors themselves, not of what is left beside centres
        )
        index.train(sample)
        postings = cls(vectors, ordinal, index, count, axes)
        postings._fill(members)
        return postings

    @classmethod
    def restored(cls, vectors: Vectors, ordinal: int, source: Reader, name: str) -> Postings:
        """As they were written down under that name."""
        made_for, *twins = source.get(f"{name}.twins", np.int64).tolist()
        lists = source.get(f"{name}.lists", np.uint8)
        axes = None
        if vectors.pca is not None:
            axes = source.get(f"{name}.axes", np.float32).reshape(vectors.pca, -1)
        postings = cls(vectors, ordinal, faiss.deserialize_index(lists), made_for, axes)
        postings._alive = source.get(f"{name}.alive", np.uint8)
        for twin, first in zip(twins[::2], twins[1::2], strict=True):
            postings._attach(twin, first)
        return postings

    def frozen(self) -> tuple[NDArray[np.uint8], dict[int, int]]:
        """Who is alive, and the first of each twin, as of now."""
        return self._alive.copy(), dict(self._first)

    def save(
        self, out: Writer, name: str, frozen: tuple[NDArray[np.uint8], dict[int, int]]
    ) -> None:
        """Write them down while nobody inserts; drops and searches may go on."""
        alive, first = frozen
        with out.section(f"{name}.lists") as write:
            faiss.write_index(self._index, faiss.PyCallbackIOWriter(write, WRITTEN))
        if self._axes is not None:
            out.put(f"{name}.axes", self._axes)
        out.put(f"{name}.alive", alive)
        twins = np.array(list(first.items()), np.int64).reshape(-1)
        out.put(f"{name}.twins", np.concatenate(([self.made_for], twins)))

    def knows(self, numbers: Numbers) -> NDArray[np.bool_]:
        """Which numbers a search can find here."""
        inside = numbers < 8 * len(self._alive)
        byte = self._alive[np.where(inside, numbers >> 3, 0)]
        alive = inside & (byte >> (numbers & 7) & 1).astype(bool)
        twins = np.fromiter(self._first, np.int32, len(self._first))
        known: NDArray[np.bool_] = alive | np.isin(numbers, twins)
        return known

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dead(self) -> int:
        return len(self) - int(np.bitwise_count(self._alive).sum())

    def search(self, vector: Vector, most: int, probes: int) -> Numbers:
        """Numbers near a vector, their twins left out."""
        _one_thread()
        point = _along(self._axes, vector.reshape(1, -1))
        with self.lock:
            alive = faiss.IDSelectorBitmap(self._alive)
            asked = faiss.SearchParametersIVF(nprobe=min(probes, self.lists), sel=alive)
            found: NDArray[np.int64] = self._index.search(point, most, params=asked)[1][0]
        return found[found >= 0].astype(np.int32)

    def points(self, numbers: Numbers) -> Vector:
        """What the lists know of the vectors of numbers, for `assigned` and `insert`."""
        return _along(self._axes, self._vectors.rows(numbers))

    def assigned(self, points: Vector) -> Numbers:
        """The list of each point."""
        _one_thread()
        return _ids(self._centres.search(points, 1)[1])

    def insert(self, number: Numbers, point: Vector, chosen: Numbers) -> None:
        """One number, with `lock` held."""
        name = int(number[0])
        first = self._equal(name, int(chosen[0]))
        if first is None:
            self._add(number, point, chosen)
        else:
            self._attach(name, first)

    def drop(self, number: int) -> None:
        """Let a number be found no longer; one with living twins stays their sign-post."""
        first = self._first.pop(number, None)
        if first is not None:
            del self.twins[first][number]
            if not self.twins[first]:
                del self.twins[first]
                if self._vectors.home[first] != self._ordinal:
                    self._die(first)
        if number not in self.twins:
            self._die(number)

    def disown(self, numbers: Iterable[int]) -> Numbers:
        """Drop numbers and the twins of each; the twins, those that are not dropped themselves."""
        gone = list(numbers)
        for number in gone:
            self.drop(number)
        orphans = [twin for number in gone for twin in self.twins.get(number, ())]
        for orphan in orphans:
            self.drop(orphan)
        for number in gone:
            self._die(number)
        return np.array(orphans, np.int32)

    def _fill(self, members: Numbers) -> None:
        """List the first of each set of equals, with the room that each list needs."""
        marks = self._vectors.marks[members]
        _, first, group = np.unique(marks, return_index=True, return_inverse=True)
        firsts = members[first]
        others = np.ones(len(members), bool)
        others[first] = False
        for twin, leader in zip(
            members[others].tolist(), firsts[group[others]].tolist(), strict=True
        ):
            self._attach(twin, leader)
        lists = np.concatenate([self._nearest(part) for part in _parts(firsts)])
        self._reserve(lists)
        for part in _parts(np.argsort(lists, kind="stable")):
            self._add(firsts[part], self.points(firsts[part]), lists[part])

    def _nearest(self, numbers: Numbers) -> Numbers:
        """As `assigned`, but exactly and for many: one product of matrices."""
        flat = faiss.downcast_index(self._centres.storage)
        return _ids(flat.search(self.points(numbers), 1)[1])

    def _reserve(self, lists: Numbers) -> None:
        """A list that was long keeps its room; one that grows by doubling wastes half."""
        kept = self._index.invlists
        for which, size in enumerate(np.bincount(lists, minlength=self.lists).tolist()):
            kept.resize(which, size + size // 8)
            kept.resize(which, 0)

    def _add(self, numbers: Numbers, points: Vector, lists: Numbers) -> None:
        names, chosen = numbers.astype(np.int64), lists.astype(np.int64)
        points = np.ascontiguousarray(points)
        self._index.add_core(len(names), *map(faiss.swig_ptr, (points, names, chosen)))
        self._live(numbers)

    def _equal(self, number: int, which: int) -> int | None:
        """A living number of that list whose vector is the same."""
        kept, marks = self._index.invlists, self._vectors.marks
        size = kept.list_size(which)
        if not size:
            return None
        names = faiss.rev_swig_ptr(kept.get_ids(which), size)
        same = names[marks.take(names) == marks[number]].tolist()
        return next((name for name in same if name != number and self._lives(name)), None)

    def _attach(self, twin: int, first: int) -> None:
        self.twins.setdefault(first, {})[twin] = None
        self._first[twin] = first

    def _lives(self, number: int) -> bool:
        return bool(self._alive[number >> 3] >> (number & 7) & 1)

    def _live(self, numbers: Numbers) -> None:
        need = int(numbers.max()) // 8 + 1
        if need > len(self._alive):
            longer = np.zeros(max(need, 2 * len(self._alive)), np.uint8)
            longer[: len(self._alive)] = self._alive
            self._alive = longer
        bits = np.left_shift(1, numbers & 7).astype(np.uint8)
        np.bitwise_or.at(self._alive, numbers >> 3, bits)

    def _die(self, number: int) -> None:
        if number >> 3 < len(self._alive):
            self._alive[number >> 3] &= 255 - (1 << (number & 7))


def _one_thread() -> None:
    """One query is slower on several; FAISS keeps this setting by thread."""
    faiss.omp_set_num_threads(1)


def _sample(members: Numbers, most: int) -> Numbers:
    if len(members) <= most:
        return members
    dice = np.random.default_rng(len(members))
    return dice.choice(members, most, replace=False)


def _axes(sample: Vector, count: int) -> Vector:
    """The directions along which most of the sample lies; not around its mean, so that products
    stay what they are as nearly as they can."""
    _, axes = np.linalg.eigh(sample.T @ sample)
    return np.ascontiguousarray(axes.T[-count:], np.float32)


def _along(axes: Vector | None, rows: Vector) -> Vector:
    """Rows seen along the axes, at length one."""
    if axes is None:
        return rows
    seen = inner(rows[0], axes).reshape(1, -1) if len(rows) == 1 else rows @ axes.T
    length = np.linalg.norm(seen, axis=1, keepdims=True)
    along: Vector = seen / np.maximum(length, SHORTEST)
    return along


def _centres(sample: Vector, lists: int) -> Any:
    """A graph over the centres of the sample."""
    rules = faiss.ClusteringParameters()
    rules.niter, rules.spherical = ROUNDS, True
    rules.min_points_per_centroid, rules.max_points_per_centroid = 1, SAMPLE
    means = faiss.Clustering(sample.shape[1], lists, rules)
    means.train(sample, faiss.IndexFlatIP(sample.shape[1]))
    graph = faiss.IndexHNSWFlat(sample.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = EF_BUILD, REACH
    graph.add(faiss.vector_to_array(means.centroids).reshape(lists, -1))
    return graph


def _parts(numbers: NDArray[Any]) -> list[NDArray[Any]]:
    return [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]


def _ids(found: NDArray[np.int64]) -> Numbers:
    return found[:, 0].astype(np.int32)
