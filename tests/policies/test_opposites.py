"""The table of opposites and its inflection."""

from __future__ import annotations

import pytest

from policies.opposites import CLASSES, inflect


@pytest.mark.parametrize(
    "forms",
    ["stop stops stopped stopping", "enable enables enabled enabling", "deny denies denied denying",
     "push pushes pushed pushing", "remove removes removed removing", "open opens opened opening",
     "load loads loaded loading", "permit permits permitted permitting", "buy buys buyed buying"],
)  # fmt: skip
def test_inflect(forms: str) -> None:
    """Regular English inflection, from the infinitive alone (irregular verbs are listed)."""
    assert inflect(forms.split(maxsplit=1)[0]) == tuple(forms.split())


def test_no_word_is_its_own_opposite() -> None:
    """A class has at least two sides, and no form stands on two of them."""
    for sides in CLASSES:
        assert len(sides) > 1
        forms = [form for side in sides for form in side]
        assert len(forms) == len(set(forms)), sorted(f for f in forms if forms.count(f) > 1)
        assert all(form == form.lower().strip() and form for form in forms)
