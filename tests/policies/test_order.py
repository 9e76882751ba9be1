"""What the order guard says, and what it does not look at."""

from __future__ import annotations

from policies.order import difference


def test_difference_says_what_was_seen() -> None:
    """The veto's words show both orders."""
    assert difference("dog sees man", "man sees dog") == "dog … man against man … dog"


def test_other_words_are_not_its_business() -> None:
    """Texts of different words, and empty ones, are left to the similarity."""
    assert difference("dog sees man", "man sees cat") is None
    assert difference("", "") is None
    assert difference("", "dog") is None


def test_voice_and_roles_together() -> None:
    """The passive turns the roles once more: both turned is the same event again."""
    assert difference("Ann called Bob", "Bob was called by Ann") is None
    assert difference("Ann called Bob", "Ann was called by Bob") is not None
