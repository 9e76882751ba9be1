"""`likewise replay`: recorded pairs or traffic under a policy, counted.

The decision core of production decides (`proxy.rehearsal`); here its answers are held against what
is known to be right. Nothing is sent anywhere.
"""

from __future__ import annotations

import asyncio
import operator
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from policies import category as categories
from policies import evidence, text, vcache
from policies.lessons import DOUBT
from policies.values import JudgeKind, Threshold
from policies.verdicts import Reason
from proxy.judges.embedding import EmbeddingJudge
from proxy.judges.text import TextJudge
from proxy.rehearsal import Asked, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from index.embedders.weights import Progress
    from index.ports import Embedded, Embedder
    from policies.category import Centroids
    from policies.evidence import Share
    from policies.lessons import Prior
    from policies.values import CategoryRules, Query, Rules
    from proxy.rehearsal import Told
    from proxy.rows import Recorded

    Same = Callable[[str, str], bool | None]

# Each end of an interval is missed with a probability of `DOUBT` at most, at every look.
CONFIDENCE = f"each end of an interval holds with {1 - DOUBT:.0%} confidence"
CUTS = tuple(round(0.6 + 0.02 * step, 2) for step in range(21))
BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1)
DELTAS = (0.01, 0.02, 0.05, 0.1)
NOTHING = evidence.Share(0.0, 0.0, 1.0, 0)
# Reports of progress over one run.
_REPORTS = 200


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run needs besides rows and rules: the encoder, where its model starts, the judge."""

    embedder: Embedder
    prior: Prior
    same: Same

    def of(self, prompt: str) -> Embedded:
        return self.embedder.embed(text.normalise(prompt))


class Outcome(NamedTuple):
    """One request's decision held against the truth.

    `right` says whether what was served was the answer: None where nothing was served, or the
    judge cannot tell. `known`: an earlier request had the same answer.
    """

    category: str
    told: Told
    right: bool | None
    known: bool | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes counted. `exact` and `semantic` are hits; `wrong` and `false_hits` are of the
    semantic ones that could be judged; `could` is how many could have been right hits at all."""

    asked: int = 0
    exact: int = 0
    semantic: int = 0
    wrong: int = 0
    exact_wrong: int = 0
    unjudged: int = 0
    could: int | None = None
    found: int = 0
    false_hits: Share = NOTHING
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def hits(self) -> int:
        return self.exact + self.semantic

    @property
    def hit_rate(self) -> float:
        return self.hits / max(1, self.asked)

    def data(self) -> dict[str, Any]:
        share = self.false_hits
        judged = share.samples > 0
        return {
            "asked": self.asked,
            "hits": {"exact": self.exact, "semantic": self.semantic},
            "hit_rate": round(self.hit_rate, 6),
            "wrong": {"exact": self.exact_wrong, "semantic": self.wrong},
            "unjudged": self.unjudged,
            "could_be_found": self.could,
            "found": self.found,
            "false_hits_per_hit": {
                "estimate": round(share.estimate, 6) if judged else None,
                "low": round(share.low, 6),
                "high": round(share.high, 6),
                "confidence": 1 - DOUBT,
                "of": share.samples,
            },
            "reasons": dict(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run; milliseconds are those of a decision, embedding left out."""

    name: str
    total: Tally
    categories: Mapping[str, Tally]
    ms: float
    ms_p95: float

    def data(self) -> dict[str, Any]:
        return {
            "policy": self.name,
            "total": self.total.data(),
            "categories": {name: tally.data() for name, tally in self.categories.items()},
            "ms_per_decision": {"median": round(self.ms, 4), "p95": round(self.ms_p95, 4)},
        }


@dataclass(frozen=True, slots=True)
class Point:
    """One policy in the plane of hit rate and precision."""

    label: str
    hit_rate: float
    precision: float


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one kind of policy, strictest first."""

    name: str
    points: tuple[Point, ...]


# -- running it ------------------------------------------------------------------------------------


def run(
    name: str, recorded: Recorded, rules: Rules, tools: Tools, report: Progress | None = None
) -> Result:
    """Replay a whole file under one policy and count."""
    return counted(name, list(outcomes(recorded, rules, tools, report)))


def outcomes(
    recorded: Recorded,
    rules: Rules,
    tools: Tools,
    report: Progress | None = None,
    *,
    shadow: bool = False,
) -> Iterator[Outcome]:
    """Ask row after row; with `shadow` nothing is served, so that everything is compared.

    The policy's own mode is no matter here.
    """
    seconds = rules.regenerate if recorded.timed else 0.0
    rules = replace(rules, shadow=shadow, regenerate=seconds)
    rehearsal = Rehearsal(
        rules,
        tools.embedder.dimension,
        tools.same,
        tools.prior,
        centroids(rules, tools),
        embed=tools.of,
    )
    asks = _pairs if recorded.pairs else _traffic
    step = max(1, len(recorded) // _REPORTS)
    for done, outcome in enumerate(asks(recorded, rehearsal, tools), 1):
        if report is not None and (done % step == 0 or done == len(recorded)):
            report("deciding", done / len(recorded))
        yield outcome


def embed(recorded: Recorded, tools: Tools, report: Progress | None = None) -> None:
    """Embed all prompts ahead of deciding, which then takes no time for it."""
    queries = [query for pair in recorded.pairs for query in (pair.a, pair.b)]
    queries += [request.query for request in recorded.requests]
    step = max(1, len(queries) // _REPORTS)
    for done, query in enumerate(queries, 1):
        tools.of(query.text)
        if report is not None and (done % step == 0 or done == len(queries)):
            report("embedding", done / len(queries))


def centroids(rules: Rules, tools: Tools) -> Centroids:
    wanted = {c.name: c.examples for c in rules.categories if c.examples}
    return categories.centroids(
        {name: [tools.of(one).vector for one in some] for name, some in wanted.items()}
    )


def _pairs(recorded: Recorded, rehearsal: Rehearsal, tools: Tools) -> Iterator[Outcome]:
    """A cache that holds `a` alone is asked `b`; what earlier pairs taught stays."""
    for pair in recorded.pairs:
        rehearsal.clear()
        answers = ("one", "one" if pair.same else "another")
        rehearsal.ask(_asked(pair.a, answers[0], pair.category, rehearsal, tools))
        told = rehearsal.ask(_asked(pair.b, answers[1], pair.category, rehearsal, tools))
        right = None if told.served is None else pair.same
        yield Outcome(pair.category or told.category, told, right, pair.same)


def _traffic(recorded: Recorded, rehearsal: Rehearsal, tools: Tools) -> Iterator[Outcome]:
    """One cache that fills as it is asked. Time never runs back."""
    seen: set[str] = set()
    now = 0.0
    for request in recorded.requests:
        now = max(now, request.at or 0.0)
        asked = _asked(request.query, request.answer, request.category, rehearsal, tools)
        told = rehearsal.ask(replace(asked, at=now))
        right = None if told.served is None else tools.same(request.answer, told.served)
        known = None if recorded.judged else request.answer in seen
        seen.add(request.answer)
        yield Outcome(request.category or told.category, told, right, known)


def _asked(query: Query, answer: str, named: str, rehearsal: Rehearsal, tools: Tools) -> Asked:
    """A category that the policy knows is pinned, as a request's header does."""
    embedded = tools.of(query.text)
    if named and rehearsal.rules.named(named) is not None:
        query = replace(query, directives=replace(query.directives, category=named))
    fault = Reason.TRUNCATED if embedded.truncated else None
    fault = Reason.LANGUAGE if embedded.unknown else fault
    return Asked(query.text, answer, embedded.vector, query=query, fault=fault)


@contextmanager
def judging(kind: JudgeKind | None, threshold: float, embedder: Embedder) -> Iterator[Same]:
    """Whether two answers are the same: by a judge, or, where answers are names, by equality."""
    if kind is None:
        yield operator.eq
        return
    judge = TextJudge() if kind is JudgeKind.TEXT else EmbeddingJudge(embedder, threshold)
    with asyncio.Runner() as runner:

        @lru_cache(maxsize=100_000)
        def same(fresh: str, remembered: str) -> bool | None:
            return runner.run(judge.same("", fresh, remembered))

        try:
            yield same
        finally:
            judge.close()


# -- counting --------------------------------------------------------------------------------------


def counted(name: str, some: Sequence[Outcome]) -> Result:
    ms = [outcome.told.seconds * 1000 for outcome in some] or [0.0]
    by_category: dict[str, list[Outcome]] = {}
    for outcome in some:
        by_category.setdefault(outcome.category, []).append(outcome)
    return Result(
        name,
        tally(some),
        {category: tally(by_category[category]) for category in sorted(by_category)},
        median(ms),
        quantiles(ms, n=20)[-1] if len(ms) > 1 else ms[0],
    )


def tally(some: Iterable[Outcome]) -> Tally:
    all_ = list(some)
    hits = [one for one in all_ if one.told.served is not None]
    exact = [one for one in hits if one.told.match is Reason.EXACT]
    semantic = [one for one in hits if one.told.match is not Reason.EXACT]
    judged = [one for one in semantic if one.right is not None]
    wrong = np.array([not one.right for one in judged], bool)
    reasons = Counter(one.told.reason.value for one in all_)
    knowable = [one.known for one in all_ if one.known is not None]
    return Tally(
        asked=len(all_),
        exact=len(exact),
        semantic=len(semantic),
        wrong=int(wrong.sum()),
        exact_wrong=sum(one.right is False for one in exact),
        unjudged=len(semantic) - len(judged),
        could=sum(knowable) if knowable else None,
        found=sum(bool(one.right) for one in hits),
        false_hits=evidence.share(wrong, doubt=DOUBT),
        reasons=dict(sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))),
    )


# -- the policies that a plot compares -------------------------------------------------------------


def curves(
    recorded: Recorded, rules: Rules, tools: Tools, report: Progress | None = None
) -> list[Curve]:
    """Every kind of threshold policy at several settings, the rest of the policy as it is."""
    kinds = sweeps(rules.defaults.threshold)
    total = sum(len(some) for some in kinds.values())
    found, done = [], 0
    for name, some in kinds.items():
        points = []
        for label, threshold in some:
            result = run(label, recorded, ruled(rules, threshold), tools)
            points.append(point(label, result.total))
            done += 1
            if report is not None:
                report("comparing policies", done / total)
        found.append(Curve(name, tuple(one for one in points if one is not None)))
    return found


def sweeps(usual: Threshold) -> dict[str, list[tuple[str, Threshold]]]:
    """The settings of each kind of policy, the strictest first."""
    return {
        "fixed": [(f"{cut:.2f}", Threshold(cut)) for cut in reversed(CUTS)],
        "max_false_hits": [(_percent(bound), replace(usual, max_false_hits=bound, delta=None))
                           for bound in BOUNDS],
        "vcache": [(_percent(delta), Threshold(usual.start, delta=delta, floor=vcache.FLOOR))
                   for delta in DELTAS],
    }  # fmt: skip


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


def ruled(rules: Rules, threshold: Threshold) -> Rules:
    """The rules with another threshold wherever the one of the defaults rules."""
    usual = rules.defaults.threshold

    def moved(category: CategoryRules) -> CategoryRules:
        same = category.threshold == usual
        return replace(category, threshold=threshold) if same else category

    return replace(
        rules,
        defaults=moved(rules.defaults),
        categories=tuple(moved(category) for category in rules.categories),
    )


def point(label: str, total: Tally) -> Point | None:
    """None where nothing was answered by meaning: then there is no precision."""
    if not total.false_hits.samples:
        return None
    return Point(label, total.hit_rate, 1 - total.false_hits.estimate)
