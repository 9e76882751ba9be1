"""What an exchange tells in its headers and leaves in the journal."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from policies.values import (
    Candidate,
    CategoryRules,
    Directives,
    Facts,
    Owners,
    Query,
    Rules,
    Threshold,
)
from policies.verdicts import Reason, Serve
from proxy.dialects.chat import Chat
from proxy.dialects.ports import Form
from proxy.exchange import Ask, Ready, Trail
from proxy.settings import bare_upstream

QUERY = Query("chat", "u", "gpt-4o-mini", Owners("k"), b"f", "", "my secret question")
RULES = Rules(CategoryRules("default", Threshold(0.95), 60.0))


def trail(query: Query = QUERY, **told: Any) -> Trail:
    upstream = bare_upstream("http://127.0.0.1:1/v1")
    ask = Ask(Chat(), query, Form(stream=False, usage=True), upstream, "/v1", b"{}", strict=False)
    made = Trail(ask, 0xABC, 1000.0)
    for name, value in told.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("reason", "stored", "status", "word"),
    [
        (Reason.EMPTY, True, "likewise; fwd=miss; stored; detail=empty", "MISS"),
        (Reason.BELOW_THRESHOLD, False, "likewise; fwd=miss; detail=below-threshold", "MISS"),
        (Reason.TOOLS, True, "likewise; fwd=bypass; stored; detail=tools", "BYPASS"),
        (Reason.WRITE_ONLY, True, "likewise; fwd=request; stored; detail=write-only", "BYPASS"),
        (Reason.EXPIRED, True, "likewise; fwd=stale; stored; detail=expired", "MISS"),
    ],
)
def test_forwarded_answers_say_why(reason: Reason, stored: bool, status: str, word: str) -> None:
    """Cache-Status follows RFC 9211, and the short word follows the outcome."""
    lines = dict(trail(reason=reason, category="default").headers(stored=stored))
    assert lines[b"cache-status"].decode() == status
    assert lines[b"x-cache"].decode() == word
    assert lines[b"x-likewise-request"] == b"0000000000000abc"
    assert b"x-likewise-similarity" not in lines


FACTS = Facts("e" * 32, "s", "o", "c", "chat", "m", "", "t", 900.0, 1060.0, 2000.0, 9, 7, 5)


@pytest.mark.parametrize(
    ("reason", "failed", "at", "status"),
    [
        (Reason.EXACT, 0, 1000.0, "likewise; hit; ttl=60; detail=exact"),
        (Reason.SEMANTIC, 0, 1000.0, "likewise; hit; ttl=60; detail=semantic"),
        (
            Reason.STALE_WHILE_REVALIDATE,
            0,
            1072.0,
            "likewise; hit; ttl=-12; detail=stale-while-revalidate",
        ),
        (
            Reason.STALE_IF_ERROR,
            503,
            1072.0,
            "likewise; fwd=stale; fwd-status=503; detail=stale-if-error",
        ),
        (Reason.STALE_IF_ERROR, 0, 1072.0, "likewise; fwd=stale; detail=stale-if-error"),
    ],
)
def test_remembered_answers_say_how_old_they_are(
    reason: Reason, failed: int, at: float, status: str
) -> None:
    """RFC 9211: a hit has the seconds that are left, and what stands in says for which failure."""
    category = RULES.defaults
    verdict = Serve(Candidate(FACTS, 1.0), reason, category, 0.9, match=Reason.SEMANTIC)
    ready = Ready.of(verdict, b"{}", stream=False)
    own = ready.own(reason, 1.0, FACTS, 0xABC, at, failed).decode()
    lines = dict(line.split(": ", 1) for line in own.splitlines())
    assert lines["cache-status"] == status
    assert lines["age"] == str(int(at - 900))
    fixed = dict(ready.lines)
    assert fixed[b"x-cache"] == (b"STALE" if reason.startswith("stale") else b"HIT")
    assert fixed[b"x-likewise-match"] == b"semantic"
    assert fixed[b"x-likewise-tokens-saved"] == b"12"


def test_who_took_anothers_answer_is_told() -> None:
    """`collapsed` stands beside the reason (RFC 9211 §2.5)."""
    lines = dict(trail(reason=Reason.EMPTY, collapsed=True).headers(stored=False))
    assert lines[b"cache-status"] == b"likewise; fwd=miss; collapsed; detail=empty"


def test_a_neighbour_s_similarity_is_told() -> None:
    """A miss that had a neighbour says how near it was, to three decimals."""
    lines = dict(trail(reason=Reason.GUARD_NUMBERS, similarity=0.98765).headers(stored=False))
    assert re.fullmatch(rb"0\.98[78]", lines[b"x-likewise-similarity"])


def test_what_must_not_be_stored_leaves_no_text() -> None:
    """`no-store` keeps prompt and neighbour out of the journal as well."""
    query = replace(QUERY, directives=Directives(no_store=True))
    row = trail(query, matched="another's question").decision(0.5)
    assert (row.prompt, row.matched, row.ms) == ("", "", 500.0)
    assert trail(matched="near").decision(0.5).prompt == "my secret question"


def test_what_a_caller_can_make_long_is_cut() -> None:
    """Model names and prompts have a bound in the journal."""
    row = trail(replace(QUERY, model="m" * 10_000, text="t" * 100_000)).decision(0.1)
    assert (len(row.model), len(row.prompt)) == (200, 4_000)


def test_a_plan_is_made_once_per_policy() -> None:
    """The same policy gives the same plan object; another one plans anew."""
    ask = trail().ask
    first = ask.plan(RULES)
    assert ask.plan(RULES) is first
    assert ask.settled_under(RULES)
    assert not ask.settled_under(replace(RULES, version="2"))
