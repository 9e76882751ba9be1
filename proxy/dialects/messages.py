"""Anthropic messages: request to Query, stored answer to JSON body or event stream. Pure.

A stream and a body must amount to the same message. What is not understood well enough for that
is refused, never left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from policies.values import AnswerFacts, Query
from policies.verdicts import Reason
from proxy.dialects import fields
from proxy.dialects.canonical import MAX_DEPTH, depth, digest, encode, parse
from proxy.dialects.envelope import anthropic_error
from proxy.dialects.ports import Ending, Form, Frame
from proxy.dialects.reading import before, chain, count, is_json, named_user, pieces, said, worded
from proxy.sse import Event, events, frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PING, STOP = b"ping", b"message_stop"
_CALLERS_TOOLS = (None, "custom")
_INPUT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_SILENT_BLOCKS = frozenset({"thinking", "redacted_thinking"})
# Only the blocks whose input the official clients put together from pieces.
_CALLS = frozenset({"tool_use", "server_tool_use"})
# A delta's type to its own member, and the member that a block must have to take it.
_DELTAS = {
    "text_delta": ("text", "text"),
    "citations_delta": ("citation", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "thinking"),
    "input_json_delta": ("partial_json", "input"),
}
# Progress for people who watch a stream; the vendor's own bodies do not have it.
_HINTS = ("estimated_tokens",)
# What a stream tells at its end, where some clients read it even if it was told before.
_LAST = ("stop_reason", "stop_sequence", "stop_details", "container")
_LAST_USAGE = (
    *_INPUT_TOKENS,
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
    "iterations",
)
# The fast parser turns integers beyond 64 bits into floats.
_LONG_NUMBER = re.compile(rb"\d{19}")
_ERROR_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Messages:
    """`POST /v1/messages`."""

    name = "messages"
    apis = frozenset({"anthropic"})
    paths = ("/v1/messages", "/messages")

    def end_user(self, body: dict[str, Any]) -> str | None:
        metadata = body.get("metadata")
        return named_user(metadata, "user_id") if isinstance(metadata, dict) else None

    def form(self, body: dict[str, Any]) -> Form:
        return Form(stream=body.get("stream") is True, usage=True)

    def wants_json(self, body: dict[str, Any]) -> bool:
        config = body.get("output_config")
        formats = (
            config.get("format") if isinstance(config, dict) else None,
            body.get("output_format"),  # its name before it moved
        )
        return any(isinstance(one, dict) and one.get("type") == "json_schema" for one in formats)

    def read(self, body: dict[str, Any], around: Frame) -> Query:
        model = body.get("model")
        form = self.form(body)
        parts = _split(body.get("messages"))
        bypass = _bypass(body) or (Reason.UNSUPPORTED if parts is None else None)
        instructions, turns, last, text, odd = parts or Parts([], [], None, "", None)
        temperature = body.get("temperature")
        return Query(
            dialect=self.name,
            upstream=around.upstream,
            model=around.deployment or (model if isinstance(model, str) else ""),
            owners=around.owners,
            fingerprint=digest(
                around.headers,
                around.deployment.encode(),
                encode(fields.keyed(body, fields.MESSAGES), floats=around.floats),
                encode(instructions, floats=around.floats),
                encode(last, floats=around.floats),
            ),
            chain=chain(turns, around),
            before=before(turns, around),
            text=text,
            turns=sum(1 for turn in turns if turn["role"] == "user"),
            stream=form.stream,
            wants_usage=form.usage,
            temperature=temperature if isinstance(temperature, int | float) else None,
            bypass=bypass,
            exact_only=fields.exact_only(body, fields.MESSAGES) or odd,
            directives=around.directives,
        )

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:
        size = len(answer)
        try:
            whole = _accumulate(answer) if streamed else _parse(answer)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return AnswerFacts(size, Reason.INVALID_JSON)
        if not isinstance(whole, dict):
            return AnswerFacts(size, Reason.INCOMPLETE)
        usage, refusal = whole.get("usage"), _fault(whole, query, strict)
        return AnswerFacts(
            size,
            refusal,
            tokens_in=sum(count(usage, key) for key in _INPUT_TOKENS),
            tokens_out=count(usage, "output_tokens"),
            has_usage=isinstance(usage, dict),
            said=said(whole["content"]) if refusal is None else None,
        )

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        if streamed:
            return _replay(answer) if form.stream else _body(answer)
        return _stream(_parse(answer)) if form.stream else answer

    def said(self, answer: bytes, *, streamed: bool) -> str | None:
        whole = _accumulate(answer) if streamed else _parse(answer)
        content = whole["content"] if whole is not None else []
        return worded([block for block in content if block["type"] not in _SILENT_BLOCKS])

    def ended(self, event: Event) -> bool:
        return (
            STOP in event.data
            and event.name in (b"", STOP)
            and _lenient(event.data).get("type") == "message_stop"
        )

    def concluded(self, last: Sequence[Event]) -> Ending:
        return max(map(_conclusion, last), key=list(Ending).index, default=Ending.SILENT)

    def cut_short(self, last: Sequence[Event]) -> bytes:  # noqa: ARG002 - the port's shape
        message = "The upstream's answer ended before it was complete."
        return frame(anthropic_error(message, kind="api_error"), b"error")

    def error(
        self,
        status: int,
        message: str,
        *,
        code: str,  # noqa: ARG002 - this envelope has no place for it
        param: str | None = None,  # noqa: ARG002 - nor for this
    ) -> bytes:
        other = "invalid_request_error" if status < 500 else "api_error"  # noqa: PLR2004
        return anthropic_error(message, kind=_ERROR_KINDS.get(status, other))


# -- requests ------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """A conversation taken apart; `odd` says why it may not be matched by meaning."""

    instructions: list[Any]
    """System messages among the turns, each with its place."""
    turns: list[dict[str, Any]]
    """What was said before."""
    last: Any
    """The last turn without its text."""
    text: str
    odd: Reason | None


def _split(messages: Any) -> Parts | None:
    """None where the shape is not known."""
    if not isinstance(messages, list) or not messages:
        return None
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return None
    instructions: list[Any] = []
    turns: list[dict[str, Any]] = []
    for message in messages[:-1]:
        if message["role"] == "system":
            instructions.append([len(turns), message])
        else:
            turns.append(message)
    last = messages[-1]
    text, emptied = _last_text(last)
    if text is None:
        return Parts(instructions, turns, last, "", _oddity(last) or Reason.UNSUPPORTED)
    odd = next((reason for turn in turns if (reason := _oddity(turn)) is not None), None)
    return Parts(instructions, turns, emptied, text, odd)


def _last_text(turn: dict[str, Any]) -> tuple[str | None, Any]:
    """The text of a user's turn and the turn without it; None where it holds more than text."""
    content = turn.get("content")
    if turn["role"] != "user":
        return None, turn
    if isinstance(content, str):
        return content, {**turn, "content": None}
    if isinstance(content, list) and len(content) == 1 and _is_text(content[0]):
        block = content[0]
        return block["text"], {**turn, "content": [{**block, "text": None}]}
    return None, turn


def _oddity(turn: dict[str, Any]) -> Reason | None:
    content = turn.get("content")
    blocks = content if isinstance(content, list) else ()
    kinds = [block.get("type") if isinstance(block, dict) else None for block in blocks]
    if any(isinstance(kind, str) and "tool" in kind for kind in kinds):
        return Reason.TOOLS
    return Reason.MULTIMODAL if any(kind != "text" for kind in kinds) else None


def _bypass(body: dict[str, Any]) -> Reason | None:
    reason = fields.bypass(body, fields.MESSAGES)
    if reason is not None:
        return reason
    if fields.server_tools(body.get("tools") or [], _CALLERS_TOOLS):
        return Reason.TOOLS
    for key, kind in (("stream", bool), ("model", str)):
        value = body.get(key)
        if value is not None and not isinstance(value, kind):
            return Reason.UNSUPPORTED
    return None


# -- answers: good or not ------------------------------------------------------------------------


def _fault(whole: dict[str, Any], query: Query, strict: bool) -> Reason | None:
    """Why a parsed answer must not be kept."""
    content = whole.get("content")
    if whole.get("type") != "message" or whole.get("error") is not None:
        return Reason.INCOMPLETE
    if not isinstance(content, list) or not _tells_usage(whole):
        return Reason.INCOMPLETE
    if not all(map(_is_block, content)):
        return Reason.INVALID_JSON
    allowed = ("end_turn", "stop_sequence", *(("tool_use",) if query.exact_only else ()))
    called = any(map(_is_call, content))
    if whole.get("stop_reason") not in allowed or (called and not query.exact_only):
        return Reason.FINISH_REASON
    if not any(map(_says_something, content)):
        return Reason.INCOMPLETE
    return None if _is_sound(whole, content, strict) else Reason.INVALID_JSON


def _tells_usage(whole: dict[str, Any]) -> bool:
    """Whether this answer can be served at all: its callers are always told what they used."""
    usage = whole.get("usage")
    return isinstance(usage, dict) and isinstance(usage.get("output_tokens"), int)


def _is_sound(whole: dict[str, Any], content: list[dict[str, Any]], strict: bool) -> bool:
    text = "".join(block["text"] for block in content if _is_text(block))
    return (
        all(map(_has_fair_input, content))
        and not (strict and text and not is_json(text))
        and depth(whole) <= MAX_DEPTH
    )


def _is_block(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and isinstance(block.get("type"), str)
        and (block["type"] != "text" or _is_text(block))
    )


def _is_text(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    )


def _says_something(block: dict[str, Any]) -> bool:
    return bool(block.get("text")) if _is_text(block) else block["type"] not in _SILENT_BLOCKS


def _is_call(block: dict[str, Any]) -> bool:
    return bool(block["type"].endswith("tool_use"))


def _has_fair_input(block: dict[str, Any]) -> bool:
    """Whether a block's input, which a call must have, is an object."""
    wanted = _is_call(block) or "input" in block
    return not wanted or isinstance(block.get("input"), dict)


def _conclusion(event: Event) -> Ending:
    told = _lenient(event.data)
    if event.name == b"error" or told.get("type") == "error":
        return Ending.FAILED
    delta = told.get("delta")
    if told.get("type") != "message_delta" or not isinstance(delta, dict):
        return Ending.SILENT
    return Ending.FINISHED if delta.get("stop_reason") else Ending.SILENT


def _lenient(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`, empty where there is none."""
    try:
        told = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


# -- answers: stream to body ---------------------------------------------------------------------


def _parse(raw: bytes) -> Any:
    """JSON in which no number has changed.

    Raises ValueError where there is none.
    """
    return parse(raw) if _LONG_NUMBER.search(raw) else orjson.loads(raw)


def _told(stream: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each event's data with what it says, up to the terminal event, pings left out.

    The terminal event may lack the empty line behind it: what it says is known by then.
    """
    for event in events(stream + b"\n\n"):
        if event.name == PING:
            continue
        told = _parse(event.data)
        if not isinstance(told, dict) or not isinstance(told.get("type"), str):
            raise TypeError("an event has no type")
        if told["type"] == "ping":
            continue
        if event.name not in (b"", told["type"].encode()):
            raise ValueError("an event's name is not its type")
        yield event.data, told
        if told["type"] == "message_stop":
            return


def _accumulate(stream: bytes) -> dict[str, Any] | None:
    """The one message that a stream amounts to; None when it is not complete."""
    growing: _Growing | None = None
    for _, told in _told(stream):
        kind = told["type"]
        if kind == "error":
            return told
        if kind == "message_stop":
            return None if growing is None else growing.message()
        if growing is None:
            growing = _Growing(told)
        else:
            growing.take(told)
    return None


class _Growing:
    """A message that grows by events, as the official client has it.

    Raises ValueError for what would be lost: an unknown event, delta or member, or one that does
    not fit where it is meant to go.
    """

    def __init__(self, start: dict[str, Any]) -> None:
        _must_hold_only(start, "message")
        self._whole: dict[str, Any] = start["message"]
        if start["type"] != "message_start" or not isinstance(self._whole["content"], list):
            raise ValueError("a stream does not begin with a message")
        self._content: list[dict[str, Any]] = self._whole["content"]
        self._said: dict[tuple[int, str], list[str]] = {}

    def take(self, told: dict[str, Any]) -> None:
        match told["type"]:
            case "content_block_start":
                self._open(told)
            case "content_block_delta":
                self._add(told)
            case "content_block_stop":
                _must_hold_only(told, "index")
            case "message_delta":
                self._finish(told)
            case kind:
                raise ValueError(f"what {kind[:80]} means for a message is not known")

    def message(self) -> dict[str, Any]:
        """The whole. A call's input that is no JSON stays text, which no call may have."""
        for (index, member), parts in self._said.items():
            block, text = self._content[index], "".join(parts)
            if member != "input":
                block[member] += text
            elif text:
                block[member] = _input(text)
        return self._whole

    def _open(self, told: dict[str, Any]) -> None:
        _must_hold_only(told, "index", "content_block")
        block = told["content_block"]
        # In order only: the official client appends, whatever the index says.
        if told["index"] != len(self._content) or not _is_block(block):
            raise ValueError("a block is odd, or out of order")
        self._content.append(block)
        if block["type"] == "fallback":
            self._whole["model"] = block["to"]["model"]  # who answered in the end

    def _add(self, told: dict[str, Any]) -> None:
        _must_hold_only(told, "index", "delta")
        index, delta = told["index"], told["delta"]
        member, into = _DELTAS.get(delta["type"], ("", ""))
        _must_hold_only(delta, member, *_HINTS)
        if index < 0 or not member or into not in self._content[index]:
            raise ValueError("a delta does not fit its block")
        block, value = self._content[index], delta[member]
        if member == "citation":
            block["citations"] = block.get("citations") or []
            block["citations"].append(value)
        elif not isinstance(value, str):
            raise TypeError("a delta is no text")
        elif member == "signature":
            block[member] = value
        else:
            self._said.setdefault((index, into), []).append(value)

    def _finish(self, told: dict[str, Any]) -> None:
        """Stop and usage: each count is a total, so it replaces, and an absent one stands."""
        delta, usage = told["delta"], told.get("usage") or {}
        for key in ("stop_reason", "stop_sequence", "stop_details"):
            if key in delta or key in self._whole:
                self._whole[key] = delta.get(key)
        beside = {k: v for k, v in told.items() if k not in ("type", "delta", "usage")}
        new = beside | delta
        if new.get("content") is not None or new.get("usage") is not None:
            raise ValueError("a message is told anew at its end")
        _update(self._whole, new)
        self._whole["usage"] = self._whole.get("usage") or {}
        _update(self._whole["usage"], usage)


def _update(into: dict[str, Any], new: dict[str, Any]) -> None:
    """Null says that there is nothing to add, not that nothing is there."""
    for key, value in new.items():
        if value is not None or key not in into:
            into[key] = value


def _must_hold_only(told: dict[str, Any], *known: str) -> None:
    if any(told[key] is not None for key in told.keys() - {"type", *known}):
        raise ValueError("a member is not known")


def _input(text: str) -> Any:
    try:
        return _parse(text.encode())
    except ValueError:
        return text


def _body(stream: bytes) -> bytes:
    whole = _accumulate(stream)
    if whole is None or whole["type"] != "message":
        raise ValueError("a stored stream has no end")
    if not all(map(_has_fair_input, whole["content"])):
        raise ValueError("a call's input is no JSON object")
    return orjson.dumps(whole)


def _replay(stream: bytes) -> bytes:
    """The stored events; the official client passes over those without a name."""
    return b"".join(frame(data, told["type"].encode()) for data, told in _told(stream))


# -- answers: body to stream ---------------------------------------------------------------------


def _stream(whole: dict[str, Any]) -> bytes:
    """An event stream that accumulates to `whole`."""
    told = [_message_start(whole)]
    for index, block in enumerate(whole["content"]):
        start, deltas = _taken_apart(block)
        at = {"index": index}
        told.append({"type": "content_block_start", **at, "content_block": start})
        told.extend({"type": "content_block_delta", **at, "delta": delta} for delta in deltas)
        told.append({"type": "content_block_stop", **at})
    told += [_message_delta(whole), {"type": "message_stop"}]
    return b"".join(frame(orjson.dumps(one), one["type"].encode()) for one in told)


def _message_start(whole: dict[str, Any]) -> dict[str, Any]:
    later = dict.fromkeys(key for key in (*_LAST, "context_management") if key in whole)
    usage = whole["usage"] | {"output_tokens": min(1, whole["usage"]["output_tokens"])}
    return {"type": "message_start", "message": whole | later | {"content": [], "usage": usage}}


def _message_delta(whole: dict[str, Any]) -> dict[str, Any]:
    usage = whole["usage"]
    told = {
        "type": "message_delta",
        "delta": {key: whole[key] for key in _LAST if key in whole},
        "usage": {key: usage[key] for key in _LAST_USAGE if key in usage},
    }
    if "context_management" in whole:
        told["context_management"] = whole["context_management"]
    return told


def _taken_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it starts, and the deltas that fill it. What is not known goes over whole."""
    if _is_text(block):
        return _text_apart(block)
    if block["type"] == "thinking" and isinstance(block.get("thinking"), str):
        return _thinking_apart(block)
    if block["type"] in _CALLS:
        said = orjson.dumps(block["input"]).decode()
        parts = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(said)]
        return {**block, "input": {}}, parts
    return block, []


def _text_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    start = {**block, "text": ""}
    deltas: list[dict[str, Any]] = [
        {"type": "text_delta", "text": piece} for piece in pieces(block["text"])
    ]
    if isinstance(cited := block.get("citations"), list):
        start["citations"] = []
        deltas.extend({"type": "citations_delta", "citation": one} for one in cited)
    return start, deltas


def _thinking_apart(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    start = {**block, "thinking": ""}
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
    if isinstance(signature := block.get("signature"), str) and signature:
        start["signature"] = ""
        deltas.append({"type": "signature_delta", "signature": signature})
    return start, deltas
