"""The learner: what judges say of fresh answers, filed, folded into the model, and kept.

Runs behind the requests: the engine reads `learned` and hands in what was forwarded; a judge's word
comes back, and every so many of them the model is fitted in another thread. What is learned is
`policies.lessons`; who judges is `judges`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from index import learned as state
from index.errors import StoreError
from index.faults import Told
from index.shelf import Shelf
from policies import groups, lessons, prior, thresholds
from policies.lessons import Aim, Label, Noise
from policies.record import Comparison
from policies.verdicts import Reason
from proxy.judging import SLOW_BYTES, Case, Judging, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.journal import Journal
    from index.memory import Memory
    from policies.record import Decision
    from policies.values import CategoryRules, Facts, Rules
    from policies.verdicts import Study
    from policies.verified import Learned
    from proxy.dialects.ports import Dialect
    from proxy.judges.ports import Judge

LOG = logging.getLogger("likewise.learning")
TOLD = Told(LOG)

# Labels after which the model is fitted again, and seconds after which fewer will do.
BATCH, PATIENCE = 50, 10.0
SAVE_SECONDS = 60.0
# Labels that wait for a journal that cannot be written.
ROWS = 10_000
# Served hits whose features are remembered, should their caller call them wrong.
SERVED = 5_000
# Verdicts of one caller that may teach in a day: a flood of them must not speak for all.
VERDICTS_EACH, DAY = 20, 86_400.0


@dataclass(frozen=True, slots=True)
class Fresh:
    """A fresh answer on its way to the judge: for which request, kept as which entry."""

    request: int
    at: float
    question: str
    answer: bytes
    streamed: bool
    dialect: Dialect
    category: CategoryRules
    study: Study
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One comparison of a fresh answer: with its neighbour first, then perhaps with others.

    `turn` 0 is the neighbour, 1 and on its rivals; `joining` is the entry whose group a founder's
    word decides on.
    """

    fresh: Fresh
    text: str
    turn: int = 0
    joining: Facts | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """An exact hit asked again behind its answer: how noisy is the judge?"""


class Learner:
    """One process's learned state. Belongs to one event loop."""

    def __init__(
        self,
        memory: Memory,
        journal: Journal,
        judge: Judge,
        rules: Callable[[], Rules],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.judging = Judging(judge, memory, self._labelled)
        self.lessons = lessons.blank(prior.of(memory.embedder.id))
        self._memory = memory
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._new: list[Label] = []
        self._rows: list[Comparison] = []
        self._noise = self._own = Noise()
        # What other replicas' judges said, and the categories that they forgot.
        self._heard: list[Label] = []
        self._forgetting: list[str] = []
        self.say: Callable[[bytes], None] = lambda _: None
        self._served: Shelf[tuple[Study, str]] = Shelf(SERVED)
        self._verdicts: Counter[str] = Counter()
        self._counted = 0.0
        self._saved = 0.0
        self._unsaved = False
        self._changing = asyncio.Lock()

    @property
    def learned(self) -> Learned:
        return self.lessons.learned

    # -- what comes in ---------------------------------------------------------------------------

    def compare(self, fresh: Fresh) -> None:
        """Have a fresh answer compared, after whoever waits for it was served."""
        asyncio.get_running_loop().call_soon(self._submit, fresh)

    def asked_again(self, question: str, text: str | None, facts: Facts, dialect: Dialect) -> None:
        """Have a second answer to an exact hit's request compared with the first."""
        if text is not None:
            self.judging.submit(Case(question, text, facts, dialect, Again()))

    def served(self, request: int, study: Study, category: str) -> None:
        """Remember what was thought of a hit, should its caller call it wrong."""
        self._served.put(str(request), (study, category))

    def verdict(self, row: Decision, good: bool) -> None:
        """Take down what somebody said of a hit by meaning, and learn from it where it is bad; a
        good word never loosens anything."""
        if row.reason == Reason.SEMANTIC and row.similarity is not None:
            self._rows.append(_said(row, row.similarity, self._clock(), same=good))
        known = self._served.get(str(row.id))
        if good or known is None or self._spoken_for(row.owner):
            return
        self._served.pop(str(row.id))
        self._verdicts[row.owner] += 1
        study, category = known
        label = lessons.label(study, self._clock(), category, same=False)
        self._new.append(label._replace(propensity=1.0, certifies=False))

    def _spoken_for(self, owner: str) -> bool:
        """Whether one caller has taught enough for a while."""
        if self._clock() - self._counted >= DAY:
            self._counted = self._clock()
            self._verdicts.clear()
        return self._verdicts[owner] >= VERDICTS_EACH

    def _submit(self, fresh: Fresh) -> None:
        if len(fresh.answer) > SLOW_BYTES:
            self.judging.counts["dropped"] += 1
            return
        text = said(fresh.dialect, fresh.answer, streamed=fresh.streamed)
        if text is not None:
            self._next(Step(fresh, text), fresh.study.candidate.facts)

    def _next(self, step: Step, remembered: Facts) -> None:
        fresh = step.fresh
        current = self._memory.facts(remembered.entry) or remembered
        self.judging.submit(Case(fresh.question, step.text, current, fresh.dialect, step))

    # -- what the judge says ---------------------------------------------------------------------

    def _labelled(self, case: Case, same: bool) -> None:
        match case.study:
            case Again():
                noise = self._noise
                self._noise = Noise(noise.asked + 1, noise.differed + (not same))
                self._own = Noise(self._own.asked + 1, self._own.differed + (not same))
            case Step(joining=None) as step:
                if step.turn == 0:
                    self._file(step.fresh, same=same)
                self._follow(step, case.remembered, same=same)
            case Step(joining=member) as step if member is not None and same:
                self._join(step.fresh, member)

    def _file(self, fresh: Fresh, *, same: bool) -> None:
        """The label itself: to the entry's own record, the journal, and the model."""
        study, now = fresh.study, self._clock()
        neighbour = study.candidate.facts.entry
        score = study.candidate.score
        if not study.vetoed:
            self._new.append(lessons.label(study, now, fresh.category.name, same=same))
            self._memory.amend(neighbour, label=(round(score, 4), same))
        self._rows.append(
            Comparison(
                fresh.request,
                now,
                fresh.category.name,
                fresh.entry,
                neighbour,
                score,
                study.risk,
                study.propensity,
                study.would,
                study.vetoed,
                same,
                self.judging.describe(),
            )
        )
        if not thresholds.searchable(fresh.category, same=same) and fresh.entry:
            self._memory.amend(fresh.entry, exact=True)

    def _follow(self, step: Step, compared: Facts, *, same: bool) -> None:
        """Ask on: the founder of the group where it fits, else the next rival."""
        fresh = step.fresh
        if not fresh.entry or self._memory.facts(fresh.entry) is None:
            return
        if not same:
            rivals = fresh.study.rivals
            if step.turn < len(rivals):
                self._next(replace(step, turn=step.turn + 1), rivals[step.turn])
            return
        founder = groups.founder(compared)
        known = None if founder is None else self._memory.facts(founder)
        if known is None:
            self._join(fresh, compared)
        else:
            self._next(replace(step, joining=compared), known)

    def _join(self, fresh: Fresh, member: Facts) -> None:
        """Put the fresh answer's entry into a member's group."""
        current = self._memory.facts(member.entry) or member
        group = groups.of(current)
        if fresh.entry == group:
            return
        full = self._memory.groups[group] >= groups.MOST - 1
        flagged = True if current.flagged else None
        self._memory.amend(fresh.entry, group=group, flagged=flagged, exact=full)

    # -- what becomes of it ----------------------------------------------------------------------

    async def run(self) -> None:
        """Fold what has come in, every so often, until cancelled."""
        waited = 0.0
        while True:
            await asyncio.sleep(1.0)
            waited += 1.0
            if len(self._new) >= BATCH or (self._waiting and waited >= PATIENCE):
                waited = 0.0
                await self._guarded()

    @property
    def _waiting(self) -> bool:
        come = self._new or self._heard or self._forgetting or self._rows
        return bool(come) or self._noise != self.lessons.noise

    async def _guarded(self) -> None:
        try:
            await self.fold()
            if self._unsaved and self._clock() - self._saved >= SAVE_SECONDS:
                await self.save()
        except StoreError as fault:
            TOLD.warn("learning", str(fault))
        except Exception:
            LOG.exception("learning from labels failed")

    async def fold(self) -> None:
        """Fit the model to what has come in. Raises `StoreError` where the journal fails."""
        async with self._changing:
            self._unsaved = self._unsaved or bool(self._new) or self._noise != self.lessons.noise
            aim = Aim.of(self._rules())
            for category in self._take_forgetting():
                self.lessons = await asyncio.to_thread(lessons.forget, self.lessons, category, aim)
            new = self._take_new()
            rows, self._rows = self._rows, []
            before = replace(self.lessons, noise=self._noise)
            self.lessons = await asyncio.to_thread(lessons.learn, before, new, aim)
        if not rows:
            return
        try:
            await self._journal.compared(rows)
        except StoreError:
            # They wait for the next time, the newest of them.
            self._rows = [*rows, *self._rows][-ROWS:]
            raise

    def hear(self, note: bytes) -> None:
        """Take up what another replica learned."""
        match state.heard(note, self._memory.embedder.id):
            case str(category):
                self._forgetting.append(category)
                self._heard = [label for label in self._heard if label.category != category]
            case (labels, noise):
                self._heard += labels
                asked, differed = self._noise.asked + noise.asked, self._noise.differed
                self._noise = Noise(asked, differed + noise.differed)

    def _take_forgetting(self) -> list[str]:
        gone, self._forgetting = self._forgetting, []
        return gone

    def _take_new(self) -> list[Label]:
        """The labels that came in, oldest first; this process' own are told to the others."""
        new, self._new = self._new, []
        own, self._own = self._own, Noise()
        heard, self._heard = self._heard, []
        if new or own != Noise():
            self.say(state.note(self._memory.embedder.id, tuple(new), own))
        # What was told before it was saved is heard and loaded both.
        known = frozenset(self.lessons.labels) if heard else frozenset()
        return sorted([*new, *(label for label in heard if label not in known)], key=_at)

    async def forget(self, category: str) -> None:
        """Forget what one category taught, here and at other replicas. Raises `StoreError`."""
        self.say(state.forgetting(category))
        async with self._changing:
            self._new = [label for label in self._new if label.category != category]
            aim = Aim.of(self._rules())
            self.lessons = await asyncio.to_thread(lessons.forget, self.lessons, category, aim)
        await self.save()

    async def save(self) -> None:
        """Keep what was learned in the store. Raises `StoreError`."""
        held, noise = self.lessons.labels, self.lessons.noise
        data = await asyncio.to_thread(state.pack, held, noise)
        await self._memory.bodies.put(state.name(self._memory.embedder.id), data)
        self._saved, self._unsaved = self._clock(), False

    async def load(self) -> None:
        """Take up what was learned before. Raises `StoreError`."""
        data = await self._memory.bodies.get(state.name(self._memory.embedder.id))
        known = None if data is None else state.unpack(data)
        if data is not None and known is None:
            LOG.warning("what was learned cannot be read; learning starts anew")
        if known is not None:
            held, self._noise = known
            before = replace(self.lessons, labels=held)
            self.lessons = replace(before, noise=self._noise)
        await self.fold()

    async def close(self) -> None:
        """Fold and keep what is left, and end the judge."""
        await self.judging.close()
        try:
            await self.fold()
            if self._unsaved:
                await self.save()
        except StoreError as fault:
            LOG.warning("what was learned last is lost: %s", fault)


def _at(label: Label) -> float:
    return label.at


def _said(row: Decision, similarity: float, at: float, *, same: bool) -> Comparison:
    """A verdict as a label. How likely it was to be said nobody knows: it stands for no other."""
    return Comparison(
        row.id, at, row.category, "", row.entry, similarity, row.risk, 0.0, True, False, same,
        "verdict",
    )  # fmt: skip
