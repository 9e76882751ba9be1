"""How well, how quickly and in how much memory the vector index finds: ratios within one run.

    .venv/bin/python bench/index.py [--quick] [--storage int8] [--seed 7]

Vectors lie around centres, fifty to each, in 384 dimensions. Queries are of two kinds: `near` ones
beside a stored vector, as a repeated question is, and `new` ones, drawn as the stored are. The
truth is a scan in single precision. Each part runs in a process of its own, so that its memory can
be read off. With --quick the largest space has 100,000 vectors instead of a million.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench.quality import RULES, query
from index.catalog import Catalog
from index.snapshot import Files, Reader
from index.space import Space
from index.texts import Texts
from index.turns import Turns
from index.vectors import Vectors
from policies import decide, guards
from policies.context import answered
from policies.values import Facts, Found, Snapshot
from policies.verdicts import Serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from index.ports import Embedded

DIMENSION = 384
PER_CENTRE, SPREAD, BESIDE = 50, 0.5, 0.015
QUERIES, SCANNED, ROUNDS, PART = 300, 60, 600, 10_000
# Of so many decisions so many read texts that are all remembered; their vectors are this close.
DECISIONS, REMEMBERED, CLOSE = 2_000, 100, 0.005
HUNDRED_THOUSAND, MILLION = 100_000, 1_000_000
SMALL, CHURNS = 1_000, 5
CUTS = (0.8, 0.85, 0.9, 0.95)

Row = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--storage", default="int8", choices=("int8", "float16", "float32"))
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    most = HUNDRED_THOUSAND if asked.quick else MILLION
    parts: list[tuple[Callable[..., list[Row]], int]] = [
        (recalls, 10_000),
        (worn, HUNDRED_THOUSAND),
        (decided, HUNDRED_THOUSAND),
        (large, most),
        (partitions, most),
        (flips, 20_000),
    ]
    print("| what | measured |\n|---|---|")
    alone = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=alone, max_tasks_per_child=1) as pool:
        for part, size in parts:
            for what, figure in pool.submit(part, size, asked.storage, asked.seed).result():
                print(f"| {what} | {figure} |", flush=True)


# -- what is drawn -------------------------------------------------------------------------------


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@dataclass
class Cloud:
    """Clustered vectors, drawn anew in parts so that nobody has to hold them."""

    size: int
    seed: int
    centres: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        dice = np.random.default_rng(self.seed)
        count = max(self.size // PER_CENTRE, 1)
        self.centres = dice.standard_normal((count, DIMENSION), np.float32)

    def draw(self, count: int, stream: int) -> np.ndarray:
        dice = np.random.default_rng((self.seed, stream))
        rows = self.centres[dice.integers(0, len(self.centres), count)]
        return unit(rows + SPREAD * dice.standard_normal(rows.shape, np.float32))

    def parts(self, turn: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers and their vectors; another turn has other vectors under the same numbers."""
        for start in range(0, self.size, PART):
            numbers = np.arange(start, min(start + PART, self.size), dtype=np.int32)
            yield numbers, self.draw(len(numbers), 1 + start + turn * 2 * self.size)

    def queries(self, turn: int = 0) -> dict[str, np.ndarray]:
        dice = np.random.default_rng((self.seed, turn))
        rows = next(self.parts(turn))[1]
        near = rows[dice.choice(len(rows), QUERIES, replace=False)]
        near = unit(near + BESIDE * dice.standard_normal(near.shape, np.float32))
        return {"near": near, "new": self.draw(QUERIES, 0)}

    def truth(
        self, queries: dict[str, np.ndarray], *, turn: int = 0, every: int = 1
    ) -> dict[str, np.ndarray]:
        """The nearest number of each query among every n-th vector."""
        best = {kind: np.full(QUERIES, -2.0, np.float32) for kind in queries}
        named = {kind: np.zeros(QUERIES, np.int32) for kind in queries}
        for numbers, rows in self.parts(turn):
            alive = numbers % every == every - 1
            for kind, some in queries.items():
                scores = some @ rows[alive].T
                top = scores.max(1)
                better = top > best[kind]
                best[kind][better] = top[better]
                named[kind][better] = numbers[alive][scores.argmax(1)][better]
        return named


@dataclass(frozen=True)
class Model:
    """What a catalog has to know of an encoder."""

    id: str = "bench/1"
    dimension: int = DIMENSION

    def embed(self, text: str) -> Embedded:
        raise NotImplementedError(text)


def facts(number: int) -> Facts:
    """Of an entry as a question without a conversation leaves it."""
    name = sha256(str(number).encode()).hexdigest()[:32]
    text = f"How do I reverse list number {number} in Python, and why so?"
    kind = ("space", "owner", "default", "openai", "gpt-4o-mini")
    said = answered(f"Answer {number}.")
    rest = ("", text, 1.7e9, 1.7e9 + 3600, 1.7e9 + 7200, 800, 25, 120, 812.5)
    return Facts(name, *kind, *rest, embedding=Model.id, said=said)


@dataclass
class Made:
    """Entries over a cloud, all in one space, and what it took."""

    cloud: Cloud
    catalog: Catalog
    space: Space
    building: float = 0.0

    @classmethod
    def of(cls, size: int, storage: str, seed: int) -> Made:
        cloud = Cloud(size, seed)
        catalog = Catalog(Model(), storage=storage, reserve=size + 10_000)
        for numbers, rows in cloud.parts():
            held = [facts(number) for number in numbers.tolist()]
            for one in held:
                catalog.hold(one)
            catalog.place(held, list(rows))
        space = catalog.spaces._by_name["space"][1]  # noqa: SLF001 - measured from inside
        started = time.perf_counter()
        space.grow()
        return cls(cloud, catalog, space, time.perf_counter() - started)

    @property
    def vectors(self) -> Vectors:
        return self.space._vectors  # noqa: SLF001 - measured from inside

    def recall(self, *, turn: int = 0, every: int = 1) -> str:
        """The share whose first is the true nearest, and whose first is what a scan of all finds.

        The one counts what storage rounds and what the lists miss, the other the lists only.
        """
        queries = self.cloud.queries(turn)
        truth = self.cloud.truth(queries, turn=turn, every=every)
        shares = []
        for kind, some in queries.items():
            found = [self.space.search(query, 5)[0] for query in some]
            first = np.array([number for number, _ in found])
            scan = np.array([self._scanned(query) for query in some[:SCANNED]], np.float32)
            equal = np.array([score for _, score in found[:SCANNED]], np.float32) >= scan
            shares.append(f"{kind} {np.mean(first == truth[kind]):.3f} ({equal.mean():.3f})")
        return " · ".join(shares)

    def _scanned(self, query: np.ndarray) -> float:
        alive = np.flatnonzero(self.vectors.home == 0).astype(np.int32)
        return float(self.vectors.scores(query, alive).max())


# -- what is measured ----------------------------------------------------------------------------


def resident() -> int:
    """Bytes of this process in memory, once it has given back what it can."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def median(space: Space, queries: np.ndarray, rounds: int = ROUNDS) -> float:
    """Microseconds of one search."""
    return 1e6 * float(np.median([timed(space, queries[n % len(queries)]) for n in range(rounds)]))


def timed(space: Space, query: np.ndarray) -> float:
    started = time.perf_counter()
    space.search(query, 5)
    return time.perf_counter() - started


def recalls(size: int, storage: str, seed: int) -> list[Row]:
    made = Made.of(size, storage, seed)
    return [(f"recall@1, {size:,}", made.recall())]


def worn(size: int, storage: str, seed: int) -> list[Row]:
    """Recall after everything was replaced five times, and with half of it removed."""
    rows: list[Row] = []
    made = Made.of(size, storage, seed)
    rows.append((f"recall@1, {size:,}", made.recall()))
    made.space.remove(range(0, size, 2))
    rows.append(
        (f"the same, half removed, nothing rebuilt, {len(made.space):,}", made.recall(every=2))
    )
    for turn in range(1, CHURNS + 1):
        for numbers, vectors in made.cloud.parts(turn):
            made.space.remove(numbers)
            made.vectors.put_many(numbers, vectors)
            made.space.extend(numbers)
            if made.space.crowded:
                made.space.grow()
    rows.append((f"the same after {CHURNS}x churn, numbers used again", made.recall(turn=CHURNS)))
    return rows


def decided(size: int, storage: str, seed: int) -> list[Row]:
    """All that a hit by meaning takes besides its embedding: texts read, neighbours found, weighed,
    one chosen. Once with texts that were never read before, once with texts read lately."""
    made = Made.of(size, storage, seed)
    space = made.catalog.spaces.within("space")
    assert space is not None
    turns = Turns(Texts(Model().embed), made.catalog.facts, made.catalog.saying)
    snap = Snapshot(1.7e9 + 1, RULES)
    numbers, rows = next(made.cloud.parts())
    dice = np.random.default_rng(seed)

    def decision(number: int, vector: np.ndarray) -> tuple[float, bool]:
        asked = query(f"Please tell me: {facts(number).text}")
        started = time.perf_counter()
        guards.study(asked.text)
        near = turns.nearest(asked, RULES.defaults, RULES, vector, space)
        found = Found("e" * 32, "space", None, near=near, vector=vector)
        verdict = decide.choose(asked, found, snap)
        return time.perf_counter() - started, isinstance(verdict, Serve)

    took: dict[str, list[float]] = {"never read": [], "read lately": []}
    served = 0
    for turn in range(DECISIONS // REMEMBERED):
        some = numbers[turn * REMEMBERED : (turn + 1) * REMEMBERED]
        noise = CLOSE * dice.standard_normal((len(some), DIMENSION), np.float32)
        for times in took.values():
            for number, vector in zip(some.tolist(), unit(rows[some] + noise), strict=True):
                seconds, hit = decision(number, vector)
                times.append(seconds)
                served += hit
    return [
        (
            f"search and decision at {size:,}, texts {kind}, p50 and p99",
            " and ".join(f"{1e6 * float(np.quantile(times, share)):,.0f}" for share in (0.5, 0.99))
            + f" µs, {served / 2 / DECISIONS:.0%} served",
        )
        for kind, times in took.items()
    ]


def large(size: int, storage: str, seed: int) -> list[Row]:
    empty = resident()
    made = Made.of(size, storage, seed)
    memory = (resident() - empty - made.cloud.centres.nbytes) / size
    little = Made.of(SMALL, storage, seed)
    queries = made.cloud.queries()["near"]
    base, alone = median(little.space, little.cloud.queries()["near"]), median(made.space, queries)
    rows = [
        (f"recall@1, {size:,}", made.recall()),
        (f"search p50, {size:,} against a scan of {SMALL:,}", ratio(alone, base)),
        ("bytes an entry: rows, lists and facts", f"{memory:,.0f}"),
        ("building its lists, s", f"{made.building:.1f}"),
        ("written down and read again, s", restarted(made, storage)),
    ]
    rows += inserts(made)
    rows.append(("search p50 during a rebuild", ratio(*rebuilt(made, queries))))
    return rows


def restarted(made: Made, storage: str) -> str:
    """Seconds to write a snapshot, and from it to a catalog that finds the same."""
    with TemporaryDirectory() as folder:
        files = Files(Path(folder) / "index.snapshot")
        started = time.perf_counter()
        with files.writing() as (out, finish):
            made.catalog.save(out)
            out.close({})
            finish()
        wrote, size = time.perf_counter() - started, files.paths[0].stat().st_size
        started = time.perf_counter()
        again = Catalog(Model(), storage=storage, reserve=made.cloud.size + 10_000)
        with files.paths[0].open("rb") as file:
            again.restore(Reader(file))
        read = time.perf_counter() - started
    query = made.cloud.queries()["near"][0]
    (first,) = again.spaces.every()
    assert [n for n, _ in first.search(query, 5)] == [
        n for n, _ in made.catalog.spaces.every()[0].search(query, 5)
    ]
    return f"{wrote:.1f} + {read:.1f}, {size / 1e6:,.0f} MB"


def ratio(one: float, other: float) -> str:
    return f"{one:,.0f} µs / {other:,.0f} µs = {one / other:.2f}"


def inserts(made: Made) -> list[Row]:
    """CPU of an insert where it is asked for, and later in the background; the longest wait."""
    fresh = made.cloud.draw(4_000, made.cloud.size * 20)
    first, waits = made.cloud.size, []
    began = time.process_time()
    for number, row in enumerate(fresh, first):
        started = time.perf_counter()
        made.vectors.put(number, row)
        made.space.add(number)
        waits.append(time.perf_counter() - started)
    here = time.process_time() - began
    made.space.grow()
    there = time.process_time() - began - here
    return [
        ("CPU of an insert, on the loop + in the background", f"{per(here)} + {per(there)} µs"),
        ("insert p99, wall", f"{1e6 * float(np.quantile(waits, 0.99)):,.0f} µs"),
    ]


def per(seconds: float) -> str:
    return f"{seconds / 4_000 * 1e6:,.0f}"


def rebuilt(made: Made, queries: np.ndarray) -> tuple[float, float]:
    """The median during a rebuild, and just before it in the same state."""
    made.space.remove(range(int(made.cloud.size * 0.35)))
    before = median(made.space, queries)
    growth = threading.Thread(target=made.space.grow)
    growth.start()
    times = [timed(made.space, q) for _ in range(200) for q in queries if growth.is_alive()]
    growth.join()
    return 1e6 * float(np.median(times)), before


def partitions(size: int, storage: str, seed: int) -> list[Row]:
    """Many spaces of a hundred against one over as many vectors: memory, and recall inside each."""
    cloud = Cloud(size, seed)
    empty = resident()
    vectors = Vectors(DIMENSION, storage=storage, reserve=size)
    spaces = [Space(vectors, ordinal) for ordinal in range(size // 100)]
    for numbers, rows in cloud.parts():
        vectors.put_many(numbers, rows)
        for number in numbers.tolist():
            spaces[number // 100].add(number)
    many = resident() - empty
    right = inside(spaces, cloud)
    one = Space(vectors, len(spaces))
    for ordinal, space in enumerate(spaces):
        space.remove(range(100 * ordinal, 100 * ordinal + 100))
    spaces.clear()
    one.extend(range(size))
    one.grow()
    whole = resident() - empty
    return [
        (
            f"memory of {size // 100:,} spaces of 100 against one of {size:,}",
            f"{many / 1e6:,.0f} MB / {whole / 1e6:,.0f} MB = {many / whole:.2f}",
        ),
        ("recall@1 inside each", f"{right:.3f}"),
    ]


def inside(spaces: list[Space], cloud: Cloud) -> float:
    """The share of vectors, moved a little, that are found again in their own space."""
    numbers, rows = next(cloud.parts())
    dice = np.random.default_rng(cloud.seed)
    near = unit(rows + BESIDE * dice.standard_normal(rows.shape, np.float32))
    found = [
        spaces[n // 100].search(q, 1)[0][0] for n, q in zip(numbers.tolist(), near, strict=True)
    ]
    return float(np.mean(np.array(found) == numbers))


def flips(size: int, storage: str, seed: int) -> list[Row]:
    """Of neighbours around each cut, how many decisions differ from single precision."""
    cloud = Cloud(size, seed)
    rows = np.concatenate([vectors for _, vectors in cloud.parts()])
    vectors = Vectors(DIMENSION, storage=storage, reserve=size)
    vectors.put_many(np.arange(size, dtype=np.int32), rows)
    dice = np.random.default_rng(seed)
    noise = dice.uniform(0, 0.06, (size, 1)).astype(np.float32)
    near = unit(rows + noise * dice.standard_normal(rows.shape, np.float32))
    true = (rows * near).sum(1)
    stored = np.array([
        vectors.scores(query, np.array([number], np.int32))[0] for number, query in enumerate(near)
    ])  # fmt: skip
    shares = [f"{cut}: {np.mean((true >= cut) != (stored >= cut)):.2%}" for cut in CUTS]
    error = np.quantile(np.abs(np.clip(true, 0, 1) - stored), 0.999)
    return [
        ("decisions flipped by storage, at a cut", " · ".join(shares)),
        ("error of the cosine, 99.9th percentile", f"{error:.5f}"),
    ]


if __name__ == "__main__":
    main()
