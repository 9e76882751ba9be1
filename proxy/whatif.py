"""What another policy would have made of the last requests: the decision core of production, over
a memory of its own that fills as it is asked. Nothing is served, sent or learned.

Whether an answer would have been right is known where the journal knows it: the same entry, a
label, a verdict. For the other hits that a policy gains, labels of as similar prompts speak.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from admin_ui.facts import Change, Trial
from index.shelf import Shelf
from policies.values import Owners, Query
from policies.verdicts import Outcome, Reason
from proxy.counting import share
from proxy.exchange import PROMPT_KEPT
from proxy.rehearsal import Asked, Rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from index.ports import Embedded
    from policies.category import Centroids
    from policies.evidence import Share
    from policies.lessons import Lessons
    from policies.record import Comparison, Decision
    from policies.values import Rules
    from proxy.engine import Engine
    from proxy.learning import Learner
    from proxy.rehearsal import Told

# Seconds for embedding prompts; the oldest that no longer fit in are left out.
PATIENCE = 20.0
AT_HAND = 4_096
SHOWN = 200
PROMPT_SHOWN = 500
LABELS = 20_000
# Similarities are compared with this much of a margin.
NEAR = 0.005


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of answers: the group of each entry, labels and verdicts by request,
    and all labels for those of which nothing is known."""

    groups: dict[str, str]
    labels: Sequence[Comparison]
    bad: frozenset[int]
    by_request: dict[int, list[Comparison]] = field(default_factory=dict)

    def group(self, entry: str) -> str:
        return self.groups.get(entry, entry)

    def right(self, row: Decision, served: str) -> bool | None:
        """Whether an answer of that group would have been right; None where nobody knows."""
        if row.id in self.bad and self.group(row.entry) == served:
            return False
        for one in self.by_request.get(row.id, ()):
            if self.group(one.neighbour) == served:
                return one.same
        alike = row.reason != Reason.SEMANTIC and not _stood_in(row)
        return True if alike and self.group(row.entry) == served else None


class WhatIf:
    """Tries policies, one at a time. Belongs to one event loop."""

    def __init__(self, engine: Engine, learner: Learner) -> None:
        self._engine = engine
        self._learner = learner
        self._vectors: Shelf[Embedded] = Shelf(AT_HAND)
        self._trying = asyncio.Lock()

    async def trial(self, before: Rules, after: Rules, requests: int) -> Trial:
        """Ask the last requests under both. Raises `MemoryFault`."""
        async with self._trying:
            rows = await self._engine.journal.recent(requests)
            asks = await self._asks([row for row in rows if askable(row)])
            known = await self._known(rows)
            memory = self._engine.memory
            centroids = memory.sight.centroids, await memory.sight.learn_examples(after)
            run = Run(memory.embedder.dimension, self._learner.lessons)
            old = await asyncio.to_thread(run.told, before, centroids[0], asks)
            new = await asyncio.to_thread(run.told, after, centroids[1], asks)
        return compared([row for row, _ in asks], old, new, known, len(rows) - len(asks))

    def forget(self) -> None:
        """Have no prompt at hand any more."""
        self._vectors = Shelf(AT_HAND)

    async def _asks(self, rows: Sequence[Decision]) -> list[tuple[Decision, Asked]]:
        """In the order of time; as many of the newest as can be embedded in time."""
        end, asks = time.monotonic() + PATIENCE, []
        for row in rows:
            if time.monotonic() > end:
                break
            asks.append((row, self._asked(row, await self._embedded(row.prompt))))
        return asks[::-1]

    async def _embedded(self, prompt: str) -> Embedded:
        known = self._vectors.get(prompt)
        if known is None:
            known = await self._engine.memory.sight.embed(prompt)
            self._vectors.put(prompt, known)
        return known

    def _asked(self, row: Decision, embedded: Embedded) -> Asked:
        fault = Reason.TRUNCATED if embedded.truncated else None
        fault = Reason.LANGUAGE if embedded.unknown else fault
        query = Query(
            dialect=row.dialect,
            upstream=row.upstream,
            model=row.model,
            owners=Owners(row.owner),
            fingerprint=self._space(row).encode(),
            chain="",
            text=row.prompt,
        )
        answer = row.entry or f"?{row.id}"
        return Asked(row.prompt, answer, embedded.vector, row.at, query=query, fault=fault)

    def _space(self, row: Decision) -> str:
        """What else shaped the answer, as far as memory still knows."""
        entries = (row.entry, row.neighbour, row.would)
        known = (self._engine.memory.facts(entry) for entry in entries if entry)
        return next((facts.space for facts in known if facts is not None), "")

    async def _known(self, rows: Iterable[Decision]) -> Known:
        journal, facts = self._engine.journal, self._engine.memory.facts
        groups = {}
        for entry in {row.entry for row in rows if row.entry}:
            held = facts(entry)
            if held is not None and held.group:
                groups[entry] = held.group
        labels = await journal.labels(LABELS)
        by_request: dict[int, list[Comparison]] = defaultdict(list)
        for one in labels:
            by_request[one.id].append(one)
        bad = frozenset(v.id for v in await journal.verdicts(LABELS) if not v.good)
        return Known(groups, labels, bad, dict(by_request))


def askable(row: Decision) -> bool:
    """Whether the journal holds all that decides over a request: not what was said before it, nor
    texts that were cut or must not be stored."""
    passed_by = row.outcome == Outcome.BYPASS and row.reason != Reason.CATEGORY_OFF
    return bool(0 < len(row.prompt) < PROMPT_KEPT and not row.turns and not passed_by)


@dataclass(frozen=True, slots=True)
class Run:
    """A rehearsal that starts from what is learned now, and stays there."""

    dimension: int
    lessons: Lessons

    def told(
        self, rules: Rules, centroids: Centroids, asks: Sequence[tuple[Decision, Asked]]
    ) -> list[Told]:
        rules = replace(rules, shadow=False, regenerate=0.0)
        # Lots for audits would fall differently on each side.
        rehearsal = Rehearsal(
            rules, self.dimension, _unjudged, self.lessons.prior, centroids, lots=False
        )
        rehearsal.lessons = self.lessons
        return [rehearsal.ask(asked) for _, asked in asks]


def _unjudged(_: str, __: str) -> None:
    """Nothing is learned here."""


# -- side by side ----------------------------------------------------------------------------------


def compared(
    rows: Sequence[Decision],
    before: Sequence[Told],
    after: Sequence[Told],
    known: Known,
    left_out: int,
) -> Trial:
    """What changes from one policy to the other."""
    changes = list(_changes(rows, before, after, known))
    gained = [change for change in changes if change.kind == "gained"]
    wrong = sum(change.right is False for change in gained)
    unsure = [change for change in gained if change.right is None]
    said = likely(unsure, known.labels)
    tells = not unsure or said.samples > 0
    return Trial(
        asked=len(rows),
        left_out=left_out,
        hits_before=sum(one.served is not None for one in before),
        hits_after=sum(one.served is not None for one in after),
        gained=len(gained),
        lost=sum(change.kind == "lost" for change in changes),
        known_wrong=wrong,
        predicted_wrong=wrong + said.estimate * len(unsure) if tells else None,
        wrong_low=wrong + said.low * len(unsure) if tells else None,
        wrong_high=wrong + said.high * len(unsure) if tells else None,
        labels=said.samples,
        categories=_categories(before, after),
        changes=sorted(changes, key=lambda change: change.kind)[:SHOWN],
    )


def _changes(
    rows: Sequence[Decision], before: Sequence[Told], after: Sequence[Told], known: Known
) -> Iterator[Change]:
    for row, old, new in zip(rows, before, after, strict=True):
        was, now = old.served, new.served
        if was is None and now is not None:
            yield _change("gained", row, old, new, new, known)
        elif was is not None and now is None:
            yield _change("lost", row, old, new, old, known)
        elif was is not None and now is not None and known.group(was) != known.group(now):
            yield _change("other", row, old, new, new, known)


def _change(kind: str, row: Decision, old: Told, new: Told, hit: Told, known: Known) -> Change:
    """`hit` is the side on which something is served."""
    served = known.group(hit.served or "")
    return Change(
        id=str(row.id),
        kind=kind,
        category=new.category,
        prompt=row.prompt[:PROMPT_SHOWN],
        before=old.reason.value,
        after=new.reason.value,
        matched=hit.matched[:PROMPT_SHOWN],
        similarity=hit.similarity,
        right=True if hit.match is Reason.EXACT else known.right(row, served),
    )


def likely(unsure: Sequence[Change], labels: Sequence[Comparison]) -> Share:
    """How often neighbours as similar as these were wrong, in the same categories."""
    near = [change for change in unsure if change.similarity is not None]
    least: dict[str, float] = {}
    for change in near:
        least[change.category] = min(change.similarity or 1.0, least.get(change.category, 1.0))
    some = [
        one
        for one in labels
        if one.propensity > 0
        and not one.vetoed
        and one.category in least
        and one.similarity >= least[one.category] - NEAR
    ]
    return share(some)


def _categories(before: Sequence[Told], after: Sequence[Told]) -> dict[str, dict[str, int]]:
    asked = Counter(one.category for one in after)
    hits = [Counter(one.category for one in side if one.served) for side in (before, after)]
    return {
        name: {"asked": count, "hits_before": hits[0][name], "hits_after": hits[1][name]}
        for name, count in asked.most_common()
    }


def _stood_in(row: Decision) -> bool:
    """Whether a stale answer to another prompt was served."""
    return row.outcome == Outcome.STALE and bool(row.matched)
