"""Nearest neighbours inside one space, on FAISS: exact while small, HNSW once large.

FAISS must not be added to while it is searched (it crashes), so a large space is a frozen HNSW
graph beside a small fresh flat index: inserts go to the flat one, and `grow` builds the next graph
aside and swaps it in. No thresholds and no stored answers live here.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from policies.values import Vector

# Below this many vectors an exact scan is as quick as a graph (measured: 0.4 ms at 5,000).
FLAT_MOST = 5_000
LINKS, EF_BUILD, EF_SEARCH = 32, 200, 128
# Removed rows stay in the frozen graph until they are this share of it.
TOMBSTONES_MOST = 0.3
# A unit vector's product with itself misses 1 by less than this.
ROUNDING = 1e-6

# One query is slower on several threads, and the other core has work of its own.
faiss.omp_set_num_threads(1)


class Space:
    """A `VectorIndex` over unit vectors of one dimension."""

    def __init__(self, dimension: int, *, flat_most: int = FLAT_MOST) -> None:
        self._dimension = dimension
        self._flat_most = flat_most
        self._lock = Lock()
        self._building = Lock()
        self._flat: Any = faiss.IndexFlatIP(dimension)
        self._fresh: list[str] = []
        self._graph: Any = None
        self._frozen: list[str | None] = []
        self._where: dict[str, int] = {}
        # Of the fresh ones, those that the next graph will lack as they came after its start.
        self._late: set[str] = set()

    def __len__(self) -> int:
        return len(self._fresh) + len(self._where)

    @property
    def crowded(self) -> bool:
        """Whether `grow` has work to do."""
        dead = len(self._frozen) - len(self._where)
        return len(self._fresh) > self._flat_most or dead > TOMBSTONES_MOST * max(
            len(self._frozen), self._flat_most
        )

    def add(self, entry: str, vector: Vector) -> None:
        with self._lock:
            self._drop({entry})
            self._flat.add(vector.reshape(1, -1))
            self._fresh.append(entry)
            self._late.add(entry)

    def extend(self, entries: Sequence[str], vectors: Vector) -> None:
        """Insert many that are not there yet, as when the index is rebuilt from the store."""
        with self._lock:
            self._flat.add(np.ascontiguousarray(vectors, np.float32))
            self._fresh.extend(entries)
            self._late.update(entries)

    def remove(self, entries: Iterable[str]) -> None:
        with self._lock:
            self._drop(set(entries))

    def search(self, vector: Vector, k: int) -> list[tuple[str, float]]:
        query = vector.reshape(1, -1)
        with self._lock:
            found = self._in_flat(query, k)
            graph, names, dead = self._graph, self._frozen, len(self._frozen) - len(self._where)
        if graph is not None:
            found += _in_graph(graph, names, query, k, dead)
        found.sort(key=lambda pair: -pair[1])
        return found[:k]

    def grow(self) -> None:
        """Build the next graph over everything and swap it in; searches and inserts go on."""
        with self._building:
            with self._lock:
                fresh = list(self._fresh)
                recent = self._flat.reconstruct_n(0, len(fresh)) if fresh else None
                graph, frozen = self._graph, list(self._frozen)
                self._late = set()
            alive = [row for row, name in enumerate(frozen) if name is not None]
            parts = [graph.reconstruct_batch(np.array(alive))] if alive else []
            parts += [recent] if recent is not None else []
            names = [name for name in frozen if name is not None] + fresh
            built = _graph(self._dimension)
            if parts:
                built.add(np.concatenate(parts))
            with self._lock:
                self._swap(built, names)

    def _swap(self, built: Any, names: list[str]) -> None:
        """Take over a graph built from an older state; what changed since is applied again."""
        alive = set(self._fresh) | self._where.keys()
        late_names = [name for name in self._fresh if name in self._late]
        rows = {name: row for row, name in enumerate(self._fresh)}
        late = [self._flat.reconstruct(rows[name]) for name in late_names]
        flat = faiss.IndexFlatIP(self._dimension)
        if late:
            flat.add(np.stack(late))
        self._flat, self._fresh = flat, late_names
        self._graph = built if names else None
        self._frozen = [n if n in alive and n not in self._late else None for n in names]
        self._where = {n: row for row, n in enumerate(self._frozen) if n is not None}

    def _drop(self, gone: set[str]) -> None:
        for entry in gone & self._where.keys():
            self._frozen[self._where.pop(entry)] = None
        rows = [row for row, name in enumerate(self._fresh) if name in gone] if gone else []
        if rows:
            self._flat.remove_ids(faiss.IDSelectorBatch(np.array(rows, np.int64)))
            self._fresh = [name for name in self._fresh if name not in gone]
            self._late -= gone

    def _in_flat(self, query: Vector, k: int) -> list[tuple[str, float]]:
        if not self._fresh:
            return []
        scores, rows = self._flat.search(query, min(k, len(self._fresh)))
        return [
            (self._fresh[row], _cosine(score))
            for score, row in zip(scores[0].tolist(), rows[0].tolist(), strict=True)
            if row >= 0
        ]


def _graph(dimension: int) -> Any:
    built = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
    built.hnsw.efConstruction = EF_BUILD
    built.hnsw.efSearch = EF_SEARCH
    return built


def _in_graph(
    graph: Any, names: list[str | None], query: Vector, k: int, dead: int
) -> list[tuple[str, float]]:
    """The k best live rows: asks for more where rows are dead, wider while too few are alive."""
    want = k if not dead else 2 * k
    while True:
        scores, rows = graph.search(query, min(want, len(names)))
        found = [
            (name, _cosine(score))
            for score, row in zip(scores[0].tolist(), rows[0].tolist(), strict=True)
            if row >= 0 and (name := names[row]) is not None
        ]
        if len(found) >= k or want >= min(len(names), EF_SEARCH * 4):
            return found[:k]
        want *= 2


def _cosine(score: float) -> float:
    """Equal vectors score 1.0 whatever single precision makes of them: a cut of 1.0 is a value."""
    return 1.0 if score > 1.0 - ROUNDING else max(score, 0.0)
