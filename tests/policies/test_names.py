"""What the entities guard says, and which variants of a name it takes for one."""

from __future__ import annotations

import pytest

from policies.names import difference


def test_difference_says_what_was_seen() -> None:
    """The veto's words show the names that the other side lacks."""
    assert difference("the mayor of Oslo", "the mayor of Bergen") == "oslo against bergen"
    assert difference("the mayor of Oslo", "the mayor") == "oslo against none"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("life in Germany", "the German life"),
        ("who was Mahatma Gandhi", "who was Gandi"),
        ("set `max_len` to it", "set max_len to it"),
        ("the flag --force", "the --force flag"),
        ("he lives in New York City", "he lives in new york city"),
        ("see https://example.com/a.", "https://example.com/a: see"),
    ],
)
def test_variants_are_one_name(a: str, b: str) -> None:
    """Peoples and their lands, one slip of a letter, quoting and case make no new name."""
    assert difference(a, b) is None
    assert difference(b, a) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("beer in Austria", "beer in Australia"),
        ("life in iran", "life in iraq"),
        ("set max_len to it", "set min_len to it"),
        ("who is John Carter", "who is Jane Carter"),
    ],
)
def test_like_spelt_names_stay_apart(a: str, b: str) -> None:
    """Names that differ by little are still two names."""
    assert difference(a, b) is not None
