"""Numbers read out of prose, however they are written."""

from __future__ import annotations

import pytest

from policies.quantities import difference, read


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("two hundred and five", ["205"]),
        ("twenty-one cats and 3k dogs", ["21", "3000"]),
        ("1.5 million, 2 lakh, two dozen", ["1500000", "200000", "24"]),
        ("$1,000.50 or 1_000", ["1000.5", "1000"]),
        ("between twenty and thirty", ["20", "30"]),
        ("five percent of 007", ["5%", "7"]),
        ("Python 3.10, not v1.2.3", ["3.10", "1.2.3"]),
        ("half past, 1/2, a quarter, 2/3", ["1/2", "1/2", "1/4", "2", "3"]),
        ("2024-03-05", ["2024", "5", "month 3"]),
        ("13/12/2024 and 12/13/2024", ["2024", "13", "month 12"] * 2),
        ("3/4/2024", ["3/4/2024"]),
        ("5:30 pm, 17:30, 12 am", ["17:30", "17:30", "0:00"]),
        ("on Mondays in May", ["monday", "month 5"]),
        ("may I march?", []),
        ("no number at all", []),
        ("", []),
    ],
)
def test_read(text: str, values: list[str]) -> None:
    """Each way of writing a quantity comes to one canonical value."""
    assert [t.value for t in read(text) if t.value is not None] == values


def test_difference_says_what_was_seen() -> None:
    """The veto's words name the quantities of both sides, in the texts' own spelling."""
    assert difference("List ten ideas", "List 12 ideas") == "ten against 12"
    assert difference("List ten ideas", "List ideas") == "ten against none"
    assert difference("List ten ideas", "List 10 ideas") is None


def test_repeats_count() -> None:
    """2+2+2 does not hold the same numbers as 2+2."""
    assert difference("2+2+2", "2+2") is not None
