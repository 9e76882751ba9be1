"""Anthropic messages: 50 answers, block by block."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.conformance.cases import Case, Recording, data, encoded, writes
from tests.conformance.generated.texts import TOOLS, arguments, identifier, pieces, text, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from typing import TypeAlias

    Events: TypeAlias = Iterator[tuple[str, dict[str, Any]]]

KINDS = (
    "text", "tools", "thinking", "cited", "stopped", "redacted", "unknown", "length", "refusal",
    "blocks",
)  # fmt: skip
MODEL = "claude-haiku-4-5"
_STOPS = {
    "tools": "tool_use",
    "stopped": "stop_sequence",
    "length": "max_tokens",
    "refusal": "refusal",
}
_THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
_ASKED: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]},
    "thinking": _THINKING,
    "redacted": _THINKING,
    "stopped": {"stop_sequences": ["END"]},
    "unknown": {"x_vendor_option": True},
}


def case(rng: Random, number: int) -> Case:
    kind = KINDS[number % len(KINDS)]
    name = f"messages-{number:03}-{kind}"
    question = f"{name}: {text(rng, 2, 8)}"
    stop = _STOPS.get(kind, "end_turn")
    given, answered = tokens(rng)
    head: dict[str, Any] = {
        "id": identifier(rng, "msg_"),
        "type": "message",
        "role": "assistant",
        "model": MODEL,
    }
    head |= {"x_vendor": {"region": "eu"}} if kind == "unknown" else {}
    end = {"stop_reason": stop, "stop_sequence": "END" if kind == "stopped" else None}
    usage = {
        "input_tokens": given,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": answered,
        "service_tier": "standard",
    }
    blocks = _blocks(rng, kind)
    whole = head | {"content": blocks, "usage": usage} | end
    return Case(
        name=name,
        api="messages",
        request={
            "model": MODEL,
            "max_tokens": 2048,
            "messages": [{"role": "user", "content": question}],
        }
        | _ASKED.get(kind, {}),
        recording=Recording(
            whole=encoded(whole), stream=writes(_stream(rng, head, blocks, end, usage), rng)
        ),
        prompt=question,
        stored=kind not in ("length", "refusal"),
    )


def _blocks(rng: Random, kind: str) -> list[dict[str, Any]]:
    said: dict[str, Any] = {"type": "text", "text": text(rng)}
    match kind:
        case "tools":
            calls = [_call(rng, name) for name in TOOLS[: rng.randint(1, 2)]]
            return [said, *calls] if rng.random() < 0.5 else calls
        case "thinking":
            sure = identifier(rng, "Er") * 4
            return [{"type": "thinking", "thinking": text(rng), "signature": sure}, said]
        case "redacted":
            return [{"type": "redacted_thinking", "data": identifier(rng, "Em") * 4}, said]
        case "cited":
            return [said | {"citations": [_citation(rng, at) for at in range(2)]}]
        case "blocks":
            return [{"type": "text", "text": text(rng)} for _ in range(3)]
    return [said]


def _call(rng: Random, name: str) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": identifier(rng, "toolu_"),
        "name": name,
        "input": json.loads(arguments(rng)),
    }


def _citation(rng: Random, at: int) -> dict[str, Any]:
    return {
        "type": "char_location",
        "cited_text": text(rng, 2, 4),
        "document_index": 0,
        "document_title": "Ä",
        "start_char_index": at,
        "end_char_index": at + 5,
        "file_id": None,
    }


def _stream(
    rng: Random,
    head: dict[str, Any],
    blocks: list[dict[str, Any]],
    end: dict[str, Any],
    usage: dict[str, Any],
) -> bytes:
    nothing_yet: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None}
    begun = head | nothing_yet | {"usage": usage | {"output_tokens": 1}}
    made: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": begun})]
    for index, block in enumerate(blocks):
        made += _events(rng, index, block)
        if rng.random() < 0.3:
            made.append(("ping", {}))
    said = {key: value for key, value in usage.items() if key != "service_tier"}
    made.append(("message_delta", {"delta": end, "usage": said}))
    made.append(("message_stop", {}))
    return b"".join(data({"type": name} | members, rng, name) for name, members in made)


def _events(rng: Random, index: int, block: dict[str, Any]) -> Events:
    blank = {"text": "", "thinking": "", "signature": "", "citations": [], "input": {}}
    started = block | {key: value for key, value in blank.items() if key in block}
    yield "content_block_start", {"index": index, "content_block": started}
    for delta in _deltas(rng, block):
        yield "content_block_delta", {"index": index, "delta": delta}
    yield "content_block_stop", {"index": index}


def _deltas(rng: Random, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for citation in block.get("citations", ()):
        yield {"type": "citations_delta", "citation": citation}
    for piece in pieces(rng, block.get("text", "")):
        yield {"type": "text_delta", "text": piece}
    for piece in pieces(rng, block.get("thinking", "")):
        yield {"type": "thinking_delta", "thinking": piece}
    if "signature" in block:
        yield {"type": "signature_delta", "signature": block["signature"]}
    if "input" in block:
        yield {"type": "input_json_delta", "partial_json": ""}
        for piece in pieces(rng, json.dumps(block["input"], ensure_ascii=False)):
            yield {"type": "input_json_delta", "partial_json": piece}
