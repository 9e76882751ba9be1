"""What the units guard says, and which readings it keeps apart."""

from __future__ import annotations

from policies.units import difference


def test_difference_says_what_was_seen() -> None:
    """The veto's words show the units or the turned direction."""
    assert difference("10 miles in km", "10 km in miles") == "10 mile against 10 kilometre"
    assert difference("rome to milan", "milan to rome") == "rome to milan against milan to rome"
    assert difference("how far in miles", "how far") == "in mile against no such unit"


def test_pounds_of_weight_are_not_pounds_sterling() -> None:
    """`lb` and `£` are different measures, `lb` and `pounds` one."""
    assert difference("I need 5 lb of it", "I need 5 pounds of it") is None
    assert difference("It is 5 lbs", "It is 5 kg") is not None


def test_short_signs_count_behind_a_number_only() -> None:
    """`m`, `in`, `c` and `f` are units in `5 m`, and words elsewhere."""
    assert difference("is 5 m long", "is 5 ft long") is not None
    assert difference("plan c in short", "plan f in short") is None
