"""What fewer dimensions in the lists cost and save, on questions that people asked.

    .venv/bin/python bench/pca.py --data FOLDER [--texts 30000]

FOLDER holds pairs of questions (pairs_*/*.jsonl). Of the different texts nine in ten are listed and
the rest are looked up, with all dimensions and with fewer, in one run. Recall is the share of
look-ups whose first neighbour is as near as the nearest of a scan.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import faiss
import numpy as np

from index import build
from index.space import Space
from index.vectors import Vectors
from policies import text

CHOICES = (None, 256, 192, 128, 64, 32)
SAME = 1e-4
HIGH = 0.9
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=30_000)
    asked = parser.parse_args()
    rows = embedded(texts(asked.data, asked.texts))
    listed, looked_up = np.split(rows, [len(rows) * 9 // 10])
    truth = (looked_up @ listed.T).max(1)
    print(f"{len(listed):,} listed, {len(looked_up):,} looked up, "
          f"{(truth >= HIGH).sum():,} of them with a neighbour at {HIGH} or more")  # fmt: skip
    print("| dimensions | recall@1 | of the near ones | bytes in lists | search p50 |")
    print("|---|---|---|---|---|")
    whole = 0.0
    for pca in CHOICES:
        space = made(listed, pca)
        best = np.array([space.search(row, 5)[0][1] for row in looked_up])
        same = best >= truth - SAME
        took = median(space, looked_up[:500])
        whole = whole or took
        near = same[truth >= HIGH].mean()
        kept = rows.shape[1] if pca is None else pca
        cells = (f"{kept}", f"{same.mean():.4f}", f"{near:.4f}", f"{kept // 2}")
        print(f"| {' | '.join(cells)} | {took / whole:.2f} |", flush=True)


def texts(data: Path, most: int) -> list[str]:
    """Different questions, in an order that is the same each time."""
    lines = (
        line
        for file in sorted(data.glob("pairs_*/*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    )
    rows = (row for row in map(json.loads, lines) if {"a", "b"} <= row.keys())
    known = {text.normalise(row[side]) for row in rows for side in "ab"}
    some = sorted(known)
    random.Random(7).shuffle(some)  # noqa: S311 - repeatable
    return some[:most]


def embedded(some: list[str]) -> np.ndarray:
    embedder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
    rows = np.zeros((len(some), embedder.dimension), np.float32)
    for number, one in enumerate(some):
        rows[number] = embedder.embed(one).vector
        if number % 500 == 0:
            print(f"\rembedded: {number:,}   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def made(listed: np.ndarray, pca: int | None) -> Space:
    vectors = Vectors(listed.shape[1], reserve=len(listed), pca=pca)
    numbers = np.arange(len(listed), dtype=np.int32)
    vectors.put_many(numbers, listed)
    space = Space(vectors, 0)
    space.extend(numbers)
    space.grow()
    return space


def median(space: Space, rows: np.ndarray) -> float:
    """Seconds of one search."""
    times = []
    for _ in range(ROUNDS):
        for row in rows:
            started = time.perf_counter()
            space.search(row, 5)
            times.append(time.perf_counter() - started)
    return float(np.median(times))


if __name__ == "__main__":
    faiss.omp_set_num_threads(1)
    main()
