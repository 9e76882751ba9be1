"""Streams of requests whose right answers are known, through the very decision core of production.

    .venv/bin/python bench/streams.py --data FOLDER [--sets clinc150,…] [--seeds 5] [--judges text]

One request after the other into an empty cache, rows shuffled by a seed. Right is an answer that
was made for the same intent (or the same class of questions). For each policy: hits per request,
false hits per hit, in the mean over the seeds and in the worst, and how many times as many hits as
vCache at the same number and as the best fixed cut that made no more false hits per hit (chosen in
hindsight, on the same stream). `judges embedding` writes each answer anew from a template with
noise and lets the embedding judge label. Table to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from index import build
from policies import prior, text
from policies.category import Centroids
from policies.config import read_policy
from policies.document import read
from policies.lessons import Noise
from policies.values import JudgeRules
from policies.verdicts import Reason
from proxy.judges.embedding import EmbeddingJudge
from proxy.rehearsal import Asked, Rehearsal

MODEL = "all-MiniLM-L6-v2"
BOUNDS = {
    "clinc150": (1, 2, 5),
    "banking77": (1, 2, 5),
    "qqp_clusters": (2, 5, 10),
    "covid_q": (5,),
}
CUTS = tuple(round(0.70 + 0.01 * step, 2) for step in range(30))
TEMPLATES = (
    "Here is what to do about {}: open the app and follow the steps shown there.",
    "About {}: please check the help page, where every step is described.",
    "For questions on {}, go to the help centre; the article there explains it all.",
    "{}: this is explained in our help centre. The article has every step.",
)
WORDS = (
    "morning",
    "cloud",
    "river",
    "stone",
    "sand",
    "table",
    "garden",
    "paper",
    "window",
    "music",
)
NOISE_WORDS = 4
CACHE = Path.home() / ".cache" / "likewise" / "bench"

Row: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Stream:
    """Texts, their right answers, their vectors."""

    texts: list[str]
    answers: list[str]
    vectors: np.ndarray


@dataclass(frozen=True)
class Run:
    hits: float
    false: float
    noise: tuple[int, int] = (0, 0)
    judged: tuple[int, int] = (0, 0)


# -- the sets ------------------------------------------------------------------------------------


def _lines(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def clinc150(data: Path) -> list[Row]:
    """Out-of-scope questions have an answer each."""
    rows = _lines(data / "intents_clinc150" / "clinc150.jsonl")
    return [
        (row["text"], f"{row['intent']} {number}" if row["intent"] == "oos" else row["intent"])
        for number, row in enumerate(rows)
    ]


def banking77(data: Path) -> list[Row]:
    rows = _lines(data / "intents_banking77" / "banking77.jsonl")
    return [(row["text"], row["intent"]) for row in rows]


def covid_q(data: Path) -> list[Row]:
    rows = _lines(data / "intents_covid_q_classes" / "covid_q_classes.jsonl")
    return [(row["text"], row["intent"]) for row in rows]


def qqp_clusters(data: Path) -> list[Row]:
    """Classes of duplicates, and as many questions that nobody called a duplicate."""
    folder = data / "pairs_qqp"
    grouped = [(r["text"], f"class {r['cluster']}") for r in _lines(folder / "qqp_clusters.jsonl")]
    pairs = _lines(folder / "qqp.jsonl")
    taken = {question for question, _ in grouped}
    taken |= {r[side] for r in pairs if r["label"] for side in ("a", "b")}
    single = sorted({r[side] for r in pairs if not r["label"] for side in ("a", "b")} - taken)
    random.Random(0).shuffle(single)  # noqa: S311 - repeatable on purpose
    return grouped + [(question, f"single {question}") for question in single[: len(grouped)]]


SETS = {f.__name__: f for f in (clinc150, banking77, qqp_clusters, covid_q)}


def load(name: str, data: Path, cache: Path) -> Stream:
    """A set with its vectors, which are kept in a file."""
    rows = SETS[name](data)
    kept = cache / f"{name}.npy"
    if kept.is_file() and len(vectors := np.load(kept)) == len(rows):
        return Stream([r[0] for r in rows], [r[1] for r in rows], vectors)
    print(f"embedding {len(rows)} questions of {name}", file=sys.stderr)
    encoder = build.embedder(MODEL, runtime="onnx", precision="int8", threads=1)
    vectors = np.stack([encoder.embed(text.normalise(question)).vector for question, _ in rows])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(kept, vectors)
    return Stream([r[0] for r in rows], [r[1] for r in rows], vectors)


# -- policies ------------------------------------------------------------------------------------


def fixed_cuts(stream: Stream, order: np.ndarray) -> list[Run]:
    """What each fixed cut would have done, without guards: the published rule."""
    vectors = stream.vectors[order]
    answers = np.array(stream.answers, dtype=object)[order]
    alike = vectors @ vectors.T
    runs = []
    for cut in CUTS:
        cached = np.full(len(order), -2.0, np.float32)
        hits = false = 0
        for place in range(len(order)):
            near = alike[place, :place] + cached[:place]
            best = int(near.argmax()) if place else 0
            if place and near[best] >= cut:
                hits += 1
                false += answers[best] != answers[place]
            else:
                cached[place] = 0.0
        runs.append(Run(hits / len(order), false / max(1, hits)))
    return runs


class Judged:
    """Answers written anew each time, and the embedding judge over them."""

    def __init__(self, seed: int) -> None:
        encoder = build.embedder(MODEL, runtime="onnx", precision="int8", threads=1)
        self._judge = EmbeddingJudge(encoder, JudgeRules().threshold)
        self._dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.asked = self.right = 0

    def written(self, answer: str) -> str:
        told = self._dice.choice(TEMPLATES).format(answer.replace("_", " "))
        return " ".join([told, *(self._dice.choice(WORDS) for _ in range(NOISE_WORDS))])

    def same(self, one: str, other: str) -> bool | None:
        """Answers carry their class behind a tab, which the judge does not see."""
        said = self._judge.of(one.partition("\t")[2], other.partition("\t")[2])
        if said is not None:
            self.asked += 1
            self.right += said == (one.partition("\t")[0] == other.partition("\t")[0])
        return said


def play(stream: Stream, order: np.ndarray, threshold: str, judge: str, seed: int) -> Run:
    """One stream under one policy, categories left out."""
    written = f"policy:\n  judge: {judge}\n  defaults: {{threshold: {threshold}, ttl: 30d}}\n"
    written += "  categories: {personal: null, time-sensitive: null}\n"
    judged = Judged(seed) if judge == "embedding" else None
    rehearsal = Rehearsal(
        read_policy(read(written, "bench")),
        stream.vectors.shape[1],
        judged.same if judged else lambda one, other: one == other,
        prior.of(MODEL),
        Centroids((), np.zeros((0, 1), np.float32)),
        seed,
    )
    dice = random.Random(seed)  # noqa: S311 - repeatable on purpose
    hits = false = 0
    for place in order:
        right = stream.answers[place]
        answer = f"{right}\t{judged.written(right)}" if judged else right
        told = rehearsal.ask(Asked(stream.texts[place], answer, stream.vectors[place], at=1.0))
        if told.reason is Reason.SEMANTIC:
            hits += 1
            false += told.served.partition("\t")[0] != right
        if judged and dice.random() < rehearsal.rules.audits:
            again = judged.same(answer, f"{right}\t{judged.written(right)}")
            held = rehearsal.lessons.noise
            noise = Noise(held.asked + (again is not None), held.differed + (again is False))
            rehearsal.lessons = replace(rehearsal.lessons, noise=noise)
    held = rehearsal.lessons.noise
    counts = (judged.right, judged.asked) if judged else (0, 0)
    return Run(hits / len(order), false / max(1, hits), (held.asked, held.differed), counts)


# -- the table -----------------------------------------------------------------------------------


def _one(job: tuple[str, Path, Path, str, str, int]) -> Run | list[Run]:
    name, data, cache, threshold, judge, seed = job
    stream = load(name, data, cache)
    order = np.random.default_rng(seed).permutation(len(stream.texts))
    if threshold == "fixed":
        return fixed_cuts(stream, order)
    return play(stream, order, threshold, judge, seed)


def _told(name: str, runs: list[Run]) -> str:
    hits, false = [run.hits for run in runs], [run.false for run in runs]
    return (
        f"  {name:22} hits {np.mean(hits):6.1%} ({min(hits):.1%} to {max(hits):.1%})"
        f"  false per hit {np.mean(false):6.2%} (worst {max(false):.2%})"
    )


def _best_fixed(cuts: list[list[Run]], most: float) -> float:
    """Hits of the best fixed cut with no more false hits per hit, in the means over the seeds."""
    hits = np.array([[run.hits for run in runs] for runs in cuts]).mean(axis=0)
    false = np.array([[run.false for run in runs] for runs in cuts]).mean(axis=0)
    return max((float(h) for h, f in zip(hits, false, strict=True) if f <= most), default=0.0)


def _ratio(hits: float, other: float) -> str:
    return f"{hits / other:.2f}x" if other else "it has none"


def report(runs: dict[str, list], bounds: tuple[int, ...]) -> None:
    """The lines of one set."""
    cuts = runs.get("fixed")
    if cuts is not None:
        for cut in (0.80, 0.85, 0.90, 0.95):
            print(_told(f"fixed {cut:.2f}", [seed[CUTS.index(cut)] for seed in cuts]))
    for bound in bounds:
        ours = runs[f"{{max_false_hits: {bound}%}}"]
        theirs = runs.get(f"{{vcache: {bound}%}}")
        if theirs is not None:
            print(_told(f"vCache, {bound}%", theirs))
        print(_told(f"verified, {bound}%", ours))
        hits, false = np.mean([r.hits for r in ours]), np.mean([r.false for r in ours])
        if theirs is not None and cuts is not None:
            over = _ratio(hits, float(np.mean([r.hits for r in theirs])))
            best = _ratio(hits, _best_fixed(cuts, false))
            print(f"    vCache's hits: {over}; best fixed cut's: {best}")
        asked = sum(r.judged[1] for r in ours)
        if asked:
            noise = [r.noise[1] / max(1, r.noise[0]) for r in ours]
            right = sum(r.judged[0] for r in ours) / asked
            told = f"two answers to one prompt called different {np.mean(noise):.1%}"
            print(f"    judge right {right:.1%}; {told}")


def table(
    data: Path,
    sets: list[str] | None = None,
    seeds: int = 5,
    judge: str = "text",
    cache: Path = CACHE,
) -> None:
    """Play everything, two streams at a time, and print one table per set."""
    sets = list(SETS) if sets is None else [name for name in sets if name in SETS]
    for name in sets:
        load(name, data, cache)
        bounds = BOUNDS[name]
        policies = [f"{{max_false_hits: {bound}%}}" for bound in bounds]
        if judge == "text":
            policies += ["fixed", *(f"{{vcache: {bound}%}}" for bound in bounds)]
        jobs = [(name, data, cache, p, judge, s) for p in policies for s in range(seeds)]
        runs: dict[str, list] = {p: [] for p in policies}
        with ProcessPoolExecutor(2) as pool:
            for number, (job, run) in enumerate(zip(jobs, pool.map(_one, jobs), strict=True), 1):
                runs[job[3]].append(run)
                print(f"{name}: {number} of {len(jobs)}", file=sys.stderr)
        print(f"\n{name}, {seeds} seeds, judge {judge}")
        report(runs, bounds)
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--judge", choices=("text", "embedding"), default="text")
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    table(given.data, given.sets.split(","), given.seeds, given.judge, given.cache)


if __name__ == "__main__":
    main()
