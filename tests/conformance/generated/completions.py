"""Legacy completions: 40 answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.conformance.cases import Case, Recording, data, encoded, writes
from tests.conformance.generated.texts import identifier, pieces, text, tokens

if TYPE_CHECKING:
    from random import Random

KINDS = ("text", "logprobs", "two", "unknown", "length")
MODEL = "gpt-3.5-turbo-instruct"
_ASKED: dict[str, dict[str, Any]] = {
    "logprobs": {"logprobs": 1},
    "two": {"n": 2},
    "unknown": {"x_vendor_option": True},
    "length": {"max_tokens": 5},
}


def case(rng: Random, number: int) -> Case:
    kind = KINDS[number % len(KINDS)]
    name = f"completions-{number:03}-{kind}"
    head: dict[str, Any] = {
        "id": identifier(rng, "cmpl-"),
        "object": "text_completion",
        "created": 1_700_000_000 + rng.randint(0, 10**7),
        "model": MODEL,
    } | ({"x_vendor": {"region": "eu"}} if kind == "unknown" else {})
    made = [_choice(rng, kind, index) for index in range(2 if kind == "two" else 1)]
    chunks = [chunk for _, chunks in made for chunk in chunks]
    usage = _usage(rng)
    whole = head | {"choices": [choice for choice, _ in made], "usage": usage}
    question = f"{name}: {text(rng, 2, 8)}"
    return Case(
        name=name,
        api="completions",
        request={"model": MODEL, "prompt": question} | _ASKED.get(kind, {}),
        recording=Recording(
            whole=encoded(whole),
            stream=writes(_stream(rng, head, chunks, usage), rng),
            bare=writes(_stream(rng, head, chunks, None), rng),
        ),
        prompt=question,
        stored=kind != "length",
        usage=number % 4 != 3,
        counted=number % 4 != 3,
        choices=len(made),
    )


def _usage(rng: Random) -> dict[str, int]:
    asked, answered = tokens(rng)
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
    }


def _choice(rng: Random, kind: str, index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One choice whole, and the choices of the chunks that bring it."""
    said = text(rng)
    parts = pieces(rng, said)
    offset, marks = 0, []
    for part in parts:
        marks.append(_mark(rng, part, offset))
        offset += len(part)
    finish = "length" if kind == "length" else "stop"
    more = {"stop_reason": None, "vendor_note": [1, "x"]} if kind == "unknown" else {}
    known = kind == "logprobs"
    chunks: list[dict[str, Any]] = [
        {"text": part, "index": index, "logprobs": mark if known else None, "finish_reason": None}
        for part, mark in zip(parts, marks, strict=True)
    ]
    chunks.append({"text": "", "index": index, "logprobs": None, "finish_reason": finish} | more)
    whole = {
        "text": said,
        "index": index,
        "logprobs": _joined(marks) if known else None,
        "finish_reason": finish,
    }
    return whole | more, chunks


def _mark(rng: Random, token: str, offset: int) -> dict[str, list[Any]]:
    value = -round(rng.random() * 10, 6)
    return {
        "tokens": [token],
        "token_logprobs": [value],
        "top_logprobs": [{token: value, "other": value - 1}],
        "text_offset": [offset],
    }


def _joined(marks: list[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    return {key: [one for mark in marks for one in mark[key]] for key in marks[0]}


def _stream(
    rng: Random, head: dict[str, Any], chunks: list[dict[str, Any]], usage: dict[str, int] | None
) -> bytes:
    made = [head | {"choices": [chunk]} for chunk in chunks]
    if usage is not None:
        made = [chunk | {"usage": None} for chunk in made]
        made.append(head | {"choices": [], "usage": usage})
    return b"".join(data(chunk, rng) for chunk in made) + b"data: [DONE]\n\n"
