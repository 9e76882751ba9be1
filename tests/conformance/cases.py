"""What is asked and what upstream answers: the nouns of this folder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

STREAM, WHOLE = "stream", "whole"
FORMS = (STREAM, WHOLE)
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}
"""The five cached routes."""
JSON_HEADERS = (("content-type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Recording:
    """One answer of upstream in the forms that are known of it, ready to be sent.

    `stream` is in writes; `bare` is the stream for who did not ask for token counts, where that is
    another one.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    whole: bytes | None = None
    stream: tuple[bytes, ...] = ()
    bare: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A request and its recorded answer.

    `request` says nothing of streams; `prompt` is its last question, for clients that write
    requests themselves. `forms` are the forms that are recorded, `stored` whether the contract
    lets the answer be kept, `usage` whether a stream is asked to count tokens, `counted` whether
    it does.
    """

    name: str
    api: str
    request: dict[str, Any]
    recording: Recording
    prompt: str
    forms: tuple[str, ...] = FORMS
    stored: bool = True
    usage: bool = True
    counted: bool = True
    choices: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    request_of_its_own: bool = False
    """Whether the question was recorded too: clients that write requests themselves leave it."""


def data(value: Any, rng: Random, name: str = "") -> bytes:
    """One event, its characters escaped or not, as vendors differ in that."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.3, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


def writes(stream: bytes, rng: Random) -> tuple[bytes, ...]:
    """The stream cut anywhere, also inside events, into a handful of writes."""
    most = min(len(stream) - 1, 12)
    cuts = sorted(rng.sample(range(1, len(stream)), rng.randint(min(2, most), most)))
    return tuple(
        stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    )


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def of_api(cases: Iterable[Case], api: str) -> list[Case]:
    return [case for case in cases if case.api == api]
