"""Anthropic messages: what is keyed, what may be kept, and that every form says the same.

Streams are judged by the official client's own accumulation, and by recorded exchanges where the
data folder is there (`LIKEWISE_DATA`, or `shared/data` beside the checkout).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, get_args

import anthropic
import httpx2
import pytest
from anthropic.types.shared import ErrorType
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.values import AnswerFacts, Owners, Query
from policies.verdicts import Reason
from proxy.dialects import fields
from proxy.dialects.fields import Use
from proxy.dialects.messages import Messages
from proxy.dialects.ports import Ending, Form, Frame
from proxy.sse import Parser, events

MESSAGES = Messages()
FRAME = Frame(owners=Owners(key="k"), upstream="anthropic https://api.anthropic.com/v1")
ASKED = {"role": "user", "content": "What is photosynthesis?"}
BASE: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": [ASKED]}
WHOLE, STREAM = Form(stream=False, usage=True), Form(stream=True, usage=True)


def _read(*messages: Any, **more: Any) -> Query:
    body = BASE | ({"messages": list(messages)} if messages else {}) | more
    return MESSAGES.read(body, FRAME)


def _named(*uses: Use) -> list[str]:
    return sorted(name for name, field in fields.MESSAGES.items() if field.use in uses)


# -- reading -------------------------------------------------------------------------------------


def test_a_plain_question_is_read_whole() -> None:
    """The last user's text is the text, byte-true; nothing stands in the way of meaning."""
    query = _read({"role": "user", "content": "  What is ä\n中? "}, temperature=0.2)
    assert (query.text, query.model) == ("  What is ä\n中? ", "claude-haiku-4-5")
    assert (query.dialect, query.upstream) == ("messages", FRAME.upstream)
    assert (query.chain, query.turns, query.temperature) == ("", 0, 0.2)
    assert (query.bypass, query.exact_only, query.wants_usage) == (None, None, True)
    assert query.owners == Owners(key="k")


@pytest.mark.parametrize("name", _named(Use.TRANSPORT))
def test_what_does_not_shape_the_answer_is_not_keyed(name: str) -> None:
    """Transport and bookkeeping leave the fingerprint, and the way to be answered, as it was."""
    query = _read(**{name: True if name == "stream" else {"user_id": "u-1"}})
    assert query.fingerprint == _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, None)


@pytest.mark.parametrize("name", [*_named(Use.KEY), "output_format", "a_field_of_next_year"])
@pytest.mark.parametrize("value", ["x", {"x": [1]}, None, 7])
def test_everything_else_is_keyed(name: str, value: Any) -> None:
    """Any other field, known or not, with any value, makes another request."""
    base, query = BASE | {name: "base"}, _read(**{name: value})
    assert query.fingerprint != MESSAGES.read(base, FRAME).fingerprint
    assert query.exact_only is None
    odd_model = name == "model" and value is not None and not isinstance(value, str)
    assert query.bypass is (Reason.UNSUPPORTED if odd_model else None)


@pytest.mark.parametrize(
    ("more", "bypass", "exact_only"),
    [
        ({"tools": [{"name": "f", "input_schema": {}}]}, None, Reason.TOOLS),
        ({"tools": [{"type": "custom", "name": "f", "input_schema": {}}]}, None, Reason.TOOLS),
        ({"tools": [{"type": None, "name": "f"}]}, None, Reason.TOOLS),
        ({"tools": []}, None, Reason.TOOLS),
        ({"tools": None}, None, None),
        ({"tool_choice": {"type": "auto"}}, None, Reason.TOOLS),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "web_fetch_20260318", "name": "web_fetch"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "code_execution_20250825", "name": "x"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "text_editor_20250728", "name": "x"}]}, Reason.TOOLS, ...),
        ({"tools": [{"type": "memory_20250818", "name": "memory"}]}, Reason.TOOLS, ...),
        ({"tools": [{"name": "f"}, {"type": ["custom"]}]}, Reason.TOOLS, ...),
        ({"tools": ["f"]}, Reason.TOOLS, ...),
        ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]}, Reason.TOOLS, ...),
        ({"mcp_servers": None}, None, None),
        ({"container": "container_1"}, Reason.STATEFUL, ...),
        ({"container": None}, None, None),
        ({"context_management": {"edits": []}}, Reason.STATEFUL, ...),
        ({"stream": "yes"}, Reason.UNSUPPORTED, ...),
        ({"stream": 1}, Reason.UNSUPPORTED, ...),
        ({"model": ["m"]}, Reason.UNSUPPORTED, ...),
        ({"messages": None}, Reason.UNSUPPORTED, ...),
        ({"messages": []}, Reason.UNSUPPORTED, ...),
        ({"messages": "hello"}, Reason.UNSUPPORTED, ...),
        ({"messages": {"role": "user"}}, Reason.UNSUPPORTED, ...),
        ({"messages": ["hello"]}, Reason.UNSUPPORTED, ...),
        ({"messages": [ASKED, None]}, Reason.UNSUPPORTED, ...),
        ({"messages": [{"content": "x"}]}, Reason.UNSUPPORTED, ...),
        ({"messages": [{"role": ["user"], "content": "x"}]}, Reason.UNSUPPORTED, ...),
    ],
)
def test_tools_state_and_odd_shapes_limit_what_may_be_used(
    more: dict[str, Any], bypass: Reason | None, exact_only: Any
) -> None:
    """The caller's tools match exactly; the vendor's, and what is not understood, never do."""
    query = _read(**more)
    assert query.bypass is bypass
    if exact_only is not ...:
        assert query.exact_only is exact_only


def test_the_order_of_tools_counts() -> None:
    """Models read tools in order, so two orders are two requests."""
    one, two = ({"name": name, "input_schema": {}} for name in "ab")
    assert _read(tools=[one, two]).fingerprint != _read(tools=[two, one]).fingerprint


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "x", "data": "x"}}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "x"}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}
SEARCHED = {"type": "web_search_tool_result", "tool_use_id": "x", "content": []}
TEXT = {"type": "text", "text": "x"}


def _user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def _assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([_user(TEXT, IMAGE)], Reason.MULTIMODAL),
        ([_user(IMAGE)], Reason.MULTIMODAL),
        ([_user(DOCUMENT, TEXT)], Reason.MULTIMODAL),
        ([_user({"type": "search_result", "source": "x"})], Reason.MULTIMODAL),
        ([_user({"type": "block_of_next_year", "x": "x"})], Reason.MULTIMODAL),
        ([_user({"text": "x"})], Reason.MULTIMODAL),
        ([_user({"type": 7, "text": "x"})], Reason.MULTIMODAL),
        ([_user("x")], Reason.MULTIMODAL),
        ([_user(RESULT)], Reason.TOOLS),
        ([_user(RESULT, IMAGE)], Reason.TOOLS),
        ([_user(RESULT, TEXT)], Reason.TOOLS),
        ([_user(TEXT, TEXT)], Reason.UNSUPPORTED),
        ([_user({"type": "text", "text": 7})], Reason.UNSUPPORTED),
        ([_user()], Reason.UNSUPPORTED),
        ([{"role": "user", "content": None}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": 7}], Reason.UNSUPPORTED),
        ([{"role": "user"}], Reason.UNSUPPORTED),
        ([ASKED, {"role": "assistant", "content": "It is x"}], Reason.UNSUPPORTED),
        ([ASKED, _assistant(TEXT)], Reason.UNSUPPORTED),
        ([ASKED, {"role": "system", "content": "x"}], Reason.UNSUPPORTED),
        ([{"role": "alien", "content": "x"}], Reason.UNSUPPORTED),
        ([ASKED, _assistant(CALL), _user(RESULT)], Reason.TOOLS),
        ([ASKED, _assistant(TEXT, CALL), ASKED], Reason.TOOLS),
        ([ASKED, _assistant(SEARCHED, TEXT), ASKED], Reason.TOOLS),
        ([_user(RESULT), ASKED], Reason.TOOLS),
        ([_user(IMAGE, TEXT), _assistant(TEXT), ASKED], Reason.MULTIMODAL),
        ([ASKED, _assistant({"type": "thinking", "thinking": "x"}), ASKED], Reason.MULTIMODAL),
    ],
)
def test_conversations_that_hold_more_than_text_match_exactly(
    messages: list[Any], reason: Reason
) -> None:
    """Such requests may still repeat, but nothing stands in for them by meaning."""
    query = _read(*messages)
    assert (query.bypass, query.exact_only) == (None, reason)
    again = _read(*json.loads(json.dumps(messages)))
    assert (again.fingerprint, again.chain, again.text) == (
        query.fingerprint,
        query.chain,
        query.text,
    )
    changed = json.loads(json.dumps(messages).replace('"x"', '"y"').replace("7", "8"))
    if changed != messages:
        other = _read(*changed)
        assert (other.fingerprint, other.chain) != (query.fingerprint, query.chain)


def test_one_text_block_is_a_text() -> None:
    """The block form is understood; what else the block says is keyed."""
    block = {"type": "text", "text": "What is photosynthesis?"}
    query = _read(_user(block))
    assert (query.text, query.exact_only) == ("What is photosynthesis?", None)
    assert _read(_user({**block, "text": "What is rain?"})).fingerprint == query.fingerprint
    marked = _read(_user({**block, "cache_control": {"type": "ephemeral"}}))
    assert (marked.text, marked.exact_only) == (query.text, None)
    assert marked.fingerprint != query.fingerprint


def test_only_the_text_is_left_out_of_the_fingerprint() -> None:
    """Two questions share a fingerprint; an unknown member beside the text does not."""
    query = _read()
    other = _read({"role": "user", "content": "What is rain?"})
    assert (other.fingerprint, other.text) == (query.fingerprint, "What is rain?")
    assert _read({**ASKED, "x": 1}).fingerprint != query.fingerprint


def test_the_system_prompt_is_keyed_whole() -> None:
    """Another prompt, another form of it, or a mark on it is another fingerprint."""
    block = {"type": "text", "text": "Be brief."}
    prompts: list[Any] = ["Be brief.", "Be long.", [block], [block, block], []]
    prompts.append([{**block, "cache_control": {"type": "ephemeral"}}])
    seen = {_read(system=prompt).fingerprint for prompt in prompts}
    assert len(seen | {_read().fingerprint}) == 7


def test_system_messages_are_keyed_with_their_place() -> None:
    """A system message among the turns is an instruction, no turn, and its place counts."""
    brief = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "A process."}
    told = _read(ASKED, answer, brief, ASKED)
    assert (told.turns, told.exact_only) == (1, None)
    assert told.chain == _read(ASKED, answer, ASKED).chain
    others = [
        _read(ASKED, answer, ASKED),
        _read(ASKED, brief, answer, ASKED),
        _read(ASKED, answer, {**brief, "content": "Be long."}, ASKED),
    ]
    assert told.fingerprint not in {other.fingerprint for other in others}


def test_earlier_turns_make_the_chain() -> None:
    """The chain is empty for a standalone question and differs with every earlier word."""
    answer = {"role": "assistant", "content": "A process."}
    follow = {"role": "user", "content": "And in moss?"}
    queries = [
        _read(follow),
        _read(ASKED, answer, follow),
        _read({**ASKED, "content": "What is rain?"}, answer, follow),
        _read(ASKED, {**answer, "content": "Magic."}, follow),
        _read(ASKED, _assistant({"type": "text", "text": "A process."}), follow),
        _read(ASKED, answer, ASKED, answer, follow),
    ]
    assert [query.turns for query in queries] == [0, 1, 1, 1, 1, 2]
    assert [len(query.chain) for query in queries] == [0, 32, 32, 32, 32, 32]
    assert len({query.chain for query in queries}) == len(queries)
    assert {query.text for query in queries} == {"And in moss?"}
    assert {query.exact_only for query in queries} == {None}
    assert len({query.fingerprint for query in queries}) == 1


def test_the_frame_is_part_of_the_fingerprint() -> None:
    """Headers that shape the answer and a model in the path are keyed; number forms are not."""
    plain = MESSAGES.read(BASE, FRAME)
    beta = Frame(owners=FRAME.owners, upstream=FRAME.upstream, headers=b"anthropic-beta:x")
    placed = Frame(owners=FRAME.owners, upstream=FRAME.upstream, deployment="m")
    assert MESSAGES.read(BASE, beta).fingerprint != plain.fingerprint
    assert MESSAGES.read(BASE, placed).fingerprint != plain.fingerprint
    assert MESSAGES.read(BASE, placed).model == "m"
    one, other = ({**BASE, "temperature": number} for number in (1, 1.0))
    assert MESSAGES.read(one, FRAME).fingerprint == MESSAGES.read(other, FRAME).fingerprint


@pytest.mark.parametrize(
    ("more", "form"),
    [
        ({}, WHOLE),
        ({"stream": False}, WHOLE),
        ({"stream": None}, WHOLE),
        ({"stream": "yes"}, WHOLE),
        ({"stream": True}, STREAM),
        ({"stream": True, "stream_options": {"include_usage": False}}, STREAM),
    ],
)
def test_the_wanted_form_is_read(more: dict[str, Any], form: Form) -> None:
    """Both forms always have their usage."""
    assert MESSAGES.form(BASE | more) == form


@pytest.mark.parametrize(
    ("more", "user"),
    [
        ({}, None),
        ({"metadata": {"user_id": "u"}}, "u"),
        ({"metadata": {"user_id": ""}}, None),
        ({"metadata": {"user_id": 7}}, None),
        ({"metadata": {"user_id": None}}, None),
        ({"metadata": "u"}, None),
        ({"metadata": None}, None),
        ({"user": "u"}, None),
    ],
)
def test_the_end_user_is_found(more: dict[str, Any], user: str | None) -> None:
    """What is empty or no text names nobody, and this API has no other place for a name."""
    assert MESSAGES.end_user(BASE | more) == user


@pytest.mark.parametrize(
    ("more", "strict"),
    [
        ({}, False),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, True),
        ({"output_format": {"type": "json_schema", "schema": {}}}, True),
        ({"output_config": {"effort": "low"}}, False),
        ({"output_config": {"format": {"type": "text"}}}, False),
        ({"output_config": {"format": "json_schema"}}, False),
        ({"output_config": "json_schema", "output_format": "json_schema"}, False),
    ],
)
def test_structured_output_is_seen(more: dict[str, Any], strict: bool) -> None:
    """A schema asks for content that is JSON, under its present name and the one before."""
    assert MESSAGES.wants_json(BASE | more) is strict


# -- judging -------------------------------------------------------------------------------------

USAGE = {"input_tokens": 12, "output_tokens": 3}
THOUGHT = {"type": "thinking", "thinking": "Plants... ", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "x"}


def _answer(*content: Any, stop: Any = "end_turn", **top: Any) -> dict[str, Any]:
    said = list(content) or [{"type": "text", "text": "A process."}]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
        "content": said,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    } | top


def _event(kind: str, **members: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | members)}\n\n".encode()


def _start(**message: Any) -> bytes:
    return _event("message_start", message=_answer(stop=None) | {"content": []} | message)


def _block(block: Any, *deltas: Any, index: Any = 0) -> bytes:
    made = [_event("content_block_start", index=index, content_block=block)]
    made += [_event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*made, _event("content_block_stop", index=index)])


def _said(text: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": text}


def _part(text: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": text}


def _stop(reason: Any = "end_turn", **more: Any) -> bytes:
    told: dict[str, Any] = {"delta": {"stop_reason": reason, "stop_sequence": None}, "usage": USAGE}
    return _event("message_delta", **(told | more))


NONE = {"type": "text", "text": ""}
WANTED = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
HELLO = _start() + _block(NONE, _said("Hel"), _said("lo"))
DONE = _event("message_stop")
PING = _event("ping")
FAILED = _event("error", error={"type": "overloaded_error", "message": "Overloaded"})
TOOLED = _read(tools=[{"name": "f", "input_schema": {}}])


def _judge(answer: Any, *, query: Query | None = None, strict: bool = False) -> AnswerFacts:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    streamed = raw.startswith((b"event:", b"data:", b":"))
    return MESSAGES.judge(raw, streamed=streamed, query=query or _read(), strict=strict)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(), None),
        (_answer(stop="stop_sequence", stop_sequence="###"), None),
        (_answer(THOUGHT, REDACTED, TEXT), None),
        (_answer({"type": "fallback", "from": {}, "to": {}}, TEXT), None),
        (_answer(stop="max_tokens"), Reason.FINISH_REASON),
        (_answer(stop="model_context_window_exceeded"), Reason.FINISH_REASON),
        (_answer(stop="pause_turn"), Reason.FINISH_REASON),
        (_answer(stop="refusal"), Reason.FINISH_REASON),
        (_answer(stop="refusal") | {"content": []}, Reason.FINISH_REASON),
        (_answer(stop="reason_of_next_year"), Reason.FINISH_REASON),
        (_answer(stop=None), Reason.FINISH_REASON),
        (_answer(stop=["end_turn"]), Reason.FINISH_REASON),
        (_answer(CALL, stop="tool_use"), Reason.FINISH_REASON),
        (_answer(stop="tool_use"), Reason.FINISH_REASON),
        (_answer(TEXT, CALL), Reason.FINISH_REASON),
        (_answer(CALL | {"type": "mcp_tool_use"}, TEXT), Reason.FINISH_REASON),
        (_answer(NONE), Reason.INCOMPLETE),
        (_answer(THOUGHT), Reason.INCOMPLETE),
        (_answer(REDACTED, NONE), Reason.INCOMPLETE),
        (_answer() | {"content": []}, Reason.INCOMPLETE),
        (_answer() | {"content": None}, Reason.INCOMPLETE),
        (_answer() | {"content": "A process."}, Reason.INCOMPLETE),
        (_answer("A process."), Reason.INVALID_JSON),
        (_answer({"text": "x"}), Reason.INVALID_JSON),
        (_answer({"type": ["text"]}), Reason.INVALID_JSON),
        (_answer({"type": "text", "text": 7}), Reason.INVALID_JSON),
        (_answer({"type": "text", "text": None}), Reason.INVALID_JSON),
        (_answer(type="completion"), Reason.INCOMPLETE),
        (_answer(error={"type": "api_error", "message": "x"}), Reason.INCOMPLETE),
        ({"type": "error", "error": {"type": "api_error", "message": "x"}}, Reason.INCOMPLETE),
        ({"type": "error"} | {k: v for k, v in _answer().items() if k != "type"},
         Reason.INCOMPLETE),
        (_answer(TEXT, {"type": "novel", "n": 2**70}), Reason.INVALID_JSON),
        ([], Reason.INCOMPLETE),
        (b"7", Reason.INCOMPLETE),
        (b"", Reason.INVALID_JSON),
        (b"<html>Bad gateway</html>", Reason.INVALID_JSON),
        (json.dumps(_answer()).encode()[:-5], Reason.INVALID_JSON),
        (b'{"content":' + b"[" * 5_000, Reason.INVALID_JSON),
        (b'{"type":"message","x":' + b"[" * 101 + b"]" * 101
         + json.dumps(_answer()).encode().replace(b"{", b",", 1), Reason.INVALID_JSON),
    ],
)  # fmt: skip
def test_only_complete_and_good_bodies_are_kept(answer: Any, refusal: Reason | None) -> None:
    """Each way in which a body can be bad has its reason, and none of them raises."""
    assert _judge(answer).refusal is refusal


@pytest.mark.parametrize(
    ("stream", "refusal"),
    [
        (HELLO + _stop() + DONE, None),
        (HELLO + _stop() + DONE.rstrip(), None),
        (HELLO + PING + _stop() + PING + DONE, None),
        (HELLO + b"event: ping\ndata: nothing\n\n" + _stop() + DONE, None),
        (HELLO + b": comment\n\n" + _stop() + DONE + b"data: not json, after the end\n\n", None),
        ((HELLO + _stop() + DONE).replace(b"\n", b"\r\n"), None),
        (b": nameless\n\n" + (HELLO + _stop() + DONE).replace(b"event: ", b": "), None),
        (HELLO + _stop(context_management={"applied_edits": []}) + DONE, None),
        (_start() + _block(NONE, {**_said("Hi"), "estimated_tokens": 5}) + _stop() + DONE, None),
        (HELLO + _stop() + _event("message_stop", note={"ms": 5}) + DONE, None),
        (HELLO + _stop(), Reason.INCOMPLETE),
        (HELLO + _stop() + b"event: message_stop\n\n", Reason.INCOMPLETE),
        (HELLO + _stop() + b"event: message_stop\ndata: {}\n\n", Reason.INVALID_JSON),
        (HELLO + _stop() + b"event: message_stop\ndata: {\n\n", Reason.INVALID_JSON),
        (HELLO + _stop() + b'event: ping\ndata: {"type":"message_stop"}\n\n', Reason.INCOMPLETE),
        (HELLO + _stop() + b'event: message_delta\ndata: {"type":"message_stop"}\n\n',
         Reason.INVALID_JSON),
        (HELLO, Reason.INCOMPLETE),
        (HELLO + DONE, Reason.FINISH_REASON),
        (HELLO + _stop("max_tokens") + DONE, Reason.FINISH_REASON),
        (HELLO + _stop("refusal") + DONE, Reason.FINISH_REASON),
        (HELLO + _stop("pause_turn") + DONE, Reason.FINISH_REASON),
        (HELLO + _stop() + _stop(None) + DONE, Reason.FINISH_REASON),
        (_start() + _block(WANTED, _part("{}")) + _stop("tool_use") + DONE, Reason.FINISH_REASON),
        (_start() + _stop() + DONE, Reason.INCOMPLETE),
        (_start() + _block(NONE) + _stop() + DONE, Reason.INCOMPLETE),
        (_start(usage=None) + _block(NONE, _said("Hi")) + _stop(usage=None) + DONE,
         Reason.INCOMPLETE),
        (HELLO + FAILED, Reason.INCOMPLETE),
        (HELLO + FAILED + _stop() + DONE, Reason.INCOMPLETE),
        (DONE, Reason.INCOMPLETE),
        (FAILED + DONE, Reason.INCOMPLETE),
        (_stop() + DONE, Reason.INVALID_JSON),
        (HELLO + HELLO + _stop() + DONE, Reason.INVALID_JSON),
        (HELLO + b"event: message_delta\ndata: nonsense\n\n" + DONE, Reason.INVALID_JSON),
        (HELLO + b"data: [1]\n\n" + DONE, Reason.INVALID_JSON),
        (HELLO + b'data: {"x":1}\n\n' + DONE, Reason.INVALID_JSON),
        (_event("message_start", message=7) + DONE, Reason.INVALID_JSON),
        (_event("message_start") + DONE, Reason.INVALID_JSON),
        (HELLO.replace(b'"message_start"', b'"message_start", "x": 1', 1) + _stop() + DONE,
         Reason.INVALID_JSON),
        (_start(content=None) + DONE, Reason.INVALID_JSON),
        (_start(content=7) + DONE, Reason.INVALID_JSON),
        (HELLO + _stop(delta=7) + DONE, Reason.INVALID_JSON),
        (HELLO + _stop(usage=[1]) + DONE, Reason.INVALID_JSON),
    ],
)  # fmt: skip
def test_only_complete_and_good_streams_are_kept(stream: bytes, refusal: Reason | None) -> None:
    """Each way in which a stream can be bad has its reason, and none of them raises."""
    assert _judge(stream).refusal is refusal


LOSSY = {
    "event": _event("event_of_next_year", index=0),
    "delta": _block(NONE, {"type": "delta_of_next_year", "text": "x"}, index=1),
    "delta's member": _block(NONE, {**_said("x"), "x": 1}, index=1),
    "block event's member": _event("content_block_start", index=1, content_block=NONE, x=1),
    "delta event's member": _event("content_block_delta", index=0, delta=_said("x"), x=1),
    "stop event's member": _event("content_block_stop", index=0, x=1),
    "text for a call": _block(WANTED, _said("x"), index=1),
    "input for a text": _block(NONE, _part("{}"), index=1),
    "thought for a text": _block(NONE, {"type": "thinking_delta", "thinking": "x"}, index=1),
    "signature for a text": _block(NONE, {"type": "signature_delta", "signature": "x"}, index=1),
    "citation for a call": _block(WANTED, {"type": "citations_delta", "citation": {}}, index=1),
    "text that is none": _block(NONE, _said(7), index=1),  # type: ignore[arg-type]
    "delta without its text": _block(NONE, {"type": "text_delta"}, index=1),
    "delta without a type": _block(NONE, {"text": "x"}, index=1),
    "delta that is none": _block(NONE, "x", index=1),
    "typeless block": _block({"text": ""}, index=1),
    "fallback to nobody": _block({"type": "fallback", "to": {}}, index=1),
    "block out of order": _block(NONE, _said("x"), index=2),
    "block far out": _block(NONE, index=10**9),
    "block twice": _block(NONE, _said("x"), index=0),
    "block without a place": _block(NONE, index=None),
    "delta before its block": _event("content_block_delta", index=1, delta=_said("x")),
    "delta from behind": _event("content_block_delta", index=-1, delta=_said("x")),
    "content at the end": _stop(delta={"stop_reason": "end_turn", "content": [TEXT]}),
    "usage in the delta": _stop(delta={"stop_reason": "end_turn", "usage": USAGE}),
    "number too long": _stop(x=2**70),
    "number too long in an input": _block(WANTED, _part('{"n":'), _part(f"{2**70}}}"), index=1),
    "input of another kind": _block(WANTED, _part("[1]"), index=1),
    "input cut short": _block(WANTED, _part('{"n":'), index=1),
    "input that is NaN": _block(WANTED, _part('{"n": NaN}'), index=1),
}


@pytest.mark.parametrize("name", LOSSY)
def test_what_would_be_lost_is_refused(name: str) -> None:
    """A stream that no body can be made of without a loss is neither kept nor rendered."""
    stream = HELLO + LOSSY[name] + _stop() + DONE
    assert _judge(stream, query=TOOLED).refusal is Reason.INVALID_JSON
    with pytest.raises((ValueError, TypeError, LookupError)):
        MESSAGES.render(stream, streamed=True, form=WHOLE)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(CALL, stop="tool_use"), None),
        (_answer(TEXT, CALL, CALL | {"id": "toolu_2"}, stop="tool_use"), None),
        (_answer(CALL), None),
        (_answer(CALL, stop="max_tokens"), Reason.FINISH_REASON),
        (_answer(CALL, stop="pause_turn"), Reason.FINISH_REASON),
        (_answer(CALL | {"input": "{}"}, stop="tool_use"), Reason.INVALID_JSON),
        (_answer(CALL | {"input": None}, stop="tool_use"), Reason.INVALID_JSON),
        (_answer({"type": "tool_use", "id": "x"}, stop="tool_use"), Reason.INVALID_JSON),
        (_answer({"type": "server_tool_use", "id": "x"}, TEXT), Reason.INVALID_JSON),
        (_start() + _block(WANTED, _part('{"a"'), _part(":1}")) + _stop("tool_use") + DONE, None),
        (_start() + _block(WANTED, _part("")) + _stop("tool_use") + DONE, None),
        (_start() + _block(WANTED) + _stop("tool_use") + DONE, None),
        (_start() + _block(WANTED, _part('{"a"')) + _stop("tool_use") + DONE, Reason.INVALID_JSON),
        (_start() + _block(WANTED, _part('{"a"')) + _stop("max_tokens") + DONE,
         Reason.FINISH_REASON),
    ],
)  # fmt: skip
def test_calls_are_kept_for_exact_repeats(answer: Any, refusal: Reason | None) -> None:
    """An answer that calls tools is good where tools were given and its inputs are whole."""
    assert _judge(answer, query=TOOLED).refusal is refusal


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        ('{"a": 1}', None),
        ("[]", None),
        ('```json\n{"a": 1}\n```', Reason.INVALID_JSON),
        ('{"a": 1', Reason.INVALID_JSON),
        ("Sorry.", Reason.INVALID_JSON),
    ],
)
def test_structured_output_must_be_json(content: str, refusal: Reason | None) -> None:
    """Under a schema broken content is not kept, in either form; elsewhere it is just text."""
    block = {"type": "text", "text": content}
    parts = _block(NONE, _said(content[:3]), _said(content[3:]), index=1)
    stream = _start() + _block(THOUGHT) + parts + _stop() + DONE
    for answer in (_answer(block), _answer(THOUGHT, block), stream):
        assert _judge(answer, strict=True).refusal is refusal
        assert _judge(answer).refusal is None
    assert _judge(_answer(CALL, stop="tool_use"), query=TOOLED, strict=True).refusal is None


@pytest.mark.parametrize(
    ("usage", "told", "refusal"),
    [
        (USAGE, (12, 3, True), None),
        (USAGE | {"cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000},
         (1112, 3, True), None),
        (USAGE | {"cache_creation_input_tokens": None}, (12, 3, True), None),
        (USAGE | {"input_tokens": -5}, (0, 3, True), None),
        (USAGE | {"input_tokens": 2**63}, (0, 3, True), None),
        ({"output_tokens": 3}, (0, 3, True), None),
        ({}, (0, 0, True), Reason.INCOMPLETE),
        ({"input_tokens": 12, "output_tokens": "3"}, (12, 0, True), Reason.INCOMPLETE),
        (None, (0, 0, False), Reason.INCOMPLETE),
        ("many", (0, 0, False), Reason.INCOMPLETE),
    ],
)  # fmt: skip
def test_tokens_are_counted_where_told(
    usage: Any, told: tuple[int, int, bool], refusal: Reason | None
) -> None:
    """All input counts, cached or not; absurd counts are nothing; without any there is no use."""
    facts = _judge(_answer(usage=usage))
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == told
    assert facts.refusal is refusal


def test_usage_of_a_stream_is_its_latest() -> None:
    """Each count is a total that replaces the one before; one that is not repeated stands."""
    start = _start(usage={"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1})
    told = {"input_tokens": 6, "cache_read_input_tokens": None, "output_tokens": 40}
    stream = start + _block(NONE, _said("Hi")) + _stop(usage=told) + DONE
    facts = _judge(stream)
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == (13, 40, True)
    assert facts.size == len(stream)


# -- rendering -----------------------------------------------------------------------------------


class _Vendor:
    """The official client, and the answer that it gets for whatever it asks."""

    def __init__(self) -> None:
        self._answer = httpx2.Response(500)
        http = httpx2.Client(transport=httpx2.MockTransport(self._give))
        self.client = anthropic.Anthropic(
            api_key="k", base_url="http://x", max_retries=0, http_client=http
        )

    def _give(self, request: httpx2.Request) -> httpx2.Response:
        return self._answer

    def answers(self, content: bytes, kind: str, status: int = 200) -> anthropic.Anthropic:
        headers = {"content-type": kind}
        self._answer = httpx2.Response(status, content=content, headers=headers)
        return self.client

    def whole(self, body: bytes) -> Any:
        """What the client makes of a body."""
        client = self.answers(body, "application/json")
        return _settled(client.beta.messages.create(**BASE).to_dict(warnings=False))

    def streamed(self, stream: bytes) -> Any:
        """What the client makes of a stream."""
        client = self.answers(stream, "text/event-stream")
        with client.beta.messages.stream(**BASE) as told:
            return _settled(told.get_final_message().to_dict(warnings=False))


def _settled(message: dict[str, Any]) -> dict[str, Any]:
    """Without the nulls that the client adds to a message for what was not told."""
    return {key: value for key, value in message.items() if value is not None}


VENDOR = _Vendor()
FOUND = {
    "type": "char_location",
    "cited_text": "Grüße 中文",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 5,
}
RESULTS = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "title": "t", "url": "u", "encrypted_content": "e"}],
}
DEEP: dict[str, Any] = {
    "city": "Zürich 中",
    "when": [1, 2.5, None, True, {"x": []}],
    "note": 'a "b"\n' * 9,
}
BODIES = {
    "plain": _answer(),
    "long": _answer({"type": "text", "text": "word " * 400 + "end"}),
    "unicode": _answer({"type": "text", "text": "Grüße\n\n\u2028 中文 😀 \x00 event: x\r\n" * 5}),
    "no words": _answer(NONE),
    "two texts": _answer(TEXT, {"type": "text", "text": "y"}),
    "stopped": _answer(stop="stop_sequence", stop_sequence="###"),
    "calls": _answer(CALL, CALL | {"id": "toolu_2", "input": DEEP}, stop="tool_use"),
    "call of nothing": _answer(CALL | {"input": {}, "caller": {"type": "direct"}}, stop="tool_use"),
    "calls and words": _answer(TEXT, CALL, stop="tool_use"),
    "thinking": _answer(THOUGHT | {"thinking": "Plants and light... " * 9}, TEXT),
    "unsigned thinking": _answer({"type": "thinking", "thinking": "Hm.", "signature": ""}, TEXT),
    "hidden thinking": _answer(THOUGHT | {"thinking": ""}, REDACTED, TEXT),
    "cited": _answer({**TEXT, "citations": [FOUND, FOUND | {"cited_text": "y"}]}),
    "cited nothing": _answer({**TEXT, "citations": []}, {**TEXT, "citations": None}),
    "searched": _answer(CALL | {"type": "server_tool_use", "name": "web_search"}, RESULTS, TEXT),
    "unknown": _answer({"type": "novel", "text": "x", "deep": {"y": [1.5]}}, TEXT | {"x": {}}),
    "fallen back": _answer(
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}, TEXT, model="b"
    ),
    "extras": _answer(x={"y": 1.5}, container={"id": "c", "expires_at": "2026-01-01T00:00:00Z"}),
    "nulls": _answer(stop_details=None, container=None, context_management=None),
    "managed": _answer(context_management={"applied_edits": []}),
    "detailed": _answer(stop_details={"type": "refusal", "category": "x", "explanation": "y"}),
    "bare": {k: v for k, v in _answer().items() if k != "stop_sequence"},
    "usage": _answer(
        usage=USAGE
        | {
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": None,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
            "output_tokens_details": {"thinking_tokens": 1},
            "server_tool_use": {"web_search_requests": 1},
            "service_tier": "standard",
            "iterations": [{"type": "message", "input_tokens": 12, "output_tokens": 3}],
            "x": 1,
        }
    ),
    "no output": _answer(usage=USAGE | {"output_tokens": 0}),
}  # fmt: skip


def _raw(body: Any) -> bytes:
    return json.dumps(body).encode()


def _told(stream: bytes) -> list[dict[str, Any]]:
    """What is on the wire, by plain string handling; each name must be its event's type."""
    assert stream.endswith(b"\n\n")
    told = []
    for chunk in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, _, data = chunk.partition("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


@pytest.mark.parametrize("name", BODIES)
def test_a_body_as_a_stream_says_the_same(name: str) -> None:
    """The official client reads from the stream what it reads from the body, and so do we."""
    body = BODIES[name]
    stream = MESSAGES.render(_raw(body), streamed=False, form=STREAM)
    assert VENDOR.streamed(stream) == VENDOR.whole(_raw(body))
    assert json.loads(MESSAGES.render(stream, streamed=True, form=WHOLE)) == body
    assert MESSAGES.render(stream, streamed=True, form=STREAM) == stream


@pytest.mark.parametrize("name", BODIES)
def test_both_forms_are_judged_alike(name: str) -> None:
    """Whether an answer is kept does not depend on how it came."""
    stream = MESSAGES.render(_raw(BODIES[name]), streamed=False, form=STREAM)
    for query in (_read(), TOOLED):
        one, other = _judge(BODIES[name], query=query), _judge(stream, query=query)
        assert (one.refusal, one.tokens_in, one.tokens_out) == (
            other.refusal,
            other.tokens_in,
            other.tokens_out,
        )


@pytest.mark.parametrize("name", ["plain", "calls", "thinking", "cited", "searched", "usage"])
def test_the_plain_client_reads_the_same(name: str) -> None:
    """So does the client's other accumulation, which has no beta features."""
    stream = MESSAGES.render(_raw(BODIES[name]), streamed=False, form=STREAM)
    whole = VENDOR.answers(_raw(BODIES[name]), "application/json").messages.create(**BASE)
    client = VENDOR.answers(stream, "text/event-stream")
    with client.messages.stream(**BASE) as told:
        message = told.get_final_message()
    assert _settled(message.to_dict(warnings=False)) == _settled(whole.to_dict(warnings=False))


def test_a_body_stays_as_it_was() -> None:
    """Byte for byte: white space, key order and unknown members included."""
    raw = b' {"content" : [ ], "x":1.0 }\n'
    assert MESSAGES.render(raw, streamed=False, form=WHOLE) == raw


def test_a_stream_has_the_vendors_order_of_events() -> None:
    """One start, each block opened, filled in pieces and closed, then the stop and the end."""
    stream = MESSAGES.render(_raw(BODIES["long"]), streamed=False, form=STREAM)
    start, opened, *filled, closed, delta, end = _told(stream)
    assert start["message"]["content"] == []
    assert (start["message"]["stop_reason"], start["message"]["usage"]["output_tokens"]) == (
        None,
        1,
    )
    assert opened == {"type": "content_block_start", "index": 0, "content_block": NONE}
    assert {(one["type"], one["index"], one["delta"]["type"]) for one in filled} == {
        ("content_block_delta", 0, "text_delta")
    }
    assert len(filled) > 20
    assert closed == {"type": "content_block_stop", "index": 0}
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"] == USAGE
    assert end == {"type": "message_stop"}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("calls", {"input_json_delta"}),
        ("call of nothing", {"input_json_delta"}),
        ("thinking", {"thinking_delta", "signature_delta", "text_delta"}),
        ("cited", {"text_delta", "citations_delta"}),
        ("searched", {"input_json_delta", "text_delta"}),
        ("hidden thinking", {"signature_delta", "text_delta"}),
        ("unknown", {"text_delta"}),
    ],
)
def test_each_block_is_filled_by_its_own_deltas(name: str, kinds: set[str]) -> None:
    """Clients that follow the deltas see what they would from the vendor."""
    told = _told(MESSAGES.render(_raw(BODIES[name]), streamed=False, form=STREAM))
    assert {one["delta"]["type"] for one in told if one["type"] == "content_block_delta"} == kinds


def test_a_thought_is_signed_when_it_is_complete() -> None:
    """Its block starts empty and without a signature, as from the vendor."""
    told = _told(MESSAGES.render(_raw(BODIES["thinking"]), streamed=False, form=STREAM))
    assert told[1]["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    (signed,) = (one for one in told if one.get("delta", {}).get("type") == "signature_delta")
    assert (signed["index"], signed["delta"]["signature"]) == (0, THOUGHT["signature"])


def test_the_last_usage_has_every_total() -> None:
    """Clients that read only the last usage find there what the vendor sends there."""
    *_, delta, _ = _told(MESSAGES.render(_raw(BODIES["usage"]), streamed=False, form=STREAM))
    usage = BODIES["usage"]["usage"]
    totals = usage.keys() - {"cache_creation", "service_tier", "x"}
    assert delta["usage"] == {key: usage[key] for key in totals}


def test_deltas_add_to_what_a_block_starts_with() -> None:
    """A block that starts with text keeps it, as with the official client."""
    stream = _start() + _block(TEXT, _said("y"), _said("z")) + _stop() + DONE
    body = MESSAGES.render(stream, streamed=True, form=WHOLE)
    assert json.loads(body)["content"] == [{"type": "text", "text": "xyz"}]
    assert VENDOR.whole(body) == VENDOR.streamed(stream)


def test_a_stored_stream_is_replayed_event_by_event() -> None:
    """The same events with the same data, spaces in it included; no pings, and no words after."""
    spaced = _stop().replace(b"}\n\n", b"}    }\n\n").replace(b'"usage": {', b'"usage":  {', 1)
    spaced = spaced.replace(b"}}    }", b"}    }")
    stream = HELLO + PING + spaced + b'event: ping\ndata: {"type": "ping"}\n\n' + DONE
    replayed = MESSAGES.render(stream + PING + HELLO, streamed=True, form=STREAM)
    assert replayed == HELLO + spaced + DONE
    assert VENDOR.streamed(replayed) == VENDOR.streamed(stream)


def test_events_are_named_when_replayed() -> None:
    """The official client passes over events without a name, so a replay gives them theirs."""
    named = HELLO + PING + _stop() + DONE
    nameless = b"".join(b"data: " + event.data + b"\n\n" for event in events(named))
    assert MESSAGES.render(nameless, streamed=True, form=STREAM) == HELLO + _stop() + DONE


def test_an_event_on_several_lines_survives() -> None:
    """Data that came on several lines is replayed as data, not lost after the first."""
    pretty = json.dumps({"type": "message_stop"}, indent=1).replace("\n", "\ndata: ")
    stream = HELLO + _stop() + f"event: message_stop\ndata: {pretty}\n\n".encode()
    assert _judge(stream).refusal is None
    assert MESSAGES.render(stream, streamed=True, form=STREAM) == stream


@pytest.mark.parametrize("stream", [HELLO + _stop(), HELLO + FAILED + DONE, DONE, b""])
def test_a_stream_without_its_end_is_no_body(stream: bytes) -> None:
    """What was cut or failed cannot be turned into something that looks complete."""
    with pytest.raises(ValueError, match="no end"):
        MESSAGES.render(stream, streamed=True, form=WHOLE)


def test_what_a_stream_tells_at_its_end_is_part_of_the_body() -> None:
    """Members of the last delta and of its event are kept, known to the client or not."""
    delta = {"stop_reason": "end_turn", "stop_sequence": None, "container": {"id": "c"}, "x": [1]}
    usage = USAGE | {"iterations": [{"type": "message"}], "y": 1}
    stream = HELLO + _stop(delta=delta, usage=usage, context_management={"applied_edits": []}, z=2)
    body = json.loads(MESSAGES.render(stream + DONE, streamed=True, form=WHOLE))
    assert body == _answer({"type": "text", "text": "Hello"}) | {
        "container": {"id": "c"},
        "x": [1],
        "usage": usage,
        "context_management": {"applied_edits": []},
        "z": 2,
    }


def test_the_model_that_answered_in_the_end_is_named() -> None:
    """After a fallback the official client relabels the message, and so does the body."""
    fallback = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    said = _block(NONE, _said("Hi"), index=1)
    stream = _start(model="a") + _block(fallback) + said + _stop() + DONE
    body = MESSAGES.render(stream, streamed=True, form=WHOLE)
    assert json.loads(body)["model"] == "b"
    assert VENDOR.whole(body) == VENDOR.streamed(stream)


# -- anything that can be said -------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=4)
EXTRAS = st.dictionaries(st.sampled_from(["x", "x_y", "ext"]), VALUES, max_size=2)
CITATIONS = st.lists(EXTRAS.map(lambda extra: FOUND | extra), max_size=3)
TEXTS = st.builds(
    lambda text, cited, extra: extra | {"type": "text", "text": text} | cited,
    WORDS,
    st.just({}) | CITATIONS.map(lambda cited: {"citations": cited}),
    EXTRAS,
)
THOUGHTS = st.builds(
    lambda text, signature, extra: extra | THOUGHT | {"thinking": text, "signature": signature},
    WORDS,
    WORDS,
    EXTRAS,
)
CALLS = st.builds(
    lambda kind, given, extra: extra | CALL | {"type": kind, "input": given},
    st.sampled_from(["tool_use", "server_tool_use"]),
    OBJECTS,
    EXTRAS,
)
NOVEL = st.builds(lambda extra, data: extra | {"type": "novel", "data": data}, EXTRAS, VALUES)
BLOCKS = TEXTS | THOUGHTS | CALLS | NOVEL | st.just(REDACTED)
ANSWERS = st.builds(
    lambda content, extra, stop: extra | _answer(*content, stop=stop),
    st.lists(BLOCKS, min_size=1, max_size=4),
    EXTRAS,
    st.sampled_from(["end_turn", "stop_sequence", "tool_use", "max_tokens"]),
)


@settings(deadline=None, max_examples=60)
@given(ANSWERS)
def test_any_answer_survives_both_ways(answer: dict[str, Any]) -> None:
    """Body to stream to body: all the same to the last member, to the client and to us."""
    raw = _raw(answer)
    stream = MESSAGES.render(raw, streamed=False, form=STREAM)
    assert json.loads(MESSAGES.render(stream, streamed=True, form=WHOLE)) == answer
    assert VENDOR.streamed(stream) == VENDOR.whole(raw)
    assert _judge(stream, query=TOOLED).refusal is _judge(raw, query=TOOLED).refusal


def _cut(text: str, at: list[int]) -> list[str]:
    ends = sorted({end for end in at if end < len(text)})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


@settings(deadline=None, max_examples=60)
@given(WORDS, OBJECTS, WORDS, CITATIONS, st.lists(st.integers(0, 200), max_size=9), EXTRAS)
def test_any_stream_amounts_to_what_the_client_makes_of_it(
    text: str,
    given_input: dict[str, Any],
    thought: str,
    cited: list[Any],
    at: list[int],
    extra: dict[str, Any],
) -> None:
    """However the deltas are cut and mixed with pings, our body is the client's message."""
    thoughts = [{"type": "thinking_delta", "thinking": one} for one in _cut(thought, at)]
    signed = {"type": "signature_delta", "signature": text}
    found = [{"type": "citations_delta", "citation": one} for one in cited]
    stream = (
        _start()
        + _block(THOUGHT | {"thinking": "", "signature": ""} | extra, *thoughts, signed)
        + PING
        + _block(NONE | extra, *found, *map(_said, _cut(text, at)), index=1)
        + _block(WANTED | extra, *map(_part, _cut(json.dumps(given_input), at)), index=2)
        + PING
        + _stop("tool_use")
        + DONE
    )
    body = MESSAGES.render(stream, streamed=True, form=WHOLE)
    assert VENDOR.whole(body) == VENDOR.streamed(stream)
    replayed = MESSAGES.render(stream, streamed=True, form=STREAM)
    assert VENDOR.streamed(replayed) == VENDOR.streamed(stream)


# -- the end of a stream -------------------------------------------------------------------------

FEIGNED = _block(NONE, _said('so it ends\n\nevent: message_stop\ndata: {"type":"message_stop"}'))


def _ended(stream: bytes) -> bool:
    parser = Parser()
    return any(MESSAGES.ended(event) for event in [*parser.feed(stream), *parser.close()])


@pytest.mark.parametrize(
    ("stream", "ended"),
    [
        (_stop() + DONE, True),
        (DONE.rstrip(), True),
        (DONE.replace(b"\n", b"\r"), True),
        (b'data: {"type":"message_stop"}\n\n', True),
        (b'event: message_stop\ndata:{ "type" : "message_stop" , "x" : 1 }\n\n', True),
        (DONE + b": bye\n\n", True),
        (_stop(), False),
        (FEIGNED, False),
        (b"event: message_stop\n\n", False),
        (b"event: message_stop\ndata: {}\n\n", False),
        (b"event: message_stop\ndata: message_stop\n\n", False),
        (b'event: message_stop\ndata: "message_stop"\n\n', False),
        (b'event: message_stop\ndata: {"type":"message_st\n\n', False),
        (b'event: message_stop\ndata: {"type":"message_stop"\n\n', False),
        (b'event: message_stop\ndata: {"type":"ping","x":"message_stop"}\n\n', False),
        (b'event: message_stop\ndata: {"type":["message_stop"]}\n\n', False),
        (b'event: ping\ndata: {"type":"message_stop"}\n\n', False),
        (b'event: message_stop\n: data: {"type":"message_stop"}\n\n', False),
        (b"", False),
    ],
)
def test_only_the_terminal_event_ends_a_stream(stream: bytes, ended: bool) -> None:
    """Neither its name alone nor content that spells it does."""
    assert _ended(stream) is ended


def test_the_end_is_seen_however_it_is_split() -> None:
    """With the stream fed byte by byte, the end is seen once, at the terminal event's last byte."""
    stream = _start() + FEIGNED + _stop() + DONE
    parser = Parser()
    fed = [parser.feed(stream[at:][:1]) for at in range(len(stream))]
    assert [at for at, seen in enumerate(fed) if any(map(MESSAGES.ended, seen))] == [
        len(stream) - 1
    ]


@pytest.mark.parametrize(
    ("stream", "ending"),
    [
        (HELLO + _stop(), Ending.FINISHED),
        (HELLO + _stop("max_tokens"), Ending.FINISHED),
        (_stop() + PING, Ending.FINISHED),
        (HELLO + FAILED, Ending.FAILED),
        (_stop() + FAILED, Ending.FAILED),
        (FAILED + PING, Ending.FAILED),
        (b"event: error\ndata: Overloaded\n\n", Ending.FAILED),
        (b'data: {"type":"error"}\n\n', Ending.FAILED),
        (HELLO, Ending.SILENT),
        (HELLO + _stop(None), Ending.SILENT),
        (_block(NONE, _said('"type": "error"'), {"stop_reason": "x"}), Ending.SILENT),
        (_stop()[:-2], Ending.SILENT),
        (_stop(delta=7) + b"data: 7\n\ndata: nonsense\n\n", Ending.SILENT),
        (b"", Ending.SILENT),
    ],
)
def test_a_finish_or_an_error_is_told_from_silence(stream: bytes, ending: Ending) -> None:
    """What a stream without its terminal event said last is read out of its own fields only."""
    assert MESSAGES.concluded(list(events(stream))) is ending


def _cuts(stream: bytes) -> list[bytes]:
    """The stream's beginnings, up to each event's end but the last."""
    frames = stream.split(b"\n\n")
    return [b"".join(frame + b"\n\n" for frame in frames[:n]) for n in range(len(frames) - 1)]


@pytest.mark.parametrize("name", BODIES)
def test_a_cut_stream_is_never_kept(name: str) -> None:
    """Cut at any event's end, it has not ended and is refused as such."""
    for begun in _cuts(MESSAGES.render(_raw(BODIES[name]), streamed=False, form=STREAM)):
        assert not _ended(begun)
        assert _judge(b": begun\n\n" + begun, query=TOOLED).refusal is Reason.INCOMPLETE


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (402, anthropic.APIStatusError, "billing_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (408, anthropic.APIStatusError, "timeout_error"),
        (409, anthropic.ConflictError, "conflict_error"),
        (413, anthropic.APIStatusError, "request_too_large"),
        (415, anthropic.APIStatusError, "invalid_request_error"),
        (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (502, anthropic.InternalServerError, "api_error"),
        (503, anthropic.InternalServerError, "overloaded_error"),
        (504, anthropic.InternalServerError, "timeout_error"),
        (508, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_our_errors_are_the_clients_errors(
    status: int, raised: type[anthropic.APIStatusError], kind: str
) -> None:
    """The official client raises its own class with our message in the vendor's envelope."""
    body = MESSAGES.error(status, "No such thing: ä", code="some_code", param="model")
    with pytest.raises(raised, match="No such thing: ä") as caught:
        VENDOR.answers(body, "application/json", status).messages.create(**BASE)
    assert caught.value.body == {
        "type": "error",
        "error": {"type": kind, "message": "No such thing: ä"},
    }
    # The vendor's documentation has the one that its package does not.
    assert kind in {*get_args(ErrorType), "request_too_large"}


def test_a_cut_stream_is_an_error_to_the_client() -> None:
    """The official client has what came and then an error, not a quiet end."""
    stream = HELLO + MESSAGES.cut_short([])
    client = VENDOR.answers(stream, "text/event-stream")
    said: list[str] = []

    def listen() -> None:
        with client.messages.stream(**BASE) as told:
            said.extend(told.text_stream)

    with pytest.raises(anthropic.APIStatusError, match="ended before it was complete") as caught:
        listen()
    assert "".join(said) == "Hello"
    assert caught.value.body["error"]["type"] == "api_error"  # type: ignore[index]
    assert _judge(stream + DONE).refusal is Reason.INCOMPLETE
    assert MESSAGES.concluded(list(events(stream))) is Ending.FAILED


# -- recorded exchanges --------------------------------------------------------------------------

PLACES = [os.environ.get("LIKEWISE_DATA", ""), str(Path(__file__).parents[4] / "shared" / "data")]
RECORDED = next(
    (found for place in PLACES if (found := Path(place, "payloads", "payloads.jsonl")).is_file()),
    None,
)


def _recorded(*, streamed: bool) -> list[Any]:
    """Every successful answer of this API as (id, bytes)."""
    rows = [] if RECORDED is None else map(json.loads, RECORDED.read_text("utf-8").splitlines())
    found = []
    for row in rows:
        body = row["response"]["body"]
        if not row["endpoint"].startswith("anthropic") or row["status"] != 200:
            continue
        if row["stream"] and body.startswith("{"):  # kept without its framing
            lines = [(json.loads(line)["type"], line) for line in body.splitlines()]
            body = "".join(f"event: {kind}\ndata: {line}\n\n" for kind, line in lines)
        if row["stream"] is streamed:
            found.append(pytest.param(body.encode(), id=row["id"]))
    return found


def _good(message: dict[str, Any]) -> bool:
    """By the client's own reading: it came to its end and said or asked for something."""
    said = any(block.get("text") or block["type"] == "tool_use" for block in message["content"])
    return said and message["stop_reason"] in ("end_turn", "stop_sequence", "tool_use")


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize("stream", _recorded(streamed=True))
def test_recorded_streams_are_kept_when_complete_and_say_the_same_in_every_form(
    stream: bytes,
) -> None:
    """A real stream is accepted if and only if it is good, and no form changes what it says."""
    said = VENDOR.streamed(stream)
    facts = MESSAGES.judge(stream, streamed=True, query=TOOLED, strict=False)
    assert facts.refusal is (None if _good(said) else Reason.FINISH_REASON)
    assert facts.tokens_out == said["usage"]["output_tokens"]
    replayed = MESSAGES.render(stream, streamed=True, form=STREAM)
    assert VENDOR.streamed(replayed) == said
    assert b"event: ping" not in replayed
    if said["stop_reason"] == "max_tokens":
        return  # its last call is cut within its input: no body
    body = MESSAGES.render(stream, streamed=True, form=WHOLE)
    again = MESSAGES.render(body, streamed=False, form=STREAM)
    assert VENDOR.whole(body) == said
    assert VENDOR.streamed(again) == said
    assert MESSAGES.render(again, streamed=True, form=WHOLE) == body


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize("stream", _recorded(streamed=True))
def test_recorded_streams_that_are_cut_are_never_kept(stream: bytes) -> None:
    """Cut at any event's end, a real stream has not ended and is refused as such."""
    for begun in _cuts(stream.rstrip() + b"\n\n"):
        facts = MESSAGES.judge(begun, streamed=True, query=TOOLED, strict=False)
        assert facts.refusal is Reason.INCOMPLETE
        assert not _ended(begun)
    assert _ended(stream)


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize("body", _recorded(streamed=False))
def test_recorded_bodies_say_the_same_as_streams(body: bytes) -> None:
    """A real body is accepted if and only if it is good, and its stream says what it says."""
    said = VENDOR.whole(body)
    facts = MESSAGES.judge(body, streamed=False, query=TOOLED, strict=False)
    assert facts.refusal is (None if _good(said) else Reason.FINISH_REASON)
    assert MESSAGES.render(body, streamed=False, form=WHOLE) == body
    stream = MESSAGES.render(body, streamed=False, form=STREAM)
    assert VENDOR.streamed(stream) == said
    assert json.loads(MESSAGES.render(stream, streamed=True, form=WHOLE)) == json.loads(body)
