"""What two texts ask of one matter."""

from __future__ import annotations

import pytest

from policies.asking import difference


@pytest.mark.parametrize(
    ("a", "b", "seen"),
    [
        ("When was she born?", "Where was she born?", "when against where"),
        ("Who found it?", "How many found it?", "who against how many"),
        ("So, please tell me why it rains", "How does it rain?", "why against how"),
        ("What time does it open?", "What place does it open?", "when against where"),
        ("What do owls eat?", "Where do owls eat?", "what against where"),
        ("Where and when was it?", "Why was it?", "when and where against why"),
    ],
)
def test_another_question_is_told(a: str, b: str, seen: str) -> None:
    """The kinds of both questions are named, in the order of the texts."""
    assert difference(a, b) == seen
    assert difference(b, a) == " against ".join(reversed(seen.split(" against ")))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("When was she born?", "Where was her father born?"),  # not one matter: others judge that
        ("It rains when I sleep", "It rains where I sleep"),  # no question
        ("What is the reason for it?", "Why is it?"),
        ("What is the easiest way to knit?", "How do I knit?"),
        ("What is the price of milk?", "How much is milk?"),
        ("What does an owl eat?", "How does an owl hunt?"),
        ("Who or what is it?", ""),
    ],
)
def test_the_same_question_passes(a: str, b: str) -> None:
    """Other matters, no questions, and two ways of asking one thing raise nothing."""
    assert difference(a, b) is None
