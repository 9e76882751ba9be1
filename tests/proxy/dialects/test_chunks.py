"""Answers in chunks, with a shape of choices that is as small as can be."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from policies.verdicts import Reason
from proxy.dialects import chunks
from proxy.dialects.chunks import Chunked, Shape
from proxy.dialects.ports import Ending, Form
from proxy.sse import events
from tests.proxy.dialects.clients import answering

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 12, "completion_tokens": 3}
WHOLE, STREAM = Form(stream=False, usage=True), Form(stream=True, usage=False)
STREAM_USAGE = Form(stream=True, usage=True)


def _fold(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    into = choices.setdefault(choice["index"], {"index": choice["index"], "said": ""})
    into["said"] += choice["said"]


def _spread(choice: dict[str, Any], position: int) -> list[dict[str, Any]]:
    return [{"index": position, "said": letter} for letter in choice["said"]]


def _short(choice: dict[str, Any]) -> Reason | None:
    return None if choice["said"] else Reason.QUOTA


SPELLED = Shape("spelled", "spelled.letter", _fold, _spread, lambda _: None)


def _chunk(*said: str, **top: Any) -> bytes:
    choices = [{"index": at, "said": letters} for at, letters in enumerate(said)]
    return b"data: " + json.dumps({"id": "c", "choices": choices} | top).encode() + b"\n\n"


def _read(stream: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream by plain string handling; the end must be the terminal event."""
    frames = stream.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


BODY: dict[str, Any] = {
    "id": "c",
    "object": "spelled",
    "created": 7,
    "citations": ["x"],
    "choices": [{"index": 0, "said": "ab"}, {"index": 1, "said": "c"}],
    "usage": USAGE,
}


# -- one body ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "whole"),
    [
        (_chunk("a") + _chunk("b") + DONE, {"choices": [{"index": 0, "said": "ab"}]}),
        (
            _chunk("a", "c") + _chunk("b") + DONE,
            {"choices": [{"index": 0, "said": "ab"}, {"index": 1, "said": "c"}]},
        ),
        (_chunk("a", id="") + _chunk(id="late") + DONE, {"id": "late"}),
        (_chunk("a", id="first") + _chunk(id="other") + DONE, {"id": "first"}),
        (_chunk("a", extra=[1]) + DONE, {"extra": [1]}),
        (_chunk("a", extra=None) + DONE, {"extra": None}),
        (_chunk("a", usage=None) + _chunk(usage=USAGE) + DONE, {"usage": USAGE}),
        (_chunk("a", service_tier="auto") + _chunk(service_tier="flex") + DONE,
         {"service_tier": "flex"}),
        (_chunk("a") + DONE.strip() + b"\r\n", {"object": "spelled"}),
        (_chunk("a") + DONE + _chunk("b"), {"choices": [{"index": 0, "said": "a"}]}),
    ],
)  # fmt: skip
def test_a_stream_amounts_to_one_body(stream: bytes, whole: dict[str, Any]) -> None:
    """Choices are folded by index; of the rest the first real value counts, of a few the last."""
    made = chunks.accumulate(stream, SPELLED)
    assert made is not None
    assert whole.items() <= made.items()


def test_what_belongs_to_a_chunk_is_in_no_body() -> None:
    """Padding goes, and so does usage that was never told."""
    made = chunks.accumulate(_chunk("a", usage=None, obfuscation="xyz") + DONE, SPELLED)
    assert made == {"id": "c", "object": "spelled", "choices": [{"index": 0, "said": "a"}]}


@pytest.mark.parametrize("stream", [b"", DONE, _chunk("a"), _chunk("a") + b"data: [DON"])
def test_a_stream_without_content_or_end_is_no_body(stream: bytes) -> None:
    """What was cut cannot be turned into something that looks complete."""
    assert chunks.accumulate(stream, SPELLED) is None
    with pytest.raises(ValueError, match="no end"):
        chunks.render(stream, True, WHOLE, SPELLED)


# -- judging -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (json.dumps(BODY).encode(), None),
        (_chunk("a") + DONE, None),
        (_chunk("a"), Reason.INCOMPLETE),
        (_chunk("") + DONE, Reason.QUOTA),
        (_chunk("a", "") + DONE, Reason.QUOTA),
        (_chunk() + DONE, Reason.INCOMPLETE),
        (_chunk("a") + b'data: {"error":{"message":"x"}}\n\n' + DONE, Reason.INCOMPLETE),
        (_chunk("a") + b"data: [1]\n\n" + DONE, Reason.INVALID_JSON),
        (_chunk("a") + b"data: nonsense\n\n" + DONE, Reason.INVALID_JSON),
        (_chunk("a") + b'data: {"choices":[{"index":[]}]}\n\n' + DONE, Reason.INVALID_JSON),
        (b'{"choices":[]}', Reason.INCOMPLETE),
        (b'{"choices":[7]}', Reason.INCOMPLETE),
        (b'{"choices":{"a":1}}', Reason.INCOMPLETE),
        (b'{"error":"x","choices":[{"said":"a"}]}', Reason.INCOMPLETE),
        (b'{"choices":[{"said":"a"}],"deep":' + b"[" * 100 + b"]" * 100 + b"}",
         Reason.INVALID_JSON),
        (b"[]", Reason.INCOMPLETE),
        (b"null", Reason.INCOMPLETE),
        (b"", Reason.INVALID_JSON),
        (b"<html>", Reason.INVALID_JSON),
    ],
)  # fmt: skip
def test_only_whole_answers_with_good_choices_are_kept(
    answer: bytes, refusal: Reason | None
) -> None:
    """What the envelope shows is judged here, each choice by its own API; nothing raises."""
    streamed = answer.startswith(b"data:")
    assert chunks.judge(answer, streamed, SPELLED, _short).refusal is refusal


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (USAGE, (12, 3, True)),
        ({}, (0, 0, True)),
        (None, (0, 0, False)),
        ("many", (0, 0, False)),
        ({"prompt_tokens": -5, "completion_tokens": "3"}, (0, 0, True)),
    ],
)
def test_tokens_are_counted_where_told(usage: Any, told: tuple[int, int, bool]) -> None:
    """Usage that is missing or absurd counts as nothing, in either form."""
    for answer in (json.dumps(BODY | {"usage": usage}).encode(), _chunk("a", usage=usage) + DONE):
        facts = chunks.judge(answer, answer.startswith(b"data:"), SPELLED, _short)
        assert (facts.tokens_in, facts.tokens_out, facts.has_usage) == told
        assert facts.size == len(answer)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, None),
        ({"stream": True, "model": "m"}, None),
        ({"stream": None, "model": None}, None),
        ({"stream": 1}, Reason.UNSUPPORTED),
        ({"stream": "true"}, Reason.UNSUPPORTED),
        ({"model": 7}, Reason.UNSUPPORTED),
        ({"model": ["m"]}, Reason.UNSUPPORTED),
    ],
)
def test_fields_of_another_type_are_upstreams_to_judge(
    body: dict[str, Any], reason: Reason | None
) -> None:
    """Null counts as absent."""
    assert chunks.mistyped(body) is reason


# -- rendering -----------------------------------------------------------------------------------


def test_a_body_as_a_stream_amounts_to_the_body() -> None:
    """Every chunk has the head, usage is the last one's alone."""
    stream = chunks.render(json.dumps(BODY).encode(), False, STREAM_USAGE, SPELLED)
    *before, last = _read(stream)
    assert [c["choices"][0]["said"] for c in before] == ["a", "b", "c"]
    assert {(c["id"], c["created"], c["object"]) for c in before} == {("c", 7, "spelled.letter")}
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert chunks.accumulate(stream, SPELLED) == BODY


def test_usage_comes_only_when_asked_for() -> None:
    """From a body and from a stream alike."""
    raw = json.dumps(BODY).encode()
    asked = chunks.render(raw, False, STREAM_USAGE, SPELLED)
    assert not any("usage" in chunk for chunk in _read(chunks.spread(BODY, False, SPELLED)))
    assert _read(chunks.render(asked, True, STREAM, SPELLED)) == _read(asked)[:-1]
    assert chunks.render(asked, True, STREAM_USAGE, SPELLED) == asked


def test_usage_beside_content_is_no_chunk_of_usage_alone() -> None:
    """Content is never left out."""
    stream = _chunk("a", usage=USAGE) + DONE
    assert chunks.replay(stream, usage=False) == stream


def test_a_body_stays_as_it_was() -> None:
    """Byte for byte: white space, key order and unknown members included."""
    raw = b' {"choices" : [ ], "x":1.0 }\n'
    assert chunks.render(raw, False, WHOLE, SPELLED) == raw


def test_padding_is_not_replayed() -> None:
    """Chunks lose it and keep all else; one that only speaks of it stays as it is to the byte."""
    spoken = b'data: {"choices" : [{"index":0,"said":"an \\"obfuscation\\", or \\u00fc"}]}\n\n'
    named = b'data: {"choices" : [{"index":0,"said":"","obfuscation":1.0}]}\n\n'
    stream = _chunk("a", obfuscation="xY7", x=1.5) + spoken + named + DONE
    assert chunks.replay(stream, usage=True).endswith(spoken + named + DONE)
    first = _read(chunks.replay(stream, usage=True))[0]
    assert first == {"id": "c", "choices": [{"index": 0, "said": "a"}], "x": 1.5}


def test_nothing_is_replayed_after_the_end() -> None:
    """Comments and what follows the terminal event are not the answer's."""
    stream = b": ping\n\n" + _chunk("a") + DONE + _chunk("b")
    assert chunks.replay(stream, usage=True) == _chunk("a") + DONE


# -- the end of a stream -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "ended", "ending"),
    [
        (DONE, True, Ending.SILENT),
        (_chunk("a"), False, Ending.SILENT),
        (_chunk("[DONE]"), False, Ending.SILENT),
        (b'data: {"choices":[{"finish_reason":"stop"}]}\n\n', False, Ending.FINISHED),
        (b'data: {"choices":[{},{"finish_reason":"length"}]}\n\n', False, Ending.FINISHED),
        (b'data: {"choices":[{"finish_reason":null}]}\n\n', False, Ending.SILENT),
        (b'data: {"choices":[{"text":"\\"finish_reason\\": 1"}]}\n\n', False, Ending.SILENT),
        (b'data: {"choices":[{"finish_reason":"stop"}],"error":{}}\n\n', False, Ending.FAILED),
        (b'data: {"choices":7}\n\ndata: 7\n\ndata: {"choices":[7]}\n\n', False, Ending.SILENT),
        (b"", False, Ending.SILENT),
    ],
)
def test_how_a_stream_ended_is_read_from_its_own_fields(
    stream: bytes, ended: bool, ending: Ending
) -> None:
    """Content that spells an end is none."""
    seen = list(events(stream))
    assert any(map(Chunked().ended, seen)) is ended
    assert Chunked().concluded(seen) is ending


def test_the_worst_ending_counts() -> None:
    """An error after a finish, or before it, is an error."""
    finish = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
    error = b'data: {"error":{"message":"overloaded"}}\n\n'
    for stream in (finish + error, error + finish):
        assert Chunked().concluded(list(events(stream))) is Ending.FAILED


# -- asking, and errors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ({}, WHOLE),
        ({"stream": False, "stream_options": {"include_usage": True}}, WHOLE),
        ({"stream": True}, STREAM),
        ({"stream": True, "stream_options": {"include_usage": 1}}, STREAM),
        ({"stream": True, "stream_options": []}, STREAM),
        ({"stream": True, "stream_options": {"include_usage": True}}, STREAM_USAGE),
    ],
)
def test_the_wanted_form_is_read(fields: dict[str, Any], form: Form) -> None:
    """A body always has its usage; a stream only where the caller asked for it."""
    assert Chunked().form(fields) == form


@pytest.mark.parametrize(
    ("wanted", "strict"),
    [
        (None, False),
        ("json", False),
        ({"type": "text"}, False),
        ({"type": "json_object"}, True),
        ({"type": "json_schema"}, True),
    ],
)
def test_json_mode_is_seen(wanted: Any, strict: bool) -> None:
    """Both JSON formats ask for content that is JSON."""
    assert Chunked().wants_json({"response_format": wanted}) is strict


@pytest.mark.parametrize(
    ("status", "raised", "kind"),
    [
        (404, openai.NotFoundError, "invalid_request_error"),
        (499, openai.APIStatusError, "invalid_request_error"),
        (500, openai.InternalServerError, "server_error"),
        (504, openai.InternalServerError, "server_error"),
    ],
)
def test_our_errors_are_the_clients_errors(
    status: int, raised: type[openai.APIStatusError], kind: str
) -> None:
    """The official client raises its own class with our message, code and param in it."""
    body = Chunked().error(status, "No such thing: ä", code="some_code", param="model")
    client = answering(status, body, "application/json")
    with pytest.raises(raised, match="No such thing: ä") as caught:
        client.completions.create(model="m", prompt="x")
    error = caught.value
    assert (error.code, error.param, error.type) == ("some_code", "model", kind)


def test_a_cut_stream_is_an_error_to_the_client() -> None:
    """The official client raises, where a quiet end would look complete."""
    client = answering(200, Chunked().cut_short([]), "text/event-stream")
    with pytest.raises(openai.APIError, match="ended before it was complete"):
        list(client.completions.create(model="m", prompt="x", stream=True))
