"""Chat completions: 60 answers of the kinds that vendors send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.cases import Case, Recording, data, encoded, writes
from tests.conformance.generated.texts import TOOLS, arguments, identifier, pieces, text, tokens

if TYPE_CHECKING:
    from random import Random

KINDS = (
    "text", "tools", "refusal", "logprobs", "reasoning", "two", "unknown", "json", "length", "late",
)  # fmt: skip
NEVER_STORED = ("refusal", "length")
MODEL = "gpt-4o-mini"
_TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in TOOLS
]
_FILTERS: dict[str, Any] = {
    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": "safe"}}]
}
_ASKED: dict[str, dict[str, Any]] = {
    "tools": {"tools": _TOOLS, "tool_choice": "auto"},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "two": {"n": 2},
    "json": {"response_format": {"type": "json_object"}},
    "unknown": {"x_vendor_option": {"deep": [1, 2.5, None]}},
    "reasoning": {"reasoning_effort": "low"},
    "length": {"max_tokens": 5},
}


def case(rng: Random, number: int) -> Case:
    """The answer of this number: its kind goes round, its content comes from the dice."""
    kind = KINDS[number % len(KINDS)]
    name = f"chat-{number:03}-{kind}"
    choices = [_choice(rng, kind, index) for index in range(2 if kind == "two" else 1)]
    head = _head(rng, kind)
    usage = _usage(rng)
    filters = _FILTERS if kind == "late" else {}
    whole = head | {"choices": [choice for choice, _ in choices], "usage": usage} | filters
    chunks = _interleaved(rng, [deltas for _, deltas in choices])
    question = f"{name}: {text(rng, 2, 8)}"
    return Case(
        name=name,
        api="chat",
        request={"model": MODEL, "messages": _asked(rng, question)} | _ASKED.get(kind, {}),
        recording=Recording(
            whole=encoded(whole | {"object": "chat.completion"}),
            stream=writes(_stream(rng, head, chunks, usage, filters), rng),
            bare=writes(_stream(rng, head, chunks, None, filters), rng),
        ),
        prompt=question,
        stored=kind not in NEVER_STORED,
        usage=number % 4 != 3,
        counted=number % 4 != 3,
        choices=len(choices),
    )


def _asked(rng: Random, question: str) -> list[dict[str, Any]]:
    """A question alone, or in a conversation."""
    asked = {"role": "user", "content": question}
    if rng.random() < 0.5:
        return [asked]
    before = {"role": "assistant", "content": text(rng, 2, 4)}
    return [{"role": "system", "content": "Be brief."}, asked | {"content": "Hi."}, before, asked]


def _head(rng: Random, kind: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "id": identifier(rng, "chatcmpl-"),
        "created": 1_700_000_000 + rng.randint(0, 10**7),
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": identifier(rng, "fp_")[:13],
    }
    more = {"x_vendor": {"region": "eu", "trace": [1, 2.5, None]}}
    return head | (more if kind == "unknown" else {})


def _usage(rng: Random) -> dict[str, Any]:
    asked, answered = tokens(rng)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": rng.randint(0, 9), "audio_tokens": 0},
    }


def _choice(rng: Random, kind: str, index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One choice whole, and the choices of the chunks that bring it."""
    message, deltas = _MESSAGES.get(kind, _text)(rng)
    finish = {"tools": "tool_calls", "length": "length"}.get(kind, "stop")
    last = {"content_filter_results": {"hate": {"filtered": False}}} if kind == "unknown" else {}
    probabilities = [_probability(rng, d["content"]) for d in deltas if kind == "logprobs"]
    chunks = [{"index": index, "delta": _first(message), "logprobs": None, "finish_reason": None}]
    for position, delta in enumerate(deltas):
        said = {"content": [probabilities[position]], "refusal": None} if probabilities else None
        chunks.append({"index": index, "delta": delta, "logprobs": said, "finish_reason": None})
    chunks.append({"index": index, "delta": {}, "logprobs": None, "finish_reason": finish} | last)
    whole = {
        "index": index,
        "message": message,
        "logprobs": {"content": probabilities, "refusal": None} if probabilities else None,
        "finish_reason": finish,
    }
    return whole | last, chunks


def _first(message: dict[str, Any]) -> dict[str, Any]:
    content = None if message["content"] is None else ""
    return {"role": "assistant", "content": content, "refusal": None}


def _message(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "refusal": None} | more


def _text(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    said = text(rng)
    return _message(said), [{"content": piece} for piece in pieces(rng, said)]


def _json(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    said = arguments(rng)
    return _message(said), [{"content": piece} for piece in pieces(rng, said)]


def _refusal(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    said = text(rng)
    return _message(None, refusal=said), [{"refusal": piece} for piece in pieces(rng, said)]


def _reasoning(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    thought, said = text(rng), text(rng)
    deltas = [{"reasoning_content": piece} for piece in pieces(rng, thought)]
    deltas += [{"content": piece} for piece in pieces(rng, said)]
    return _message(said, reasoning_content=thought), deltas


def _unknown(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    message, deltas = _text(rng)
    more: dict[str, Any] = {"vendor_note": {"score": 0.25, "seen": [], "by": None}}
    return message | more, [*deltas, more]


def _tools(rng: Random) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    calls: list[dict[str, Any]] = []
    deltas: list[dict[str, Any]] = []
    for index in range(rng.randint(1, 3)):
        head = {"id": identifier(rng, "call_"), "type": "function"}
        name, given = TOOLS[index], arguments(rng)
        calls.append(head | {"function": {"name": name, "arguments": given}})
        start = head | {"index": index, "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [start]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in pieces(rng, given)
        ]
    return _message(None, tool_calls=calls), deltas


_MESSAGES = {
    "tools": _tools,
    "refusal": _refusal,
    "reasoning": _reasoning,
    "unknown": _unknown,
    "json": _json,
}


def _probability(rng: Random, token: str) -> dict[str, Any]:
    def one(said: str) -> dict[str, Any]:
        return {
            "token": said,
            "logprob": -round(rng.random() * 10, 7),
            "bytes": list(said.encode()),
        }

    return one(token) | {"top_logprobs": [one(token), one("other")]}


def _interleaved(rng: Random, queues: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The choices' chunks in one order: first each one's first, then as the dice say."""
    made = [queue[0] for queue in queues]
    queues = [queue[1:] for queue in queues]
    while live := [queue for queue in queues if queue]:
        made.append(rng.choice(live).pop(0))
    return made


def _stream(
    rng: Random,
    head: dict[str, Any],
    chunks: list[dict[str, Any]],
    usage: dict[str, Any] | None,
    filters: dict[str, Any],
) -> bytes:
    """With `filters`, the first chunk brings them and knows neither id nor model (Azure)."""
    made = [head | {"object": "chat.completion.chunk", "choices": [chunk]} for chunk in chunks]
    if usage is not None:
        made = [chunk | {"usage": None} for chunk in made]
        end = {"object": "chat.completion.chunk", "choices": [], "usage": usage}
        made.append(head | end)
    if filters:
        blank = {"id": "", "created": 0, "model": "", "object": "", "choices": []}
        made.insert(0, blank | filters)
    padded = [chunk | {"obfuscation": identifier(rng, "")[:8]} for chunk in made]
    return b"".join(data(chunk, rng) for chunk in padded) + b"data: [DONE]\n\n"
