from __future__ import annotations

import pytest

from admin_ui.words import REASONS, kind, sentence
from policies.verdicts import Reason


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_sentence(reason: Reason) -> None:
    """A reader meets no bare code word: each reason is one finished sentence of its own."""
    text = sentence(reason.value)
    assert text[0].isupper()
    assert text.endswith(".")
    assert list(REASONS.values()).count(text) == 1


@pytest.mark.parametrize(
    ("reason", "badge"),
    [("exact", "hit"), ("stale-if-error", "stale"), ("guard-units", "miss"), ("tools", "bypass"),
     ("quota", "unkept"), ("never-heard-of", "miss")],
)  # fmt: skip
def test_kind(reason: str, badge: str) -> None:
    """A reason shows under its outcome, or as an answer not kept."""
    assert kind(reason) == badge


def test_unknown_reason_is_silent() -> None:
    """A word from a newer version breaks no page."""
    assert sentence("never-heard-of") == ""
