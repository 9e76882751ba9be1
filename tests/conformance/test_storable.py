"""The contract's word on which recorded answers last, by table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.storable import lasting, read

TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
CALLS = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]


def _stream(*values: Any, done: bool = True) -> str:
    said = "".join(f"data: {json.dumps(value)}\n\n" for value in values)
    return said + ("data: [DONE]\n\n" if done else "")


def _delta(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("body", "request_", "lasts"),
    [
        (_stream(_delta(content="x"), _delta("stop")), {}, True),
        (_stream(_delta(content="x"), _delta("stop"), done=False), {}, False),
        (_stream(_delta(content="x")), {}, False),
        (_stream(_delta("stop")), {}, False),
        (_stream(_delta(content="x"), _delta("length")), {}, False),
        (_stream(_delta(refusal="no"), _delta("stop")), {}, False),
        (_stream(_delta(tool_calls=CALLS), _delta("tool_calls")), TOOLS, True),
        (_stream(_delta(tool_calls=CALLS), _delta("tool_calls")), {}, False),
        (_stream(_delta(content="x"), _delta("stop")), {"store": True}, False),
        (_stream(_delta(content="x"), _delta("stop")), {"temperature": 1.5}, False),
        (_stream(_delta(content="x"), _delta("stop")), {"tools": [{"type": "web_search"}]}, False),
    ],
)
def test_streams_of_chat(body: str, request_: dict[str, Any], lasts: bool) -> None:
    """Complete, naturally ended, saying something, and nothing of the vendor's own in it."""
    assert lasting("chat", request_, read(body, "chat", streamed=True)) is lasts


@pytest.mark.parametrize(
    ("api", "answer", "lasts"),
    [
        ("responses", {"status": "completed", "output": [{"content": [{"text": "x"}]}]}, True),
        ("responses", {"status": "incomplete", "output": [{"content": [{"text": "x"}]}]}, False),
        ("responses", {"status": "completed", "output": []}, False),
        ("messages", {"stop_reason": "end_turn", "content": [{"type": "text", "text": "x"}]}, True),
        ("messages", {"stop_reason": "max_tokens", "content": [{"text": "x"}]}, False),
        ("messages", {"stop_reason": "end_turn", "content": []}, False),
        ("completions", {"choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}, True),
        ("completions", {"choices": [{"index": 0, "text": "x", "finish_reason": "length"}]}, False),
    ],
)
def test_whole_answers(api: str, answer: dict[str, Any], lasts: bool) -> None:
    """The natural end of each API."""
    assert lasting(api, {}, read(json.dumps(answer), api, streamed=False)) is lasts
