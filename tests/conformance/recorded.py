"""Recorded exchanges of the shared data folder as cases; rows of other APIs stay out.

The folder is `LIKEWISE_DATA`, or `shared/data` beside the checkout. Nothing of it is copied.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from tests.conformance.cases import PATHS, STREAM, WHOLE, Case, Recording, writes
from tests.conformance.storable import Answer, lasting, read
from tests.conformance.upstream import replayable

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FILE = "payloads/payloads.jsonl"
UNFRAMED = "one JSON chunk per line (SSE framing removed)"
_SHAPING = ("anthropic-version", "anthropic-beta")
_TOOL = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The cases, and why the other rows are none; `absent` says why there are no rows at all."""

    cases: tuple[Case, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    absent: str = ""


def folder() -> Path:
    return Path(os.environ.get("LIKEWISE_DATA") or ROOT.parent / "shared/data")


def recorded() -> Recorded:
    file = folder() / FILE
    if not file.is_file():
        return Recorded(absent=f"{file} is not there")
    cases: list[Case] = []
    out: list[tuple[str, str]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        api, why = api_of(row), obstacle(row)
        if api is None or why:
            out.append((row["id"], why or f"{row['endpoint']} is none of the five APIs"))
        else:
            cases.append(_case(row, api))
    return Recorded(tuple(cases), tuple(out))


def api_of(row: dict[str, Any]) -> str | None:
    """Which API a row is of, by its request's path, else by how its answer begins."""
    if row["request"] is not None:
        path = urlsplit(row["request"]["uri"]).path
        host = urlsplit(row["request"]["uri"]).hostname or ""
        if "cohere" in host:
            return None
        return next((api for api, known in PATHS.items() if path.endswith(known[3:])), None)
    first = next(_values(row), {})
    if first.get("type") == "message_start":
        return "messages"
    if str(first.get("type", "")).startswith("response."):
        return "responses"
    return "chat" if first.get("object") == "chat.completion.chunk" else None


def obstacle(row: dict[str, Any]) -> str:
    """Why a row of a known API is no exchange that could be replayed; empty where it is."""
    begun = row["response"]["body"].count('"type":"response.created"')
    return f"{begun} streams spliced into one by hand" if begun > 1 else ""


def _values(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a recorded stream, one for each line that holds one."""
    for line in row["response"]["body"].splitlines():
        text = line.removeprefix("data:").strip()
        if text.startswith("{"):
            try:
                yield json.loads(text)
            except ValueError:
                return  # a body that is one object over many lines


def framed(row: dict[str, Any], api: str) -> str:
    """The stream as it went over the wire, its framing put back where it was taken away."""
    if UNFRAMED not in row["features"] or not row["stream"]:
        return str(row["response"]["body"])
    lines = [line for line in row["response"]["body"].splitlines() if line.strip()]
    if api == "chat":
        return "".join(f"data: {line}\n\n" for line in lines) + "data: [DONE]\n\n"
    return "".join(f"event: {json.loads(line)['type']}\ndata: {line}\n\n" for line in lines)


def _case(row: dict[str, Any], api: str) -> Case:
    body = framed(row, api)
    streamed = bool(row["stream"]) and row["status"] == 200
    answer = read(body, api, streamed=streamed)
    given = row["request"] or {"uri": "", "headers": {}}
    name = f"{api}-recorded-{row['id']}"
    request = json.loads(given["body"]) if row["request"] else _request(name, api, answer)
    request.pop("stream", None)
    options = request.pop("stream_options", None) or {}
    rng = Random(row["id"])  # noqa: S311 - repeatable, not secret
    parts = writes(body.encode(), rng) if streamed else ()
    headers = {k: v for k, v in given["headers"].items() if k.lower() in _SHAPING}
    return Case(
        name=name,
        api=api,
        request=request,
        recording=Recording(
            status=row["status"],
            headers=_headers(row["response"]["headers"], streamed=streamed),
            whole=None if streamed else body.encode(),
            stream=parts,
        ),
        prompt=name,
        forms=(STREAM,) if row["stream"] else (WHOLE,),
        stored=row["status"] == 200 and not _forbidden(row) and lasting(api, request, answer),
        usage=bool(options.get("include_usage")) or not streamed,
        counted=answer.usage,
        choices=max(1, len(answer.stops)),
        headers=headers,
        query=dict(parse_qsl(urlsplit(given["uri"]).query)),
        request_of_its_own=row["request"] is not None,
    )


def _forbidden(row: dict[str, Any]) -> bool:
    """Whether upstream said that its answer must not be stored."""
    return "no-store" in row["response"]["headers"].get("cache-control", "")


def _headers(recorded: dict[str, str], *, streamed: bool) -> tuple[tuple[str, str], ...]:
    kind = "text/event-stream" if streamed else "application/json"
    kept = replayable({k.lower(): v for k, v in recorded.items()} | {"content-type": kind})
    return tuple(kept)


def _request(name: str, api: str, answer: Answer) -> dict[str, Any]:
    """A request that the recorded answer may be the answer to."""
    asked: dict[str, Any] = {"model": "gpt-4o-mini"}
    tools: list[dict[str, Any]]
    turn = {"role": "user", "content": name}
    if api == "responses":
        tools = [{"type": "function", "name": tool, "parameters": _TOOL} for tool in answer.tools]
        tools = [{"type": "custom", "name": tool} for tool in answer.custom] + tools
        asked |= {"input": name, "store": False}
    elif api == "messages":
        tools = [{"name": tool, "input_schema": _TOOL} for tool in answer.tools]
        asked |= {"model": "claude-haiku-4-5", "max_tokens": 1024, "messages": [turn]}
    else:
        functions = [{"name": tool, "parameters": _TOOL} for tool in answer.tools]
        tools = [{"type": "function", "function": function} for function in functions]
        asked |= {"messages": [turn]}
        asked |= {"stream_options": {"include_usage": True}} if answer.usage else {}
        asked |= {"logprobs": True} if answer.logprobs else {}
        asked |= {"n": len(answer.stops)} if len(answer.stops) > 1 else {}
    return asked | ({"tools": tools} if tools else {})
