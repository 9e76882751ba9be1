"""The table of names is in the form that lookups expect."""

from __future__ import annotations

from policies.gazetteer import NAMES, SAME


def test_names_are_plain_lower_case_words() -> None:
    """Lookups use casefolded single words."""
    assert all(name == name.casefold() and name.isalpha() for name in NAMES)


def test_sameness_goes_both_ways() -> None:
    """Where one name may stand for another, the other may for the one."""
    assert all(form in SAME[other] for form, others in SAME.items() for other in others)
