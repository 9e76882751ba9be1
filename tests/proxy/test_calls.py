"""What is read from the calls upstream, on a clock of the test's own."""

from __future__ import annotations

import pytest

from policies.values import Signal
from proxy.calls import FEWEST, MOST, WINDOW, Calls


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(clock: Clock) -> Calls:
    return Calls(clock)


def answer(calls: Calls, clock: Clock, seconds: float, status: int = 200) -> None:
    """A call sent and answered, one after the other."""
    call = calls.open()
    clock.now += seconds
    calls.began(call, status)
    calls.close(call)


def test_nothing_seen_is_nothing_told(calls: Calls) -> None:
    """No percentile, no share; and no call is under way."""
    assert calls.measured(Signal.LATENCY) is None
    assert calls.measured(Signal.REFUSALS) is None
    assert calls.measured(Signal.IN_FLIGHT) == 0


def test_few_answers_tell_nothing(calls: Calls, clock: Clock) -> None:
    """One slow answer at night is no load."""
    for _ in range(FEWEST - 1):
        answer(calls, clock, 5.0, 429)
    assert calls.measured(Signal.LATENCY) is None
    assert calls.measured(Signal.REFUSALS) is None
    answer(calls, clock, 5.0, 429)
    assert calls.measured(Signal.REFUSALS) == 1.0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.1] * 95 + [0.2] * 5, 0.2),
        ([0.1] * 96 + [0.2] * 4, 0.1),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 0.5),
    ],
)
def test_latency_is_the_95th_percentile(
    calls: Calls, clock: Clock, seconds: list[float], expected: float
) -> None:
    """By nearest rank: of five answers the slowest."""
    for each in seconds:
        answer(calls, clock, each)
    assert calls.measured(Signal.LATENCY) == pytest.approx(expected)


def test_refusals_come_fast_and_make_no_latency(calls: Calls, clock: Clock) -> None:
    """An upstream that turns most away at once is not quick."""
    for _ in range(10):
        answer(calls, clock, 1.0)
        answer(calls, clock, 0.01, 429)
        answer(calls, clock, 0.01, 529)
        answer(calls, clock, 0.01, 503)
    assert calls.measured(Signal.LATENCY) == pytest.approx(1.0)
    assert calls.measured(Signal.REFUSALS) == pytest.approx(0.5)


def test_calls_that_wait_too_long_count_before_they_are_answered(
    calls: Calls, clock: Clock
) -> None:
    """An upstream that answers nobody any more shows at once, not when it has recovered."""
    for _ in range(20):
        answer(calls, clock, 0.2)
    waiting = [calls.open() for _ in range(5)]
    clock.now += 0.1
    assert calls.measured(Signal.LATENCY) == pytest.approx(0.2)
    clock.now += 8.0
    assert calls.measured(Signal.LATENCY) == pytest.approx(8.1)
    clock.now += WINDOW
    assert calls.measured(Signal.LATENCY) == pytest.approx(8.1 + WINDOW)
    for call in waiting:
        calls.close(call)
    assert calls.measured(Signal.LATENCY) is None


def test_what_has_begun_is_in_flight_until_its_end(calls: Calls) -> None:
    """A long stream counts as a call, and no longer as one that waits."""
    call, other = calls.open(), calls.open()
    calls.began(call, 200)
    assert calls.measured(Signal.IN_FLIGHT) == 2
    calls.close(call)
    calls.close(other)
    calls.close(other)
    assert calls.measured(Signal.IN_FLIGHT) == 0


def test_only_the_last_while_counts(calls: Calls, clock: Clock) -> None:
    """Answers leave by age, and the oldest by number."""
    for _ in range(10):
        answer(calls, clock, 0.0, 429)
    clock.now += WINDOW
    assert calls.measured(Signal.REFUSALS) == 1.0
    clock.now += 0.1
    assert calls.measured(Signal.REFUSALS) is None
    for _ in range(MOST):
        answer(calls, clock, 0.0, 429)
    for _ in range(MOST):
        answer(calls, clock, 0.0)
    assert calls.measured(Signal.REFUSALS) == 0.0
