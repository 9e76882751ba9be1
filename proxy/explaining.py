"""Why a prompt would hit or miss: the very decision of production, asked without an upstream.

What an application sends besides the prompt is rarely known to who asks. So the question is put as
the application would have put it that asked the nearest remembered prompt, unless a request with
just the given model, system prompt and history was seen before.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies import category as categories
from policies import decide, text
from policies.context import ASSISTANT, USER, answered, users
from policies.values import Directives, Found, Owners, Query, Snapshot, Turn
from policies.verdicts import Bypass, Forward, Lookup, Serve, outcome
from proxy.dialects.listing import DIALECTS
from proxy.dialects.ports import Frame
from proxy.repeats import shape
from proxy.reporting import standing, weighed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from admin_ui.console import Question
    from policies.category import Guess
    from policies.values import Candidate, CategoryRules, Facts, LoadRules, Rules
    from proxy.engine import Engine
    from proxy.identity import Identity
    from proxy.settings import Settings

NEAREST = 12


class Explainer:
    """Answers `explain` of the command line, the pages and the API."""

    def __init__(self, settings: Settings, engine: Engine, identity: Identity) -> None:
        self._upstreams = [u.service for u in settings.upstreams]
        self._engine = engine
        self._identity = identity

    async def explain(self, question: Question) -> dict[str, Any]:
        """The verdict, its steps and the nearest entries. Raises ValueError on a bad question."""
        rules = self._engine.rules
        if not question.prompt.strip():
            raise ValueError("the prompt is empty; write the text of the last user message")
        if question.category is not None and rules.named(question.category) is None:
            raise ValueError(f"there is no category {question.category!r}")
        near, guess = await self._engine.memory.sight.nearest_anywhere(question.prompt, NEAREST)
        query, lookup, as_asked = self._placed(question, near, guess, rules)
        rule = lookup.category or rules.defaults
        near = await self._engine.memory.sight.compared(query, rule, rules, near)
        same = tuple(c for c in near if c.facts.space == lookup.space)
        exact = self._engine.memory.facts(lookup.entry) or next(
            (c.facts for c in same if (c.facts.text, c.facts.chain) == (query.text, query.chain)),
            None,
        )
        plan = decide.plan(query, rules)
        found = Found(lookup.entry, lookup.space, lookup.category, exact=exact, near=same)
        learned = self._engine.learned
        verdict = decide.choose(query, found, Snapshot(time.time(), rules, learned=learned))
        wall = plan.reason if isinstance(plan, Bypass) else plan.semantic
        if wall is not None and exact is None:
            verdict = Forward(wall, verdict.category, verdict.cut)
        said = _told(query, verdict, guess, near, same, as_asked, rules)
        bound = verdict.category.threshold.max_false_hits
        if verdict.study is not None:
            said["weighed"] = weighed(verdict.study)
        if bound is not None and learned is not None:
            said["standing"] = standing(learned.standing(bound, rules.audits))
        return said

    def _placed(
        self, question: Question, near: list[Candidate], guess: Guess | None, rules: Rules
    ) -> tuple[Query, Lookup, bool]:
        """The query where it would be looked up, and whether exactly this request was seen."""
        known = {c.facts.space: c.facts for c in reversed(near)}  # the nearest of each
        for query in self._readings(question, near):
            lookup = decide.scope(query, _category(query, guess, rules), rules)
            if lookup.space in known:
                return _retold(query, question, known[lookup.space]), lookup, True
        home = next((c.facts for c in near if question.model in ("", c.facts.model)), None)
        query = _beside(question, home)
        category = _category(query, guess, rules)
        lookup = decide.scope(query, category, rules)
        if home is not None:
            lookup = Lookup(lookup.entry, home.space, category, lookup.semantic)
        return query, lookup, False

    def _readings(self, question: Question, near: list[Candidate]) -> Iterator[Query]:
        """The request with nothing but what was given, for each who may have asked it before."""
        messages = [{"role": "system", "content": question.system}] if question.system else []
        messages += [{"role": role, "content": said} for role, said in question.history]
        messages.append({"role": "user", "content": question.prompt})
        if question.credential:
            owners = [self._identity.owners(question.credential.encode(), question.user)]
        else:
            owners = [Owners(key=key) for key in dict.fromkeys(c.facts.owner for c in near)]
        models = [question.model] if question.model else dict.fromkeys(c.facts.model for c in near)
        for model in models:
            for owner in owners:
                for upstream in self._upstreams:
                    frame = Frame(
                        owner,
                        upstream,
                        headers=shape(b"", []),
                        directives=Directives(category=question.category),
                    )
                    body = {"model": model, "messages": messages}
                    yield DIALECTS[0].read(body, frame)


def _beside(question: Question, home: Facts | None) -> Query:
    """The question as it would come from whoever asked `home`."""
    query = Query(
        dialect=home.dialect if home else DIALECTS[0].name,
        upstream="",
        model=question.model,
        owners=Owners(key=home.owner if home else "", user=question.user),
        fingerprint=b"",
        chain="as given" if question.history else "",
        text=question.prompt,
        before=tuple(
            answered(text) if role == ASSISTANT else Turn(role, text=text)
            for role, text in question.history
        ),
        directives=Directives(category=question.category),
    )
    return _retold(query, question, home)


def _retold(query: Query, question: Question, home: Facts | None) -> Query:
    """With what the assistant said between the users' turns, where only those are given.

    It is taken to be what was said in the conversation of `home`.
    """
    said = [text for role, text in question.history if role == USER]
    if home is None or not said or len(said) < len(question.history):
        return query
    if users(home.before) != len(said):
        return query
    words = iter(said)
    before = tuple(replace(t, text=next(words)) if t.role == USER else t for t in home.before)
    return replace(query, before=before, chain=home.chain if before == home.before else query.chain)


def _category(query: Query, guess: Guess | None, rules: Rules) -> CategoryRules:
    named = categories.declared(query, rules)
    if named is None and guess is not None and guess.name is not None:
        named = rules.named(guess.name)
    return named or rules.defaults


def _told(
    query: Query,
    verdict: Serve | Forward,
    guess: Guess | None,
    near: list[Candidate],
    same: tuple[Candidate, ...],
    as_asked: bool,
    rules: Rules,
) -> dict[str, Any]:
    reason = verdict.reason
    served = verdict.candidate if isinstance(verdict, Serve) else None
    nearest = served or (verdict.nearest if isinstance(verdict, Forward) else None)
    return {
        "outcome": outcome(reason).value,
        "reason": reason.value,
        "category": verdict.category.name,
        "similarity": None if nearest is None else round(nearest.score, 4),
        "cut": verdict.cut,
        "entry": "" if served is None else served.facts.entry,
        "steps": [
            {"name": name, "text": said}
            for name, said in _steps(query, verdict, guess, near, as_asked, rules)
        ],
        "candidates": [_candidate(c, verdict, same) for c in near],
        "policy": rules.version,
    }


def _loosened(category: CategoryRules, load: LoadRules, level: float) -> str:
    said = f"{load.signal.value} is at {level:.1f} of the way from low to high: "
    if category.strict:
        return said + "nothing moves, the category is strict"
    learned = category.threshold.max_false_hits or category.threshold.delta
    drop = "the threshold stays as learned"
    if learned is None:
        drop = f"the threshold is up to {level * load.max_threshold_drop:.3f} lower"
    longer = 1 + level * (load.max_ttl_factor - 1)
    return f"{said}{drop}, answers are kept up to {longer:.1f} times as long"


def _candidate(
    c: Candidate, verdict: Serve | Forward, same: tuple[Candidate, ...]
) -> dict[str, Any]:
    refusal = next((r for r in verdict.refused if r.candidate is c), None)
    reason, seen = "", ""
    if isinstance(verdict, Serve) and verdict.candidate.facts.entry == c.facts.entry:
        reason = verdict.reason.value
    elif refusal is not None:
        reason, seen = refusal.reason.value, refusal.seen
    elif c not in same:
        seen = "kept for another caller, model, system prompt or setting"
    return {
        "entry": c.facts.entry,
        "text": c.facts.text,
        "model": c.facts.model,
        "category": c.facts.category,
        "score": round(c.score, 4),
        "reason": reason,
        "seen": seen,
    }


def _cut(verdict: Serve | Forward) -> str:
    """What a neighbour must be like under the threshold policy in force."""
    bound, study = verdict.category.threshold.max_false_hits, verdict.study
    if bound is None or study is None or study.risk is None:
        return f"a neighbour must reach {verdict.cut:.3f}"
    said = f"at most {bound:.1%} of hits may be wrong; here the risk is {study.risk:.2%}"
    return f"{said}: {study.seen}" if not study.would else said


def _steps(
    query: Query,
    verdict: Serve | Forward,
    guess: Guess | None,
    near: list[Candidate],
    as_asked: bool,
    rules: Rules,
) -> Iterator[tuple[str, str]]:
    yield "text", f"compared as: {text.normalise(query.text)}"
    category = verdict.category.name
    if guess is not None:
        category += f"; nearest examples {guess.best} {guess.score:.3f}"
        category += f", then {guess.runner_up or 'none'} {guess.runner_up_score:.3f}"
        category += f" ({guess.doubt})" if guess.doubt else ""
    yield "category", category
    if rules.load is not None and rules.level:
        yield "load", _loosened(verdict.category, rules.load, rules.level)
    yield "cut", _cut(verdict)
    if as_asked:
        yield "space", "a request with just this model, system prompt and history was seen before"
    elif near:
        yield "space", "judged with the settings of the nearest remembered request"
    for refusal in verdict.refused:
        prompt = refusal.candidate.facts.text[:80]
        yield "refused", f"{refusal.reason.value}: {prompt!r} {refusal.seen}"
    word = "served" if isinstance(verdict, Serve) else "asked upstream"
    yield "verdict", f"{word}: {verdict.reason.value}"
