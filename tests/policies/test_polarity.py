"""What the negation guard says, and how it behaves in long prose."""

from __future__ import annotations

from policies.polarity import difference

PROSE = "I run a small bakery and the oven was bought in spring by my partner. " * 4


def test_difference_says_what_was_seen() -> None:
    """The veto's words show the opposites, the denied word, or the lone negator."""
    assert difference("Turn it on", "Turn it off") == '"on" against "off"'
    assert difference("It does not work", "Does it work") == 'not "work" against "work"'
    assert difference("Lose weight, no gym", "Lose weight") == '"not" on one side only'
    assert difference("Turn it on", "Switch it on") is None


def test_one_changed_word_in_long_prose_is_seen() -> None:
    """A single opposite or denial inside an otherwise equal long text is a difference."""
    assert difference(PROSE + "How do I open it?", PROSE + "How do I close it?") is not None
    assert difference(PROSE + "Is it legal?", PROSE + "Is it illegal?") is not None
    assert difference(PROSE + "It does start.", PROSE + "It does not start.") is not None


def test_long_prose_may_state_a_fact_either_way() -> None:
    """Opposites far apart in long texts, and a lone negator there, prove nothing."""
    assert difference(PROSE + "Nobody is angry.", PROSE + "All are calm.") is None
    assert difference(PROSE + "It was first here.", "Is that last? " + PROSE) is None
