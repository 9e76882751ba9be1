"""An upstream that speaks every remembered API, its answers written out. No test lives here.

Each answer names the call it came with, so that a repeated one is known. Raw ASGI.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.proxy.wire import read_all


def sse(*told: dict[str, Any], named: bool = True, last: str = "") -> bytes:
    """Events as the vendors write them."""
    made = [
        (f"event: {one['type']}\n" if named else "") + f"data: {json.dumps(one)}\n\n"
        for one in told
    ]
    return ("".join(made) + (f"data: {last}\n\n" if last else "")).encode()


def completions(number: int, stream: bool) -> bytes:
    head = {"id": f"cmpl-{number}", "object": "text_completion", "created": 7, "model": "m"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    texts, end = [f" call {number}", " and", " done"], [None, None, "stop"]
    if not stream:
        choice = {"index": 0, "text": "".join(texts), "logprobs": None, "finish_reason": "stop"}
        return json.dumps(head | {"choices": [choice], "usage": usage}).encode()
    chunks = [
        head
        | {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": why}]}
        | {"usage": None}
        for text, why in zip(texts, end, strict=True)
    ]
    return sse(*chunks, head | {"choices": [], "usage": usage}, named=False, last="[DONE]")


def messages(number: int, stream: bool) -> bytes:
    usage = {"input_tokens": 5, "output_tokens": 6}
    whole = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "text", "text": f"call {number} ü"}],
        "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    if not stream:
        return json.dumps(whole).encode()
    begun = whole | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
    at = {"index": 0}
    return sse(
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", **at, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {"type": "content_block_delta", **at, "delta": {"type": "text_delta", "text": text}}
            for text in ("call ", f"{number} ü")
        ),
        {"type": "content_block_stop", **at},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 6},
        },
        {"type": "message_stop"},
    )


def responses(number: int, stream: bool) -> bytes:
    part = {"type": "output_text", "text": f"call {number}", "annotations": []}
    item = {
        "type": "message", "id": f"item_{number}", "role": "assistant", "status": "completed",
        "content": [part],
    }  # fmt: skip
    details = {
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    usage = {"input_tokens": 8, "output_tokens": 9, "total_tokens": 17} | details
    whole = {
        "id": f"resp_{number}", "object": "response", "created_at": 7, "status": "completed",
        "model": "m", "output": [item], "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "error": None, "incomplete_details": None, "usage": usage,
    }  # fmt: skip
    if not stream:
        return json.dumps(whole).encode()
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    opened = item | {"status": "in_progress", "content": []}
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": opened},
        {"type": "response.content_part.added", **at, "part": part | {"text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "call ", "logprobs": []},
        {"type": "response.output_text.delta", **at, "delta": str(number), "logprobs": []},
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return sse(*(one | {"sequence_number": n} for n, one in enumerate(told)))


ANSWERS = {
    "/v1/completions": completions,
    "/v1/messages": messages,
    "/v1/responses": responses,
}


class Vendor:
    """Counts the calls; `bodies` are what arrived."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.slow = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.loads(await read_all(receive) or b"{}")
        self.bodies.append(body)
        await asyncio.sleep(self.slow)
        stream = body.get("stream") is True
        answer = ANSWERS[scope["path"]](len(self.bodies), stream)
        kind = b"text/event-stream; charset=utf-8" if stream else b"application/json"
        head = [(b"content-type", kind), (b"request-id", b"req_upstream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for at in range(0, len(answer), 50):  # cut anywhere, as a network does
            piece = {"type": "http.response.body", "body": answer[at : at + 50]}
            await send(piece | {"more_body": True})
        await send({"type": "http.response.body", "body": b""})
