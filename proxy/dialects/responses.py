"""OpenAI Responses: request to Query, stored answer to JSON body or event stream. Pure.

A stream ends with the whole response, so that one event says what the stream amounts to; the events
before it are only checked against it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from policies.values import AnswerFacts, Query
from policies.verdicts import Reason
from proxy.dialects import fields
from proxy.dialects.canonical import MAX_DEPTH, BadBody, depth, digest, encode
from proxy.dialects.envelope import openai_error, openai_kind
from proxy.dialects.ports import Ending, Form, Frame
from proxy.dialects.reading import before, chain, count, is_json, named_user, pieces, said, worded
from proxy.sse import Event, events, frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALIAS = "resp_likewise_"
SYSTEM = frozenset({"system", "developer"})
ENDS = ("response.completed", "response.incomplete")
_END_MARKS = tuple(b'"%b"' % end.encode() for end in ENDS)
_FAILURES = ("error", "response.failed")
_LOCAL_TOOLS = ("function", "custom")
_LOGPROBS = "message.output_text.logprobs"
_WORDS = ("input_text", "output_text", "refusal")
_MEDIA = ("input_image", "input_file", "input_audio")

# Calls that the caller runs: the member that holds their input, and the stem of its events.
_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
# Parts that are sent in pieces: the stem of their own events, of their text's, and their counter.
_PARTS = {
    "output_text": ("response.content_part", "response.output_text", "content_index"),
    "reasoning_text": ("response.content_part", "response.reasoning_text", "content_index"),
    "summary_text": (
        "response.reasoning_summary_part",
        "response.reasoning_summary_text",
        "summary_index",
    ),
}
# The answer itself in pieces: which member of the finished response they must add up to.
_DELTAS = {"response.output_text.delta": "text"} | {
    f"{stem}.delta": member for member, stem in _CALLS.values()
}
# What fills up only while an item or a part is being made.
_GROWING = ("content", "summary", "arguments", "input", "text", "annotations", "logprobs")

# What a response repeats of its request that is no part of the key, and what stands there where a
# request had none. It is whoever asked first who is named in a stored answer.
_ECHOED: dict[str, Any] = {
    "metadata": {},
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}

Step: TypeAlias = tuple[str, dict[str, Any]]
Echo: TypeAlias = tuple[tuple[str, bytes], ...]


def is_alias(text: str) -> bool:
    """Whether a response id is one that Likewise made up: the vendor does not know it."""
    return text.startswith(ALIAS)


class Responses:
    """`POST /v1/responses`."""

    name = "responses"
    apis = frozenset({"openai", "azure"})
    paths = ("/v1/responses", "/responses")

    def end_user(self, body: dict[str, Any]) -> str | None:
        return named_user(body, "safety_identifier", "user")

    def form(self, body: dict[str, Any]) -> Form:
        own = ((name, body[name]) for name in _ECHOED if body.get(name) is not None)
        echo = tuple((name, orjson.dumps(value)) for name, value in own)
        return Form(stream=body.get("stream") is True, usage=True, echo=echo)

    def wants_json(self, body: dict[str, Any]) -> bool:
        text = body.get("text")
        wanted = text.get("format") if isinstance(text, dict) else None
        return isinstance(wanted, dict) and wanted.get("type") in ("json_object", "json_schema")

    def read(self, body: dict[str, Any], around: Frame) -> Query:
        _refuse_alias(body.get("previous_response_id"))
        model, temperature, form = body.get("model"), body.get("temperature"), self.form(body)
        parts = _split(body.get("input"))
        bypass = _bypass(body) or (Reason.UNSUPPORTED if parts is None else None)
        parts = parts or _Parts()
        return Query(
            dialect=self.name,
            upstream=around.upstream,
            model=around.deployment or (model if isinstance(model, str) else ""),
            owners=around.owners,
            fingerprint=digest(
                around.headers,
                around.deployment.encode(),
                encode(_keyed(body), floats=around.floats),
                encode(parts.instructions, floats=around.floats),
                encode(parts.last, floats=around.floats),
            ),
            chain=chain(list(parts.turns), around),
            before=before(list(parts.turns), around),
            text=parts.text,
            turns=sum(1 for turn in parts.turns if turn.get("role") == "user"),
            stream=form.stream,
            wants_usage=form.usage,
            temperature=temperature if isinstance(temperature, int | float) else None,
            bypass=bypass,
            stateful=body.get("store") is not False,
            exact_only=fields.exact_only(body, fields.RESPONSES) or _logprobs(body) or parts.odd,
            directives=around.directives,
        )

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:
        size = len(answer)
        try:
            whole = _accumulate(answer) if streamed else orjson.loads(answer)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return AnswerFacts(size, Reason.INVALID_JSON)
        if not isinstance(whole, dict):
            return AnswerFacts(size, Reason.INCOMPLETE)
        usage, refusal = whole.get("usage"), _fault(whole, query, strict)
        return AnswerFacts(
            size,
            refusal,
            tokens_in=count(usage, "input_tokens"),
            tokens_out=count(usage, "output_tokens"),
            has_usage=isinstance(usage, dict),
            said=said(_content(whole["output"])) if refusal is None else None,
        )

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        alias = ALIAS + form.alias if form.alias else ""
        if streamed and form.stream:
            return _replayed(answer, alias, form.echo)
        whole = _final(answer) if streamed else orjson.loads(answer)
        addressed = _addressed(whole, whole.get("id", ""), alias, form.echo)
        if form.stream:
            return _stream(addressed)
        # To the byte what upstream said, where nothing of it is another caller's.
        return orjson.dumps(addressed) if streamed or addressed != whole else answer

    def said(self, answer: bytes, *, streamed: bool) -> str | None:
        whole = _final(answer) if streamed else orjson.loads(answer)
        return worded(_content(whole["output"]))

    def ended(self, event: Event) -> bool:
        return _end(event) is not None

    def concluded(self, last: Sequence[Event]) -> Ending:
        failed = any(_failed(_members(event)) for event in last)
        return Ending.FAILED if failed else Ending.SILENT

    def cut_short(self, last: Sequence[Event]) -> bytes:
        latest = max((count(_members(event), "sequence_number") for event in last), default=-1)
        message = "The upstream's answer ended before it was complete."
        told = {"code": "upstream_incomplete", "message": message, "param": None}
        # The reference has these members at the top, the API sends them under `error`, and the
        # official clients raise only for the latter.
        event = {"type": "error", **told, "error": {"type": "server_error", **told}}
        return frame(orjson.dumps(event | {"sequence_number": latest + 1}), b"error")

    def error(self, status: int, message: str, *, code: str, param: str | None = None) -> bytes:
        return openai_error(message, kind=openai_kind(status), code=code, param=param)


# -- the request ---------------------------------------------------------------------------------


class _Parts(NamedTuple):
    """The input taken apart: instructions with their places, earlier turns, the last item without
    its text, that text, and why it may not be matched by meaning."""

    instructions: Sequence[Any] = ()
    turns: Sequence[dict[str, Any]] = ()
    last: Any = None
    text: str = ""
    odd: Reason | None = None


def _refuse_alias(previous: Any) -> None:
    if isinstance(previous, str) and is_alias(previous):
        message = f"Previous response with id '{previous[:80]}' not found."
        raise BadBody("previous_response_not_found", message, "previous_response_id")


def _keyed(body: dict[str, Any]) -> dict[str, Any]:
    """What shapes the answer. The vendor keeps an answer unless it is told not to."""
    store = body.get("store")
    return fields.keyed(body, fields.RESPONSES) | {"store": True if store is None else store}


def _logprobs(body: dict[str, Any]) -> Reason | None:
    include = body.get("include")
    return Reason.LOGPROBS if isinstance(include, list) and _LOGPROBS in include else None


def _split(given: Any) -> _Parts | None:
    """The input's parts; None where its shape is not known."""
    if isinstance(given, str):
        return _Parts(text=given)
    if not isinstance(given, list) or not given or not all(map(_is_item, given)):
        return None
    instructions: list[Any] = []
    turns: list[dict[str, Any]] = []
    for item in given[:-1]:
        if _is_message(item) and item["role"] in SYSTEM:
            instructions.append([len(turns), item])
        else:
            turns.append(item)
    last = given[-1]
    text, emptied = _last_text(last)
    if text is None:
        return _Parts(instructions, turns, last, odd=_oddity(last) or Reason.UNSUPPORTED)
    odd = next((reason for one in turns if (reason := _oddity(one)) is not None), None)
    return _Parts(instructions, turns, emptied, text, odd)


def _is_message(item: dict[str, Any]) -> bool:
    return item.get("type") in (None, "message") and isinstance(item.get("role"), str)


def _is_item(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    kind = item.get("type")
    return _is_message(item) or (isinstance(kind, str) and kind != "message")


def _last_text(item: dict[str, Any]) -> tuple[str | None, Any]:
    """The text of a user's message and the message without it; None where it holds more."""
    content = item.get("content")
    if not _is_message(item) or item["role"] != "user":
        return None, item
    if isinstance(content, str):
        return content, {**item, "content": None}
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        part = content[0]
        if part.get("type") == "input_text" and isinstance(part.get("text"), str):
            return part["text"], {**item, "content": [{**part, "text": None}]}
    return None, item


def _oddity(item: dict[str, Any]) -> Reason | None:
    """Why a conversation with this item in it is matched exactly only."""
    if _is_message(item):
        content = item.get("content")
        wordless = isinstance(content, list) and not all(
            isinstance(part, dict) and part.get("type") in _WORDS for part in content
        )
        return Reason.MULTIMODAL if wordless else None
    kind = item["type"]
    if kind in _MEDIA:
        return Reason.MULTIMODAL
    of_tools = any(word in kind for word in ("_call", "tool", "mcp_"))
    return Reason.TOOLS if of_tools else Reason.UNSUPPORTED


def _bypass(body: dict[str, Any]) -> Reason | None:
    reason = fields.bypass(body, fields.RESPONSES)
    if reason is not None:
        return reason
    if fields.server_tools(body.get("tools"), _LOCAL_TOOLS):
        return Reason.TOOLS
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and (reason := _item_bypass(item)) is not None:
            return reason
    for key in ("stream", "model"):
        value = body.get(key)
        if value is not None and not isinstance(value, bool if key == "stream" else str):
            return Reason.UNSUPPORTED
    return None


def _item_bypass(item: dict[str, Any]) -> Reason | None:
    """Whether an item points at what the vendor keeps, or brings tools that the vendor runs."""
    kind = item.get("type")
    if kind == "item_reference" or (kind is None and "id" in item and "role" not in item):
        return Reason.STATEFUL
    brings = fields.server_tools(item.get("tools"), _LOCAL_TOOLS)
    return Reason.TOOLS if brings else None


# -- the answer ----------------------------------------------------------------------------------


def _fault(whole: dict[str, Any], query: Query, strict: bool) -> Reason | None:
    """Why a parsed response must not be kept."""
    if whole.get("object") != "response" or whole.get("error") is not None:
        return Reason.INCOMPLETE
    if whole.get("status") == "incomplete" or whole.get("incomplete_details") is not None:
        return Reason.FINISH_REASON
    output = whole.get("output")
    if whole.get("status") != "completed" or not isinstance(output, list):
        return Reason.INCOMPLETE
    if not isinstance(whole.get("id"), str) or depth(whole) > MAX_DEPTH:
        return Reason.INVALID_JSON
    return _output_fault(output, query, strict)


def _content(output: list[Any]) -> Any:
    """What the one message says; beside calls or other messages it is not all there is."""
    items = [item for item in output if item["type"] != "reasoning"]
    single = len(items) == 1 and items[0]["type"] == "message"
    return items[0]["content"] if single else None


def _output_fault(output: list[Any], query: Query, strict: bool) -> Reason | None:
    for item in output:
        reason = _item_fault(item, query, strict)
        if reason is not None:
            return reason
    if all(item["type"] == "reasoning" for item in output):
        return Reason.INCOMPLETE
    # Clients of a stream tell items apart by this.
    return None if len(set(map(_identity, output))) == len(output) else Reason.INVALID_JSON


def _identity(item: dict[str, Any]) -> bytes:
    return encode([item["type"], item.get("call_id" if item["type"] in _CALLS else "id")])


def _item_fault(item: Any, query: Query, strict: bool) -> Reason | None:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        return Reason.INVALID_JSON
    if item.get("status") not in (None, "completed"):
        return Reason.FINISH_REASON
    kind = item["type"]
    if kind == "message":
        return _message_fault(item, strict)
    if kind in _CALLS and query.exact_only:
        known = isinstance(item.get(_CALLS[kind][0]), str)
        return None if known else Reason.INVALID_JSON
    return None if kind == "reasoning" else Reason.FINISH_REASON


def _message_fault(item: dict[str, Any], strict: bool) -> Reason | None:
    content = item.get("content")
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return Reason.INVALID_JSON
    if not all(part.get("type") == "output_text" for part in content):
        return Reason.FINISH_REASON
    texts = [part.get("text") for part in content]
    if not all(isinstance(text, str) for text in texts):
        return Reason.INVALID_JSON
    if not texts or not all(texts):
        return Reason.INCOMPLETE
    # Commentary on the way to the answer is prose in any format.
    final = item.get("phase") in (None, "final_answer")
    return Reason.INVALID_JSON if strict and final and not all(map(is_json, texts)) else None


def _events(stream: bytes) -> Iterator[Event]:
    """The stream's events. Its end is known by its content, before the empty line is there."""
    return events(stream + b"\n\n")


def _members(event: Event) -> dict[str, Any]:
    try:
        told = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def _failed(told: dict[str, Any]) -> bool:
    return told.get("type") in _FAILURES or told.get("error") is not None


def _end(event: Event) -> dict[str, Any] | None:
    """The response in a terminal event; None for any other event."""
    if not any(mark in event.data for mark in _END_MARKS):
        return None
    told = _members(event)
    kind, response = told.get("type"), told.get("response")
    if kind not in ENDS or event.name not in (b"", kind.encode()):
        return None
    return response if isinstance(response, dict) else None


def _final(stream: bytes) -> dict[str, Any]:
    found = next((end for event in _events(stream) if (end := _end(event)) is not None), None)
    if found is None:
        raise ValueError("a stored stream has no end")
    return found


def _accumulate(stream: bytes) -> dict[str, Any] | None:
    """The response that a stream amounts to; None when it is not complete.

    Raises for events that cannot be read.
    """
    told: list[dict[str, Any]] = []
    for event in _events(stream):
        one = _read(event)
        if _failed(one):
            return None
        told.append(one)
        whole = _end(event)
        if whole is not None:
            return whole if _agree(told, whole) else None
    return None


def _read(event: Event) -> dict[str, Any]:
    told = orjson.loads(event.data)
    if not isinstance(told, dict):
        raise TypeError("an event is not an object")
    if not _failed(told) and event.name not in (b"", told["type"].encode()):
        raise ValueError("an event is not what its name says")
    if event.data.count(b"[") + event.data.count(b"{") > MAX_DEPTH and depth(told) > MAX_DEPTH + 1:
        raise ValueError("an event is nested too deep")
    return told


def _agree(told: list[dict[str, Any]], whole: dict[str, Any]) -> bool:
    """Whether a stream begins with its beginning, keeps its order, loses nothing that opens or
    closes an item, and says in pieces what its last event says at once."""
    numbers = [n for one in told if isinstance(n := one.get("sequence_number"), int)]
    ids = [one["response"]["id"] for one in told if "response" in one]
    done = [one for one in told if one["type"] == "response.output_item.done"]
    finished = {one["output_index"]: one["item"]["type"] for one in done}
    return (
        told[0]["type"] == "response.created"
        and told[-1]["type"] == f"response.{whole['status']}"
        and all(one < following for one, following in pairwise(numbers))
        and all(one == whole["id"] for one in ids)
        and finished == {n: item["type"] for n, item in enumerate(whole["output"])}
        and _is_nested(told)
        and _adds_up(told, whole["output"])
    )


def _is_nested(told: list[dict[str, Any]]) -> bool:
    """Whether items and their parts are each opened once and closed once, as clients rely on."""
    items = _places(told, "response.output_item.added")
    parts = _places(told, "response.content_part.added")
    return (
        items == _places(told, "response.output_item.done")
        and parts == _places(told, "response.content_part.done")
        and set(_places(told, "response.output_text.delta")) <= set(parts)
    )


def _places(told: list[dict[str, Any]], kind: str) -> list[tuple[int, int | None]]:
    found = (one for one in told if one["type"] == kind)
    return sorted((one["output_index"], one.get("content_index")) for one in found)


def _adds_up(told: list[dict[str, Any]], output: list[Any]) -> bool:
    said: dict[tuple[int, int | None, str], list[str]] = {}
    for one in told:
        member = _DELTAS.get(one["type"])
        if member is not None:
            place = one["output_index"], one.get("content_index"), member
            said.setdefault(place, []).append(one["delta"])
    for (item, part, member), parts in said.items():
        holder = output[item] if part is None else output[item]["content"][part]
        if holder[member] != "".join(parts):
            return False
    return True


# -- the replay ----------------------------------------------------------------------------------


def _addressed(response: dict[str, Any], own: str, alias: str, echo: Echo) -> dict[str, Any]:
    """The response as this caller may have it: under the alias where there is one, and with
    nothing that another caller said of itself."""
    told = dict(echo)
    mine = {
        name: orjson.loads(told[name]) if name in told else absent
        for name, absent in _ECHOED.items()
        if name in response
    }
    renamed: dict[str, Any] = _renamed(response, own, alias) if alias else response
    return renamed | mine


def _renamed(value: Any, own: str, alias: str) -> Any:
    """The value with the response's own id replaced wherever it stands as an id."""
    if isinstance(value, dict):
        return {
            key: alias if key in ("id", "response_id") and one == own else _renamed(one, own, alias)
            for key, one in value.items()
        }
    return [_renamed(one, own, alias) for one in value] if isinstance(value, list) else value


def _replayed(stream: bytes, alias: str, echo: Echo) -> bytes:
    """The stored events up to the terminal one, as this caller may have them."""
    own = _final(stream)["id"] if alias else ""
    made: list[bytes] = []
    for event in _events(stream):
        made.append(frame(_cleaned(event.data, own, alias, echo), event.name))
        if _end(event) is not None:
            return b"".join(made)
    raise ValueError("a stored stream has no end")


def _cleaned(data: bytes, own: str, alias: str, echo: Echo) -> bytes:
    """Without the padding that hides the length of a piece: it is of one transmission only.

    An event in which nothing changes stays as it is to the byte.
    """
    if not alias and b'"obfuscation"' not in data and b'"response"' not in data:
        return data
    before = orjson.loads(data)
    told = {key: one for key, one in before.items() if key != "obfuscation"}
    response = told.pop("response", None)
    if alias:
        told = _renamed(told, own, alias)
    if isinstance(response, dict):
        told = {k: _addressed(response, own, alias, echo) if k == "response" else told[k]
                for k in before if k == "response" or k in told}  # fmt: skip
    return data if told == before else orjson.dumps(told)


def _stream(whole: dict[str, Any]) -> bytes:
    """An event stream that amounts to `whole`."""
    return b"".join(
        frame(orjson.dumps({"type": kind, **members, "sequence_number": number}), kind.encode())
        for number, (kind, members) in enumerate(_steps(whole))
    )


def _steps(whole: dict[str, Any]) -> Iterator[Step]:
    unknown = {key: None for key in ("completed_at", "usage") if key in whole}
    begun = {"response": whole | {"status": "in_progress", "output": []} | unknown}
    yield "response.created", begun
    yield "response.in_progress", begun
    for index, item in enumerate(whole["output"]):
        yield "response.output_item.added", {"output_index": index, "item": _begun(item)}
        yield from _item_steps(item, {"item_id": item.get("id", ""), "output_index": index})
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield "response.completed", {"response": whole}


def _begun(whole: dict[str, Any]) -> dict[str, Any]:
    """An item or a part before anything is in it."""
    empty = {k: type(v)() for k in _GROWING if isinstance(v := whole.get(k), str | list)}
    return whole | empty | ({"status": "in_progress"} if "status" in whole else {})


def _item_steps(item: dict[str, Any], place: dict[str, Any]) -> Iterator[Step]:
    if item["type"] in _CALLS:
        member, stem = _CALLS[item["type"]]
        for piece in pieces(item[member]):
            yield f"{stem}.delta", place | {"delta": piece}
        yield f"{stem}.done", place | {member: item[member]}
        return
    for parts in (_listed(item, "summary"), _listed(item, "content")):
        for number, part in enumerate(parts):
            yield from _part_steps(part, place, number)


def _part_steps(part: Any, place: dict[str, Any], number: int) -> Iterator[Step]:
    """One part in pieces. A part of a kind that is not known comes with its finished item only."""
    if not isinstance(part, dict) or part.get("type") not in tuple(_PARTS):
        return
    stem, words, counter = _PARTS[part["type"]]
    place, text = place | {counter: number}, part["text"]
    of_tokens = part["type"] == "output_text"
    none, every = (
        {"logprobs": lot} if of_tokens else {} for lot in ([], _listed(part, "logprobs"))
    )
    *early, latest = pieces(text) or [""]
    yield f"{stem}.added", place | {"part": _begun(part)}
    for piece in early:
        yield f"{words}.delta", place | {"delta": piece} | none
    yield f"{words}.delta", place | {"delta": latest} | every
    for at, note in enumerate(_listed(part, "annotations")):
        told = place | {"annotation_index": at, "annotation": note}
        yield "response.output_text.annotation.added", told
    yield f"{words}.done", place | {"text": text} | every
    yield f"{stem}.done", place | {"part": part}


def _listed(whole: dict[str, Any], member: str) -> list[Any]:
    value = whole.get(member)
    return value if isinstance(value, list) else []
