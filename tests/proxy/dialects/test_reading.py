"""What several APIs read alike."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.values import Directives, Owners
from proxy.dialects.ports import Frame
from proxy.dialects.reading import chain, count, is_json, named_user, pieces

FRAME = Frame(owners=Owners(key="k"), upstream="u")
TURN = {"role": "user", "content": "hi"}


def test_a_standalone_question_has_the_empty_chain() -> None:
    """No turns and no session: nothing came before."""
    assert chain([], FRAME) == ""


def test_turns_and_sessions_tell_chains_apart() -> None:
    """Other turns, another order and another session each make another chain of 32 digits."""
    session = Frame(owners=Owners(key="k"), upstream="u", directives=Directives(session="s"))
    made = [
        chain([TURN], FRAME),
        chain([TURN, TURN], FRAME),
        chain([TURN], session),
        chain([], session),
    ]
    assert len(set(made)) == 4
    assert {len(one) for one in made} == {32}


@pytest.mark.parametrize(
    ("usage", "counted"),
    [({"t": 7}, 7), ({"t": -1}, 0), ({"t": "7"}, 0), ({"t": 2**40}, 0), ({}, 0), (None, 0)],
)
def test_a_count_that_makes_no_sense_is_nothing(usage: Any, counted: int) -> None:
    """Only a plain whole number in bounds counts."""
    assert count(usage, "t") == counted


def test_the_first_named_user_counts() -> None:
    """Fields are asked in the order given; empty and odd values are none."""
    assert named_user({"user": "a", "safety_identifier": "b"}, "safety_identifier", "user") == "b"
    assert named_user({"user": "", "safety_identifier": 7}, "safety_identifier", "user") is None


@pytest.mark.parametrize(("text", "json"), [('{"a":1}', True), ("{", False), (None, False)])
def test_json_is_told_from_other_text(text: Any, json: bool) -> None:
    """What does not parse, or is no text, is not JSON."""
    assert is_json(text) is json


@given(st.text(max_size=300))
def test_pieces_add_up(content: str) -> None:
    """Nothing is lost between the pieces, and none is empty."""
    made = pieces(content)
    assert "".join(made) == content
    assert all(made)
