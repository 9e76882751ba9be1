"""One list of reasons, each of one outcome."""

from __future__ import annotations

import pytest

from policies.values import Candidate, CategoryRules, Facts, Threshold
from policies.verdicts import (
    BYPASSES,
    HITS,
    NOT_STORED,
    STALES,
    Forward,
    Outcome,
    Reason,
    Refusal,
    outcome,
)

# The contract's own words, by what becomes of the request.
WORDS = {
    Outcome.HIT: "exact semantic",
    Outcome.STALE: "stale-while-revalidate stale-if-error",
    Outcome.MISS: (
        "empty below-threshold other-context guard-numbers guard-negation guard-entities "
        "guard-units guard-order expired audit unverified flagged truncated language body-gone "
        "embed-timeout store-down"
    ),
    Outcome.BYPASS: (
        "tools multimodal sampling n logprobs stateful category-off no-store mode-off too-long "
        "unsupported write-only key-refused"
    ),
}
FILLS = "status incomplete finish-reason too-large invalid-json quota"


@pytest.mark.parametrize(
    ("word", "expected"), [(word, kind) for kind, words in WORDS.items() for word in words.split()]
)
def test_every_reason_has_its_outcome(word: str, expected: Outcome) -> None:
    """Each of the contract's words is a reason and counts as what the contract lists it under."""
    assert outcome(Reason(word)) is expected


def test_there_is_no_other_reason() -> None:
    """The list is the contract's, word for word, and no word stands twice."""
    words = [word for words in WORDS.values() for word in words.split()] + FILLS.split()
    assert sorted(Reason) == sorted(words)


def test_the_groups_do_not_overlap() -> None:
    """A reason is a hit, a stale answer, a bypass or a refused fill, never two of them."""
    groups = [HITS, STALES, BYPASSES, NOT_STORED]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))
    assert set(FILLS.split()) == set(NOT_STORED)


def test_the_nearest_of_a_miss_is_its_first_refusal() -> None:
    """A forwarded request names the best refused neighbour, or none."""
    facts = Facts("e", "s", "o", "c", "d", "m", "", "t", 1, 2, 3, 1)
    rules = CategoryRules("c", Threshold(0.9), ttl=1)
    refusals = tuple(
        Refusal(Candidate(facts, score), Reason.BELOW_THRESHOLD) for score in (0.8, 0.7)
    )
    assert Forward(Reason.BELOW_THRESHOLD, rules, 0.9, refusals).nearest == Candidate(facts, 0.8)
    assert Forward(Reason.EMPTY, rules, 0.9).nearest is None
