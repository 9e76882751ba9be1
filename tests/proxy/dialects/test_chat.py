"""Chat completions: what is keyed, what may be kept, and that every form says the same.

Streams are judged by the official client's own accumulation, and by recorded exchanges where the
data folder is there (`LIKEWISE_DATA`, or `shared/data` beside the checkout).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from policies.values import AnswerFacts, Owners, Query
from policies.verdicts import Reason
from proxy.dialects.chat import Chat
from proxy.dialects.ports import Ending, Form, Frame
from proxy.sse import Parser, events
from tests.proxy.dialects.clients import answering

CHAT = Chat()
FRAME = Frame(owners=Owners(key="k"), upstream="openai https://api.openai.com/v1")
ASKED = {"role": "user", "content": "What is photosynthesis?"}
BASE: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [ASKED]}
WHOLE, STREAM = Form(stream=False, usage=True), Form(stream=True, usage=False)
STREAM_USAGE = Form(stream=True, usage=True)
DONE = b"data: [DONE]\n\n"


def _read(*messages: Any, **fields: Any) -> Query:
    return CHAT.read(BASE | ({"messages": list(messages)} if messages else {}) | fields, FRAME)


# -- reading -------------------------------------------------------------------------------------


def test_a_plain_question_is_read_whole() -> None:
    """The last user's text is the text, byte-true; nothing stands in the way of meaning."""
    query = _read({"role": "user", "content": "  What is ä\n中? "}, temperature=0.2)
    assert (query.text, query.model, query.dialect) == ("  What is ä\n中? ", "gpt-4o-mini", "chat")
    assert (query.chain, query.turns, query.temperature) == ("", 0, 0.2)
    assert (query.bypass, query.exact_only) == (None, None)
    assert query.owners == Owners(key="k")


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "u-1"},
        {"safety_identifier": "u-1"},
        {"metadata": {"trace": "x"}},
        {"prompt_cache_key": "k"},
        {"prompt_cache_retention": "24h"},
    ],
)
def test_what_does_not_shape_the_answer_is_not_keyed(fields: dict[str, Any]) -> None:
    """Transport and bookkeeping leave the fingerprint, and the way to be answered, as it was."""
    query = _read(**fields)
    assert query.fingerprint == _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, None)


@pytest.mark.parametrize(
    ("fields", "exact_only"),
    [
        ({"model": "gpt-4o"}, None),
        ({"temperature": 0}, None),
        ({"temperature": None}, None),
        ({"top_p": 0.5}, None),
        ({"seed": 7}, None),
        ({"max_tokens": 10}, None),
        ({"max_completion_tokens": 10}, None),
        ({"stop": ["x"]}, None),
        ({"frequency_penalty": 1}, None),
        ({"logit_bias": {"1": 5}}, None),
        ({"reasoning_effort": "high"}, None),
        ({"verbosity": "low"}, None),
        ({"service_tier": "flex"}, None),
        ({"response_format": {"type": "json_object"}}, None),
        ({"modalities": ["text"]}, None),
        ({"a_field_of_next_year": {"x": [1]}}, None),
        ({"n": 1}, None),
        ({"n": 2}, Reason.N),
        ({"n": "2"}, Reason.N),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, Reason.TOOLS),
        ({"tools": []}, Reason.TOOLS),
        ({"functions": [{"name": "f"}]}, Reason.TOOLS),
        ({"tool_choice": "auto"}, Reason.TOOLS),
        ({"function_call": "auto"}, Reason.TOOLS),
        ({"logprobs": True}, Reason.LOGPROBS),
        ({"logprobs": False}, None),
        ({"top_logprobs": 3}, Reason.LOGPROBS),
        ({"prediction": {"type": "content", "content": "x"}}, Reason.UNSUPPORTED),
    ],
)
def test_everything_else_is_keyed(fields: dict[str, Any], exact_only: Reason | None) -> None:
    """Any other field, known or not, makes another request; some forbid matching by meaning."""
    query = _read(**fields)
    assert query.fingerprint != _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, exact_only)


def test_the_order_of_tools_counts() -> None:
    """Models read tools in order, so two orders are two requests."""
    one, two = ({"type": "function", "function": {"name": name}} for name in "ab")
    assert _read(tools=[one, two]).fingerprint != _read(tools=[two, one]).fingerprint


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"store": True}, Reason.STATEFUL),
        ({"web_search_options": {}}, Reason.TOOLS),
        ({"audio": {"voice": "x", "format": "wav"}}, Reason.MULTIMODAL),
        ({"modalities": ["text", "audio"]}, Reason.MULTIMODAL),
        ({"stream": "yes"}, Reason.UNSUPPORTED),
        ({"stream": 1}, Reason.UNSUPPORTED),
        ({"model": 7}, Reason.UNSUPPORTED),
        ({"messages": None}, Reason.UNSUPPORTED),
        ({"messages": []}, Reason.UNSUPPORTED),
        ({"messages": "hello"}, Reason.UNSUPPORTED),
        ({"messages": {"role": "user"}}, Reason.UNSUPPORTED),
        ({"messages": ["hello"]}, Reason.UNSUPPORTED),
        ({"messages": [ASKED, None]}, Reason.UNSUPPORTED),
        ({"messages": [{"content": "x"}]}, Reason.UNSUPPORTED),
        ({"messages": [{"role": None, "content": "x"}]}, Reason.UNSUPPORTED),
        ({"messages": [{"role": ["user"], "content": "x"}]}, Reason.UNSUPPORTED),
    ],
)
def test_what_is_stateful_or_not_understood_bypasses(
    fields: dict[str, Any], reason: Reason
) -> None:
    """Neither looked up nor stored; odd shapes are upstream's to judge and never raise."""
    assert _read(**fields).bypass is reason


@pytest.mark.parametrize("fields", [{"store": False}, {"store": None}, {"audio": None}])
def test_a_field_switched_off_does_not_bypass(fields: dict[str, Any]) -> None:
    """Null and false mean that the feature is not used."""
    assert _read(**fields).bypass is None


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([{"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}], Reason.MULTIMODAL),
        ([{"role": "user", "content": [IMAGE]}], Reason.MULTIMODAL),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], Reason.MULTIMODAL),
        ([{"role": "user", "content": [{"type": "file", "file": {}}]}], Reason.MULTIMODAL),
        ([{"role": "user", "content": [{"type": "text", "text": "x"}] * 2}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": [{"type": "text", "text": 7}]}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": ["x"]}], Reason.MULTIMODAL),
        ([{"role": "user", "content": []}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": None}], Reason.UNSUPPORTED),
        ([{"role": "user", "content": 7}], Reason.UNSUPPORTED),
        ([{"role": "user"}], Reason.UNSUPPORTED),
        ([ASKED, {"role": "assistant", "content": "It is"}], Reason.UNSUPPORTED),
        ([ASKED, {"role": "system", "content": "Be brief."}], Reason.UNSUPPORTED),
        ([{"role": "alien", "content": "x"}], Reason.UNSUPPORTED),
        ([ASKED, {"role": "tool", "tool_call_id": "c", "content": "7"}], Reason.TOOLS),
        ([ASKED, {"role": "function", "name": "f", "content": "7"}], Reason.TOOLS),
        ([ASKED, {"role": "assistant", "tool_calls": [CALL]}, ASKED], Reason.TOOLS),
        ([ASKED, {"role": "assistant", "function_call": {"name": "f"}}, ASKED], Reason.TOOLS),
        ([{"role": "tool", "content": "7"}, ASKED], Reason.TOOLS),
        ([{"role": "user", "content": [IMAGE]}, ASKED], Reason.MULTIMODAL),
        ([ASKED, {"role": "assistant", "audio": {"id": "a"}}, ASKED], Reason.MULTIMODAL),
    ],
)
def test_conversations_that_hold_more_than_text_match_exactly(
    messages: list[Any], reason: Reason
) -> None:
    """Such requests may still repeat, but nothing stands in for them by meaning."""
    query = _read(*messages)
    assert (query.bypass, query.exact_only) == (None, reason)
    changed = json.loads(json.dumps(messages).replace('"x"', '"y"').replace("7", "8"))
    again = _read(*messages)
    assert (again.fingerprint, again.chain, again.text) == (
        query.fingerprint,
        query.chain,
        query.text,
    )
    if changed != messages:
        other = _read(*changed)
        assert (other.fingerprint, other.chain) != (query.fingerprint, query.chain)


def test_one_text_part_is_a_text() -> None:
    """The part form is understood; what else the part says is keyed."""
    part = {"type": "text", "text": "What is photosynthesis?"}
    query = _read({"role": "user", "content": [part]})
    assert (query.text, query.exact_only) == ("What is photosynthesis?", None)
    other = _read({"role": "user", "content": [{**part, "text": "What is rain?"}]})
    assert other.fingerprint == query.fingerprint
    marked = _read({"role": "user", "content": [{**part, "cache_control": {"type": "x"}}]})
    assert marked.fingerprint != query.fingerprint


def test_only_the_text_is_left_out_of_the_fingerprint() -> None:
    """Two questions share a fingerprint; a name beside the text does not."""
    query = _read()
    other = _read({"role": "user", "content": "What is rain?"})
    assert (other.fingerprint, other.text) == (query.fingerprint, "What is rain?")
    assert _read({**ASKED, "name": "ann"}).fingerprint != query.fingerprint


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_are_keyed_with_their_place(role: str) -> None:
    """Another instruction, none, another role or another place is another fingerprint, no turn."""
    brief = {"role": role, "content": "Be brief."}
    told = _read(brief, ASKED)
    assert (told.chain, told.turns, told.exact_only) == ("", 0, None)
    answer = {"role": "assistant", "content": "A process."}
    seen = {
        told.fingerprint,
        _read().fingerprint,
        _read({**brief, "content": "Be long."}, ASKED).fingerprint,
        _read(
            {**brief, "role": "system" if role == "developer" else "developer"}, ASKED
        ).fingerprint,
        _read({**brief, "name": "boss"}, ASKED).fingerprint,
        _read(brief, brief, ASKED).fingerprint,
        _read(ASKED, answer, brief, ASKED).fingerprint,
    }
    assert len(seen) == 7
    assert _read(brief, ASKED, answer, ASKED).fingerprint == told.fingerprint


def test_earlier_turns_make_the_chain() -> None:
    """The chain is empty for a standalone question and differs with every earlier word."""
    answer = {"role": "assistant", "content": "A process."}
    follow = {"role": "user", "content": "And in moss?"}
    queries = [
        _read(follow),
        _read(ASKED, answer, follow),
        _read({**ASKED, "content": "What is rain?"}, answer, follow),
        _read(ASKED, {**answer, "content": "Magic."}, follow),
        _read(ASKED, {**answer, "refusal": None}, follow),
        _read(ASKED, answer, ASKED, answer, follow),
    ]
    assert [query.turns for query in queries] == [0, 1, 1, 1, 1, 2]
    assert [len(query.chain) for query in queries] == [0, 32, 32, 32, 32, 32]
    assert len({query.chain for query in queries}) == len(queries)
    assert {query.text for query in queries} == {"And in moss?"}
    assert len({query.fingerprint for query in queries}) == 1


def test_the_frame_is_part_of_the_fingerprint() -> None:
    """Headers that shape the answer are keyed; number forms are not."""
    plain = CHAT.read(BASE, FRAME)
    beta = Frame(owners=FRAME.owners, upstream=FRAME.upstream, headers=b"openai-beta:x")
    assert CHAT.read(BASE, beta).fingerprint != plain.fingerprint
    one, other = ({**BASE, "temperature": number} for number in (1, 1.0))
    assert CHAT.read(one, FRAME).fingerprint == CHAT.read(other, FRAME).fingerprint


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, WHOLE),
        ({"stream": False}, WHOLE),
        ({"stream": None}, WHOLE),
        ({"stream": True}, STREAM),
        ({"stream": True, "stream_options": None}, STREAM),
        ({"stream": True, "stream_options": {"include_usage": False}}, STREAM),
        ({"stream": True, "stream_options": {"include_usage": True}}, STREAM_USAGE),
        ({"stream": True, "stream_options": "x"}, STREAM),
    ],
)
def test_the_wanted_form_is_read(fields: dict[str, Any], form: Form) -> None:
    """A body always has its usage; a stream only where the caller asked for it."""
    assert CHAT.form(BASE | fields) == form


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({}, None),
        ({"user": "u"}, "u"),
        ({"safety_identifier": "s", "user": "u"}, "s"),
        ({"safety_identifier": "", "user": "u"}, "u"),
        ({"user": ""}, None),
        ({"user": 7}, None),
    ],
)
def test_the_end_user_is_found(fields: dict[str, Any], user: str | None) -> None:
    """The newer field goes first; what is empty or no text names nobody."""
    assert CHAT.end_user(BASE | fields) == user


@pytest.mark.parametrize(
    ("wanted", "strict"),
    [
        (None, False),
        ({"type": "text"}, False),
        ({"type": "json_object"}, True),
        ({"type": "json_schema", "json_schema": {}}, True),
        ("json", False),
    ],
)
def test_json_mode_is_seen(wanted: Any, strict: bool) -> None:
    """Both JSON formats ask for content that is JSON."""
    assert CHAT.wants_json(BASE | {"response_format": wanted}) is strict


# -- judging -------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def _answer(content: Any = "A process.", finish: Any = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, "refusal": None} | message
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _judge(answer: Any, *, query: Query | None = None, strict: bool = False) -> AnswerFacts:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return CHAT.judge(raw, streamed=raw.startswith(b"data:"), query=query or _read(), strict=strict)


def _chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": choices} | top
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


HELLO = _chunk({"role": "assistant", "content": ""}) + _chunk({"content": "Hello"})
STOP = _chunk({}, "stop")


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(), None),
        (_answer("{}"), None),
        (_answer(finish="length"), Reason.FINISH_REASON),
        (_answer(finish="content_filter"), Reason.FINISH_REASON),
        (_answer(finish=None), Reason.FINISH_REASON),
        (_answer(finish="tool_calls"), Reason.FINISH_REASON),
        (_answer(None, "tool_calls", tool_calls=[CALL]), Reason.FINISH_REASON),
        (_answer(tool_calls=[CALL]), Reason.FINISH_REASON),
        (_answer(None, refusal="I cannot."), Reason.FINISH_REASON),
        (_answer(refusal="I cannot."), Reason.FINISH_REASON),
        (_answer(""), Reason.INCOMPLETE),
        (_answer(None), Reason.INCOMPLETE),
        (_answer(7), Reason.INVALID_JSON),
        (_answer() | {"choices": []}, Reason.INCOMPLETE),
        (_answer() | {"choices": None}, Reason.INCOMPLETE),
        (_answer() | {"choices": [None]}, Reason.INCOMPLETE),
        (_answer() | {"choices": [{"text": "x"}]}, Reason.INCOMPLETE),
        (_answer() | {"error": {"message": "overloaded"}}, Reason.INCOMPLETE),
        ({"error": {"message": "overloaded"}}, Reason.INCOMPLETE),
        ([], Reason.INCOMPLETE),
        (b"7", Reason.INCOMPLETE),
        (b"", Reason.INVALID_JSON),
        (b"<html>Bad gateway</html>", Reason.INVALID_JSON),
        (json.dumps(_answer()).encode()[:-5], Reason.INVALID_JSON),
        (b'{"choices":' + b"[" * 5_000, Reason.INVALID_JSON),
        (HELLO + STOP + DONE, None),
        (HELLO + STOP + b"data: [DONE]", None),
        (HELLO + STOP + b"data: [DONE]\r\n", None),
        (b"data:" + HELLO.removeprefix(b"data: ") + STOP + b"data:[DONE]\n\n", None),
        (HELLO + b": ping\n\n" + STOP + DONE + b"data: not json, after the end\n\n", None),
        (HELLO + STOP, Reason.INCOMPLETE),
        (HELLO, Reason.INCOMPLETE),
        (HELLO + DONE, Reason.FINISH_REASON),
        (HELLO + _chunk({}, "length") + DONE, Reason.FINISH_REASON),
        (_chunk({"refusal": "I cannot."}, "stop") + DONE, Reason.FINISH_REASON),
        (_chunk({"role": "assistant"}) + STOP + DONE, Reason.INCOMPLETE),
        (HELLO + b'data: {"error":{"message":"overloaded"}}\n\n' + DONE, Reason.INCOMPLETE),
        (HELLO + b'data: {"error":"overloaded","choices":[]}\n\n' + STOP + DONE, Reason.INCOMPLETE),
        (HELLO + b"data: nonsense\n\n" + DONE, Reason.INVALID_JSON),
        (HELLO + b"data: [1]\n\n" + DONE, Reason.INVALID_JSON),
        (HELLO + b'data: {"choices":7}\n\n' + DONE, Reason.INVALID_JSON),
        (HELLO + b'data: {"choices":["x"]}\n\n' + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk({"content": [{"type": "text"}]}) + STOP + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk({"tool_calls": [{"index": 10**9}]}) + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk({"tool_calls": [{"index": -1}]}) + DONE, Reason.INVALID_JSON),
        (DONE, Reason.INCOMPLETE),
    ],
)  # fmt: skip
def test_only_complete_and_good_answers_are_kept(answer: Any, refusal: Reason | None) -> None:
    """Each way in which an answer can be bad has its reason, and none of them raises."""
    assert _judge(answer).refusal is refusal


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(None, "tool_calls", tool_calls=[CALL]), None),
        (_answer(None, "stop", tool_calls=[CALL]), None),
        (_answer(None, "function_call", function_call={"name": "f", "arguments": "{}"}), None),
        (_answer(None, "tool_calls"), Reason.INCOMPLETE),
        (_answer(None, "length", tool_calls=[CALL]), Reason.FINISH_REASON),
        (_answer(None, "tool_calls", tool_calls="x"), Reason.INVALID_JSON),
        (_answer(None, "tool_calls", tool_calls=["x"]), Reason.INVALID_JSON),
        (
            _chunk({"tool_calls": [{"index": 0, **CALL}]}) + _chunk({}, "tool_calls") + DONE,
            None,
        ),
    ],
)
def test_calls_are_kept_for_exact_repeats(answer: Any, refusal: Reason | None) -> None:
    """An answer that calls tools is good where tools were given."""
    assert _judge(answer, query=_read(tools=[{"type": "function"}])).refusal is refusal


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
def test_json_mode_wants_json(content: str, refusal: Reason | None) -> None:
    """Under JSON mode broken content is not kept, in either form; elsewhere it is just text."""
    stream = _chunk({"content": content[:3]}) + _chunk({"content": content[3:]}, "stop") + DONE
    for answer in (_answer(content), stream):
        assert _judge(answer, strict=True).refusal is refusal
        assert _judge(answer).refusal is None


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (USAGE, (12, 3, True)),
        ({}, (0, 0, True)),
        (None, (0, 0, False)),
        ("many", (0, 0, False)),
        ({"prompt_tokens": None, "completion_tokens": "3"}, (0, 0, True)),
        ({"prompt_tokens": -5, "completion_tokens": 2**64 - 1}, (0, 0, True)),
    ],
)
def test_tokens_are_counted_where_told(usage: Any, told: tuple[int, int, bool]) -> None:
    """Usage that is missing or absurd counts as nothing."""
    facts = _judge(_answer() | {"usage": usage})
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == told
    stream = HELLO + STOP + _chunk(usage=usage) + DONE
    facts = _judge(stream)
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == told
    assert facts.size == len(stream)


# -- rendering -----------------------------------------------------------------------------------


def _chunks(stream: bytes) -> list[dict[str, Any]]:
    """What a client reads, by plain string handling; the end must be the terminal event."""
    frames = stream.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def _official(chunks: list[dict[str, Any]]) -> Any:
    """What the official client makes of a stream."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.construct(**chunk))
    return _plain(state.current_completion_snapshot.to_dict())


def _whole(body: dict[str, Any]) -> Any:
    """What the official client makes of a body."""
    return _plain(ChatCompletion.construct(**body).to_dict())


def _plain(value: Any) -> Any:
    """Without nulls and what exists in the client's or the stream's own bookkeeping only."""
    if isinstance(value, dict):
        return {
            key: _plain(item)
            for key, item in value.items()
            if item is not None and key not in ("parsed", "parsed_arguments", "obfuscation")
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _without_call_index(plain: Any) -> Any:
    for choice in plain["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
    return plain


def _settled(plain: Any) -> Any:
    """Without what the client's accumulation loses or doubles: it forgets the tier and unknown
    members of a choice, reads usage from a chunk without choices only, and adds role to role."""
    choices = _without_call_index(plain)["choices"]
    for choice in choices:
        choice.pop("native_finish_reason", None)
        role = choice["message"].get("role", "assistant")
        choice["message"]["role"] = role[: len("assistant")]
    return {k: v for k, v in plain.items() if k not in ("usage", "service_tier")}


LOGPROB = {"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": []}
TWO_CALLS = [
    CALL | {"id": "c1", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
    CALL | {"id": "c2", "function": {"name": "time", "arguments": '{"zone":"CET"}'}},
]
BODIES = {
    "plain": _answer(),
    "long": _answer("word " * 400 + "end"),
    "unicode": _answer("Grüße\n\n\u2028 中文 😀 \x00 data: [DONE]\r\n" * 5),
    "calls": _answer(None, "tool_calls", tool_calls=TWO_CALLS),
    "calls and words": _answer("Let me see.", "tool_calls", tool_calls=TWO_CALLS),
    "reasoning": _answer(reasoning_content="Plants and light... " * 9),
    "refusal": _answer(None, refusal="I cannot help with that."),
    "annotations": _answer(annotations=[{"type": "url_citation", "url_citation": {
        "start_index": 0, "end_index": 1, "title": "t", "url": "u"}}]),
    "one call in old form": _answer(None, "function_call",
                                    function_call={"name": "f", "arguments": '{"a":1}'}),
    "extras": _answer() | {"citations": ["https://example.org"], "x": {"y": 1.5}},
}  # fmt: skip
BODIES["logprobs"] = _answer("A")
BODIES["logprobs"]["choices"][0]["logprobs"] = {"content": [LOGPROB, LOGPROB], "refusal": None}
BODIES["two choices"] = _answer()
BODIES["two choices"]["choices"].append(
    {
        "index": 1,
        "message": {"role": "assistant", "content": "Light eaten."},
        "finish_reason": "stop",
    }
)


@pytest.mark.parametrize("name", BODIES)
def test_a_body_as_a_stream_says_the_same(name: str) -> None:
    """The official client reads from the stream what it reads from the body, and so do we."""
    body = BODIES[name]
    raw = json.dumps(body).encode()
    stream = CHAT.render(raw, streamed=False, form=STREAM_USAGE)
    assert _without_call_index(_official(_chunks(stream))) == _whole(body)
    again = json.loads(CHAT.render(stream, streamed=True, form=WHOLE))
    assert _plain(again) == _plain(body)


@pytest.mark.parametrize("name", BODIES)
def test_usage_comes_only_when_asked_for(name: str) -> None:
    """Asked for it is the last chunk, without choices; otherwise no chunk has any."""
    raw = json.dumps(BODIES[name]).encode()
    without = CHAT.render(raw, streamed=False, form=STREAM)
    chunks = _chunks(without)
    assert not any(chunk.get("usage") for chunk in chunks)
    assert all(chunk["choices"] for chunk in chunks)
    asked = CHAT.render(raw, streamed=False, form=STREAM_USAGE)
    *before, last = _chunks(asked)
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all(chunk["usage"] is None for chunk in before)
    assert _chunks(CHAT.render(asked, streamed=True, form=STREAM)) == before
    assert CHAT.render(asked, streamed=True, form=STREAM_USAGE) == asked


def test_a_body_stays_as_it_was() -> None:
    """Byte for byte: white space, key order and unknown members included."""
    raw = b' {"choices" : [ ], "x":1.0 }\n'
    assert CHAT.render(raw, streamed=False, form=WHOLE) == raw


def test_content_arrives_in_pieces() -> None:
    """A long answer is not one chunk, the role comes first and the finish last."""
    chunks = _chunks(CHAT.render(json.dumps(BODIES["long"]).encode(), streamed=False, form=STREAM))
    assert len(chunks) > 20
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (
        len(chunks) - 1
    ) + ["stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_arguments_of_parallel_calls_are_joined_from_pieces() -> None:
    """Two calls whose pieces interleave become two whole calls, repeated names and ids included."""
    deltas = [
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                         "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 1, "id": "c2", "type": "function",
                         "function": {"name": "time", "arguments": '{"zo'}}]},
        {"role": None,
         "tool_calls": [{"index": 0, "id": None, "function": {"arguments": '{"city"'}}]},
        {"tool_calls": [{"index": 1, "id": "", "type": "function",
                         "function": {"name": None, "arguments": 'ne":"CET"}'}},
                        {"index": 0, "function": {"arguments": ':"Paris"}'}}]},
    ]  # fmt: skip
    stream = b"".join(map(_chunk, deltas)) + _chunk({}, "tool_calls") + DONE
    whole = json.loads(CHAT.render(stream, streamed=True, form=WHOLE))
    message = whole["choices"][0]["message"]
    assert message["tool_calls"] == TWO_CALLS
    assert (message["role"], message["content"]) == ("assistant", None)
    ChatCompletion.model_validate(whole | {"created": 1})


def test_a_stream_that_begins_empty_gets_its_real_head() -> None:
    """Azure's first chunk names no id and no model: the body has the real ones."""
    filters = {"prompt_filter_results": [{"prompt_index": 0}]}
    first = _chunk(None, id="", model="", object="", created=0, **filters)
    stream = first + _chunk({"content": "Hi"}, "stop", id="c-9", model="gpt", created=5) + DONE
    whole = json.loads(CHAT.render(stream, streamed=True, form=WHOLE))
    assert (whole["id"], whole["model"], whole["created"]) == ("c-9", "gpt", 5)
    assert whole["object"] == "chat.completion"
    assert whole["prompt_filter_results"] == filters["prompt_filter_results"]


def test_content_in_parts_goes_over_whole() -> None:
    """Some servers answer with a list of parts: it is passed on as one delta, not taken apart."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}]
    body = _answer(parts)
    assert _judge(body).refusal is None
    stream = CHAT.render(json.dumps(body).encode(), streamed=False, form=STREAM)
    again = json.loads(CHAT.render(stream, streamed=True, form=WHOLE))
    assert again["choices"][0]["message"]["content"] == parts


def test_a_chunk_on_several_lines_survives() -> None:
    """Data that came on several lines is replayed as data, not lost after the first."""
    pretty = json.dumps(json.loads(STOP.removeprefix(b"data: ")), indent=1).encode()
    stream = HELLO + b"data: " + pretty.replace(b"\n", b"\ndata: ") + b"\n\n" + DONE
    assert _judge(stream).refusal is None
    replayed = CHAT.render(stream, streamed=True, form=STREAM)
    assert _judge(replayed).refusal is None
    assert CHAT.render(replayed, streamed=True, form=WHOLE) == CHAT.render(
        stream, streamed=True, form=WHOLE
    )


def test_padding_is_not_replayed() -> None:
    """It hid the sizes of another answer's chunks; everything else of the chunk stays."""
    padded = _chunk({"content": "Hello"}, obfuscation="xY7") + STOP + DONE
    replayed = CHAT.render(padded, streamed=True, form=STREAM)
    assert _chunks(replayed) == _chunks(_chunk({"content": "Hello"}) + STOP + DONE)


def test_a_stream_without_its_end_is_no_body() -> None:
    """What was cut cannot be turned into something that looks complete."""
    with pytest.raises(ValueError, match="no end"):
        CHAT.render(HELLO + STOP, streamed=True, form=WHOLE)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_text_survives_both_ways(text: str) -> None:
    """Body to stream to body: the content is the same to the last character."""
    raw = json.dumps(_answer(text)).encode()
    stream = CHAT.render(raw, streamed=False, form=STREAM_USAGE)
    said = "".join(
        choice["delta"].get("content") or "" for c in _chunks(stream) for choice in c["choices"]
    )
    assert said == text
    again = json.loads(CHAT.render(stream, streamed=True, form=WHOLE))
    assert again["choices"][0]["message"]["content"] == text


# -- the end of a stream -------------------------------------------------------------------------

FEIGNED = _chunk({"content": "so a stream ends with\n\ndata: [DONE]\n\nand no more"})


def _ended(stream: bytes) -> bool:
    parser = Parser()
    return any(CHAT.ended(event) for event in [*parser.feed(stream), *parser.close()])


@pytest.mark.parametrize(
    ("stream", "ended"),
    [
        (STOP + DONE, True),
        (STOP + b"data:[DONE]\n\n", True),
        (STOP + b"data: [DONE]", True),
        (STOP.replace(b"\n", b"\r") + b"data: [DONE]\r\r", True),
        (DONE, True),
        (DONE + b": bye\n\n", True),
        (STOP, False),
        (STOP + b"data: [DON", False),
        (STOP + b": data: [DONE]\n\n", False),
        (FEIGNED, False),
        (b"", False),
    ],
)
def test_only_the_terminal_event_ends_a_stream(stream: bytes, ended: bool) -> None:
    """Content that spells the terminal event does not."""
    assert _ended(stream) is ended


def test_the_end_is_seen_however_it_is_split() -> None:
    """With the stream fed byte by byte, the end is seen once, at the terminal event's last byte."""
    stream = HELLO + FEIGNED + STOP + DONE
    parser = Parser()
    seen = [at for at in range(len(stream)) if any(map(CHAT.ended, parser.feed(stream[at:][:1])))]
    assert seen == [len(stream) - 1]


@pytest.mark.parametrize(
    ("stream", "ending"),
    [
        (HELLO + STOP, Ending.FINISHED),
        (STOP + _chunk(usage=USAGE), Ending.FINISHED),
        (b'data: {"error":{"message":"overloaded"}}\n\n', Ending.FAILED),
        (STOP + b'data: {"error":{"message":"overloaded"}}\n\n', Ending.FAILED),
        (HELLO, Ending.SILENT),
        (_chunk({"content": 'data: {"error": 1}\n\n"finish_reason": "stop"'}), Ending.SILENT),
        (STOP[:-2], Ending.SILENT),
        (b'data: {"choices":7}\n\ndata: 7\n\ndata: {"choices":[7]}\n\n', Ending.SILENT),
        (b"", Ending.SILENT),
    ],
)
def test_a_finish_or_an_error_is_told_from_silence(stream: bytes, ending: Ending) -> None:
    """What a stream without its terminal event said last is read out of its own fields only."""
    assert CHAT.concluded(list(events(stream))) is ending


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (400, openai.BadRequestError, "invalid_request_error"),
        (404, openai.NotFoundError, "invalid_request_error"),
        (429, openai.RateLimitError, "rate_limit_error"),
        (502, openai.InternalServerError, "server_error"),
        (504, openai.InternalServerError, "server_error"),
    ],
)
def test_our_errors_are_the_clients_errors(
    status: int, raised: type[openai.APIStatusError], kind: str
) -> None:
    """The official client raises its own class with our message, code and param in it."""
    body = CHAT.error(status, "No such thing: ä", code="some_code", param="model")
    with pytest.raises(raised, match="No such thing: ä") as caught:
        answering(status, body, "application/json").chat.completions.create(**BASE)
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "some_code",
        "model",
        kind,
    )


def test_a_cut_stream_is_an_error_to_theanswering() -> None:
    """The official client has what came and then an error, not a quiet end."""
    stream = HELLO + CHAT.cut_short([])
    client = answering(200, stream, "text/event-stream")
    said: list[str] = []

    def listen() -> None:
        for chunk in client.chat.completions.create(**BASE, stream=True):
            said.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - up to the error

    with pytest.raises(openai.APIError, match="ended before it was complete"):
        listen()
    assert "".join(said) == "Hello"
    assert _judge(stream + DONE).refusal is Reason.INCOMPLETE


# -- recorded exchanges --------------------------------------------------------------------------

PLACES = [os.environ.get("LIKEWISE_DATA", ""), str(Path(__file__).parents[4] / "shared" / "data")]
RECORDED = next(
    (found for place in PLACES if (found := Path(place, "payloads", "payloads.jsonl")).is_file()),
    None,
)
COMPATIBLE = ("openai", "deepseek", "groq", "mistral", "openrouter", "vllm", "xai")


def _recorded() -> list[Any]:
    """Every successful answer of this API as (id, bytes, whether streamed)."""
    rows = [] if RECORDED is None else map(json.loads, RECORDED.read_text("utf-8").splitlines())
    found = []
    for row in rows:
        body = row["response"]["body"]
        if not row["endpoint"].startswith(COMPATIBLE) or row["status"] != 200:
            continue
        if row["stream"] and body.startswith("{"):  # kept without its framing
            body = "".join(f"data: {line}\n\n" for line in body.splitlines()) + DONE.decode()
        if '"chat.completion' in body:
            found.append(pytest.param(body.encode(), row["stream"], id=row["id"]))
    return found


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize(("answer", "streamed"), _recorded())
def test_recorded_answers_are_kept_when_complete_and_say_the_same_in_every_form(
    answer: bytes, streamed: bool
) -> None:
    """A real answer is accepted if and only if it is complete, and no form changes what it says."""
    if streamed:
        frames = [f for f in answer.decode().split("\n\n") if f.startswith("data: {")]
        chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
        said = _official(chunks)
        usage = [chunk["usage"] for chunk in chunks if chunk.get("usage")][-1:]
    else:
        said = _whole(json.loads(answer))
        usage = [json.loads(answer)["usage"]]
    good = all(
        choice.get("finish_reason") in ("stop", "tool_calls")
        and not choice["message"].get("refusal")
        and (choice["message"].get("content") or choice["message"].get("tool_calls"))
        for choice in said["choices"]
    )
    query = _read(tools=[{"type": "function"}])
    facts = CHAT.judge(answer, streamed=streamed, query=query, strict=False)
    assert (facts.refusal is None) is bool(good)

    body = CHAT.render(answer, streamed=streamed, form=WHOLE)
    stream = CHAT.render(answer, streamed=streamed, form=STREAM_USAGE)
    again = CHAT.render(body, streamed=False, form=STREAM_USAGE)
    expected = _settled(said)
    assert _settled(_whole(json.loads(body))) == expected
    assert _settled(_official(_chunks(stream))) == expected
    assert _settled(_official(_chunks(again))) == expected
    assert ([json.loads(body)["usage"]] if "usage" in json.loads(body) else []) == usage
    assert [c["usage"] for c in _chunks(again) if c.get("usage")][-1:] == usage
