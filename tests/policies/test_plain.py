"""The table of common words."""

from __future__ import annotations

from policies.gazetteer import NAMES
from policies.plain import PLAIN


def test_common_words_are_there_and_names_are_not() -> None:
    """No word is a common one and a known name at once."""
    assert {"why", "sector", "major", "easiest"} <= PLAIN
    assert not PLAIN & NAMES
