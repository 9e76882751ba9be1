"""The rules by which all scenarios count."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.demo.oracle import prove, tenant
from tests.chaos.load import KEY, Answer, Ledger, Question
from tests.chaos.outcome import Outcome
from tests.chaos.purging import Purge, stale
from tests.proxy.house import body

GOOD = {"requests": 9, "errors": 0, "wrong": 0, "recovered": True}
EXACT = {"x-cache": "HIT", "x-likewise-match": "exact"}
SEMANTIC = {"x-cache": "HIT", "x-likewise-match": "semantic"}


@pytest.mark.parametrize(
    ("rest", "faults"),
    [
        ({}, []),
        ({"lost": 0, "added_ms": 99.9}, []),
        ({"errors": 2}, ["2 client errors"]),
        ({"wrong": 1}, ["1 wrong answers"]),
        ({"lost": 3}, ["3 acknowledged answers lost"]),
        ({"added_ms": 150.2}, ["150 ms added at p99, 100 allowed"]),
        ({"ratio": 2.0}, []),
        ({"ratio": 2.25}, ["p99 is 2.2 times the calm one, 2.0 allowed"]),
        ({"late": ("after 9 s",), "told": ("9 s",)}, ["after 9 s"]),
        ({"recovered": False}, ["no recovery"]),
        ({"notes": ("integrity_check: page 3",)}, ["integrity_check: page 3"]),
    ],
)
def test_every_bound_is_held_to(rest: dict[str, Any], faults: list[str]) -> None:
    """Each bound, when broken, is named with its figure."""
    outcome = Outcome(**(GOOD | rest))
    assert outcome.broken() == faults
    untimed = [] if {"added_ms", "ratio", "late"} & rest.keys() else faults
    assert outcome.broken(timed=False) == untimed


@pytest.mark.parametrize(
    ("made_for", "headers", "right"),
    [
        ("a?", {}, True),
        ("b?", {}, False),
        ("a?", EXACT, True),
        ("b?", EXACT, False),
        ("b?", SEMANTIC, True),
        ("c?", SEMANTIC, False),
    ],
)
def test_a_wrong_answer_is_recognised(made_for: str, headers: dict[str, str], right: bool) -> None:
    """Only a hit by meaning may bring another prompt's answer, and only of one that is alike."""
    text = prove(tenant(KEY), body(made_for), seq=1)
    asked = Question("a?", alike=frozenset({"a?", "b?"}))
    assert answer(asked, text=text, headers=headers).right is right


@pytest.mark.parametrize("text", ["", "{}", "[]", prove(tenant("other"), body("a?"), 1)])
def test_what_is_no_answer_of_the_upstream_is_wrong(text: str) -> None:
    """An empty, made-up or foreign answer is wrong, and breaks nothing."""
    assert not answer(Question("a?"), text=text).right


@pytest.mark.parametrize(
    ("status", "fault", "ended", "counted"),
    [
        (200, "", 1.5, 0),
        (500, "", 1.5, 1),
        (502, "", 2.5, 1),
        (0, "lost", 1.9, 1),
        (0, "lost", 2.1, 0),
    ],
)
def test_a_kill_excuses_only_lost_connections(
    status: int, fault: str, ended: float, counted: int
) -> None:
    """What a client loses is an error, unless its proxy was down meanwhile."""
    ledger = Ledger()
    ledger.take(answer(Question("a?"), status=status, fault=fault, ended=ended))
    assert len(ledger.errors(down=[(2.0, 3.0)])) == counted


def test_only_what_was_said_to_be_stored_is_owed() -> None:
    """An acknowledgement counts from its first time on; a miss without one promises nothing."""
    ledger = Ledger()
    stored = {"cache-status": "likewise; fwd=miss; stored; detail=empty"}
    ledger.take(answer(Question("plain?")))
    ledger.take(answer(Question("stored?"), headers=stored, ended=2.0))
    ledger.take(answer(Question("stored?"), headers=stored, ended=8.0))
    ledger.take(answer(Question("later?"), headers=stored, ended=5.0))
    assert [question.prompt for question in ledger.acknowledged(5.0)] == ["stored?"]


@pytest.mark.parametrize(
    ("prompt", "begun", "number", "old"),
    [
        ("a?", 11.0, 7, True),
        ("a?", 11.0, 8, False),
        ("a?", 9.0, 7, False),
        ("b?", 11.0, 7, False),
    ],
)
def test_a_purged_answer_is_recognised(prompt: str, begun: float, number: int, old: bool) -> None:
    """Old is what was made before a purge was sent and asked for after it was acknowledged."""
    purge = Purge("a?", mark=7, done=10.0, removed=1)
    asked = answer(Question(prompt), begun=begun, text=orjson.dumps({"seq": number}).decode())
    assert bool(stale([asked], [purge])) is old


def answer(question: Question, **rest: Any) -> Answer:
    plain: dict[str, Any] = {"due": 1.0, "begun": 1.0, "ended": 2.0, "status": 200}
    return Answer(question, **(plain | rest))
