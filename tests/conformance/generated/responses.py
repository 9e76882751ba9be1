"""Responses: 50 answers, with the events that build up each of their items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.cases import Case, Recording, data, encoded, writes
from tests.conformance.generated.texts import TOOLS, arguments, identifier, pieces, text, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random
    from typing import TypeAlias

    Events: TypeAlias = Iterator[tuple[str, dict[str, Any]]]

KINDS = ("text", "tools", "reasoning", "refusal", "annotated", "logprobs", "custom", "incomplete",
         "unknown", "kept")  # fmt: skip
NEVER_STORED = ("refusal", "incomplete")
MODEL = "gpt-4.1-mini"
_FUNCTIONS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}
    for name in TOOLS
]
_ASKED: dict[str, dict[str, Any]] = {
    "tools": {"tools": _FUNCTIONS, "tool_choice": "auto"},
    "custom": {"tools": [{"type": "custom", "name": "write_sql"}]},
    "logprobs": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "reasoning": {"reasoning": {"effort": "low", "summary": "auto"}},
    "incomplete": {"max_output_tokens": 16},
    "unknown": {"x_vendor_option": {"deep": [1, 2.5, None]}},
}


def case(rng: Random, number: int) -> Case:
    """`kept`: the vendor keeps the answer under its id, as it does unless it is told not to."""
    kind = KINDS[number % len(KINDS)]
    name = f"responses-{number:03}-{kind}"
    question = f"{name}: {text(rng, 2, 8)}"
    asked = {"model": MODEL, "input": question} | _ASKED.get(kind, {})
    asked |= {} if kind == "kept" else {"store": False}
    items = [_message(rng, kind)]
    if kind in ("tools", "custom"):
        items = [_call(rng, kind, index) for index in range(rng.randint(1, 2))]
    if kind == "reasoning":
        items.insert(0, _reasoning(rng))
    whole = _response(rng, asked, kind, items)
    return Case(
        name=name,
        api="responses",
        request=asked,
        recording=Recording(
            whole=encoded(whole), stream=writes(_stream(rng, whole, kind == "logprobs"), rng)
        ),
        prompt=question,
        stored=kind not in NEVER_STORED,
    )


def _response(
    rng: Random, asked: dict[str, Any], kind: str, items: list[dict[str, Any]]
) -> dict[str, Any]:
    given, answered = tokens(rng)
    cut = kind == "incomplete"
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + answered,
    }
    more = {"x_vendor": {"region": "eu"}} if kind == "unknown" else {}
    made: dict[str, Any] = {
        "id": identifier(rng, "resp_"),
        "object": "response",
        "created_at": 1_700_000_000 + rng.randint(0, 10**7),
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "max_output_tokens": asked.get("max_output_tokens"),
        "model": "gpt-4.1-mini-2025-04-14",
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": asked.get("reasoning", {"effort": None, "summary": None}),
        "store": asked.get("store", True),
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
        "metadata": {},
    }
    return made | more


def _message(rng: Random, kind: str) -> dict[str, Any]:
    part: dict[str, Any]
    if kind == "refusal":
        part = {"type": "refusal", "refusal": text(rng)}
    else:
        part = {"type": "output_text", "text": text(rng), "annotations": [], "logprobs": []}
    if kind == "logprobs":
        part["logprobs"] = [_probability(rng, piece) for piece in pieces(rng, part["text"])]
    if kind == "annotated":
        part["annotations"] = [
            {"type": "url_citation", "start_index": at, "end_index": at + 3, "title": "Ä",
             "url": f"https://example.org/{at}"} for at in range(2)
        ]  # fmt: skip
    return {
        "id": identifier(rng, "msg_"),
        "type": "message",
        "status": "incomplete" if kind == "incomplete" else "completed",
        "role": "assistant",
        "content": [part],
    } | ({"vendor_note": {"score": 0.25}} if kind == "unknown" else {})


def _probability(rng: Random, token: str) -> dict[str, Any]:
    def one(said: str) -> dict[str, Any]:
        return {
            "token": said,
            "logprob": -round(rng.random() * 10, 7),
            "bytes": list(said.encode()),
        }

    return one(token) | {"top_logprobs": [one(token), one("other")]}


def _call(rng: Random, kind: str, index: int) -> dict[str, Any]:
    head = {
        "id": identifier(rng, "fc_"),
        "status": "completed",
        "call_id": identifier(rng, "call_"),
    }
    if kind == "custom":
        return head | {"type": "custom_tool_call", "name": "write_sql", "input": text(rng)}
    return head | {"type": "function_call", "name": TOOLS[index], "arguments": arguments(rng)}


def _reasoning(rng: Random) -> dict[str, Any]:
    return {
        "id": identifier(rng, "rs_"),
        "type": "reasoning",
        "encrypted_content": identifier(rng, "gAAAA") * 4,
        "summary": [{"type": "summary_text", "text": text(rng)} for _ in range(2)],
    }


def _stream(rng: Random, whole: dict[str, Any], likely: bool) -> bytes:
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    begun["incomplete_details"] = None
    made: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": begun}),
        ("response.in_progress", {"response": begun}),
    ]
    for position, item in enumerate(whole["output"]):
        made += _events(rng, item, position, likely)
    made.append((f"response.{whole['status']}", {"response": whole}))
    return b"".join(
        data({"type": name, "sequence_number": number} | members, rng, name)
        for number, (name, members) in enumerate(made)
    )


def _events(rng: Random, item: dict[str, Any], position: int, likely: bool) -> Events:
    at = {"item_id": item["id"], "output_index": position}
    blank = {key: type(item[key])() for key in ("content", "arguments", "input", "summary")
             if key in item}  # fmt: skip
    waiting = {"status": "in_progress"} if "status" in item else {}
    started = item | blank | waiting
    yield "response.output_item.added", {"output_index": position, "item": started}
    match item["type"]:
        case "message":
            for index, part in enumerate(item["content"]):
                yield from _part(rng, part, at | {"content_index": index}, likely)
        case "function_call":
            yield from _input(rng, "response.function_call_arguments", "arguments", item, at)
        case "custom_tool_call":
            yield from _input(rng, "response.custom_tool_call_input", "input", item, at)
        case "reasoning":
            for index, part in enumerate(item["summary"]):
                yield from _summary(rng, part, at | {"summary_index": index})
    yield "response.output_item.done", {"output_index": position, "item": item}


def _part(rng: Random, part: dict[str, Any], at: dict[str, Any], likely: bool) -> Events:
    if part["type"] == "refusal":
        yield "response.content_part.added", at | {"part": part | {"refusal": ""}}
        for piece in pieces(rng, part["refusal"]):
            yield "response.refusal.delta", at | {"delta": piece}
        yield "response.refusal.done", at | {"refusal": part["refusal"]}
    else:
        blank = {"text": "", "annotations": [], "logprobs": []}
        yield "response.content_part.added", at | {"part": part | blank}
        yield from _text(rng, part, at, likely)
    yield "response.content_part.done", at | {"part": part}


def _text(rng: Random, part: dict[str, Any], at: dict[str, Any], likely: bool) -> Events:
    known = part["logprobs"]
    deltas = [one["token"] for one in known] if likely else pieces(rng, part["text"])
    for index, piece in enumerate(deltas):
        said = {"delta": piece, "logprobs": [known[index]] if likely else []}
        padding = {"obfuscation": identifier(rng, "")[:8]}
        yield "response.output_text.delta", at | said | padding
    for index, annotation in enumerate(part["annotations"]):
        noted = {"annotation_index": index, "annotation": annotation}
        yield "response.output_text.annotation.added", at | noted
    yield "response.output_text.done", at | {"text": part["text"], "logprobs": known}


def _input(rng: Random, stem: str, member: str, item: dict[str, Any], at: dict[str, Any]) -> Events:
    for piece in pieces(rng, item[member]):
        yield f"{stem}.delta", at | {"delta": piece}
    named = {"name": item["name"]} if member == "arguments" else {}
    yield f"{stem}.done", at | {member: item[member]} | named


def _summary(rng: Random, part: dict[str, Any], at: dict[str, Any]) -> Events:
    yield "response.reasoning_summary_part.added", at | {"part": part | {"text": ""}}
    for piece in pieces(rng, part["text"]):
        yield "response.reasoning_summary_text.delta", at | {"delta": piece}
    yield "response.reasoning_summary_text.done", at | {"text": part["text"]}
    yield "response.reasoning_summary_part.done", at | {"part": part}
