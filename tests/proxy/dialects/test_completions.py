"""Completions: what is keyed, what may be kept, and that every form says the same.

Bodies and chunks are read by the official client, and recorded exchanges judge where the data
folder is there (`LIKEWISE_DATA`, or `shared/data` beside the checkout).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from policies.values import AnswerFacts, Directives, Owners, Query
from policies.verdicts import Reason
from proxy.dialects.completions import Completions
from proxy.dialects.ports import Form, Frame
from tests.proxy.dialects.clients import answering

COMPLETIONS = Completions()
FRAME = Frame(owners=Owners(key="k"), upstream="openai https://api.openai.com/v1")
BASE: dict[str, Any] = {"model": "gpt-3.5-turbo-instruct", "prompt": "Why is the sky blue?"}
WHOLE, STREAM = Form(stream=False, usage=True), Form(stream=True, usage=False)
STREAM_USAGE = Form(stream=True, usage=True)
DONE = b"data: [DONE]\n\n"


def _read(**fields: Any) -> Query:
    return COMPLETIONS.read(BASE | fields, FRAME)


# -- reading -------------------------------------------------------------------------------------


def test_a_plain_prompt_is_read_whole() -> None:
    """The prompt is the text, byte-true; nothing stands in the way of meaning."""
    query = _read(prompt="  Why\n ä 中? ", temperature=0.2)
    assert (query.text, query.dialect) == ("  Why\n ä 中? ", "completions")
    assert (query.model, query.temperature) == ("gpt-3.5-turbo-instruct", 0.2)
    assert (query.chain, query.turns) == ("", 0)
    assert (query.bypass, query.exact_only, query.stateful) == (None, None, False)
    assert query.owners == Owners(key="k")


def test_only_the_text_is_left_out_of_the_fingerprint() -> None:
    """Two prompts share a fingerprint, whichever of the two shapes they have; the shapes do not."""
    query, listed = _read(), _read(prompt=["Why is the sky blue?"])
    assert (listed.text, listed.exact_only, listed.bypass) == (query.text, None, None)
    assert _read(prompt="What is rain?").fingerprint == query.fingerprint
    assert _read(prompt=["What is rain?"]).fingerprint == listed.fingerprint
    assert listed.fingerprint != query.fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"stream": False},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "u-1"},
    ],
)
def test_what_does_not_shape_the_answer_is_not_keyed(fields: dict[str, Any]) -> None:
    """Transport and the end user leave the fingerprint, and the way to be answered, as it was."""
    query = _read(**fields)
    assert query.fingerprint == _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, None)


@pytest.mark.parametrize(
    ("fields", "exact_only"),
    [
        ({"model": "davinci-002"}, None),
        ({"temperature": 0}, None),
        ({"top_p": 0.5}, None),
        ({"seed": 7}, None),
        ({"max_tokens": 10}, None),
        ({"stop": "x"}, None),
        ({"stop": ["x"]}, None),
        ({"frequency_penalty": 1}, None),
        ({"presence_penalty": 1}, None),
        ({"logit_bias": {"1": 5}}, None),
        ({"guided_json": {"x": [1]}}, None),
        ({"n": 1}, None),
        ({"n": 2}, Reason.N),
        ({"best_of": 1}, None),
        ({"best_of": 3}, Reason.N),
        ({"logprobs": 3}, Reason.LOGPROBS),
        ({"logprobs": 0}, Reason.LOGPROBS),
        ({"logprobs": None}, None),
        ({"echo": True}, Reason.UNSUPPORTED),
        ({"echo": False}, None),
        ({"suffix": "the end"}, Reason.UNSUPPORTED),
        ({"suffix": ""}, None),
    ],
)
def test_everything_else_is_keyed(fields: dict[str, Any], exact_only: Reason | None) -> None:
    """Any other field, known or not, makes another request; some forbid matching by meaning."""
    query = _read(**fields)
    assert query.fingerprint != _read().fingerprint
    assert (query.bypass, query.exact_only) == (None, exact_only)


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (None, Reason.UNSUPPORTED),
        ([1, 2, 3], Reason.UNSUPPORTED),
        ([[1, 2], [3]], Reason.UNSUPPORTED),
        ([[1]], Reason.UNSUPPORTED),
        (["Why?", "How?"], Reason.N),
    ],
)
def test_prompts_that_are_not_one_text_match_exactly(prompt: Any, reason: Reason) -> None:
    """Such requests may still repeat to the letter, and each has a key of its own."""
    query = _read(prompt=prompt)
    assert (query.text, query.bypass, query.exact_only) == ("", None, reason)
    assert _read(prompt=prompt).fingerprint == query.fingerprint


def test_prompts_that_differ_have_different_keys() -> None:
    """Order, cutting and absence count: no two of these may share an answer."""
    without = {key: value for key, value in BASE.items() if key != "prompt"}
    prompts: list[Any] = [
        None, [1], [2], [1, 2], [2, 1], [[1, 2]], [[1], [2]],
        ["a", "b"], ["b", "a"], ["ab", ""], "a", ["a"],
    ]  # fmt: skip
    queries = [_read(prompt=prompt) for prompt in prompts] + [COMPLETIONS.read(without, FRAME)]
    assert len({(query.fingerprint, query.text) for query in queries}) == len(prompts) + 1
    assert queries[-1].exact_only is Reason.UNSUPPORTED


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": 7},
        {"prompt": True},
        {"prompt": {"text": "x"}},
        {"prompt": []},
        {"prompt": [[]]},
        {"prompt": [None]},
        {"prompt": [{"text": "x"}]},
        {"prompt": ["x", 1]},
        {"prompt": [1, "x"]},
        {"prompt": [1.5]},
        {"prompt": [True]},
        {"prompt": [1, [2]]},
        {"prompt": [["x"]]},
        {"stream": "yes"},
        {"stream": 1},
        {"model": 7},
    ],
)
def test_what_is_not_understood_bypasses(fields: dict[str, Any]) -> None:
    """Neither looked up nor stored; odd shapes are upstream's to judge and never raise."""
    assert _read(**fields).bypass is Reason.UNSUPPORTED


def test_a_request_without_a_model_is_read() -> None:
    """The path's deployment stands for it where there is one, and is keyed."""
    bare = {"prompt": "Why?"}
    there = Frame(owners=FRAME.owners, upstream=FRAME.upstream, deployment="mine")
    assert COMPLETIONS.read(bare, FRAME).model == ""
    assert COMPLETIONS.read(bare, there).model == "mine"
    assert COMPLETIONS.read(bare, there).fingerprint != COMPLETIONS.read(bare, FRAME).fingerprint


def test_the_frame_is_part_of_the_query() -> None:
    """Headers are keyed, a session makes a chain, number forms are alike."""
    beta = Frame(owners=FRAME.owners, upstream=FRAME.upstream, headers=b"openai-beta:x")
    assert COMPLETIONS.read(BASE, beta).fingerprint != _read().fingerprint
    session = Directives(session="s")
    inside = Frame(owners=FRAME.owners, upstream=FRAME.upstream, directives=session)
    joined = COMPLETIONS.read(BASE, inside)
    assert (joined.fingerprint, len(joined.chain)) == (_read().fingerprint, 32)
    assert joined.directives == session
    assert _read(temperature=1).fingerprint == _read(temperature=1.0).fingerprint


@pytest.mark.parametrize(
    ("fields", "user"),
    [({}, None), ({"user": "u"}, "u"), ({"user": ""}, None), ({"user": 7}, None)],
)
def test_the_end_user_is_found(fields: dict[str, Any], user: str | None) -> None:
    """What is empty or no text names nobody."""
    assert COMPLETIONS.end_user(BASE | fields) == user


# -- judging -------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


def _answer(text: Any = " It scatters light.", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "gpt-3.5-turbo-instruct",
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish} | more],
        "usage": USAGE,
    }


def _judge(answer: Any, *, strict: bool = False) -> AnswerFacts:
    raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    streamed = raw.startswith(b"data:")
    return COMPLETIONS.judge(raw, streamed=streamed, query=_read(), strict=strict)


def _chunk(text: Any = None, finish: str | None = None, **top: Any) -> bytes:
    choices = [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}]
    chunk = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    return b"data: " + json.dumps(chunk | {"choices": choices} | top).encode() + b"\n\n"


HELLO, STOP = _chunk("Hel") + _chunk("lo"), _chunk("", "stop")


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(), None),
        (_answer(" "), None),
        (_answer(finish="length"), Reason.FINISH_REASON),
        (_answer(finish="content_filter"), Reason.FINISH_REASON),
        (_answer(finish=None), Reason.FINISH_REASON),
        (_answer(finish=["stop"]), Reason.FINISH_REASON),
        (_answer(""), Reason.INCOMPLETE),
        (_answer(None), Reason.INCOMPLETE),
        (_answer("", "length"), Reason.FINISH_REASON),
        (_answer(7), Reason.INVALID_JSON),
        (_answer(["x"]), Reason.INVALID_JSON),
        (_answer() | {"choices": []}, Reason.INCOMPLETE),
        (_answer() | {"choices": [None]}, Reason.INCOMPLETE),
        (_answer() | {"choices": [{"message": {"content": "x"}}]}, Reason.INCOMPLETE),
        (_answer() | {"choices": [*_answer()["choices"], *_answer("")["choices"]]},
         Reason.INCOMPLETE),
        (_answer() | {"choices": [*_answer()["choices"], *_answer(finish="length")["choices"]]},
         Reason.FINISH_REASON),
        (_answer() | {"error": {"message": "overloaded"}}, Reason.INCOMPLETE),
        ({"error": {"message": "overloaded"}}, Reason.INCOMPLETE),
        ([], Reason.INCOMPLETE),
        (b"", Reason.INVALID_JSON),
        (json.dumps(_answer()).encode()[:-5], Reason.INVALID_JSON),
        (HELLO + STOP + DONE, None),
        (HELLO + _chunk(None, "stop") + DONE, None),
        (_chunk("Hello", "stop") + DONE, None),
        (HELLO + STOP + _chunk("") + DONE, None),
        (HELLO + STOP + b"data: [DONE]", None),
        (HELLO + STOP, Reason.INCOMPLETE),
        (HELLO + DONE, Reason.FINISH_REASON),
        (HELLO + _chunk("", "length") + DONE, Reason.FINISH_REASON),
        (STOP + DONE, Reason.INCOMPLETE),
        (_chunk(choices=[]) + DONE, Reason.INCOMPLETE),
        (HELLO + b'data: {"error":{"message":"overloaded"}}\n\n' + DONE, Reason.INCOMPLETE),
        (HELLO + b"data: nonsense\n\n" + DONE, Reason.INVALID_JSON),
        (HELLO + b'data: {"choices":["x"]}\n\n' + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk(7) + STOP + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk(["x"]) + STOP + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk(choices=[{"text": "x", "index": "one"}]) + DONE, Reason.INVALID_JSON),
        (HELLO + _chunk(choices=[{"text": "x", "index": [1]}]) + DONE, Reason.INVALID_JSON),
        (DONE, Reason.INCOMPLETE),
    ],
)  # fmt: skip
def test_only_complete_and_good_answers_are_kept(answer: Any, refusal: Reason | None) -> None:
    """Each way in which an answer can be bad has its reason, and none of them raises."""
    assert _judge(answer).refusal is refusal


@pytest.mark.parametrize(("text", "refusal"), [(' {"a": 1}', None), ('{"a"', Reason.INVALID_JSON)])
def test_json_mode_wants_json(text: str, refusal: Reason | None) -> None:
    """Compatible servers know it here too; elsewhere broken content is just text."""
    assert COMPLETIONS.wants_json(BASE | {"response_format": {"type": "json_object"}})
    for answer in (_answer(text), _chunk(text[:3]) + _chunk(text[3:], "stop") + DONE):
        assert _judge(answer, strict=True).refusal is refusal
        assert _judge(answer).refusal is None


@pytest.mark.parametrize(
    "answer", [_answer(), HELLO + STOP + _chunk(choices=[], usage=USAGE) + DONE]
)
def test_tokens_are_counted(answer: Any) -> None:
    """In a body, and in the last chunk of a stream."""
    facts = _judge(answer)
    assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == (12, 3, True)


# -- rendering -----------------------------------------------------------------------------------

LOGPROBS = {
    "tokens": [" It", " scatters"],
    "token_logprobs": [-0.1, -0.5],
    "top_logprobs": [{" It": -0.1}, {" scatters": -0.5}],
    "text_offset": [20, 23],
}
BODIES: dict[str, dict[str, Any]] = {
    "plain": _answer(),
    "long": _answer("word " * 400 + "end"),
    "unicode": _answer("Grüße\n\n\u2028 中文 😀 \x00 data: [DONE]\r\n" * 5),
    "logprobs": _answer(" It scatters", logprobs=LOGPROBS),
    "two choices": _answer() | {"choices": [
        *_answer()["choices"], *_answer(" By day only.", index=1)["choices"]]},
    "extras": _answer(stop_reason=128_009, prompt_logprobs=None)
    | {"system_fingerprint": "fp_1", "x": {"y": 1.5}},
    "no words": _answer("", "length"),
}  # fmt: skip


def _heard(stream: bytes) -> list[Completion]:
    """What the official client reads from a stream."""
    assert stream.endswith(DONE)
    client = answering(200, stream, "text/event-stream")
    return list(client.completions.create(model="m", prompt="x", stream=True))


def _added(chunks: list[Completion]) -> dict[int, tuple[str, str | None, dict[str, Any]]]:
    """Text, finish reason and logprobs of each choice, added up as a client would."""
    made: dict[int, tuple[str, str | None, dict[str, Any]]] = {}
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        text, finish, lists = made.get(choice.index, ("", None, {}))
        for name, values in (choice.logprobs.to_dict() if choice.logprobs else {}).items():
            lists = lists | {name: [*lists.get(name, []), *(values or [])]}
        made[choice.index] = (text + choice.text, choice.finish_reason or finish, lists)
    return made


@pytest.mark.parametrize("name", BODIES)
def test_a_body_as_a_stream_says_the_same(name: str) -> None:
    """The official client reads from the stream what it reads from the body, and so do we."""
    body = BODIES[name]
    stream = COMPLETIONS.render(json.dumps(body).encode(), streamed=False, form=STREAM_USAGE)
    heard = _heard(stream)
    assert _added(heard) == _added([Completion.model_validate(body)])
    assert {(c.id, c.created, c.model, c.object) for c in heard} == {
        (body["id"], body["created"], body["model"], "text_completion")
    }
    assert json.loads(COMPLETIONS.render(stream, streamed=True, form=WHOLE)) == body


@pytest.mark.parametrize("name", BODIES)
def test_usage_comes_only_when_asked_for(name: str) -> None:
    """Asked for it is the last chunk, without choices; otherwise no chunk has any."""
    raw = json.dumps(BODIES[name]).encode()
    without = _heard(COMPLETIONS.render(raw, streamed=False, form=STREAM))
    assert all(chunk.choices and chunk.usage is None for chunk in without)
    asked = COMPLETIONS.render(raw, streamed=False, form=STREAM_USAGE)
    *before, last = _heard(asked)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.to_dict() == USAGE
    assert all(chunk.usage is None for chunk in before)
    assert _heard(COMPLETIONS.render(asked, streamed=True, form=STREAM)) == before
    assert COMPLETIONS.render(asked, streamed=True, form=STREAM_USAGE) == asked


def test_a_body_stays_as_it_was() -> None:
    """Byte for byte: white space, key order and unknown members included."""
    raw = b' {"choices" : [ ], "x":1.0 }\n'
    assert COMPLETIONS.render(raw, streamed=False, form=WHOLE) == raw


def test_text_arrives_in_pieces() -> None:
    """A long answer is not one chunk, and the reason for its end comes last."""
    raw = json.dumps(BODIES["long"]).encode()
    chunks = _heard(COMPLETIONS.render(raw, streamed=False, form=STREAM))
    assert len(chunks) > 20
    finishes = [chunk.choices[0].finish_reason for chunk in chunks]
    assert finishes == [None] * (len(chunks) - 1) + ["stop"]


def test_a_stream_becomes_the_body_that_was_not_asked_for() -> None:
    """Choices whose chunks interleave are told apart; logprobs lengthen, null ones included."""

    def part(index: int, text: str, finish: str | None = None, **more: Any) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish} | more

    first = {"tokens": ["A"], "token_logprobs": [-1.0], "top_logprobs": None, "text_offset": [0]}
    second = {"tokens": ["B"], "token_logprobs": [-2.0], "top_logprobs": None, "text_offset": [1]}
    rows = [
        [part(1, "x")],
        [part(0, "A", logprobs=first), part(1, "y", "stop", stop_reason="#")],
        [part(0, "B", logprobs=second, stop_reason=None)],
        [part(0, "", "length")],
        [part(0, "")],
    ]
    stream = b"".join(_chunk(choices=row, obfuscation="pad") for row in rows) + DONE
    whole = json.loads(COMPLETIONS.render(stream, streamed=True, form=WHOLE))
    joined = {key: [*first[key], *second[key]] for key in first if first[key] is not None}
    assert whole == {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [
            part(0, "AB", "length", logprobs=joined | {"top_logprobs": None}, stop_reason=None),
            part(1, "xy", "stop", stop_reason="#"),
        ],
    }
    Completion.model_validate(whole)


def test_a_stored_stream_is_replayed_as_it_came() -> None:
    """Event for event and byte for byte, padding left out."""
    stream = HELLO + STOP + DONE
    assert COMPLETIONS.render(stream, streamed=True, form=STREAM) == stream
    padded = _chunk("Hel", obfuscation="xY7") + _chunk("lo") + STOP + DONE
    heard = _heard(COMPLETIONS.render(padded, streamed=True, form=STREAM))
    assert heard == _heard(stream)
    assert not any("obfuscation" in chunk.to_dict() for chunk in heard)


def test_a_stream_without_its_end_is_no_body() -> None:
    """What was cut cannot be turned into something that looks complete."""
    with pytest.raises(ValueError, match="no end"):
        COMPLETIONS.render(HELLO + STOP, streamed=True, form=WHOLE)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_text_survives_both_ways(text: str) -> None:
    """Body to stream to body: the text is the same to the last character."""
    raw = json.dumps(_answer(text)).encode()
    stream = COMPLETIONS.render(raw, streamed=False, form=STREAM_USAGE)
    assert "".join(c.choices[0].text for c in _heard(stream) if c.choices) == text
    assert json.loads(COMPLETIONS.render(stream, streamed=True, form=WHOLE)) == _answer(text)


# -- recorded exchanges --------------------------------------------------------------------------

PLACES = [os.environ.get("LIKEWISE_DATA", ""), str(Path(__file__).parents[4] / "shared" / "data")]
RECORDED = next(
    (found for place in PLACES if (found := Path(place, "payloads", "payloads.jsonl")).is_file()),
    None,
)


def _recorded() -> list[Any]:
    """Every successful exchange of this API as (request's body, answer's bytes)."""
    rows = [] if RECORDED is None else map(json.loads, RECORDED.read_text("utf-8").splitlines())
    return [
        pytest.param(
            json.loads(row["request"]["body"]), row["response"]["body"].encode(), id=row["id"]
        )
        for row in rows
        if row["endpoint"] == "openai.completions" and row["status"] == 200 and row["request"]
    ]


@pytest.mark.skipif(RECORDED is None, reason="no recorded payloads: set LIKEWISE_DATA")
@pytest.mark.parametrize(("asked", "answer"), _recorded())
def test_recorded_exchanges_are_read_and_say_the_same_in_every_form(
    asked: dict[str, Any], answer: bytes
) -> None:
    """A real answer is accepted if and only if it is complete, and no form changes what it says."""
    query = COMPLETIONS.read(asked, FRAME)
    prompt = asked["prompt"]
    assert query.text == (prompt if isinstance(prompt, str) else prompt[0])
    assert (query.bypass, query.exact_only) == (None, None)

    body = json.loads(answer)
    official = Completion.model_validate(body)
    good = all(choice.finish_reason == "stop" and choice.text for choice in official.choices)
    facts = COMPLETIONS.judge(answer, streamed=False, query=query, strict=False)
    assert (facts.refusal is None) is good
    assert official.usage is not None
    assert (facts.tokens_in, facts.tokens_out) == (
        official.usage.prompt_tokens,
        official.usage.completion_tokens,
    )
    stream = COMPLETIONS.render(answer, streamed=False, form=STREAM_USAGE)
    assert _added(_heard(stream)) == _added([official])
    assert json.loads(COMPLETIONS.render(stream, streamed=True, form=WHOLE)) == body
