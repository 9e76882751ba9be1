"""OpenAI's answers in chunks, for the APIs that share them: chat completions and completions. Pure.

A stream of theirs is a row of objects with `choices`, ended by `[DONE]`. What a choice looks like
is each API's own business and comes in as its `Shape`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from policies.values import AnswerFacts
from policies.verdicts import Reason
from proxy.dialects.canonical import MAX_DEPTH, depth
from proxy.dialects.envelope import openai_error, openai_kind
from proxy.dialects.ports import Ending, Form
from proxy.dialects.reading import count
from proxy.sse import Event, events, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from policies.values import Turn

DONE = b"[DONE]"
_PADDING = "obfuscation"
_PER_CHUNK = frozenset({"choices", _PADDING})
_LATEST = frozenset({"usage", "service_tier", "system_fingerprint"})


class Shape(NamedTuple):
    """What one API calls its bodies and chunks, and how a choice goes from one to the other.

    `fold` adds a chunk's choice to the choices so far, by index; `spread` makes a body's choice,
    which stands at that position, into those of chunks. `said` is the turn that a good choice
    becomes in the conversation that goes on.
    """

    body: str
    chunk: str
    fold: Callable[[dict[int, dict[str, Any]], dict[str, Any]], None]
    spread: Callable[[dict[str, Any], int], list[dict[str, Any]]]
    said: Callable[[dict[str, Any]], Turn | None]


class Chunked:
    """What these APIs answer alike when asked as a `Dialect`."""

    apis = frozenset({"openai", "azure"})

    def form(self, body: dict[str, Any]) -> Form:
        if body.get("stream") is not True:
            return Form(stream=False, usage=True)
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and options.get("include_usage") is True
        return Form(stream=True, usage=wanted)

    def wants_json(self, body: dict[str, Any]) -> bool:
        wanted = body.get("response_format")
        return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")

    def ended(self, event: Event) -> bool:
        return event.data == DONE

    def concluded(self, last: Sequence[Event]) -> Ending:
        found = [_conclusion(event.data) for event in last]
        return max(found, key=list(Ending).index, default=Ending.SILENT)

    def cut_short(self, last: Sequence[Event]) -> bytes:  # noqa: ARG002 - the port's shape
        message = "The upstream's answer ended before it was complete."
        return frame(openai_error(message, kind="server_error", code="upstream_incomplete"))

    def error(self, status: int, message: str, *, code: str, param: str | None = None) -> bytes:
        return openai_error(message, kind=openai_kind(status), code=code, param=param)


def mistyped(body: dict[str, Any]) -> Reason | None:
    """Why a request is upstream's to judge: `stream` or `model` of another type than theirs."""
    for key, kind in (("stream", bool), ("model", str)):
        if not isinstance(body.get(key), kind | None):
            return Reason.UNSUPPORTED
    return None


def judge(
    answer: bytes, streamed: bool, shape: Shape, fault: Callable[[dict[str, Any]], Reason | None]
) -> AnswerFacts:
    """The facts of an answer; `fault` says of a body's choice why it must not be kept."""
    size = len(answer)
    try:
        whole = accumulate(answer, shape) if streamed else orjson.loads(answer)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return AnswerFacts(size, Reason.INVALID_JSON)
    usage = whole.get("usage") if isinstance(whole, dict) else None
    refusal = _fault(whole, fault)
    choices = whole["choices"] if whole and refusal is None else []
    return AnswerFacts(
        size,
        refusal,
        tokens_in=count(usage, "prompt_tokens"),
        tokens_out=count(usage, "completion_tokens"),
        has_usage=isinstance(usage, dict),
        said=shape.said(choices[0]) if len(choices) == 1 else None,
    )


def render(answer: bytes, streamed: bool, form: Form, shape: Shape) -> bytes:
    """A stored answer in the caller's form. Raises ValueError for a stream without its end."""
    if not streamed:
        return spread(orjson.loads(answer), form.usage, shape) if form.stream else answer
    if form.stream:
        return replay(answer, form.usage)
    whole = accumulate(answer, shape)
    if whole is None:
        raise ValueError("a stored stream has no end")
    return orjson.dumps(whole)


def only(answer: bytes, streamed: bool, shape: Shape) -> dict[str, Any] | None:
    """The one choice of an answer; None where there are several, or none."""
    whole = accumulate(answer, shape) if streamed else orjson.loads(answer)
    choices = whole["choices"] if whole is not None else []
    return choices[0] if len(choices) == 1 else None


def accumulate(stream: bytes, shape: Shape) -> dict[str, Any] | None:
    """The one body that a stream amounts to; None when it is not complete."""
    chunks, done = _chunks(stream)
    if not done or not chunks:
        return None
    failed = next((c for c in chunks if c.get("error") is not None), None)
    if failed is not None:
        return failed
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            shape.fold(choices, choice)
        for key, value in chunk.items():
            # Azure's first chunk has an empty `id` and `model`; the real ones come after it.
            if key not in _PER_CHUNK and (key in _LATEST or not whole.get(key)):
                whole[key] = value if value is not None else whole.get(key)
    whole["object"] = shape.body
    whole["choices"] = [choices[index] for index in sorted(choices)]
    if whole.get("usage", ...) is None:
        del whole["usage"]
    return whole


def replay(stream: bytes, usage: bool) -> bytes:
    """The stored events, without the chunk of usage alone where this caller did not ask for it.

    Padding against eavesdroppers belonged to another answer's timing and sizes, so it goes too.
    """
    made: list[bytes] = []
    for event in _events(stream):
        if usage or not _only_usage(event):
            made.append(frame(_unpadded(event.data), event.name))
        if event.data == DONE:
            break
    return b"".join(made)


def spread(whole: dict[str, Any], usage: bool, shape: Shape) -> bytes:
    """An event stream that accumulates to `whole`."""
    head = {k: v for k, v in whole.items() if k not in ("choices", "usage", "object")} | {
        "object": shape.chunk
    }
    made: list[dict[str, Any]] = []
    for position, choice in enumerate(whole["choices"]):
        made.extend(shape.spread(choice, position))
    chunks = [head | {"choices": [one]} for one in made]
    if usage:
        chunks = [chunk | {"usage": None} for chunk in chunks]
        chunks.append(head | {"choices": [], "usage": whole.get("usage")})
    return b"".join(frame(orjson.dumps(chunk)) for chunk in chunks) + frame(DONE)


def _fault(whole: Any, fault: Callable[[dict[str, Any]], Reason | None]) -> Reason | None:
    """Why a parsed answer must not be kept."""
    if not isinstance(whole, dict) or whole.get("error") is not None:
        return Reason.INCOMPLETE
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices:
        return Reason.INCOMPLETE
    for choice in choices:
        reason = fault(choice) if isinstance(choice, dict) else Reason.INCOMPLETE
        if reason is not None:
            return reason
    return None if depth(whole) <= MAX_DEPTH else Reason.INVALID_JSON


def _events(stream: bytes) -> Iterator[Event]:
    """The stream's events. Its end is known by `[DONE]` already, before the empty line is there."""
    return events(stream + b"\n\n" if stream.rstrip(b"\r\n").endswith(DONE) else stream)


def _chunks(stream: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The stream's parsed chunks, and whether its terminal event came."""
    chunks: list[dict[str, Any]] = []
    for event in _events(stream):
        if event.data == DONE:
            return chunks, True
        parsed = orjson.loads(event.data)
        if not isinstance(parsed, dict):
            raise TypeError("a chunk is not an object")
        chunks.append(parsed)
    return chunks, False


def _only_usage(event: Event) -> bool:
    if b'"usage"' not in event.data:
        return False
    chunk = orjson.loads(event.data)
    return chunk.get("usage") is not None and not chunk.get("choices")


def _unpadded(data: bytes) -> bytes:
    """A chunk without its padding; one that has none stays as it is to the byte."""
    if b'"obfuscation"' not in data:
        return data
    chunk = orjson.loads(data)
    return data if chunk.pop(_PADDING, ...) is ... else orjson.dumps(chunk)


def _conclusion(data: bytes) -> Ending:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Ending.SILENT
    if not isinstance(chunk, dict):
        return Ending.SILENT
    if chunk.get("error") is not None:
        return Ending.FAILED
    choices = chunk.get("choices")
    done = any(
        isinstance(choice, dict) and choice.get("finish_reason")
        for choice in (choices if isinstance(choices, list) else ())
    )
    return Ending.FINISHED if done else Ending.SILENT
