"""What the engine says is read right, and its absence is told."""

from __future__ import annotations

import importlib.util
from typing import Any, cast

import pytest

from tests.chaos.parties import Absent
from tests.security import admin
from tests.security.finding import QUICK


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("Test cases:\n  1364 generated, 1 found 1 unique failure\n", 1_364),
        ("Test cases:\n  12,241 generated, 12,241 passed\n", 12_241),
        ("Schema Loading Error\n", 0),
    ],
)
def test_cases_are_counted(said: str, count: int) -> None:
    """As schemathesis sums them up; none where it did not begin."""
    assert admin.cases(said) == count


def test_failures_are_told() -> None:
    """From where they begin; else the last words, since those say what was wrong."""
    assert admin.told("long" * 2_000 + "=== FAILURES ===\nST101 Server error") == (
        "==\nST101 Server error"
    )
    assert admin.told("x" * 9_000 + "Schema Loading Error").endswith("xSchema Loading Error")


def test_absence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install, before anything is started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Absent, match=r"schemathesis.*\[fuzz\]"):
        admin.check(cast("Any", None), QUICK)
