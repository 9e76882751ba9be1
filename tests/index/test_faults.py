"""A lasting fault is counted each time, and told once in a while."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from index.faults import KINDS, Faults, Told

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = logging.getLogger("tests.faults")


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> Told:
    return Told(LOG, monotonic=clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("message", "distinct"),
    [
        (lambda _: "store x: does not answer (refused); start the server", 1),
        (lambda n: f"store x: likewise:e:{n:064x} is changed by others all the time", 1),
        (lambda n: f"store x: {n} bytes still wait for the disk", 1),
        (lambda n: f"ValueError: no token for 'word {n * 'a'}'", 1),
        (lambda n: "does not answer" if n % 2 else "did not answer a moment ago", 2),
        (lambda n: f"store {n * 'a'}: is full", 5),
    ],
)
def test_one_line_for_each_kind(
    told: Told, caplog: pytest.LogCaptureFixture, message: Callable[[int], str], distinct: int
) -> None:
    """Names, numbers and quoted words make no new kind; other words do."""
    for _ in range(3):
        for number in range(5):
            told.warn("store read", message(number))
    assert len(lines(caplog)) == distinct


def test_a_part_is_a_kind_of_its_own(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """The same words about reading and about writing are two lines."""
    for part in ("store read", "store write", "store read"):
        told.warn(part, "full")
    assert lines(caplog) == ["store read: full", "store write: full"]


def test_after_a_minute_it_says_how_many(
    told: Told, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault that lasts has a line a minute, with the number of those left out before it."""
    for _ in range(41):
        told.warn("store write", "full")
    clock.now += 59.9
    told.warn("store write", "full")
    clock.now += 0.1
    told.warn("store write", "full")
    told.warn("store write", "full")
    clock.now += 3600
    told.warn("store write", "full")
    clock.now += 60
    told.warn("store write", "full")
    assert lines(caplog) == [
        "store write: full",
        "store write: full (41 more like it)",
        "store write: full (1 more like it)",
        "store write: full",
    ]


def test_ever_new_words_fill_no_log(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """Past so many kinds all new ones count as one; known ones are still told apart."""
    for number in range(2 * KINDS):
        told.warn("embed", re.sub(r"\d", lambda digit: "abcdefghij"[int(digit[0])], str(number)))
    assert len(lines(caplog)) == KINDS + 1


def test_every_fault_is_counted(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """What no line stands for is in the count of its part, and the newest is remembered."""
    faults = Faults(told)
    for number in range(7):
        faults.note("store_write", f"refused entry {number}")
    faults.note("embed", "no model")
    assert (faults.store_write, faults.embed, faults.store_read) == (7, 1, 0)
    assert faults.last == {"store_write": "refused entry 6", "embed": "no model"}
    assert lines(caplog) == ["store write: refused entry 0", "embed: no model"]
