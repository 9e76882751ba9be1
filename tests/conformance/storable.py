"""Which recorded answers the contract lets be kept, read from it and not from the proxy's code.

An answer lasts when it is complete, came to its natural end and says something; tools, several
choices and the like do not forbid repeating it exactly. What the vendor runs or keeps itself does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = {
    "chat": ("stop",),
    "completions": ("stop",),
    "responses": ("completed",),
    "messages": ("end_turn", "stop_sequence"),
}
# Where a tool of the caller's is the natural end.
_CALLED = {"chat": ("tool_calls", "function_call"), "messages": ("tool_use",)}
_VENDORS = (
    "background", "conversation", "previous_response_id", "context_management", "container",
    "mcp_servers", "web_search_options", "audio",
)  # fmt: skip
_LOCAL_TOOLS = (None, "function", "custom")


@dataclass(slots=True)
class Answer:
    """What matters of an answer, whatever its API and form."""

    complete: bool = False
    usage: bool = False
    refused: bool = False
    logprobs: bool = False
    text: str = ""
    stops: dict[int, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    custom: list[str] = field(default_factory=list)


def read(body: str, api: str, *, streamed: bool) -> Answer:
    """The answer in a recorded body."""
    made = Answer(complete=not streamed)
    for value in _objects(body, streamed=streamed):
        _READ[api](made, value)
    if "[DONE]" in body:
        made.complete = True
    return made


def lasting(api: str, request: dict[str, Any], answer: Answer) -> bool:
    """Whether an answer to this request may be kept."""
    ends = _ENDS[api] + (_CALLED.get(api, ()) if request.get("tools") else ())
    natural = bool(answer.stops) and all(stop in ends for stop in answer.stops.values())
    says = bool(answer.text or answer.tools or answer.custom)
    return natural and says and answer.complete and not answer.refused and _ours(api, request)


def _ours(api: str, request: dict[str, Any]) -> bool:
    """Whether nothing of the request is run or kept by the vendor, and it is not too hot."""
    tools = request.get("tools") or []
    local = all(tool.get("type") in _LOCAL_TOOLS for tool in tools)
    stateful = any(request.get(name) not in (None, False) for name in _VENDORS)
    kept = api == "chat" and request.get("store") is True
    return local and not stateful and not kept and (request.get("temperature") or 0) <= 1


def _objects(body: str, *, streamed: bool) -> Iterator[dict[str, Any]]:
    if not streamed:
        yield json.loads(body)
        return
    for line in body.splitlines():
        text = line.removeprefix("data:").strip()
        if line.startswith("data:") and text.startswith("{"):
            yield json.loads(text)


def _chat(made: Answer, value: dict[str, Any]) -> None:
    made.usage = made.usage or value.get("usage") is not None
    for choice in value.get("choices") or ():
        said = choice.get("message") or choice.get("delta") or {}
        made.text += said.get("content") or choice.get("text") or ""
        made.refused = made.refused or bool(said.get("refusal"))
        made.logprobs = made.logprobs or choice.get("logprobs") is not None
        made.tools += [
            name
            for call in said.get("tool_calls") or ()
            if (name := (call.get("function") or {}).get("name"))
        ]
        if choice.get("finish_reason"):
            made.stops[choice.get("index", 0)] = choice["finish_reason"]


def _responses(made: Answer, value: dict[str, Any]) -> None:
    whole = value.get("response") if "response" in value else value
    if not isinstance(whole, dict) or whole.get("status") not in ("completed", "incomplete"):
        return
    if value.get("type", "response.completed") != f"response.{whole['status']}":
        return
    made.complete = True
    made.stops[0] = whole["status"]
    made.usage = whole.get("usage") is not None
    for item in whole.get("output") or ():
        for part in item.get("content") or ():
            made.text += part.get("text") or ""
            made.refused = made.refused or part.get("type") == "refusal"
        calls = made.custom if item.get("type") == "custom_tool_call" else made.tools
        if item.get("type") in ("custom_tool_call", "function_call"):
            calls.append(item["name"])


def _messages(made: Answer, value: dict[str, Any]) -> None:
    made.complete = made.complete or value.get("type") == "message_stop"
    made.usage = True
    stop = value.get("stop_reason") or (value.get("delta") or {}).get("stop_reason")
    if stop:
        made.stops[0] = stop
    blocks = [*(value.get("content") or ()), value.get("content_block") or {}]
    for block in blocks:
        made.text += block.get("text") or ""
        if block.get("type") == "tool_use":
            made.tools.append(block["name"])
    made.text += (value.get("delta") or {}).get("text") or ""


_READ = {
    "chat": _chat,
    "completions": _chat,
    "responses": _responses,
    "messages": _messages,
}
