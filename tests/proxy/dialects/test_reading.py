"""What several APIs read alike."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.context import ASSISTANT, USER, answered
from policies.values import Directives, Owners, Turn
from proxy.dialects.listing import DIALECTS
from proxy.dialects.ports import Frame
from proxy.dialects.reading import SESSION, before, chain, count, is_json, named_user, pieces, said

FRAME = Frame(owners=Owners(key="k"), upstream="u")
JOINED = Frame(owners=Owners(key="k"), upstream="u", directives=Directives(session="s"))
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


HI = Turn(USER, text="hi")
BARE = {"type": "text", "text": "hi"}


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (TURN, HI),
        (TURN | {"content": [BARE]}, HI),
        (TURN | {"content": [BARE | {"cache_control": {"type": "ephemeral"}}]}, HI),
        (TURN | {"type": "message", "content": [{"type": "input_text", "text": "hi"}]}, HI),
        (TURN | {"role": "assistant"}, answered("hi")),
        (TURN | {"role": "assistant", "refusal": None, "annotations": []}, answered("hi")),
        (
            TURN | {"role": "assistant", "content": [BARE, BARE | {"citations": None}]},
            answered("hihi"),
        ),
        (
            {
                "id": "msg_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": " hi\n", "annotations": []}],
            },
            answered("hi"),
        ),
    ],
)
def test_turns_of_words_alone(message: dict[str, Any], turn: Turn) -> None:
    """However an API writes them, a user's words and an assistant's are one turn each."""
    assert before([message], FRAME) == (turn,)


IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


@pytest.mark.parametrize(
    "message",
    [
        TURN | {"name": "ann"},
        TURN | {"content": [BARE, BARE]},
        TURN | {"content": [IMAGE]},
        TURN | {"content": []},
        TURN | {"content": None},
        TURN | {"content": {"text": "hi"}},
        TURN | {"content": [{"type": "text", "text": 1}]},
        TURN | {"content": ["hi"]},
        TURN | {"role": "assistant", "tool_calls": [{"id": "c"}]},
        TURN | {"role": "assistant", "reasoning_content": "hm"},
        TURN | {"role": "tool"},
        TURN | {"role": "x" * 100},
        {"type": "function_call", "arguments": "{}"},
    ],
)
def test_turns_of_more_than_words(message: dict[str, Any]) -> None:
    """What else a turn holds is digested, whole: nothing of it is compared by meaning."""
    (turn,) = before([message], FRAME)
    (other,) = before([message | {"more": 1}], FRAME)
    assert (turn.text, turn.length, len(turn.rest)) == ("", 0, 32)
    assert turn.role in (USER, ASSISTANT, "other")
    assert turn.rest != other.rest


def test_a_sessions_turns_are_not_known_here() -> None:
    """One turn stands for those that are not sent; where some are sent, none is known for sure."""
    (turn,) = before([], JOINED)
    assert (turn.role, len(turn.rest)) == (SESSION, 32)
    assert before([TURN], JOINED) == ()
    assert before([], FRAME) == ()


CONTENT = "A process."
MESSAGE = {"role": "assistant", "content": CONTENT, "refusal": None}
OUTPUT = {
    "type": "message",
    "role": "assistant",
    "id": "msg_1",
    "status": "completed",
    "content": [{"type": "output_text", "text": CONTENT, "annotations": []}],
}
ANSWERS = {
    "chat": {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]},
    "completions": {"choices": [{"index": 0, "text": CONTENT, "finish_reason": "stop"}]},
    "responses": {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, OUTPUT],
    },
    "messages": {
        "type": "message",
        "role": "assistant",
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "A "}, {"type": "text", "text": "process."}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_an_answer_is_the_turn_that_comes_back(dialect: Any) -> None:
    """What clients append to their messages is told of the answer itself; a vector is no turn."""
    query = dialect.read({"model": "m"}, FRAME)
    answer = ANSWERS.get(dialect.name, {})
    judged = dialect.judge(orjson.dumps(answer), streamed=False, query=query, strict=False)
    assert judged.said == (answered(CONTENT) if answer else None)
    assert judged.refusal is None or not answer


@pytest.mark.parametrize("content", [None, [], [IMAGE], [BARE, IMAGE], {"text": "hi"}, 7])
def test_an_answer_of_more_than_words_is_no_turn(content: Any) -> None:
    """It is not known again when a client sends it back."""
    assert said(content) is None


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
