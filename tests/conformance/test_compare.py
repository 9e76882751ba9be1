"""Comparing outcomes: what counts as a difference, and what is only another form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.allowed import ALLOWED, allowed
from tests.conformance.compare import differences


def _answer(**fields: Any) -> dict[str, Any]:
    return {"answer": fields}


@pytest.mark.parametrize(
    ("got", "found"),
    [
        (_answer(id="a", n=1), []),
        (_answer(id="a", n=1, obfuscation="xyz"), []),
        (_answer(id="b", n=1), ["answer.id: 'a' expected, 'b' got"]),
        (_answer(id="a"), ["answer.n: 1 is missing"]),
        (_answer(id="a", n=1, more=None), ["answer.more: None is too much"]),
        (_answer(id="a", n=1.0), ["answer.n: 1 expected, 1.0 got"]),
        (_answer(id="a", n=True), ["answer.n: 1 expected, True got"]),
        (
            {"fault": {"kind": "APIError"}},
            ["answer: {'id': 'a', 'n': 1} is missing", "fault: {'kind': 'APIError'} is too much"],
        ),
    ],
)
def test_every_field_counts(got: dict[str, Any], found: list[str]) -> None:
    """Values, types and presence; of padding alone nothing is expected."""
    assert differences(_answer(id="a", n=1), got) == found


def test_lists_are_compared_place_by_place() -> None:
    """A changed item is named by its place, another length as a whole."""
    assert differences([1, {"x": 2}], [1, {"x": 3}]) == ["[1].x: 2 expected, 3 got"]
    assert differences([1], [1, 2]) == [": [1] expected, [1, 2] got"]


def test_another_form_may_leave_out_what_is_empty_and_nothing_else() -> None:
    """Empty fields, the form's name and a call's place go; content stays."""
    call = {"id": "c", "function": {"name": "f"}}
    streamed = _answer(
        object="chunk", text="x", tool_calls=[call | {"index": 0}], refusal=None, parsed={}
    )
    whole = _answer(object="whole", text="x", tool_calls=[call], logprobs=[])
    assert differences(streamed, whole)
    assert differences(streamed, whole, same_form=False) == []
    whole["answer"]["tool_calls"] = [call | {"id": "d"}]
    assert differences(streamed, whole, same_form=False)


def test_a_client_may_say_what_its_forms_share() -> None:
    """Its essence is compared where the forms differ, and its whole answer where they do not."""
    one, other = ({"essence": {"text": "x"}, "cost": cost} for cost in (1, 2))
    assert differences({"answer": one}, {"answer": other}, same_form=False) == []
    assert differences({"answer": one}, {"answer": other})


def test_only_named_differences_are_allowed() -> None:
    """Each allowance has its reason; a neighbour of it is a difference."""
    assert all(one.reason for one in ALLOWED)
    line = (
        "openai · whole to stream · chat-1: answer.choices[0].native_finish_reason: 'x' is missing"
    )
    assert allowed(line)
    assert not allowed(line.replace("whole to stream", "warm stream"))
    assert not allowed(line.replace("native_finish_reason", "finish_reason"))
