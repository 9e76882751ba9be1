"""Responses: what is keyed, what may be kept, and that every form says the same.

Streams are judged by the official client's own accumulation and event models, and by recorded
exchanges where the data folder is there (`LIKEWISE_DATA`, or `shared/data` beside the checkout).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseStreamEvent

from policies.values import AnswerFacts, Directives, Owners, Query
from policies.verdicts import Reason
from proxy.dialects import fields
from proxy.dialects.canonical import BadBody
from proxy.dialects.fields import Use
from proxy.dialects.ports import Ending, Form, Frame
from proxy.dialects.responses import Responses, is_alias
from proxy.sse import Event, Parser, events

RESPONSES = Responses()
FRAME = Frame(owners=Owners(key="k"), upstream="openai https://api.openai.com/v1")
QUESTION = "What is photosynthesis?"
ASKED = {"role": "user", "content": QUESTION}
BASE: dict[str, Any] = {"model": "gpt-4o-mini", "input": QUESTION}
WHOLE, STREAM = Form(stream=False, usage=True), Form(stream=True, usage=True)
HEX = "0123456789abcdef" * 2


def _read(*items: Any, **members: Any) -> Query:
    return RESPONSES.read(BASE | ({"input": list(items)} if items else {}) | members, FRAME)


# -- reading -------------------------------------------------------------------------------------


def test_a_plain_question_is_read_whole() -> None:
    """A string is the text, byte-true; nothing stands in the way of meaning."""
    query = _read(input="  What is ä\n中? ", temperature=0.2)
    assert (query.text, query.model, query.dialect) == (
        "  What is ä\n中? ",
        "gpt-4o-mini",
        "responses",
    )
    assert (query.chain, query.turns, query.temperature) == ("", 0, 0.2)
    assert (query.bypass, query.exact_only) == (None, None)
    assert (query.owners, query.wants_usage) == (Owners(key="k"), True)


SAMPLES: dict[str, Any] = {"model": "gpt-4o", "store": False, "include": ["x"], "stream": True}
"""Values for fields of a certain type; for any other field one does as well as another."""


def _fields(*uses: Use) -> list[str]:
    return sorted(name for name, field in fields.RESPONSES.items() if field.use in uses)


@pytest.mark.parametrize("name", _fields(Use.TRANSPORT))
def test_what_does_not_shape_the_answer_is_not_keyed(name: str) -> None:
    """Transport and bookkeeping leave the fingerprint, and the way to be answered, as it was."""
    query = _read(**{name: SAMPLES.get(name, {"a": "b"})})
    assert query.fingerprint == _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, None)


@pytest.mark.parametrize("name", [*_fields(Use.KEY, Use.EXACT), "a_field_of_next_year"])
def test_everything_else_is_keyed(name: str) -> None:
    """Any other field, known or not, makes another request."""
    query = _read(**{name: SAMPLES.get(name, 0.5)})
    assert query.fingerprint != _read().fingerprint
    assert query.bypass is None
    assert _read(**{name: SAMPLES.get(name, 0.5)}).fingerprint == query.fingerprint


@pytest.mark.parametrize("name", _fields(Use.BYPASS))
def test_state_at_the_vendor_bypasses(name: str) -> None:
    """Neither looked up nor stored, unless the field is switched off."""
    assert _read(**{name: "resp_1"}).bypass is Reason.STATEFUL
    assert _read(**{name: None}).bypass is None
    assert _read(**{name: False}).bypass is None


@pytest.mark.parametrize(
    ("members", "exact_only"),
    [
        ({"temperature": 0}, None),
        ({"include": []}, None),
        ({"include": None}, None),
        ({"include": "message.output_text.logprobs"}, None),
        ({"include": ["reasoning.encrypted_content"]}, None),
        ({"include": ["x", "message.output_text.logprobs"]}, Reason.LOGPROBS),
        ({"top_logprobs": 3}, Reason.LOGPROBS),
        ({"top_logprobs": 0}, None),
        ({"tools": [{"type": "function", "name": "f"}]}, Reason.TOOLS),
        ({"tools": [{"type": "custom", "name": "f"}]}, Reason.TOOLS),
        ({"tools": []}, Reason.TOOLS),
        ({"tool_choice": "auto"}, Reason.TOOLS),
        ({"prompt": {"id": "pmpt_1"}}, Reason.UNSUPPORTED),
        ({"reasoning": {"effort": "low"}}, None),
    ],
)
def test_some_fields_forbid_matching_by_meaning(
    members: dict[str, Any], exact_only: Reason | None
) -> None:
    """Each of these is keyed; tools and token probabilities are repeated exactly or not at all."""
    query = _read(**members)
    assert query.fingerprint != _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, exact_only)


def test_an_answer_is_kept_by_the_vendor_unless_told_otherwise() -> None:
    """`store` absent, null and true are one request, false another, and odd values their own."""
    absent = _read().fingerprint
    assert _read(store=True).fingerprint == _read(store=None).fingerprint == absent
    assert len({_read(store=odd).fingerprint for odd in (True, False, 0, 1, "yes")}) == 5
    assert [_read(store=told).stateful for told in (None, True, False)] == [True, True, False]


def test_the_order_of_tools_counts() -> None:
    """Models read tools in order, so two orders are two requests."""
    one, two = ({"type": "function", "name": name} for name in "ab")
    assert _read(tools=[one, two]).fingerprint != _read(tools=[two, one]).fingerprint


SERVER_TOOLS = [
    "web_search",
    "web_search_preview",
    "file_search",
    "code_interpreter",
    "mcp",
    "computer_use_preview",
    "image_generation",
    "local_shell",
    "tool_search",
    "tool_of_next_year",
    None,
]


@pytest.mark.parametrize("kind", SERVER_TOOLS)
def test_tools_that_the_vendor_runs_bypass(kind: str | None) -> None:
    """Their answers are of the moment, wherever in the request they are brought in."""
    tool = {"type": kind}
    assert _read(tools=[{"type": "function", "name": "f"}, tool]).bypass is Reason.TOOLS
    brought = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    assert _read(brought, ASKED).bypass is Reason.TOOLS


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"tools": ["function"]}, Reason.TOOLS),
        ({"stream": "yes"}, Reason.UNSUPPORTED),
        ({"stream": 1}, Reason.UNSUPPORTED),
        ({"model": 7}, Reason.UNSUPPORTED),
        ({"input": None}, Reason.UNSUPPORTED),
        ({"input": 7}, Reason.UNSUPPORTED),
        ({"input": []}, Reason.UNSUPPORTED),
        ({"input": {"role": "user"}}, Reason.UNSUPPORTED),
        ({"input": ["hello"]}, Reason.UNSUPPORTED),
        ({"input": [ASKED, None]}, Reason.UNSUPPORTED),
        ({"input": [{"content": "x"}]}, Reason.UNSUPPORTED),
        ({"input": [{"type": "message", "content": "x"}]}, Reason.UNSUPPORTED),
        ({"input": [{"role": None, "content": "x"}]}, Reason.UNSUPPORTED),
        ({"input": [{"role": ["user"], "content": "x"}]}, Reason.UNSUPPORTED),
        ({"input": [{"type": 7, "role": "user", "content": "x"}]}, Reason.UNSUPPORTED),
        ({"input": [{"type": "item_reference", "id": "msg_1"}, ASKED]}, Reason.STATEFUL),
        ({"input": [ASKED, {"type": None, "id": "msg_1"}]}, Reason.STATEFUL),
        ({"input": [{"id": "msg_1"}, ASKED]}, Reason.STATEFUL),
    ],
)
def test_what_is_stateful_or_not_understood_bypasses(
    members: dict[str, Any], reason: Reason
) -> None:
    """Neither looked up nor stored; odd shapes are upstream's to judge and never raise."""
    assert _read(**members).bypass is reason


def test_a_message_with_an_id_is_no_reference() -> None:
    """Answers are sent back with the id that they came with, and with all their words."""
    query = _read(ASKED, {**ANSWERED, "id": "msg_1"}, ASKED)
    assert (query.bypass, query.exact_only) == (None, None)


def test_a_request_without_input_bypasses() -> None:
    """There is nothing to match."""
    assert RESPONSES.read({"model": "m"}, FRAME).bypass is Reason.UNSUPPORTED


IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '"x"'}
TOLD = {"type": "function_call_output", "call_id": "c", "output": "7"}
ANSWERED = {"role": "assistant", "content": [{"type": "output_text", "text": "A process."}]}


def _user(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts)}


def _said(text: Any, **more: Any) -> dict[str, Any]:
    return {"type": "input_text", "text": text} | more


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([_user(_said("x"), IMAGE)], Reason.MULTIMODAL),
        ([_user(IMAGE)], Reason.MULTIMODAL),
        ([_user({"type": "input_file", "file_id": "x"})], Reason.MULTIMODAL),
        ([IMAGE], Reason.MULTIMODAL),
        ([{"type": "input_file", "file_id": "x"}, ASKED], Reason.MULTIMODAL),
        ([_user(_said("x"), _said("x"))], Reason.UNSUPPORTED),
        ([_user(_said(7))], Reason.UNSUPPORTED),
        ([_user({"type": "output_text", "text": "x"})], Reason.UNSUPPORTED),
        ([_user("x")], Reason.MULTIMODAL),
        ([_user()], Reason.UNSUPPORTED),
        ([{"role": "user", "content": None}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": 7}], Reason.UNSUPPORTED),
        ([{"role": "user"}], Reason.UNSUPPORTED),
        ([ASKED, ANSWERED], Reason.UNSUPPORTED),
        ([ASKED, {"role": "system", "content": "Be brief."}], Reason.UNSUPPORTED),
        ([{"role": "alien", "content": "x"}], Reason.UNSUPPORTED),
        ([ASKED, CALL, TOLD], Reason.TOOLS),
        ([ASKED, CALL, TOLD, ASKED], Reason.TOOLS),
        ([CALL | {"type": "custom_tool_call", "input": "x"}, ASKED], Reason.TOOLS),
        ([{"type": "web_search_call", "id": "x"}, ASKED], Reason.TOOLS),
        ([{"type": "mcp_approval_response", "approve": True, "x": 7}, ASKED], Reason.TOOLS),
        ([{"type": "additional_tools", "tools": [], "role": "x"}, ASKED], Reason.TOOLS),
        ([{"type": "reasoning", "id": "x", "summary": []}, ASKED], Reason.UNSUPPORTED),
        ([{"type": "compaction", "encrypted_content": "x"}, ASKED], Reason.UNSUPPORTED),
        ([{"type": "item_of_next_year", "role": "user", "content": "x"}], Reason.UNSUPPORTED),
        ([_user(IMAGE), ASKED], Reason.MULTIMODAL),
    ],
)
def test_conversations_that_hold_more_than_text_match_exactly(
    items: list[Any], reason: Reason
) -> None:
    """Such requests may still repeat, but nothing stands in for them by meaning."""
    query = _read(*items)
    assert (query.bypass, query.exact_only) == (None, reason)
    again = _read(*items)
    assert (again.fingerprint, again.chain) == (query.fingerprint, query.chain)
    changed = json.loads(json.dumps(items).replace("x", "y").replace("7", "8"))
    if changed != items:
        other = _read(*changed)
        assert (other.fingerprint, other.chain) != (query.fingerprint, query.chain)


def test_one_text_part_is_a_text() -> None:
    """The part form is understood; what else the part or the message says is keyed."""
    query = _read(_user(_said(QUESTION)))
    assert (query.text, query.exact_only, query.chain) == (QUESTION, None, "")
    assert _read(_user(_said("What is rain?"))).fingerprint == query.fingerprint
    assert _read(_user(_said(QUESTION, marked=True))).fingerprint != query.fingerprint
    assert _read(_user(_said(QUESTION)) | {"status": "x"}).fingerprint != query.fingerprint


@pytest.mark.parametrize("kind", [{}, {"type": "message"}, {"type": None}])
def test_only_the_text_is_left_out_of_the_fingerprint(kind: dict[str, Any]) -> None:
    """Two questions share a fingerprint, in the string form and in the message form."""
    one, other = (_read(kind | ASKED | {"content": text}) for text in (QUESTION, "What is rain?"))
    assert one.fingerprint == other.fingerprint
    assert (one.text, other.text) == (QUESTION, "What is rain?")
    assert _read(input="What is rain?").fingerprint == _read().fingerprint


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_are_keyed_with_their_place(role: str) -> None:
    """Another instruction, none, another role or another place is another fingerprint, no turn."""
    brief = {"role": role, "content": "Be brief."}
    other = "system" if role == "developer" else "developer"
    told = _read(brief, ASKED)
    assert (told.chain, told.turns, told.exact_only) == ("", 0, None)
    seen = {
        told.fingerprint,
        _read(ASKED).fingerprint,
        _read({**brief, "content": "Be long."}, ASKED).fingerprint,
        _read({**brief, "role": other}, ASKED).fingerprint,
        _read({**brief, "type": "message"}, ASKED).fingerprint,
        _read(brief, brief, ASKED).fingerprint,
        _read(ASKED, ANSWERED, brief, ASKED).fingerprint,
        _read(ASKED, instructions="Be brief.").fingerprint,
    }
    assert len(seen) == 8
    assert _read(brief, ASKED, ANSWERED, ASKED).fingerprint == told.fingerprint


def test_earlier_turns_make_the_chain() -> None:
    """The chain is empty for a standalone question and differs with every earlier word."""
    follow = {"role": "user", "content": "And in moss?"}
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    queries = [
        _read(follow),
        _read(ASKED, ANSWERED, follow),
        _read({**ASKED, "content": "What is rain?"}, ANSWERED, follow),
        _read(ASKED, {**ANSWERED, "content": "Magic."}, follow),
        _read(ASKED, refused, follow),
        _read(ASKED, ANSWERED, ASKED, follow),
    ]
    assert [query.turns for query in queries] == [0, 1, 1, 1, 1, 2]
    assert [len(query.chain) for query in queries] == [0, 32, 32, 32, 32, 32]
    assert len({query.chain for query in queries}) == len(queries)
    assert {(query.text, query.exact_only) for query in queries} == {("And in moss?", None)}
    assert len({query.fingerprint for query in queries}) == 1


def test_the_frame_is_part_of_the_fingerprint() -> None:
    """Headers, deployment and session count; number forms do not."""
    plain = RESPONSES.read(BASE, FRAME)
    beta = Frame(owners=FRAME.owners, upstream=FRAME.upstream, headers=b"openai-beta:x")
    assert RESPONSES.read(BASE, beta).fingerprint != plain.fingerprint
    named = Frame(owners=FRAME.owners, upstream=FRAME.upstream, deployment="mine")
    assert RESPONSES.read(BASE, named).fingerprint != plain.fingerprint
    assert RESPONSES.read(BASE, named).model == "mine"
    asked = Directives(session="s")
    joined = Frame(owners=FRAME.owners, upstream=FRAME.upstream, directives=asked)
    assert len(RESPONSES.read(BASE, joined).chain) == 32
    one, other = ({**BASE, "temperature": number} for number in (1, 1.0))
    assert RESPONSES.read(one, FRAME).fingerprint == RESPONSES.read(other, FRAME).fingerprint


@pytest.mark.parametrize(
    ("members", "form"),
    [
        ({}, WHOLE),
        ({"stream": False}, WHOLE),
        ({"stream": None}, WHOLE),
        ({"stream": True}, STREAM),
        ({"stream": True, "stream_options": {"include_obfuscation": False}}, STREAM),
        ({"stream": "x"}, WHOLE),
    ],
)
def test_the_wanted_form_is_read(members: dict[str, Any], form: Form) -> None:
    """Usage comes in either form."""
    assert RESPONSES.form(BASE | members) == form


@pytest.mark.parametrize(
    ("members", "user"),
    [
        ({}, None),
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s", "user": "u"}, "s"),
        ({"safety_identifier": "", "user": "u"}, "u"),
        ({"user": 7}, None),
    ],
)
def test_the_end_user_is_found(members: dict[str, Any], user: str | None) -> None:
    """The newer field goes first; what is empty or no text names nobody."""
    assert RESPONSES.end_user(BASE | members) == user


@pytest.mark.parametrize(
    ("text", "strict"),
    [
        (None, False),
        ("json", False),
        ({}, False),
        ({"format": "json"}, False),
        ({"format": {"type": "text"}}, False),
        ({"format": {"type": "json_object"}}, True),
        ({"format": {"type": "json_schema", "name": "n", "schema": {}}}, True),
    ],
)
def test_json_mode_is_seen(text: Any, strict: bool) -> None:
    """Both JSON formats ask for content that is JSON."""
    assert RESPONSES.wants_json(BASE | {"text": text}) is strict


# -- judging -------------------------------------------------------------------------------------

USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}
ID = "resp_68cd"


def _text(text: Any = "A process.", **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text} | more


def _message(*parts: Any, **more: Any) -> dict[str, Any]:
    plain = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
    return plain | {"content": list(parts)} | more


def _response(*output: Any, **members: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "object": "response",
        "created_at": 1_700_000_000,
        "completed_at": 1_700_000_002,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "gpt-4o-mini-2024-07-18",
        "output": list(output or [_message(_text())]),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": USAGE,
        "user": None,
        "metadata": {},
    } | members


def _judge(answer: Any, *, query: Query | None = None, strict: bool = False) -> AnswerFacts:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    streamed = raw.startswith((b"data:", b"event:"))
    return RESPONSES.judge(raw, streamed=streamed, query=query or _read(), strict=strict)


FUNCTION = CALL | {"id": "fc_1", "status": "completed", "arguments": '{"city": "Paris"}'}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "call_id": "c2",
    "name": "sql",
    "input": "SELECT 1",
    "status": "completed",
}
THOUGHT = {
    "id": "rs_1",
    "type": "reasoning",
    "encrypted_content": "gAAA",
    "summary": [{"type": "summary_text", "text": "**Plan** first look at light and leaves"}],
}
REFUSAL = {"type": "refusal", "refusal": "I cannot help with that."}
WITH_TOOLS = _read(tools=[{"type": "function", "name": "f"}])


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_response(), None),
        (_response(_message(_text("{}"))), None),
        (_response(_message(_text("One."), _text("Two."))), None),
        (_response(THOUGHT, _message(_text())), None),
        (_response(_message(_text()), _message(_text(), id="msg_2")), None),
        (_response(metadata={"a": "b"}, new={"x": 1}), None),
        (_response(status="incomplete"), Reason.FINISH_REASON),
        (_response(incomplete_details={"reason": "max_output_tokens"}), Reason.FINISH_REASON),
        (_response(status="failed"), Reason.INCOMPLETE),
        (_response(status="cancelled"), Reason.INCOMPLETE),
        (_response(status="queued"), Reason.INCOMPLETE),
        (_response(status="in_progress"), Reason.INCOMPLETE),
        (_response(status=None), Reason.INCOMPLETE),
        (_response(error={"code": "server_error", "message": "x"}), Reason.INCOMPLETE),
        (_response(object="chat.completion"), Reason.INCOMPLETE),
        (_response(output=[]), Reason.INCOMPLETE),
        (_response(output=None), Reason.INCOMPLETE),
        (_response(output={}), Reason.INCOMPLETE),
        (_response(THOUGHT), Reason.INCOMPLETE),
        (_response(_message()), Reason.INCOMPLETE),
        (_response(_message(_text(""))), Reason.INCOMPLETE),
        (_response(_message(_text(), _text(""))), Reason.INCOMPLETE),
        (_response(_message(REFUSAL)), Reason.FINISH_REASON),
        (_response(_message(_text(), REFUSAL)), Reason.FINISH_REASON),
        (_response(_message(_text(), {"type": "part_of_next_year"})), Reason.FINISH_REASON),
        (_response(_message(_text(), status="incomplete")), Reason.FINISH_REASON),
        (_response(FUNCTION), Reason.FINISH_REASON),
        (_response(CUSTOM), Reason.FINISH_REASON),
        (_response(_message(_text()), FUNCTION), Reason.FINISH_REASON),
        (_response({"type": "web_search_call", "id": "ws"}, _message(_text())),
         Reason.FINISH_REASON),
        (_response(None), Reason.INVALID_JSON),
        (_response({"type": None}), Reason.INVALID_JSON),
        (_response({"type": ["message"]}), Reason.INVALID_JSON),
        (_response(_message(_text(7))), Reason.INVALID_JSON),
        (_response(_message("x")), Reason.INVALID_JSON),
        (_response(_message(content="x")), Reason.INVALID_JSON),
        (_response(_message(content=None)), Reason.INVALID_JSON),
        (_response(_message(_text()), _message(_text())), Reason.INVALID_JSON),
        (_response(id=None), Reason.INVALID_JSON),
        ({"error": {"message": "overloaded"}}, Reason.INCOMPLETE),
        ([], Reason.INCOMPLETE),
        (b"7", Reason.INCOMPLETE),
        (b"null", Reason.INCOMPLETE),
        (b"", Reason.INVALID_JSON),
        (b"<html>Bad gateway</html>", Reason.INVALID_JSON),
        (json.dumps(_response()).encode()[:-5], Reason.INVALID_JSON),
        (b'{"output":' + b"[" * 5_000, Reason.INVALID_JSON),
        (json.dumps(_response(deep=0)).replace('"deep": 0', '"deep": ' + "[" * 100 + "]" * 100)
         .encode(), Reason.INVALID_JSON),
    ],
)  # fmt: skip
def test_only_complete_and_good_answers_are_kept(answer: Any, refusal: Reason | None) -> None:
    """Each way in which an answer can be bad has its reason, and none of them raises."""
    assert _judge(answer).refusal is refusal


@pytest.mark.parametrize(("levels", "refusal"), [(99, None), (100, Reason.INVALID_JSON)])
def test_an_answer_is_no_deeper_than_a_request_may_be(levels: int, refusal: Reason | None) -> None:
    """The response and the lists inside make 100 levels at most, in either form."""
    deep = json.loads("[" * levels + "]" * levels)
    body = json.dumps(_response(deep=deep)).encode()
    for answer in (body, RESPONSES.render(body, streamed=False, form=STREAM)):
        assert _judge(answer).refusal is refusal


@pytest.mark.parametrize(
    ("output", "refusal"),
    [
        ([FUNCTION], None),
        ([CUSTOM], None),
        ([THOUGHT, FUNCTION, CUSTOM], None),
        ([_message(_text()), FUNCTION], None),
        ([FUNCTION, FUNCTION | {"id": "fc_2", "call_id": "c9"}], None),
        ([FUNCTION, FUNCTION | {"id": "fc_2"}], Reason.INVALID_JSON),
        ([FUNCTION | {"status": "incomplete"}], Reason.FINISH_REASON),
        ([FUNCTION | {"arguments": None}], Reason.INVALID_JSON),
        ([CUSTOM | {"input": {}}], Reason.INVALID_JSON),
        ([{"type": "web_search_call", "id": "ws"}, FUNCTION], Reason.FINISH_REASON),
        ([{"type": "mcp_call", "id": "m"}], Reason.FINISH_REASON),
        ([_message(REFUSAL)], Reason.FINISH_REASON),
    ],
)
def test_calls_are_kept_for_exact_repeats(output: list[Any], refusal: Reason | None) -> None:
    """An answer that calls the caller's tools is good where tools were given."""
    assert _judge(_response(*output), query=WITH_TOOLS).refusal is refusal


@pytest.mark.parametrize(
    ("output", "refusal"),
    [
        ([_message(_text('{"a": 1}'))], None),
        ([_message(_text("[]"), phase="final_answer")], None),
        ([_message(_text('```json\n{"a": 1}\n```'))], Reason.INVALID_JSON),
        ([_message(_text('{"a": 1'))], Reason.INVALID_JSON),
        ([_message(_text("{}"), _text("Sorry."))], Reason.INVALID_JSON),
        (
            [
                _message(_text("Let me see."), id="m0", phase="commentary"),
                _message(_text("{}"), phase="final_answer"),
            ],
            None,
        ),
    ],
)
def test_json_mode_wants_json(output: list[Any], refusal: Reason | None) -> None:
    """Under JSON mode a broken answer is not kept, in either form; elsewhere it is just text."""
    body = json.dumps(_response(*output)).encode()
    for answer in (body, RESPONSES.render(body, streamed=False, form=STREAM)):
        assert _judge(answer, strict=True).refusal is refusal
        assert _judge(answer).refusal is None


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (USAGE, (12, 3, True)),
        ({}, (0, 0, True)),
        (None, (0, 0, False)),
        ("many", (0, 0, False)),
        ({"input_tokens": None, "output_tokens": "3"}, (0, 0, True)),
        ({"input_tokens": -5, "output_tokens": 2**64 - 1}, (0, 0, True)),
    ],
)
def test_tokens_are_counted_where_told(usage: Any, told: tuple[int, int, bool]) -> None:
    """Usage that is missing or absurd counts as nothing, in either form."""
    body = json.dumps(_response(usage=usage)).encode()
    for answer in (body, RESPONSES.render(body, streamed=False, form=STREAM)):
        facts = _judge(answer)
        assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == told
        assert facts.size == len(answer)


# -- streams that are not what they should be ----------------------------------------------------


def _event(kind: str, number: int | None = None, **members: Any) -> bytes:
    count = {} if number is None else {"sequence_number": number}
    data = json.dumps({"type": kind, **count, **members}).encode()
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


PLACE = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
CREATED = _event("response.created", 0, response=_response(status="in_progress", output=[]))
OPEN = _event("response.output_item.added", 1, output_index=0, item=_message())
PART = _event("response.content_part.added", 2, **PLACE, part=_text(""))
HELLO = _event("response.output_text.delta", 3, **PLACE, delta="A pro", logprobs=[])
WORLD = _event("response.output_text.delta", 4, **PLACE, delta="cess.", logprobs=[])
MADE = _event("response.content_part.done", 5, **PLACE, part=_text())
ITEM = _event("response.output_item.done", 6, output_index=0, item=_message(_text()))
COMPLETED = _event("response.completed", 7, response=_response())
BEGUN = CREATED + OPEN + PART
SAID = BEGUN + HELLO + WORLD + MADE + ITEM
GOOD = SAID + COMPLETED
CUT = _response(
    _message(_text(), status="incomplete"),
    status="incomplete",
    incomplete_details={"reason": "max_output_tokens"},
)
ERROR = _event("error", 7, code="server_error", message="overloaded", param=None)


def _without_numbers(stream: bytes) -> bytes:
    return re.sub(rb'"sequence_number": \d+, ', b"", stream)


def _without_names(stream: bytes) -> bytes:
    return re.sub(rb"(?m)^event: .*\n", b"", stream)


def _end(kind: str, response: Any) -> bytes:
    return _event(f"response.{kind}", 7, response=response)


@pytest.mark.parametrize(
    ("stream", "refusal"),
    [
        pytest.param(GOOD, None, id="good"),
        pytest.param(GOOD[:-1], None, id="last empty line to come"),
        pytest.param(GOOD[:-2], None, id="last line end to come"),
        pytest.param(GOOD.replace(b"\n", b"\r\n"), None, id="crlf"),
        pytest.param(GOOD.replace(b"\nevent: ", b"\nevent:"), None, id="no space"),
        pytest.param(SAID + b": ping\n\n" + COMPLETED, None, id="comment"),
        pytest.param(GOOD + b"data: [DONE]\n\n", None, id="more behind"),
        pytest.param(_without_names(GOOD), None, id="no names"),
        pytest.param(_without_numbers(GOOD), None, id="no numbers"),
        pytest.param(BEGUN + MADE + ITEM + COMPLETED, None, id="text in the item only"),
        pytest.param(SAID, Reason.INCOMPLETE, id="no end"),
        pytest.param(GOOD[:-30], Reason.INVALID_JSON, id="cut in the end"),
        pytest.param(GOOD[len(CREATED) :], Reason.INCOMPLETE, id="no beginning"),
        pytest.param(GOOD.replace(OPEN, b""), Reason.INCOMPLETE, id="item not opened"),
        pytest.param(GOOD.replace(PART, b""), Reason.INCOMPLETE, id="part not opened"),
        pytest.param(GOOD.replace(HELLO, b""), Reason.INCOMPLETE, id="lost piece"),
        pytest.param(GOOD.replace(MADE, b""), Reason.INCOMPLETE, id="part not closed"),
        pytest.param(GOOD.replace(ITEM, b""), Reason.INCOMPLETE, id="item not closed"),
        pytest.param(GOOD.replace(PART + HELLO + WORLD + MADE, b""), None, id="item only"),
        pytest.param(GOOD.replace(PART, b"").replace(MADE, b""), Reason.INCOMPLETE, id="no part"),
        pytest.param(GOOD.replace(HELLO, HELLO * 2), Reason.INCOMPLETE, id="piece twice"),
        pytest.param(
            _without_numbers(GOOD.replace(OPEN, OPEN * 2)), Reason.INCOMPLETE, id="item twice"
        ),
        pytest.param(GOOD.replace(PART + HELLO, HELLO + PART), Reason.INCOMPLETE, id="order"),
        pytest.param(
            _without_numbers(GOOD.replace(HELLO + WORLD, WORLD + HELLO)),
            Reason.INCOMPLETE,
            id="order without numbers",
        ),
        pytest.param(
            GOOD.replace(b'"sequence_number": 3', b'"sequence_number": 2'),
            Reason.INCOMPLETE,
            id="number twice",
        ),
        pytest.param(
            GOOD.replace(ITEM, ITEM.replace(b'"message"', b'"reasoning"')),
            Reason.INCOMPLETE,
            id="another item",
        ),
        pytest.param(
            GOOD.replace(CREATED, CREATED.replace(ID.encode(), b"resp_77")),
            Reason.INCOMPLETE,
            id="another response",
        ),
        pytest.param(SAID + _end("completed", 7), Reason.INCOMPLETE, id="no response in the end"),
        pytest.param(
            SAID + _end("failed", _response(status="failed")), Reason.INCOMPLETE, id="failed"
        ),
        pytest.param(SAID + _end("incomplete", CUT), Reason.FINISH_REASON, id="incomplete"),
        pytest.param(SAID + _end("incomplete", _response()), Reason.INCOMPLETE, id="not so"),
        pytest.param(SAID + _end("completed", CUT), Reason.INCOMPLETE, id="not so either"),
        pytest.param(SAID + ERROR + COMPLETED, Reason.INCOMPLETE, id="error"),
        pytest.param(
            SAID + b'data: {"error":{"message":"x"}}\n\n' + COMPLETED,
            Reason.INCOMPLETE,
            id="error without a type",
        ),
        pytest.param(
            GOOD.replace(b"event: response.output_item.done", b"event: ping"),
            Reason.INVALID_JSON,
            id="name is not the type",
        ),
    ],
)
def test_a_stream_is_checked_against_its_last_event(stream: bytes, refusal: Reason | None) -> None:
    """A piece, an item or the order lost on the way is seen; what stands behind the end is not."""
    facts = RESPONSES.judge(stream, streamed=True, query=_read(), strict=False)
    assert facts.refusal is refusal


@pytest.mark.parametrize(
    "event",
    [
        b"data: nonsense\n\n",
        b"data: [1]\n\n",
        b'data: {"x":1}\n\n',
        b'data: {"type":[]}\n\n',
        b'data: {"type":"x","x":' + b"[" * 200 + b"]" * 200 + b"}\n\n",
        b"data: [DONE]\n\n",
        b"data:\n\n",
        _event("response.output_text.delta", delta="x"),
        _event("response.output_text.delta", **PLACE, delta=7),
        _event("response.output_text.delta", **PLACE | {"output_index": []}, delta="x"),
        _event("response.output_item.done", output_index=0, item=7),
        _event("response.in_progress", response={}),
        _event("response.in_progress", response=[]),
    ],
)
def test_an_event_that_cannot_be_read_spoils_the_stream(event: bytes) -> None:
    """Whatever it was going to be, the answer is not kept, and nothing raises."""
    stream = BEGUN + HELLO + event + WORLD + MADE + ITEM + COMPLETED
    facts = RESPONSES.judge(stream, streamed=True, query=_read(), strict=False)
    assert facts.refusal is Reason.INVALID_JSON


@pytest.mark.parametrize(
    ("output", "piece"), [(FUNCTION, b'"delta":"{'), (CUSTOM, b'"delta":"SELECT 1')]
)
def test_pieces_of_calls_are_checked_too(output: dict[str, Any], piece: bytes) -> None:
    """A call whose input lost a letter on the way is not kept."""
    body = json.dumps(_response(THOUGHT, output)).encode()
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    assert _judge(stream, query=WITH_TOOLS).refusal is None
    assert stream.count(piece) == 1
    lost = stream.replace(piece, piece[:-1])
    assert _judge(lost, query=WITH_TOOLS).refusal is Reason.INCOMPLETE


# -- rendering -----------------------------------------------------------------------------------


def _client(status: int, content: bytes, kind: str) -> openai.OpenAI:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=content, headers={"content-type": kind})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)


def _streaming(stream: bytes) -> openai.OpenAI:
    return _client(200, stream, "text/event-stream")


def _official(stream: bytes) -> Any:
    """What the official client makes of a stream."""
    with _streaming(stream).responses.stream(model="m", input="x") as told:
        return _plain(told.get_final_response().to_dict())


def _whole(body: bytes) -> Any:
    """What the official client makes of a body."""
    client = _client(200, body, "application/json")
    return _plain(client.responses.create(model="m", input="x").to_dict())


def _plain(value: Any) -> Any:
    """Without what exists in the client's own bookkeeping only."""
    if isinstance(value, dict):
        own = ("parsed", "parsed_arguments")
        return {key: _plain(item) for key, item in value.items() if key not in own}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _told(stream: bytes) -> list[dict[str, Any]]:
    """What a client reads, by plain string handling; every name must be its event's type."""
    *frames, rest = stream.decode().split("\n\n")
    assert rest == ""
    made = []
    for frame in frames:
        name, data = frame.split("\n", 1)
        made.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {made[-1]['type']}"
    return made


CITED = _text(
    "See here and there, as it was said before by others.",
    annotations=[
        {"type": "url_citation", "start_index": 0, "end_index": 3, "title": "t", "url": "u"},
        {"type": "file_citation", "file_id": "f", "filename": "n", "index": 9},
    ],
)
LOGPROB = {"token": "A", "logprob": -0.25, "bytes": [65], "top_logprobs": []}
RAW_THOUGHT = {
    "id": "rs_2",
    "type": "reasoning",
    "status": "completed",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Light, then sugar, then all the rest of it."}],
}
BODIES = {
    "plain": _response(),
    "long": _response(_message(_text("word " * 400 + "end"))),
    "unicode": _response(_message(_text("Grüße\n\n\u2028 中文 😀 \x00 data: [DONE]\r\n" * 5))),
    "two parts": _response(_message(_text("One."), _text("Two, and more than one piece of it."))),
    "two messages": _response(
        _message(_text("Looking."), id="msg_0", phase="commentary"), _message(_text())
    ),
    "cited": _response(_message(CITED, _text())),
    "logprobs": _response(_message(_text("A", logprobs=[LOGPROB, LOGPROB]))),
    "calls": _response(FUNCTION, FUNCTION | {"id": "fc_2", "call_id": "c9", "arguments": "{}"}),
    "call without an id": _response({k: v for k, v in FUNCTION.items() if k != "id"}),
    "custom call": _response(_message(_text("Let me see.")), CUSTOM),
    "thought": _response(THOUGHT, _message(_text())),
    "raw thought": _response(RAW_THOUGHT, _message(_text())),
    "thought without words": _response(THOUGHT | {"summary": []}, FUNCTION),
    "extras": _response(_message(_text(x=1), y=[2.5]), new={"x": {"y": 1.5}}),
    "a search": _response({"type": "web_search_call", "id": "ws_1", "status": "completed",
                           "action": {"type": "search", "query": "q"}}, _message(CITED)),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_body_as_a_stream_says_the_same(name: str) -> None:
    """The official client reads from the stream what it reads from the body, and so do we."""
    body = json.dumps(BODIES[name]).encode()
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    assert _official(stream) == _whole(body) == BODIES[name]
    assert json.loads(RESPONSES.render(stream, streamed=True, form=WHOLE)) == BODIES[name]
    assert RESPONSES.render(stream, streamed=True, form=STREAM) == stream
    told = _judge(body, query=WITH_TOOLS)
    assert _judge(stream, query=WITH_TOOLS) == AnswerFacts(
        len(stream), told.refusal, tokens_in=12, tokens_out=3, said=told.said
    )


MODELS = {
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(ResponseStreamEvent)[0])
}
"""The official client's event models by the type they describe."""


@pytest.mark.parametrize("name", sorted(BODIES.keys() - {"call without an id"}))
def test_each_event_has_the_members_that_the_reference_requires(name: str) -> None:
    """Every event passes the official model of its type; numbers count up from 0."""
    body = json.dumps(BODIES[name]).encode()
    told = _told(RESPONSES.render(body, streamed=False, form=STREAM))
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    for one in told:
        MODELS[one["type"]].model_validate(one)


def test_parts_of_a_kind_that_is_not_known_come_with_their_item() -> None:
    """Nobody could say how they are sent in pieces, and nothing of them is lost."""
    odd = [{"type": "thought_of_next_year"}, "x", {"type": ["x"]}]
    whole = _response(THOUGHT | {"summary": odd, "content": odd}, _message(_text()))
    stream = RESPONSES.render(json.dumps(whole).encode(), streamed=False, form=STREAM)
    assert [one["type"] for one in _told(stream)][2:5] == [
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
    ]
    assert json.loads(RESPONSES.render(stream, streamed=True, form=WHOLE)) == whole


def test_events_come_in_the_order_of_the_api() -> None:
    """Items open and close one after the other, each with its parts inside, as the API does it."""
    body = json.dumps(_response(THOUGHT, _message(CITED), FUNCTION, CUSTOM)).encode()
    told = _told(RESPONSES.render(body, streamed=False, form=STREAM))
    kinds = [one["type"].removeprefix("response.") for one in told]
    order = [kind for at, kind in enumerate(kinds) if at == 0 or kind != kinds[at - 1]]
    assert order == [
        *("created", "in_progress"),
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.annotation.added", "output_text.done", "content_part.done"),
        "output_item.done",
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done"),
        "output_item.done",
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *("output_item.done", "completed"),
    ]
    assert kinds.count("output_text.delta") > 1


def test_what_is_not_made_yet_is_not_told() -> None:
    """The first events hold an unfinished response, empty items and empty parts."""
    body = json.dumps(_response(THOUGHT, _message(CITED), FUNCTION)).encode()
    told = _told(RESPONSES.render(body, streamed=False, form=STREAM))
    begun = told[0]["response"]
    assert (begun["id"], begun["status"], begun["output"]) == (ID, "in_progress", [])
    assert (begun["usage"], begun["completed_at"]) == (None, None)
    assert told[1]["response"] == begun
    items = [one["item"] for one in told if one["type"] == "response.output_item.added"]
    assert [item.get("status") for item in items] == [None, "in_progress", "in_progress"]
    assert [items[0]["summary"], items[1]["content"], items[2]["arguments"]] == [[], [], ""]
    part = next(one["part"] for one in told if one["type"] == "response.content_part.added")
    assert part == _text("")


def test_the_client_sees_the_text_grow() -> None:
    """The official client's own snapshot ends with the text, and logprobs come but once."""
    body = json.dumps(_response(_message(_text("word " * 40, logprobs=[LOGPROB])))).encode()
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    with _streaming(stream).responses.stream(model="m", input="x") as told:
        deltas = [event for event in told if event.type == "response.output_text.delta"]
    assert deltas[-1].snapshot == "word " * 40
    assert [len(event.logprobs) for event in deltas] == [0] * (len(deltas) - 1) + [1]


def test_a_body_stays_as_it_was() -> None:
    """Byte for byte: white space, key order and unknown members included."""
    raw = b' {"output" : [ ], "x":1.0 }\n'
    assert RESPONSES.render(raw, streamed=False, form=WHOLE) == raw


MINE = {
    "metadata": {"ticket": "7"},
    "user": "zoe",
    "safety_identifier": "zoe-1",
    "prompt_cache_key": "zoes",
}
NOBODY = {"metadata": {}, "user": None, "safety_identifier": None, "prompt_cache_key": None}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asks", [{}, {"user": "bob", "metadata": {"ticket": "8"}}, MINE])
def test_nobody_hears_what_another_caller_said_of_itself(
    asks: dict[str, Any], stream: bool, streamed: bool
) -> None:
    """A response repeats its request's user and metadata: a hit repeats its own request's."""
    body = json.dumps(_response(_message(_text("A prose.")), **MINE)).encode()
    stored = RESPONSES.render(
        body, streamed=False, form=RESPONSES.form({"stream": streamed} | MINE)
    )
    form = RESPONSES.form({"stream": stream} | asks)
    made = RESPONSES.render(stored, streamed=streamed, form=form)
    told = (
        [one["response"] for one in _told(made) if "response" in one] if stream else [_whole(made)]
    )
    for response in told:
        assert {name: response[name] for name in NOBODY} == NOBODY | asks
    if asks is not MINE:
        assert b"zoe" not in made
    elif not (stream or streamed):
        assert made == body


def test_padding_is_not_replayed() -> None:
    """It hides a piece's length on one way only; all other events keep their very bytes."""
    padded = GOOD.replace(b'"delta": "A pro"', b'"delta": "A pro", "obfuscation": "xYz1"')
    assert padded != GOOD
    replayed = RESPONSES.render(padded, streamed=True, form=STREAM)
    assert b"obfuscation" not in replayed
    assert _told(replayed) == _told(GOOD)
    kept = [frame for frame in padded.split(b"\n\n") if b"obfuscation" not in frame]
    assert [frame for frame in replayed.split(b"\n\n") if frame in kept] == kept


def test_words_about_padding_are_replayed() -> None:
    """Only the event's own member is padding."""
    text = 'set "obfuscation": false'
    body = json.dumps(_response(_message(_text(text, obfuscation="of the part")))).encode()
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    assert _told(RESPONSES.render(stream, streamed=True, form=STREAM)) == _told(stream)


def test_nothing_is_replayed_behind_the_end() -> None:
    """What upstream sent after its terminal event is nobody's."""
    stream = GOOD + b"data: [DONE]\n\n"
    assert RESPONSES.render(stream, streamed=True, form=STREAM) == GOOD


def test_an_event_on_several_lines_survives() -> None:
    """Data that came on several lines is replayed as data, not lost after the first."""
    pretty = json.dumps(_response(), indent=1).replace("\n", "\ndata: ").encode()
    data = b'{"type": "response.completed", "sequence_number": 7, "response": ' + pretty + b"}"
    stream = GOOD.replace(COMPLETED, b"event: response.completed\ndata: " + data + b"\n\n")
    replayed = RESPONSES.render(stream, streamed=True, form=STREAM)
    assert _official(replayed) == _response()
    assert json.loads(RESPONSES.render(stream, streamed=True, form=WHOLE)) == _response()


@pytest.mark.parametrize("form", [WHOLE, STREAM, Form(stream=True, usage=True, alias=HEX)])
def test_a_stream_without_its_end_is_no_answer(form: Form) -> None:
    """What was cut cannot be turned into something that looks complete."""
    with pytest.raises(ValueError, match="no end"):
        RESPONSES.render(CREATED + HELLO, streamed=True, form=form)


@pytest.mark.parametrize("name", BODIES)
def test_a_stream_cut_between_any_two_events_is_refused(name: str) -> None:
    """Whatever is missing of a stream, it has no end and is not kept."""
    body = json.dumps(BODIES[name]).encode()
    frames = RESPONSES.render(body, streamed=False, form=STREAM).split(b"\n\n")[:-1]
    for size in range(len(frames)):
        cut = b"".join(frame + b"\n\n" for frame in frames[:size])
        assert not _ended(cut)
        facts = RESPONSES.judge(cut, streamed=True, query=WITH_TOOLS, strict=False)
        assert facts.refusal is Reason.INCOMPLETE


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
PARTS = st.builds(
    lambda text, notes, x: _text(text, annotations=notes, extra_of_next_year=x),
    WORDS,
    st.lists(st.just(CITED["annotations"][0]), max_size=2),
    JSONS,
)
ITEMS = st.one_of(
    st.builds(lambda parts: _message(*parts), st.lists(PARTS, min_size=1, max_size=3)),
    st.builds(lambda text: FUNCTION | {"arguments": text}, WORDS | st.just("")),
    st.builds(lambda text: CUSTOM | {"input": text}, WORDS),
    st.builds(
        lambda texts: THOUGHT | {"summary": [{"type": "summary_text", "text": t} for t in texts]},
        st.lists(WORDS | st.just(""), max_size=2),
    ),
)


def _distinct(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each with an id of its own, and the calls with their own call ids."""
    return [
        item | {"id": f"item_{n}"} | ({"call_id": f"call_{n}"} if "call_id" in item else {})
        for n, item in enumerate(items)
    ]


@given(st.lists(ITEMS, min_size=1, max_size=4), JSONS)
def test_any_output_survives_both_ways(items: list[dict[str, Any]], extra: Any) -> None:
    """Body to stream to body: the official client and we read the same to the last character."""
    whole = _response(*_distinct(items), extra_of_next_year=extra)
    body = json.dumps(whole).encode()
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    assert json.loads(RESPONSES.render(stream, streamed=True, form=WHOLE)) == whole
    assert _official(stream) == whole
    said = "".join(
        one["delta"] for one in _told(stream) if one["type"] == "response.output_text.delta"
    )
    parts = [part for item in items for part in item.get("content", ())]
    assert said == "".join(part["text"] for part in parts)
    answered = any(item["type"] != "reasoning" for item in items)
    for answer in (body, stream):
        refusal = _judge(answer, query=WITH_TOOLS).refusal
        assert refusal is (None if answered else Reason.INCOMPLETE)


@given(st.lists(ITEMS, max_size=3), st.integers(0, 3), WORDS)
def test_a_refusal_is_never_kept(items: list[dict[str, Any]], at: int, words: str) -> None:
    """Wherever the model refuses in its output, the answer is not kept."""
    refused = _message(_text(), {"type": "refusal", "refusal": words})
    output = _distinct([*items[:at], refused, *items[at:]])
    assert _judge(_response(*output), query=WITH_TOOLS).refusal is Reason.FINISH_REASON


# -- ids that are not the caller's ---------------------------------------------------------------

ALIASED = f"resp_likewise_{HEX}"
OTHERS = (Form(stream=False, usage=True, alias=HEX), Form(stream=True, usage=True, alias=HEX))


@pytest.mark.parametrize("name", BODIES)
def test_an_alias_stands_wherever_the_id_stood(name: str) -> None:
    """All four ways to render: no trace of the real id, and nothing else changed."""
    body = json.dumps(BODIES[name] | {"x": {"response_id": ID}}).encode()
    wanted = BODIES[name] | {"id": ALIASED, "x": {"response_id": ALIASED}}
    stream = RESPONSES.render(body, streamed=False, form=STREAM)
    for answer, streamed in ((body, False), (stream, True)):
        whole, replayed = (RESPONSES.render(answer, streamed=streamed, form=f) for f in OTHERS)
        assert json.loads(whole) == wanted
        assert _official(replayed) == wanted
        assert ID.encode() not in whole + replayed
        assert len(_told(replayed)) == len(_told(stream))


def test_an_alias_reaches_every_event() -> None:
    """An event that names its response by `response_id` names the alias; words are left alone."""
    text = ID
    item = _message(_text(text))
    named = _event("response.output_item.done", 3, output_index=0, response_id=ID, item=item)
    end = _end("completed", _response(item))
    told = _told(RESPONSES.render(CREATED + named + end, streamed=True, form=OTHERS[1]))
    assert told[1]["response_id"] == told[0]["response"]["id"] == ALIASED
    assert told[1]["item"]["content"][0]["text"] == text


def test_an_alias_cannot_be_continued() -> None:
    """The request is refused in the vendor's own words before anybody's state is touched."""
    assert is_alias(ALIASED)
    for previous in (ALIASED, "resp_likewise_x", ALIASED * 9):
        with pytest.raises(BadBody, match="Previous response with id 'resp_likewise_") as caught:
            _read(previous_response_id=previous)
        assert caught.value.code == "previous_response_not_found"
        assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize("previous", [ID, "", "resp_", f"x{ALIASED}", "RESP_LIKEWISE_1"])
def test_any_other_id_is_the_vendors(previous: str) -> None:
    """Such a request bypasses memory."""
    assert not is_alias(previous)
    assert _read(previous_response_id=previous).bypass is Reason.STATEFUL


# -- the end of a stream -------------------------------------------------------------------------

FEIGNED = (
    _event("response.output_text.delta", 1, **PLACE, delta='{"type":"response.completed"}')
    + _event("response.output_text.delta", 2, **PLACE, delta="response.completed", response={})
    + _event("response.output_text.done", 3, **PLACE, text="\n\nevent: response.completed\n\n")
)
UNNAMED = COMPLETED.split(b"\n", 1)[1]


def _ended(stream: bytes) -> bool:
    parser = Parser()
    return any(RESPONSES.ended(event) for event in [*parser.feed(stream), *parser.close()])


@pytest.mark.parametrize(
    ("stream", "ended"),
    [
        (GOOD, True),
        (COMPLETED, True),
        (UNNAMED, True),
        (COMPLETED[:-2], True),
        (COMPLETED.replace(b"\n", b"\r"), True),
        (_end("incomplete", CUT), True),
        (_end("incomplete", _response(x="response.completed")), True),
        (COMPLETED[:-3], False),
        (COMPLETED.replace(b"event: response.completed", b"event: ping"), False),
        (b"event: response.completed\ndata: {}\n\n", False),
        (b"event: response.completed\ndata: response.completed\n\n", False),
        (b'event: response.completed\ndata: "response.completed"\n\n', False),
        (_event("response.completed", 7), False),
        (_end("completed", None), False),
        (b": " + UNNAMED, False),
        (b'data: {"type":["response.completed"],"response":{}}\n\n', False),
        (_end("failed", _response(status="failed")), False),
        (CREATED + FEIGNED, False),
        (ERROR, False),
        (b"data: [DONE]\n\n", False),
        (b"", False),
    ],
)
def test_only_the_terminal_event_ends_a_stream(stream: bytes, ended: bool) -> None:
    """Neither its name alone nor words that spell it do."""
    assert _ended(stream) is ended


def test_the_end_is_seen_however_it_is_split() -> None:
    """With the stream fed byte by byte, the end is seen once, at the terminal event's last byte."""
    stream = CREATED + FEIGNED + COMPLETED
    parser = Parser()
    seen = [
        at for at in range(len(stream)) if any(map(RESPONSES.ended, parser.feed(stream[at:][:1])))
    ]
    assert seen == [len(stream) - 1]


@pytest.mark.parametrize(
    ("stream", "ending"),
    [
        (ERROR, Ending.FAILED),
        (ERROR + HELLO, Ending.FAILED),
        (_event("error", 2, error={"code": "insufficient_quota"}), Ending.FAILED),
        (_end("failed", _response(status="failed")), Ending.FAILED),
        (b'data: {"error":{"message":"overloaded"}}\n\n', Ending.FAILED),
        (CREATED + HELLO + WORLD + ITEM, Ending.SILENT),
        (FEIGNED, Ending.SILENT),
        (_event("x", delta='{"type":"error"}'), Ending.SILENT),
        (b"event: error\ndata: nonsense\n\ndata: 7\n\n", Ending.SILENT),
        (b"", Ending.SILENT),
    ],
)
def test_an_error_is_told_from_silence(stream: bytes, ending: Ending) -> None:
    """A stream without its terminal event is never finished, however much of it came."""
    assert RESPONSES.concluded(list(events(stream))) is ending


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "number"),
    [
        (BEGUN + HELLO, 4),
        (CREATED, 1),
        (HELLO + b"data: 7\n\ndata: x\n\n", 4),
        (WORLD + _event("x"), 5),
        (b"", 0),
    ],
)
def test_a_cut_stream_is_told_in_the_apis_own_event(last: bytes, number: int) -> None:
    """An error event that the official model knows, numbered on from what came."""
    (told,) = _told(RESPONSES.cut_short(list(events(last))))
    official = MODELS["error"].model_validate(told)
    assert official.code == told["error"]["code"] == "upstream_incomplete"
    assert official.sequence_number == number
    assert (official.param, "param" in told) == (None, True)


def test_a_number_beyond_counting_does_not_break_the_error() -> None:
    """An absurd number is passed over."""
    absurd = Event(b"", b'{"sequence_number":18446744073709551615}')
    (told,) = _told(RESPONSES.cut_short([absurd]))
    assert told["sequence_number"] == 1


def test_a_cut_stream_is_an_error_to_the_client() -> None:
    """The official client has what came and then an error, not a quiet end."""
    stream = CREATED + HELLO + RESPONSES.cut_short(list(events(CREATED + HELLO)))
    said: list[str] = []

    def listen() -> None:
        for event in _streaming(stream).responses.create(model="m", input="x", stream=True):
            said.append(getattr(event, "delta", ""))  # noqa: PERF401 - up to the error

    with pytest.raises(openai.APIError, match="ended before it was complete"):
        listen()
    assert "".join(said) == "A pro"
    assert _judge(stream + COMPLETED).refusal is Reason.INCOMPLETE
    assert RESPONSES.concluded(list(events(stream))) is Ending.FAILED


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, openai.BadRequestError, "invalid_request_error"),
        (404, openai.NotFoundError, "invalid_request_error"),
        (500, openai.InternalServerError, "server_error"),
        (502, openai.InternalServerError, "server_error"),
    ],
)
def test_our_errors_are_the_clients_errors(
    status: int, raised: type[openai.APIStatusError], kind: str
) -> None:
    """The official client raises its own class with our message, code and param in it."""
    body = RESPONSES.error(status, "No such thing: ä", code="some_code", param="model")
    with pytest.raises(raised, match="No such thing: ä") as caught:
        _client(status, body, "application/json").responses.create(**BASE)
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "some_code",
        "model",
        kind,
    )


# -- recorded exchanges --------------------------------------------------------------------------

PLACES = [os.environ.get("LIKEWISE_DATA", ""), str(Path(__file__).parents[4] / "shared" / "data")]
RECORDED = next(
    (found for place in PLACES if (found := Path(place, "payloads", "payloads.jsonl")).is_file()),
    None,
)
SOURCES = ("openai", "azure", "xai")


def _framed(lines: list[str]) -> list[str]:
    """Events that were kept without their framing, as streams: some rows hold several in a row."""
    streams: list[str] = []
    for line in lines:
        kind = json.loads(line)["type"]
        if kind == "response.created":
            streams.append("")
        streams[-1] += f"event: {kind}\ndata: {line}\n\n"
    return streams


def _recorded() -> list[Any]:
    """Every successful answer of this API as (bytes, whether streamed)."""
    rows = [] if RECORDED is None else map(json.loads, RECORDED.read_text("utf-8").splitlines())
    found = []
    for row in rows:
        body = row["response"]["body"]
        if not row["endpoint"].startswith(SOURCES) or row["status"] != 200:
            continue
        if row["stream"] and body.startswith('{"type":"response.created"'):
            answers = _framed(body.splitlines())
        elif body.startswith("event: response.created") or _is_response(body):
            answers = [body]
        else:
            continue
        found += [
            pytest.param(answer.encode(), row["stream"], id=f"{row['id']}-{n}")
            for n, answer in enumerate(answers)
        ]
    return found


def _is_response(body: str) -> bool:
    return body.startswith("{") and '"object":"response"' in body.replace(" ", "")


RUN_BY_CALLER = ("message", "reasoning", "function_call", "custom_tool_call")


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize(("answer", "streamed"), _recorded())
def test_recorded_answers_are_kept_when_complete_and_say_the_same_in_every_form(
    answer: bytes, streamed: bool
) -> None:
    """A real answer is accepted if and only if it is complete, and no form changes what it says."""
    if b'"response.failed"' in answer:
        assert not _ended(answer)
        assert RESPONSES.concluded(list(events(answer))[-4:]) is Ending.FAILED
        assert _judge(answer).refusal is Reason.INCOMPLETE
        return
    said = _official(answer) if streamed else _whole(answer)
    good = all(item["type"] in RUN_BY_CALLER for item in said["output"])
    facts = RESPONSES.judge(answer, streamed=streamed, query=WITH_TOOLS, strict=False)
    assert facts.refusal is (None if good else Reason.FINISH_REASON)
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == (
        said["usage"]["input_tokens"],
        said["usage"]["output_tokens"],
        True,
    )

    # For the caller of whom it says what it says.
    own = ("metadata", "user", "safety_identifier", "prompt_cache_key")
    echo = tuple((name, json.dumps(said[name]).encode()) for name in own if said.get(name))
    whole_form, stream_form = replace(WHOLE, echo=echo), replace(STREAM, echo=echo)
    body = RESPONSES.render(answer, streamed=streamed, form=whole_form)
    stream = RESPONSES.render(answer, streamed=streamed, form=stream_form)
    again = RESPONSES.render(body, streamed=False, form=stream_form)
    assert _whole(body) == said
    assert _official(stream) == said
    assert _official(again) == said
    assert b'"obfuscation"' not in stream
    if not streamed:
        assert body == answer


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize(("answer", "streamed"), _recorded())
def test_recorded_streams_cut_between_any_two_events_are_refused(
    answer: bytes, streamed: bool
) -> None:
    """Whatever is missing of a real stream, it has no end and is not kept."""
    frames = answer.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n\n") if streamed else []
    for size in range(len(frames)):
        cut = b"".join(frame + b"\n\n" for frame in frames[:size])
        assert not _ended(cut)
        facts = RESPONSES.judge(cut, streamed=True, query=WITH_TOOLS, strict=False)
        assert facts.refusal is Reason.INCOMPLETE
