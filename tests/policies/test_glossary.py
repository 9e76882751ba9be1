"""The tables of the guards' words in other languages."""

from __future__ import annotations

import pytest

from policies.glossary import GLOSSES, PHRASES


@pytest.mark.parametrize("language", GLOSSES)
def test_every_language_says_the_same_things(language: str) -> None:
    """No table lacks what guards cannot do without."""
    english = set(GLOSSES[language].values())
    assert {"not", "without", "before", "after", "ten", "twelve", "from", "to"} <= english
    assert {"enable", "disable", "buy", "sell", "week", "monday"} <= english


def test_forms_are_single_small_words() -> None:
    """A form with a space or a capital would never be found."""
    for table in GLOSSES.values():
        assert all(form and form == form.casefold() and " " not in form for form in table)


def test_phrases_belong_to_known_languages() -> None:
    """Turns of phrase stand beside a table of words."""
    assert set(PHRASES) <= set(GLOSSES)
