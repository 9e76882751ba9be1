"""An answer's text for comparing is what the official clients show their users."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from proxy.dialects.chat import Chat
from proxy.dialects.completions import Completions
from proxy.dialects.embeddings import Embeddings
from proxy.dialects.messages import Messages
from proxy.dialects.ports import Form
from proxy.dialects.responses import Responses
from proxy.judging import said
from tests.proxy import apis

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def chat(*messages: dict[str, Any]) -> bytes:
    choices = [
        {"index": n, "message": {"role": "assistant"} | message, "finish_reason": "stop",
         "logprobs": None}
        for n, message in enumerate(messages)
    ]  # fmt: skip
    head = {"id": "x", "object": "chat.completion", "created": 7, "model": "m"}
    return json.dumps(head | {"choices": choices}).encode()


@pytest.mark.parametrize("stream", [False, True])
def test_what_each_client_shows(*, stream: bool) -> None:
    """One text, whole or streamed, as the client has it."""
    whole = chat({"content": "Blue, ü."})
    shown = ChatCompletion.model_validate_json(whole).choices[0].message.content
    answer = Chat().render(whole, streamed=False, form=Form(stream=stream, usage=False))
    assert Chat().said(answer, streamed=stream) == shown == "Blue, ü."
    older = Completion.model_validate_json(apis.completions(3, stream=False))
    told = Completions().said(apis.completions(3, stream), streamed=stream)
    assert told == older.choices[0].text
    told_whole = json.loads(apis.responses(3, stream=False))
    response = Response.model_validate(told_whole | {"usage": None})
    assert Responses().said(apis.responses(3, stream), streamed=stream) == response.output_text
    message = Message.model_validate_json(apis.messages(3, stream=False))
    shown = "".join(block.text for block in message.content if block.type == "text")
    assert Messages().said(apis.messages(3, stream), streamed=stream) == shown


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [CALL]},
        {"content": "Let me look.", "tool_calls": [CALL]},
        {"content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"content": ""},
        {"content": None, "audio": {"id": "a"}},
        {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]},
    ],
)
def test_more_or_less_than_text_is_not_compared(message: dict[str, Any]) -> None:
    """Calls, sound, pictures and silence have no text that could be the same."""
    assert said(Chat(), chat(message), streamed=False) is None


def test_parts_are_one_text() -> None:
    """A content in parts is what the parts say together."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert Chat().said(chat({"content": parts}), streamed=False) == "ab"


def test_several_answers_are_not_compared() -> None:
    """Of several choices none is the answer."""
    assert said(Chat(), chat({"content": "a"}, {"content": "b"}), streamed=False) is None


def test_thoughts_are_not_the_answer() -> None:
    """What a model thinks on its way is left out, in either vendor's form."""
    whole = json.loads(apis.messages(1, stream=False))
    whole["content"].insert(0, {"type": "thinking", "thinking": "Hm.", "signature": "s"})
    assert Messages().said(json.dumps(whole).encode(), streamed=False) == "call 1 ü"
    whole["content"].append({"type": "tool_use", "id": "t", "name": "f", "input": {}})
    assert Messages().said(json.dumps(whole).encode(), streamed=False) is None
    whole = json.loads(apis.responses(1, stream=False))
    whole["output"].insert(0, {"type": "reasoning", "id": "r", "summary": []})
    assert Responses().said(json.dumps(whole).encode(), streamed=False) == "call 1"
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    whole["output"].append(call)
    assert Responses().said(json.dumps(whole).encode(), streamed=False) is None


@pytest.mark.parametrize(
    "answer", [b"", b"{", b"[]", b"{}", b"7", b'{"choices":7}', b"data: x\n\n"]
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "dialect", [Chat(), Completions(), Responses(), Messages(), Embeddings()], ids=lambda d: d.name
)
def test_what_is_no_answer_says_nothing(dialect: Any, answer: bytes, *, stream: bool) -> None:
    """Whatever the bytes are, judging goes on."""
    assert said(dialect, answer, streamed=stream) is None
