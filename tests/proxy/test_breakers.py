"""Who is spared a call: after how many failures, for how long, and for whom."""

from __future__ import annotations

import logging

import pytest

from proxy.breakers import Breakers, Wait


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(clock)


def allowed(breakers: Breakers, model: str = "m", caller: str = "a", upstream: str = "up") -> bool:
    return breakers.ask(upstream, model, caller) is None


def fail(breakers: Breakers, times: int, *callers: str, model: str = "m") -> None:
    for number in range(times):
        caller = (callers or ("a", "b"))[number % len(callers or ("a", "b"))]
        breakers.answered("up", model, caller, 503, None)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_five_failures_in_a_row_open_a_circuit(breakers: Breakers, status: int) -> None:
    """The fifth of the statuses that say that upstream cannot answer, not the fourth."""
    for number in range(5):
        assert allowed(breakers)
        breakers.answered("up", "m", "ab"[number % 2], status, None)
    assert breakers.ask("up", "m", "a") == Wait(1.0)
    assert breakers.open == ["up"]
    assert breakers.spared == 1


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 499])
def test_any_answer_ends_a_run_of_failures(breakers: Breakers, status: int) -> None:
    """Whoever refuses a request can answer."""
    fail(breakers, 4)
    breakers.answered("up", "m", "a", status, None)
    fail(breakers, 4)
    assert allowed(breakers)


def test_an_open_circuit_lets_one_call_a_second_through(breakers: Breakers, clock: Clock) -> None:
    """Whatever becomes of the probe; of 60 s at 20 requests a second, at most 60 go through."""
    fail(breakers, 5)
    through = 0
    for _ in range(60 * 20):
        clock.now += 0.05
        through += allowed(breakers)
    assert through <= 60
    assert through >= 55


def test_an_answered_probe_closes_the_circuit(breakers: Breakers, clock: Clock) -> None:
    """The next call is made at once."""
    fail(breakers, 5)
    clock.now += 1.0
    assert allowed(breakers)
    breakers.answered("up", "m", "a", 200, None)
    assert allowed(breakers)
    assert allowed(breakers)
    assert breakers.open == []


def test_a_failed_probe_keeps_it_open(breakers: Breakers, clock: Clock) -> None:
    """And the wait that is told is until the next one."""
    fail(breakers, 5)
    clock.now += 1.0
    assert allowed(breakers)
    breakers.failed("up", "m", "a")
    clock.now += 0.25
    assert breakers.ask("up", "m", "a") == Wait(0.75)


def test_failures_of_a_model_leave_other_models_alone(breakers: Breakers) -> None:
    """So do those of another upstream."""
    fail(breakers, 9)
    assert not allowed(breakers)
    assert allowed(breakers, model="other")
    assert allowed(breakers, upstream="other")


def test_one_callers_failures_are_held_against_nobody_else(breakers: Breakers) -> None:
    """Prompts that break a model must not keep others from it; two who fail are proof enough."""
    fail(breakers, 9, "a")
    assert not allowed(breakers, caller="a")
    assert allowed(breakers, caller="b")
    breakers.failed("up", "m", "b")
    assert not allowed(breakers, caller="c")


def test_an_upstream_that_cannot_be_reached_is_spared_for_all(
    breakers: Breakers, clock: Clock
) -> None:
    """Every model and every caller; a connection alone ends it, before any answer."""
    for _ in range(5):
        breakers.unreached("up")
    assert breakers.failing("up")
    assert not allowed(breakers, model="any", caller="anybody")
    clock.now += 1.0
    assert allowed(breakers, model="any")
    assert not allowed(breakers, model="other")
    breakers.reached("up")
    assert allowed(breakers, model="other")
    assert not breakers.failing("up")


@pytest.mark.parametrize(
    ("status", "again", "waits"),
    [
        (429, 7.0, 7.0),
        (503, 7.0, 7.0),
        (529, 0.5, 0.5),
        (429, 3_600.0, 60.0),
        (429, None, None),
        (429, 0.0, None),
        (429, -5.0, None),
        (200, 7.0, None),
        (301, 7.0, None),
    ],
)
def test_who_is_told_to_wait_waits(
    breakers: Breakers, clock: Clock, status: int, again: float | None, waits: float | None
) -> None:
    """As long as upstream says, a minute at most; and then everything goes through."""
    breakers.answered("up", "m", "a", status, again)
    expected = None if waits is None else Wait(waits, status)
    assert breakers.ask("up", "m", "a") == expected
    clock.now += waits or 0.0
    assert allowed(breakers)
    assert allowed(breakers)


def test_only_the_key_that_was_told_waits(breakers: Breakers) -> None:
    """Limits are a key's own; and they are of one model."""
    breakers.answered("up", "m", "a", 429, 30.0)
    assert not allowed(breakers)
    assert allowed(breakers, caller="b")
    assert allowed(breakers, model="other")


def test_names_that_callers_make_up_are_bounded(
    breakers: Breakers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten, and a long name counts by its beginning."""
    monkeypatch.setattr("proxy.breakers.MOST", 10)
    for number in range(100):
        fail(breakers, 5, model=f"made-up-{number}")
        breakers.answered("up", f"made-up-{number}", "a", 429, 30.0)
    assert sum(not allowed(breakers, model=f"made-up-{n}") for n in range(100)) == 10
    fail(breakers, 5, model="x" * 1_000)
    assert not allowed(breakers, model="x" * 999)


def test_the_log_tells_of_opening_and_closing_only(
    breakers: Breakers, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """And a model's name cannot forge a line."""
    with caplog.at_level(logging.WARNING):
        fail(breakers, 9, model="m\nWARNING all is well")
        clock.now += 2.0
        assert allowed(breakers, model="m\nWARNING all is well")
        breakers.answered("up", "m\nWARNING all is well", "a", 200, None)
        breakers.answered("up", "m", "a", 200, None)
    assert len(caplog.messages) == 2
    assert all("\n" not in message for message in caplog.messages)
