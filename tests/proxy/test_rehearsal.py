"""Requests through the decision core alone: what is kept, found, served and learned."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders.hashing import HashingEmbedder
from policies import text
from policies.category import Centroids
from policies.config import read_policy
from policies.context import answered
from policies.document import read
from policies.lessons import Prior
from policies.values import Owners, Query, Rules, Turn
from policies.verdicts import Reason
from proxy.rehearsal import Asked, Rehearsal, Told

if TYPE_CHECKING:
    from index.ports import Embedded

ENCODER = HashingEmbedder()
FIXED = "audits: 0%, defaults: {threshold: 0.6, ttl: 1h, stale_while_revalidate: 10m}"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
DAY = 86_400.0


def embed(prompt: str) -> Embedded:
    return ENCODER.embed(text.normalise(prompt))


def policy(written: str) -> Rules:
    return read_policy(read(f"policy: {{{written}}}", "test"))


def rehearsal(written: str = FIXED) -> Rehearsal:
    none = Centroids((), np.zeros((0, 1), np.float32))
    return Rehearsal(
        policy(written), ENCODER.dimension, operator.eq, Prior(), none, embed=embed
    )  # fmt: skip


def asked(prompt: str, answer: str = "air", at: float = 0.0, category: str | None = None) -> Asked:
    return Asked(prompt, answer, embed(prompt).vector, at, category)


def outcome(told: Told) -> tuple[Reason, str | None, Reason | None]:
    return told.reason, told.served, told.match


def test_it_fills_as_it_is_asked() -> None:
    """Upstream's answer first, then the remembered one: by meaning, and exactly."""
    cache = rehearsal()
    assert outcome(cache.ask(asked(SKY))) == (Reason.EMPTY, None, None)
    told = cache.ask(asked(SKY_AGAIN, "other"))
    assert outcome(told) == (Reason.SEMANTIC, "air", Reason.SEMANTIC)
    assert (told.similarity, told.matched) == (1.0, SKY)
    assert outcome(cache.ask(asked(SKY))) == (Reason.EXACT, "air", Reason.EXACT)
    assert told.seconds > 0


def test_clear_forgets_entries() -> None:
    """What was learned stays: that is not of an entry."""
    cache = rehearsal("mode: shadow, defaults: {threshold: {max_false_hits: 2%, start: 0.6}}")
    for n in range(60):
        cache.ask(asked(f"{SKY} {'x' * n}"))
    before = cache.lessons
    assert before.labels
    cache.clear()
    assert cache.ask(asked(SKY)).reason is Reason.EMPTY
    assert cache.lessons is before


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (3_599, (Reason.SEMANTIC, "air", Reason.SEMANTIC)),
        (3_601, (Reason.STALE_WHILE_REVALIDATE, "air", Reason.SEMANTIC)),
        (3_600 + 601, (Reason.EXPIRED, None, None)),
        (3_600 + DAY + 1, (Reason.EMPTY, None, None)),
    ],
)
def test_answers_age(at: float, expected: tuple[Reason, str | None, Reason | None]) -> None:
    """Fresh for an hour, stale while another is fetched for ten minutes more, gone after a day."""
    cache = rehearsal()
    cache.ask(asked(SKY))
    assert outcome(cache.ask(asked(SKY_AGAIN, "new air", at))) == expected
    # In every case but the first upstream was asked, and what it said is served from now on.
    again = cache.ask(asked("WHY is the sky blue", "x", at + 1))
    assert again.served == ("air" if at < 3_600 else "new air")


def test_a_pinned_category_rules() -> None:
    """As a request's header does; a name that the policy does not know rules nothing."""
    cache = rehearsal("audits: 0%, defaults: {threshold: 0.6}, categories: {off: {cache: false}}")
    assert cache.ask(asked(SKY, category="off")).reason is Reason.CATEGORY_OFF
    assert cache.ask(asked(SKY, category="unheard")).category == "default"


def test_what_the_encoder_cannot_read_is_matched_exactly() -> None:
    """It is neither found by meaning nor finds anything."""
    cache = rehearsal()
    cache.ask(replace(asked(SKY), fault=Reason.TRUNCATED))
    assert cache.ask(asked(SKY_AGAIN)).reason is Reason.EMPTY
    assert cache.ask(replace(asked("WHY is the sky blue"), fault=Reason.LANGUAGE)).reason is (
        Reason.LANGUAGE
    )
    assert cache.ask(replace(asked(SKY), fault=Reason.TRUNCATED)).reason is Reason.EXACT


def follow_up(before: str, said: str, prompt: str, answer: str = "air") -> Asked:
    """A request behind one exchange."""
    query = Query(
        dialect="chat",
        upstream="u",
        model="m",
        owners=Owners("k"),
        fingerprint=b"",
        chain=f"{before}|{said}",
        text=prompt,
        before=(Turn("user", text=before), answered(said)),
    )
    return replace(asked(prompt, answer), query=query)


@pytest.mark.parametrize(
    ("before", "said", "reason"),
    [
        ("what colour has the SKY", "Blue.", Reason.SEMANTIC),
        ("what colour has the SKY", "Red.", Reason.OTHER_CONTEXT),
        ("How do I bake bread?", "Blue.", Reason.OTHER_CONTEXT),
    ],
)
def test_conversations_are_compared(before: str, said: str, reason: Reason) -> None:
    """The users' turns by meaning, the assistant's by what it said."""
    cache = rehearsal()
    cache.ask(follow_up("What colour has the sky?", "Blue.", "And why is that?"))
    assert cache.ask(follow_up(before, said, "and why is that")).reason is reason


def test_shadow_compares_what_it_withholds() -> None:
    """Nothing is served, and the judge's word is told."""
    cache = rehearsal()
    cache.rules = replace(cache.rules, shadow=True)
    cache.ask(asked(SKY))
    right, wrong = cache.ask(asked(SKY_AGAIN)), cache.ask(asked("WHY is the sky blue", "dust"))
    assert [(t.reason, t.served, t.compared) for t in (right, wrong)] == [
        (Reason.AUDIT, None, True),
        (Reason.AUDIT, None, False),
    ]


def test_an_entry_keeps_its_newest_labels() -> None:
    """64 of them, as in production."""
    cache = rehearsal("audits: 100%, defaults: {threshold: 0.6}")
    for n in range(80):
        cache.ask(asked(SKY, at=float(n)) if n == 0 else asked(f"{SKY}{'?' * n}", at=float(n)))
    assert max(len(facts.labels) for facts in cache._facts.values()) <= 64
