"""What the second half of the entities guard says of an added or exchanged word."""

from __future__ import annotations

import pytest

from policies.additions import difference


@pytest.mark.parametrize(
    ("a", "b", "seen"),
    [
        ("Is Ann a cook?", "Is Ann a young cook?", "a cook against a young cook"),
        ("Is Ann an author?", "Is Ann a young author?", "a author against a young author"),
        ("Would his son come?", "Would Ann's son come?", "his against ann's"),
    ],
)
def test_difference_says_what_was_seen(a: str, b: str, seen: str) -> None:
    """The veto's words name both sides."""
    assert difference(a, b) == seen


def test_a_passage_on_one_side() -> None:
    """A told story with more in it is another story, whichever side tells more."""
    told = "Tom has ducks and geese and sells eggs on every market day in spring. How many remain?"
    more = told.replace("How", "His neighbour brings a basket with broken shells back. How")
    assert difference(told, more) is not None
    assert difference(more, told) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("", ""),
        ("", "word"),
        ("How do I cook rice?", "How do I quickly cook rice?"),
        ("Is that dog on the sofa?", "Is that dog really on the sofa?"),
        ("What is it?", "Please tell me, dear reader, all about what it is in some plain words"),
    ],
)
def test_other_additions_pass(a: str, b: str) -> None:
    """An adverb adds nothing, and a short question may be put in many words."""
    assert difference(a, b) is None
    assert difference(b, a) is None
