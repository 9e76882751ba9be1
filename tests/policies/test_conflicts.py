"""Contradictions: what is none. What is one stands in golden cases, with its words."""

from __future__ import annotations

import pytest

from policies.config import read_policy
from policies.document import read
from policies.errors import PolicyError


@pytest.mark.parametrize(
    "policy",
    [
        "{defaults: {threshold: {start: 0.9, floor: 0.9}}}",
        "{defaults: {threshold: 0.5}, overrides: {threshold: [0.8, 0.9]}}",
        "{overrides: {threshold: [0.8, 0.9]}, defaults: {threshold: {vcache: 2%, floor: 0.9}}}",
        "{defaults: {threshold: {start: 0.9, floor: 0.89}}, categories: {a: {threshold: 0.5}}}",
    ],
)
def test_floors_that_fit(policy: str) -> None:
    """A floor may be the threshold itself; a plain number has none, whatever requests may ask."""
    read_policy(read(f"policy: {policy}", ""))


@pytest.mark.parametrize(
    "categories",
    [
        "{a: {keywords: [x, y]}, b: {keywords: [x]}}",
        "{a: {keywords: [x]}, b: {patterns: [x]}, c: {models: [x]}, d: {examples: [x]}}",
        "{a: {ttl: 1h}, b: {ttl: 1h}}",
        "{a: {models: [GPT-4]}, b: {models: [gpt-4]}}",
        r"{a: {patterns: ['\s']}, b: {patterns: ['\S']}}",
    ],
)
def test_categories_that_something_tells_apart(categories: str) -> None:
    """One sign more, another kind of sign, or no sign at all."""
    read_policy(read(f"policy: {{categories: {categories}}}", ""))


def test_a_twin_that_is_not_cached_is_one_too() -> None:
    """Whether a category's answers are kept does not tell a request to be of it."""
    text = "policy: {categories: {own: {keywords: [a, b]}, off: {keywords: [B, a], cache: false}}}"
    with pytest.raises(PolicyError, match=r"off\.keywords: the very keywords of `own`"):
        read_policy(read(text, ""))


def test_a_shipped_category_may_be_taken_over_under_another_name() -> None:
    """Only what is written is compared: the shipped ones come last anyway."""
    shipped = read_policy(read("", "")).named("time-sensitive")
    assert shipped is not None
    words = ", ".join(f"'{word}'" for word in shipped.keywords)
    rules = read_policy(read(f"policy: {{categories: {{mine: {{keywords: [{words}]}}}}}}", ""))
    assert rules.categories[0].name == "mine"
