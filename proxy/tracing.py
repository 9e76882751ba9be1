"""All that is known of one decision: candidates, context, answers, and what was said of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from admin_ui.facts import Evidence, Judged, Kept, Refused, Said
from policies.verdicts import Outcome
from proxy.dialects.listing import DIALECTS
from proxy.judging import said

if TYPE_CHECKING:
    from index.journal import Journal
    from index.memory import Memory
    from policies.record import Decision
    from policies.values import ContextRules, Facts
    from proxy.engine import Engine

# Characters of an answer that are shown.
ANSWER_SHOWN = 64_000
_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


async def trace(row: Decision, engine: Engine) -> Evidence:
    """Raises `StoreError` where the journal cannot say."""
    memory, journal = engine.memory, engine.journal
    told = _weighed(row)
    rule = engine.rules.named(row.category) or engine.rules.defaults
    near = row.would or row.neighbour
    until = _until(row)
    return Evidence(
        request=f"{row.id:016x}",
        refused=tuple(_refused(one, memory) for one in told.get("refused", ())),
        turns=tuple(told.get("turns", ())),
        served=await kept(memory, row.entry, until) if row.entry else None,
        nearest=await kept(memory, near, row.at) if near and near != row.entry else None,
        verdict=await _verdict(row.id, journal),
        judged=await _judged(row.id, journal),
        guards=rule.guards,
        context=context(rule.context),
    )


def _until(row: Decision) -> float:
    """When the answer of a decision was stored at the latest."""
    remembered = row.outcome in (Outcome.HIT, Outcome.STALE)
    return row.at if remembered else row.at + row.ms / 1000 + 1.0


def context(rule: ContextRules) -> str:
    return f"{rule.mode.value}, {rule.threshold:g}, {rule.max_turns} turns"


def _weighed(row: Decision) -> dict[str, Any]:
    told = orjson.loads(row.evidence) if row.evidence else {}
    return told if isinstance(told, dict) else {}


def _refused(one: dict[str, Any], memory: Memory) -> Refused:
    facts = memory.facts(one["entry"])
    return Refused(
        one["entry"],
        one["score"],
        one["reason"],
        one["seen"],
        tuple(one["turns"]),
        "" if facts is None else facts.text,
    )


async def kept(memory: Memory, entry: str, until: float) -> Kept:
    """An entry as it stands now; `until` bounds when the answer that is meant was stored."""
    facts = memory.facts(entry)
    record = None if facts is None else await memory.read(facts)
    if record is None:
        return Kept(entry, "gone")
    now = record.facts
    answer = await asyncio.to_thread(spoken, now, record.body)
    return Kept(
        entry,
        "stored" if now.stored <= until else "replaced",
        now.text,
        None if answer is None else answer[:ANSWER_SHOWN],
        answer is not None and len(answer) > ANSWER_SHOWN,
        now.flagged,
        now.stored,
        now.expires,
    )


def spoken(facts: Facts, body: bytes) -> str | None:
    """A stored answer's text; None where it has none."""
    dialect = _BY_NAME.get(facts.dialect)
    return None if dialect is None else said(dialect, body, streamed=facts.streamed)


async def _verdict(number: int, journal: Journal) -> Said | None:
    verdict = await journal.ruled(number)
    return None if verdict is None else Said(verdict.at, verdict.good, verdict.note)


async def _judged(number: int, journal: Journal) -> tuple[Judged, ...]:
    rows = await journal.labelled(number)
    return tuple(Judged(r.at, r.neighbour, r.similarity, r.same, r.judge) for r in rows)
