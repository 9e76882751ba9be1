"""OpenAI chat completions: request to Query, stored answer to JSON body or event stream. Pure.

Field classes follow the project's reference: what is not named here shapes the answer and is
matched exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from policies.values import AnswerFacts, Query
from policies.verdicts import Reason
from proxy.dialects import chunks, fields
from proxy.dialects.canonical import digest, encode
from proxy.dialects.chunks import Chunked, Shape
from proxy.dialects.reading import before, chain, is_json, named_user, pieces, said, worded

if TYPE_CHECKING:
    from policies.values import Turn
    from proxy.dialects.ports import Form, Frame

SYSTEM = frozenset({"system", "developer"})
_MOST_ITEMS = 1_000  # of one list that a stream builds up by index


class Chat(Chunked):
    """`POST /v1/chat/completions`."""

    name = "chat"
    paths = ("/v1/chat/completions", "/chat/completions")

    def end_user(self, body: dict[str, Any]) -> str | None:
        return named_user(body, "safety_identifier", "user")

    def read(self, body: dict[str, Any], around: Frame) -> Query:
        model = body.get("model")
        form = self.form(body)
        parts = _split(body.get("messages"))
        bypass = _bypass(body) or (Reason.UNSUPPORTED if parts is None else None)
        instructions, turns, last, text, odd = parts or ([], [], None, "", None)
        temperature = body.get("temperature")
        return Query(
            dialect=self.name,
            upstream=around.upstream,
            model=around.deployment or (model if isinstance(model, str) else ""),
            owners=around.owners,
            fingerprint=digest(
                around.headers,
                around.deployment.encode(),
                encode(fields.keyed(body, fields.CHAT), floats=around.floats),
                encode(instructions, floats=around.floats),
                encode(last, floats=around.floats),
            ),
            chain=chain(turns, around),
            before=before(turns, around),
            text=text,
            turns=sum(1 for turn in turns if turn.get("role") == "user"),
            stream=form.stream,
            wants_usage=form.usage,
            temperature=temperature if isinstance(temperature, int | float) else None,
            bypass=bypass,
            exact_only=fields.exact_only(body, fields.CHAT) or odd,
            directives=around.directives,
        )

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:
        return chunks.judge(answer, streamed, SHAPE, lambda one: _fault(one, query, strict))

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        return chunks.render(answer, streamed, form, SHAPE)

    def said(self, answer: bytes, *, streamed: bool) -> str | None:
        choice = chunks.only(answer, streamed, SHAPE)
        message = choice["message"] if choice else {}
        return None if _says_more(message) else worded(message.get("content"))


Parts: TypeAlias = tuple[list[Any], list[dict[str, Any]], Any, str, Reason | None]


def _split(messages: Any) -> Parts | None:
    """Messages as (instructions with their places, earlier turns, last turn without its text,
    that text, why it may not be matched by meaning); None where the shape is not known."""
    if not isinstance(messages, list) or not messages:
        return None
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return None
    instructions: list[Any] = []
    turns: list[dict[str, Any]] = []
    for message in messages[:-1]:
        if message["role"] in SYSTEM:
            instructions.append([len(turns), message])
        else:
            turns.append(message)
    last = messages[-1]
    text, emptied = _last_text(last)
    if text is None:
        return instructions, turns, last, "", _oddity(last)
    odd = next((reason for m in turns if (reason := _turn_oddity(m)) is not None), None)
    return instructions, turns, emptied, text, odd


def _last_text(message: dict[str, Any]) -> tuple[str | None, Any]:
    """The text of a user's turn and the turn without it; None where it holds more than text."""
    content = message.get("content")
    if message["role"] != "user":
        return None, message
    if isinstance(content, str):
        return content, {**message, "content": None}
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            return part["text"], {**message, "content": [{**part, "text": None}]}
    return None, message


def _oddity(last: dict[str, Any]) -> Reason:
    return _turn_oddity(last) or Reason.UNSUPPORTED


def _turn_oddity(turn: dict[str, Any]) -> Reason | None:
    if turn["role"] in ("tool", "function") or turn.get("tool_calls") or turn.get("function_call"):
        return Reason.TOOLS
    content = turn.get("content")
    wordless = isinstance(content, list) and not all(
        isinstance(part, dict) and part.get("type") == "text" for part in content
    )
    return Reason.MULTIMODAL if wordless or turn.get("audio") else None


def _bypass(body: dict[str, Any]) -> Reason | None:
    reason = fields.bypass(body, fields.CHAT)
    if reason is not None:
        return reason
    if fields.server_tools(body.get("tools") or [], ("function", "custom")):
        return Reason.TOOLS
    modalities = body.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        return Reason.MULTIMODAL
    return chunks.mistyped(body)


def _fault(choice: dict[str, Any], query: Query, strict: bool) -> Reason | None:
    """Why an answer with this choice must not be kept."""
    message = choice.get("message")
    if not isinstance(message, dict):
        return Reason.INCOMPLETE
    return _message_fault(message, choice.get("finish_reason"), query, strict)


def _message_fault(
    message: dict[str, Any], finish: Any, query: Query, strict: bool
) -> Reason | None:
    calls = message.get("tool_calls") or []
    content = message.get("content")
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return Reason.INVALID_JSON
    if content is not None and not isinstance(content, str | list):
        return Reason.INVALID_JSON
    called = bool(calls or message.get("function_call"))
    allowed = ("stop", "tool_calls", "function_call") if query.exact_only else ("stop",)
    if finish not in allowed or message.get("refusal") or (called and not query.exact_only):
        return Reason.FINISH_REASON
    if not content and not called:
        return Reason.INCOMPLETE
    if strict and content and not is_json(content):
        return Reason.INVALID_JSON
    return None


def _fold_choice(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    index = choice.get("index", 0)
    into = choices.setdefault(
        index, {"index": index, "message": {}, "logprobs": None, "finish_reason": None}
    )
    for key, value in choice.items():
        if key == "delta":
            _fold(into["message"], value or {})
        elif key == "logprobs":
            if isinstance(value, dict):
                into["logprobs"] = into["logprobs"] or {}
                _fold(into["logprobs"], value)
        elif value is not None and key != "index":
            into[key] = value
    message = into["message"]
    message.setdefault("role", "assistant")
    message.setdefault("content", None)
    message.setdefault("refusal", None)


def _fold(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Adds one delta: strings and lists append, indexed list items merge, the rest replaces.

    Raises TypeError where text and parts are mixed: there is no saying what they amount to.
    """
    for key, value in delta.items():
        old = into.get(key)
        if not old and (value is not None or key not in into):
            into[key] = _strip_index(value) if isinstance(value, list) else value
        elif not value:
            continue
        elif key in ("role", "type", "id"):
            into[key] = value
        elif isinstance(value, str) and isinstance(old, str):
            into[key] = old + value
        elif isinstance(value, list) and isinstance(old, list):
            _fold_list(old, value)
        elif isinstance(value, dict) and isinstance(old, dict):
            _fold(old, value)
        elif isinstance(value, str | list | dict) or isinstance(old, str | list | dict):
            raise TypeError(f"{key} changes its kind within the stream")
        else:
            into[key] = value


def _strip_index(items: list[Any]) -> list[Any]:
    made: list[Any] = []
    _fold_list(made, items)
    return made


def _fold_list(into: list[Any], items: list[Any]) -> None:
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("index"), int):
            rest = {k: v for k, v in item.items() if k != "index"}
            if not 0 <= item["index"] < _MOST_ITEMS:
                raise ValueError("an index is out of range")
            while len(into) <= item["index"]:
                into.append({})
            _fold(into[item["index"]], rest)
        else:
            into.append(item)


def _deltas(choice: dict[str, Any], position: int) -> list[dict[str, Any]]:
    """One choice as chunks: role, content in pieces, everything else whole, finish."""
    message = dict(choice["message"])
    index = choice.get("index", position)
    rest = {
        k: v
        for k, v in choice.items()
        if k not in ("message", "index", "finish_reason", "logprobs")
    }
    content = message.pop("content", None)
    calls = message.pop("tool_calls", None)
    text = content if isinstance(content, str) else ""
    first = {
        "role": message.pop("role", "assistant"),
        "content": "" if isinstance(content, str) else content,
    }
    deltas: list[dict[str, Any]] = [first]
    deltas.extend({key: value} for key, value in message.items() if value is not None)
    deltas.extend({"content": piece} for piece in pieces(text))
    if calls:
        deltas.append({"tool_calls": [call | {"index": i} for i, call in enumerate(calls)]})
    if message.get("refusal", ...) is None:
        first["refusal"] = None
    made: list[dict[str, Any]] = [
        {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        for delta in deltas
    ]
    if choice.get("logprobs") is not None:
        made[-1]["logprobs"] = choice["logprobs"]
    made.append(
        {"index": index, "delta": {}, "logprobs": None}
        | rest
        | {"finish_reason": choice.get("finish_reason")}
    )
    return made


def _said(choice: dict[str, Any]) -> Turn | None:
    message = choice["message"]
    return None if _says_more(message) else said(message.get("content"))


def _says_more(message: dict[str, Any]) -> bool:
    """Whether a message holds more than its content."""
    return any(message.get(key) for key in ("tool_calls", "function_call", "audio"))


SHAPE = Shape("chat.completion", "chat.completion.chunk", _fold_choice, _deltas, _said)
