"""Each guard against its own file of cases: what it must stop and what it must let through."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.guards import GUARDS, STUDIED, Veto, study, veto
from policies.verdicts import Reason

CASES = Path(__file__).parent.parent / "golden" / "guards"


def _cases(name: str) -> list[tuple[str, str, str]]:
    lines = (CASES / f"{name}.case").read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [(verdict, a, b) for verdict, a, b in rows]


def _params(verdict: str) -> list[tuple[str, str, str]]:
    return [(name, a, b) for name in GUARDS for v, a, b in _cases(name) if v == verdict]


@pytest.mark.parametrize(("name", "a", "b"), _params("stop"))
def test_stops_what_it_must(name: str, a: str, b: str) -> None:
    """Each guard vetoes its `stop` cases, whichever prompt came first, and says what it saw."""
    for seen in (GUARDS[name](a, b), GUARDS[name](b, a)):
        assert seen is not None
        assert seen.reason == Reason(f"guard-{name}")
        assert " against " in seen.seen or "one side" in seen.seen


@pytest.mark.parametrize(("name", "a", "b"), _params("pass"))
def test_lets_through_what_it_must(name: str, a: str, b: str) -> None:
    """Each guard is silent on its `pass` cases, whichever prompt came first."""
    assert GUARDS[name](a, b) is None
    assert GUARDS[name](b, a) is None


@pytest.mark.parametrize(("a", "b"), [(a, b) for _, a, b in _cases("paraphrases")])
def test_plain_paraphrases_pass_all_guards(a: str, b: str) -> None:
    """Two ways of asking one thing are stopped by no guard."""
    assert veto(a, b, GUARDS) is None


@pytest.mark.parametrize("name", GUARDS)
def test_a_text_never_differs_from_itself(name: str) -> None:
    """Every guard lets every text of its cases stand in for itself."""
    for _, a, b in _cases(name):
        assert GUARDS[name](a, a) is None
        assert GUARDS[name](b, b) is None


def test_a_question_turned_over_in_itself_is_no_veto() -> None:
    """A text that holds both directions, or both sides of a class, is still itself."""
    for text in ("Go from Oslo to Bergen and from Bergen to Oslo", "Turn it on, then turn it off"):
        for guard in GUARDS.values():
            assert guard(text, text) is None


@pytest.mark.parametrize("name", GUARDS)
def test_studied_texts_are_judged_as_unread_ones(name: str) -> None:
    """Reading ahead changes nothing of a verdict, long texts included."""
    for verdict, a, b in _cases(name):
        study(a)
        assert (GUARDS[name](a, b) is not None) is (verdict == "stop")
    study("word " * STUDIED)


def test_names_are_the_policys_and_match_the_reasons() -> None:
    """The registry holds exactly the guards that the contract names."""
    assert list(GUARDS) == ["numbers", "negation", "entities", "units", "order"]


def test_the_first_named_guard_speaks() -> None:
    """Guards run in the order given, and only those that are given."""
    a, b = "Turn on 2 lamps", "Turn off 3 lamps"
    assert veto(a, b, ("numbers", "negation")) == Veto(Reason.GUARD_NUMBERS, "2 against 3")
    assert veto(a, b, ("negation", "numbers")) == Veto(Reason.GUARD_NEGATION, '"on" against "off"')
    assert veto(a, b, ("order",)) is None
    assert veto(a, b, ()) is None


def test_an_unknown_guard_is_refused() -> None:
    """A name that is no guard raises rather than passing in silence."""
    with pytest.raises(KeyError):
        veto("a", "b", ("numbrs",))


@pytest.mark.parametrize(
    "text",
    ["", " ", "?!", "🙂", "\u200b", "1" * 9000, "a" * 9000, "1/" * 4000, "((((`'\"", "-", "$"],
)
def test_odd_texts_do_not_break_a_guard(text: str) -> None:
    """Empty, endless and garbled texts give an answer, not an exception."""
    for guard in GUARDS.values():
        guard(text, "What is 2+2?")
        guard("What is 2+2?", text)
        assert guard(text, text) is None
