"""The conversation before the last turn: whether two of them may share an answer.

A chain is the digest of the earlier turns, in order; the empty chain is a standalone question. Two
chains that differ may still mean the same: as many turns by the same speakers, what the users said
alike in meaning with no guard against it, what the assistant said the same. How alike texts are
comes in with the candidate; turning messages into turns is the dialects' work.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from policies import guards
from policies.values import ContextMode, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.values import Candidate, CategoryRules, Query

USER = "user"
ASSISTANT = "assistant"
# What an entry keeps of a conversation at most; a longer one is matched exactly only.
KEPT_TURNS = 32
KEPT_TEXT = 4_000
# An answer of this many characters that both conversations hold says that they are about the same
# thing: then the question before it may be worded this much less alike.
TELLING = 80
ALLOWANCE = 0.10
_SHOWN = 60


def answered(text: str) -> Turn:
    """The turn in which an assistant said just this."""
    said = text.strip()
    digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Turn(ASSISTANT, digest, length=len(said))


def kept(before: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns as an entry keeps them: none of a conversation that is too long for it."""
    short = len(before) <= KEPT_TURNS and sum(len(turn.text) for turn in before) <= KEPT_TEXT
    return tuple(before) if short else ()


def alike(asked: Sequence[Turn], remembered: Sequence[Turn], most: int) -> bool:
    """Whether two conversations have the same shape, so that their texts are worth comparing.

    Neither holds more than `most` turns of the user.
    """
    return (
        bool(asked)
        and [turn.role for turn in asked] == [turn.role for turn in remembered]
        and users(asked) <= most
    )


def users(turns: Sequence[Turn]) -> int:
    return sum(turn.role == USER for turn in turns)


def difference(query: Query, candidate: Candidate, category: CategoryRules) -> str | None:
    """What sets two conversations apart; None where they may share an answer."""
    rules, facts = category.context, candidate.facts
    if rules.mode is ContextMode.OFF or query.chain == facts.chain:
        return None
    if not (query.chain and facts.chain):
        which = "a follow-up" if query.chain else "no follow-up, but the entry is one"
        return f"another conversation came before: this is {which}"
    asked, remembered = query.before, facts.before
    if rules.mode is ContextMode.EXACT or not (asked and remembered):
        return "another conversation came before"
    if not alike(asked, remembered, rules.max_turns):
        return _shapes(asked, remembered, rules.max_turns)
    if len(candidate.turns) != len(asked):
        return "another conversation came before, not compared by meaning"
    return _first_difference(asked, candidate, category)


def _shapes(asked: Sequence[Turn], remembered: Sequence[Turn], most: int) -> str:
    if users(asked) > most:
        return f"{users(asked)} user turns came before; beyond {most} only equal ones match"
    return f"{_speakers(asked)} came before, not {_speakers(remembered)}"


def _speakers(turns: Sequence[Turn]) -> str:
    return " ".join(turn.role for turn in turns[:8]) + (" ..." if len(turns) > 8 else "")  # noqa: PLR2004


def _first_difference(
    asked: Sequence[Turn], candidate: Candidate, category: CategoryRules
) -> str | None:
    remembered, cut = candidate.facts.before, category.context.threshold
    told = [a == b and a.length >= TELLING for a, b in zip(asked, remembered, strict=True)]
    for n, (ours, theirs, score) in enumerate(zip(asked, remembered, candidate.turns, strict=True)):
        enough = cut - ALLOWANCE if any(told[n + 1 : n + 2]) else cut
        said = _turns(ours, theirs, score, enough, category.guards)
        if said is not None:
            return f"turn {n + 1}: {said}"
    return None


def _turns(ours: Turn, theirs: Turn, score: float, cut: float, names: Sequence[str]) -> str | None:
    if ours.role != USER:
        return None if score >= 1 else "the assistant said something else"
    if ours.rest != theirs.rest:
        return "the user sent something else than words"
    if not score >= cut:  # so that what is no number is no match
        seen = f"{ours.text[:_SHOWN]!r} against {theirs.text[:_SHOWN]!r}"
        return f"{score:.2f} < {cut:.2f}: {seen}"
    veto = guards.veto(ours.text, theirs.text, names)
    return None if veto is None else f"{veto.reason}: {veto.seen}"
