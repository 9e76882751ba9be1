"""Two conversations share an answer only where the category's rule says so."""

from __future__ import annotations

import pytest

from policies.context import compatible
from policies.values import ContextMode, ContextRules


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
    """A follow-up takes no standalone entry, and a standalone question takes no follow-up's."""
    assert compatible(asked, remembered, ContextRules(mode)) is same


@pytest.mark.parametrize(("asked", "remembered"), [("", ""), ("c1", "c2"), ("c1", ""), ("", "c1")])
def test_off_compares_nothing(asked: str, remembered: str) -> None:
    """With `context: off` what came before does not matter."""
    assert compatible(asked, remembered, ContextRules(ContextMode.OFF))
