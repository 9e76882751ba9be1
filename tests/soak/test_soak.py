"""A short soak, and the arithmetic by which a long one is judged."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from tests.soak.__main__ import play
from tests.soak.watch import MEGABYTE, QUICK, Plan, Soaked, prompts, resident

PLAN = Plan(seconds=1_000.0, prompts=10, cap=100, warm=0.4)


def test_a_proxy_stays_within_its_cap() -> None:
    """New questions for a while: all are answered, and no more is kept than may be."""
    seen = play(replace(QUICK, seconds=10.0, prompts=400, cap=100))
    assert seen.asked > 400
    assert len(seen.memory) > 2
    assert seen.broken(timed=False) == []


@pytest.mark.parametrize("growth", [-3.0, 0.0, 4.9, 5.1])
def test_growth_is_that_after_the_warm_up(growth: float) -> None:
    """However steep the beginning was."""
    seen = Soaked(PLAN)
    for at in range(0, 1_000, 10):
        warm = min(at, 400) * MEGABYTE
        seen.memory.append((float(at), int(warm + max(0, at - 400) * growth / 600 * MEGABYTE)))
    assert seen.slope == pytest.approx(growth, abs=0.01)
    assert bool(seen.broken()) is (growth > PLAN.slope)


def test_too_little_is_no_proof() -> None:
    """Without two looks after the warm-up nothing was shown."""
    seen = Soaked(PLAN, memory=[(0.0, 1), (500.0, 1)])
    assert seen.broken() == ["nan MB per ten minutes, 5.0 allowed"]


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (Soaked(PLAN, errors=2), "2 client errors"),
        (Soaked(PLAN, entries=111), "111 entries, 100 allowed"),
    ],
)
def test_other_faults(seen: Soaked, fault: str) -> None:
    """Errors and a cap that does not hold count however short it was."""
    assert seen.broken(timed=False) == [fault]


def test_so_many_different_questions() -> None:
    """As many as planned, and about a fifth of the requests repeat one."""
    asked = Counter(prompts(replace(PLAN, prompts=2_000)))
    assert len(asked) == 2_000
    assert 2_300 < sum(asked.values()) < 2_700


def test_a_process_has_memory() -> None:
    """That of this one is between one megabyte and sixteen gigabytes."""
    assert MEGABYTE < resident(os.getpid()) < 16_000 * MEGABYTE
