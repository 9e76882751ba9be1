"""Two conversations share an answer only where the category's rule says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies import context
from policies.context import ASSISTANT, KEPT_TEXT, KEPT_TURNS, USER, answered
from policies.values import (
    Candidate,
    CategoryRules,
    ContextMode,
    ContextRules,
    Facts,
    Owners,
    Query,
    Threshold,
    Turn,
)

GUARDS = ("numbers", "negation", "entities", "units", "order")
OPENAI, APPLE = "Who is the CEO of OpenAI?", "Who is the CEO of Apple?"
LONG = (
    "Sam Altman has been the chief executive officer of OpenAI since the year 2019, with a break."
)
SHORT = "Sam Altman."
QUERY = Query("chat", "u", "m", Owners("k"), b"f", "", "How old is he?")
FACTS = Facts("e" * 32, "s", "k", "default", "chat", "m", "", "How old is he?", 0, 1, 1, 1)
MEANING = ContextRules()
RULE = CategoryRules("default", Threshold(0.95), 60, guards=GUARDS)


def user(text: str, rest: str = "") -> Turn:
    return Turn(USER, rest, text)


def difference(
    asked: tuple[Turn, ...],
    remembered: tuple[Turn, ...],
    scores: tuple[float, ...] = (),
    rules: ContextRules = MEANING,
) -> str | None:
    """What the rule says of two conversations, whose digests are equal where their turns are."""
    ours, theirs = (repr(turns) if turns else "" for turns in (asked, remembered))
    query = replace(QUERY, chain=ours, before=asked)
    candidate = Candidate(replace(FACTS, chain=theirs, before=remembered), 0.99, scores)
    return context.difference(query, candidate, replace(RULE, context=rules))


@pytest.mark.parametrize("mode", [ContextMode.EXACT, ContextMode.MEANING])
@pytest.mark.parametrize(
    ("asked", "remembered", "same"),
    [
        ("", "", True),
        ("c1", "c1", True),
        ("c1", "c2", False),
        ("c1", "", False),
        ("", "c1", False),
    ],
)
def test_other_conversations_do_not_meet(
    mode: ContextMode, asked: str, remembered: str, *, same: bool
) -> None:
    """Where only digests are known, they decide; standalone questions and follow-ups never meet."""
    query, facts = replace(QUERY, chain=asked), replace(FACTS, chain=remembered)
    rule = replace(RULE, context=ContextRules(mode))
    assert (context.difference(query, Candidate(facts, 1.0), rule) is None) is same


@pytest.mark.parametrize(("asked", "remembered"), [("", ""), ("c1", "c2"), ("c1", ""), ("", "c1")])
def test_off_compares_nothing(asked: str, remembered: str) -> None:
    """With `context: off` what came before does not matter."""
    query, facts = replace(QUERY, chain=asked), replace(FACTS, chain=remembered)
    rule = replace(RULE, context=ContextRules(ContextMode.OFF))
    assert context.difference(query, Candidate(facts, 1.0), rule) is None


TELL, WHO = user("Tell me about OpenAI's boss"), user("Who is OpenAI's boss?")
SAID, SAID_SHORT, OTHER = answered(LONG), answered(SHORT), answered("Nobody knows.")

ALIKE = {
    "as like as the cut": ((TELL, SAID_SHORT), (WHO, SAID_SHORT), (0.85, 1.0)),
    "no answers sent": ((TELL,), (WHO,), (0.9,)),
    "a long answer in common": ((TELL, SAID), (WHO, SAID), (0.75, 1.0)),
    "two answers of one group": ((TELL, SAID), (WHO, OTHER), (0.85, 1.0)),
    "several turns": (
        (TELL, SAID, user("And before that?"), OTHER),
        (WHO, SAID, user("And earlier?"), OTHER),
        (0.8, 1.0, 0.9, 1.0),
    ),
}
APART = {
    "further than the cut": ((TELL, SAID_SHORT), (WHO, SAID_SHORT), (0.84, 1.0), "turn 1: 0.84"),
    "further even for a long answer": ((TELL, SAID), (WHO, SAID), (0.74, 1.0), "turn 1: 0.74"),
    "a group is no common answer": ((TELL, SAID), (WHO, OTHER), (0.84, 1.0), "0.84 < 0.85"),
    "another answer": ((TELL, SAID), (WHO, OTHER), (0.99, 0.0), "turn 2: the assistant"),
    "another name": ((user(OPENAI),), (user(APPLE),), (0.97,), "turn 1: guard-entities"),
    "another number": ((user("I am 30"),), (user("I am 40"),), (0.97,), "turn 1: guard-numbers"),
    "a later turn": (
        (TELL, SAID, user("And before that?"), OTHER),
        (WHO, SAID, user("And after that?"), OTHER),
        (0.9, 1.0, 0.4, 1.0),
        "turn 3: 0.40 < 0.85: 'And before that?' against 'And after that?'",
    ),
    "more turns": ((TELL, SAID, TELL), (WHO,), (), "user assistant user came before, not user"),
    "other speakers": ((TELL, TELL), (WHO, SAID), (), "not user assistant"),
    "more than words": ((user("a", "x"),), (user("a", "y"),), (1.0,), "something else than words"),
    "never compared": ((TELL,), (WHO,), (), "not compared"),
    "no number": ((TELL,), (WHO,), (float("nan"),), "turn 1: nan"),
}


@pytest.mark.parametrize("case", ALIKE)
def test_what_means_the_same(case: str) -> None:
    """Users' turns at or above the cut, no guard against them, and the answers the same."""
    assert difference(*ALIKE[case]) is None


@pytest.mark.parametrize("case", APART)
def test_what_sets_conversations_apart(case: str) -> None:
    """The first turn that differs is named, with what was seen."""
    asked, remembered, scores, seen = APART[case]
    said = difference(asked, remembered, scores)
    assert said is not None
    assert seen in said


@pytest.mark.parametrize("case", ALIKE)
def test_exact_takes_no_meaning(case: str) -> None:
    """With `context: exact` nothing but equal turns will do."""
    assert difference(*ALIKE[case], ContextRules(ContextMode.EXACT)) is not None


@pytest.mark.parametrize(("most", "same"), [(1, False), (2, True), (0, False)])
def test_long_conversations_are_exact(most: int, *, same: bool) -> None:
    """Beyond `max_turns` user turns only equal ones match, and equal ones always do."""
    asked, remembered, scores = ALIKE["several turns"]
    rules = ContextRules(max_turns=most)
    assert (difference(asked, remembered, scores, rules) is None) is same
    assert difference(asked, asked, (), rules) is None


def test_guards_of_the_category_rule() -> None:
    """A category without the guard lets two names through."""
    asked, remembered, scores, _ = APART["another name"]
    query = replace(QUERY, chain="a", before=asked)
    candidate = Candidate(replace(FACTS, chain="b", before=remembered), 0.99, scores)
    assert context.difference(query, candidate, replace(RULE, guards=())) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("Yes.", " Yes.\n", True), ("Yes.", "Yes", False), ("Yes.", "No.", False)],
)
def test_an_answer_is_known_again(one: str, other: str, *, same: bool) -> None:
    """By its text, whatever white space a client leaves around it."""
    assert (answered(one) == answered(other)) is same
    assert (answered(one).role, answered(one).length) == (ASSISTANT, len(one))


@pytest.mark.parametrize(
    ("turns", "whole"),
    [
        ((), True),
        ((TELL,) * KEPT_TURNS, True),
        ((TELL,) * (KEPT_TURNS + 1), False),
        ((user("x" * KEPT_TEXT),), True),
        ((user("x" * KEPT_TEXT), user("y")), False),
    ],
)
def test_an_entry_keeps_short_conversations_only(turns: tuple[Turn, ...], *, whole: bool) -> None:
    """What is longer is kept as its digest alone, and so matched exactly."""
    assert context.kept(turns) == (turns if whole else ())
