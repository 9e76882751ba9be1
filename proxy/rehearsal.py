"""Requests through the decision core without HTTP and without an upstream: what a policy would do.

The very `plan`, `choose` and `learn` of production, over an index of its own and answers that are
known beforehand. Nothing here serves anybody.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from index.amending import Change
from index.ports import Embedded
from index.register import Register
from index.spaces import Spaces
from index.texts import Texts
from index.turns import Turns
from policies import category as categories
from policies import context, decide, groups, lessons, text, thresholds
from policies.lessons import Aim, Label
from policies.values import AnswerFacts, Directives, Facts, Found, Owners, Query, Snapshot
from policies.verdicts import Admit, Bypass, Reason, Serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.category import Centroids
    from policies.lessons import Lessons, Prior
    from policies.values import Candidate, CategoryRules, Rules, Turn, Vector
    from policies.verdicts import Lookup, Study

# Labels that are folded in at once.
BATCH = 50
# Texts whose vectors are at hand when conversations are compared.


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a rehearsal: its text, the answer that upstream would give, its vector.

    `query` is the request as a dialect read it; without one it is a standalone question. `fault`
    says why its meaning cannot be used.
    """

    text: str
    answer: str
    vector: Vector
    at: float = 0.0
    category: str | None = None
    model: str = "rehearsed"
    query: Query | None = None
    fault: Reason | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one: the reason, and the answer that was served (None: upstream's).

    `match` says how what was served was found. `compared` is what the judge said of the neighbour
    under study. `seconds` is what the decision took, embedding left out.
    """

    reason: Reason
    category: str
    served: str | None = None
    similarity: float | None = None
    matched: str = ""
    study: Study | None = None
    match: Reason | None = None
    compared: bool | None = None
    seconds: float = 0.0


def _unread(_: str) -> Embedded:
    """Stands in for an encoder where no request has a history."""
    return Embedded(np.zeros(1, np.float32), unknown=True)


@dataclass(slots=True)
class Rehearsal:
    """One cache, filled by the requests it is asked."""

    rules: Rules
    dimension: int
    same: Callable[[str, str], bool | None]
    """The judge: whether two answers are the same; None: it cannot say."""
    prior: Prior
    centroids: Centroids
    seed: int = 0
    embed: Callable[[str], Embedded] = _unread
    """For the earlier turns of conversations."""
    lots: bool = True
    """Whether lots are drawn for audits; without them all is served that may be."""
    lessons: Lessons = field(init=False)
    _facts: dict[str, Facts] = field(default_factory=dict)
    _answers: dict[str, str] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    _sizes: Counter[str] = field(default_factory=Counter)
    _spaces: Spaces = field(init=False)
    _used: dict[str, float] = field(default_factory=dict)
    _new: list[Label] = field(default_factory=list)
    _texts: Texts = field(init=False)
    _turns: Turns = field(init=False)
    _dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.lessons = lessons.blank(self.prior)
        self._texts = Texts(self.embed)
        self._turns = Turns(self._texts, self._facts.get, self._saying)
        self._spaces = self._none()
        self._dice = random.Random(self.seed)  # noqa: S311 - repeatable on purpose

    def clear(self) -> None:
        """Forget every entry; what was learned stays."""
        for held in (self._facts, self._answers, self._said, self._sizes, self._used):
            held.clear()
        self._spaces = self._none()

    def ask(self, asked: Asked) -> Told:
        """Answer one request as production would, and learn from what upstream says."""
        started = time.perf_counter()
        query = asked.query or _query(asked)
        plan = decide.plan(query, self.rules)
        if isinstance(plan, Bypass):
            return Told(plan.reason, plan.category, seconds=time.perf_counter() - started)
        found = self._find(query, plan, asked)
        dice = self._dice.random() if self.lots else 1.0
        snap = Snapshot(asked.at, self.rules, dice, self.lessons.learned)
        verdict = decide.choose(query, found, snap)
        seconds = time.perf_counter() - started
        name = verdict.category.name
        if isinstance(verdict, Serve):
            candidate = verdict.candidate
            served = self._answers[candidate.facts.entry]
            self._used[candidate.facts.entry] = asked.at
            if verdict.refresh:
                self._keep(query, found, asked)
            return Told(
                verdict.reason,
                name,
                served,
                candidate.score,
                candidate.facts.text,
                match=verdict.match,
                seconds=seconds,
            )
        self._keep(query, found, asked)
        compared = None
        if verdict.study is not None:
            entry = found.lookup_entry
            compared = self._compare(verdict.study, asked, entry, verdict.category)
        near = verdict.nearest
        return Told(
            verdict.reason,
            name,
            similarity=near.score if near else None,
            matched=near.facts.text if near else "",
            study=verdict.study,
            compared=compared,
            seconds=seconds,
        )

    def _find(self, query: Query, plan: Lookup, asked: Asked) -> Found:
        lookup = plan
        if lookup.category is None:
            guess = categories.nearest(asked.vector, self.centroids)
            if guess is not None and guess.name is not None:
                lookup = decide.scope(query, self.rules.named(guess.name), self.rules)
        exact = self._facts.get(lookup.entry)
        fault = lookup.semantic or asked.fault
        near: tuple[Candidate, ...] = ()
        if fault is None:
            self._texts.learn(query.text, query.owners.key, Embedded(asked.vector))
            if exact is None:
                near = self._near(query, lookup, asked)
        return Found(
            lookup.entry,
            lookup.space,
            lookup.category,
            exact=exact,
            used=self._used.get(lookup.entry, 0.0),
            near=near,
            vector=asked.vector,
            fault=fault,
        )

    def _saying(self, said: Turn) -> Facts | None:
        """The entry whose answer is what was said, the last of several."""
        facts = self._facts.get(self._said.get(said.rest, ""))
        same = facts is not None and facts.said is not None and facts.said.rest == said.rest
        return facts if same else None

    def _none(self) -> Spaces:
        return Spaces(Register(), self.dimension, storage="float32")

    def _near(self, query: Query, lookup: Lookup, asked: Asked) -> tuple[Candidate, ...]:
        """The neighbours in the lookup's space; those past their last use are swept first."""
        space = self._spaces.within(lookup.space)
        if space is None:
            return ()
        category = lookup.category or self.rules.defaults
        near = self._turns.nearest(query, category, self.rules, asked.vector, space)
        dead = [c.facts.entry for c in near if c.facts.gone <= asked.at]
        if not dead:
            return near
        self._spaces.remove(e for e, f in self._facts.items() if f.gone <= asked.at)
        return self._turns.nearest(query, category, self.rules, asked.vector, space)

    def _keep(self, query: Query, found: Found, asked: Asked) -> None:
        answer = AnswerFacts(size=len(asked.answer), said=context.answered(asked.answer))
        admitted = decide.admit(query, found, answer, self.rules)
        if not isinstance(admitted, Admit):
            return
        entry = found.lookup_entry
        facts = Facts(
            entry=entry,
            space=found.lookup_space,
            owner=query.owners.key,
            category=decide.category_of(found, self.rules).name,
            dialect=query.dialect,
            model=query.model,
            chain=query.chain,
            text=query.text,
            stored=asked.at,
            expires=asked.at + admitted.ttl,
            gone=asked.at + admitted.linger,
            size=answer.size,
            before=context.kept(query.before),
            said=answer.said,
        )
        self._facts[entry] = facts
        if facts.said is not None:
            self._said[facts.said.rest] = entry
        self._answers[entry], self._used[entry] = asked.answer, asked.at
        if found.fault is None:
            self._search(facts, asked.vector)

    def _search(self, facts: Facts, vector: Vector) -> None:
        """Let an entry be found by meaning."""
        self._spaces.put(facts.entry, facts.space, vector)
        for space in self._spaces.crowded():
            space.grow()

    def _compare(
        self, study: Study, asked: Asked, entry: str, category: CategoryRules
    ) -> bool | None:
        """Label the neighbour, and join the group of whoever holds the same answer."""
        neighbour = study.candidate.facts
        same = self.same(asked.answer, self._answers[neighbour.entry])
        if same is None:
            return None
        if not study.vetoed:
            self._new.append(lessons.label(study, asked.at, category.name, same=same))
        if len(self._new) >= BATCH:
            self.lessons = lessons.learn(self.lessons, self._new, Aim.of(self.rules))
            self._new = []
        if not thresholds.searchable(category, same=same) and entry in self._facts:
            self._spaces.remove([entry])
        marked = Change(label=(study.candidate.score, same))
        self._facts[neighbour.entry] = marked.onto(self._facts[neighbour.entry])
        for facts in (neighbour, *study.rivals):
            if self._agrees(asked.answer, facts, same=same if facts is neighbour else None):
                self._join(entry, facts)
                break
        return same

    def _agrees(self, answer: str, facts: Facts, *, same: bool | None) -> bool:
        if same is None:
            same = self.same(answer, self._answers[facts.entry])
        founder = groups.founder(facts)
        if not same or founder is None or founder not in self._answers:
            return bool(same)
        return bool(self.same(answer, self._answers[founder]))

    def _join(self, entry: str, facts: Facts) -> None:
        group = groups.of(facts)
        if entry not in self._facts or entry == facts.entry:
            return
        self._sizes[group] += 1
        self._facts[entry] = Change(group=group).onto(self._facts[entry])
        if self._sizes[group] >= groups.MOST:
            self._spaces.remove([entry])


def _query(asked: Asked) -> Query:
    return Query(
        dialect="rehearsal",
        upstream="rehearsal",
        model=asked.model,
        owners=Owners("rehearsal"),
        fingerprint=b"",
        chain="",
        text=asked.text,
        directives=Directives(category=asked.category),
    )


def prepared(prompt: str) -> str:
    """The text as it is embedded."""
    return text.normalise(prompt)
