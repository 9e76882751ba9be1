"""The sample upstream: a small OpenAI-shaped server with canned answers, no key and no model.

Raw ASGI, no framework. Other made-up upstreams build on its replies and senders. What a real
provider would know, think or charge has no place here.

    python -m proxy.demo.upstream --port 9000
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import orjson
import uvicorn

from proxy.demo.conversation import load, plain

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MODEL = "likewise-sample"
EMBEDDING_MODEL = "likewise-sample-embedding"
DIMENSIONS = 64
MAX_DIMENSIONS = 4096
MAX_BODY = 32 * 1024 * 1024
MAX_CHOICES = 16
DONE = b"data: [DONE]\n\n"
SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class BadRequest(Exception):
    """A request that is answered with an OpenAI error envelope."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code


@dataclass(frozen=True, slots=True)
class Reply:
    """One chat completion about to be sent, whole or as chunks. `message` is the assistant's."""

    model: str
    message: dict[str, Any]
    tokens_in: int
    tokens_out: int
    n: int = 1
    finish: str = "stop"
    logprobs: dict[str, Any] | None = None
    fingerprint: str = "likewise-sample"
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex[:29]}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.tokens_in,
            "completion_tokens": self.tokens_out * self.n,
            "total_tokens": self.tokens_in + self.tokens_out * self.n,
        }

    def document(self) -> dict[str, Any]:
        """The answer to a request without `stream`."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": None, "refusal": None} | self.message,
                "logprobs": self.logprobs,
                "finish_reason": self.finish,
            }
            for index in range(self.n)
        ]
        return self._head("chat.completion") | {"choices": choices, "usage": self.usage}

    def chunks(self, *, usage: bool) -> Iterator[dict[str, Any]]:
        """The answer as stream chunks; `usage` adds the closing one that was asked for."""
        head = self._head("chat.completion.chunk") | ({"usage": None} if usage else {})
        deltas = [{"role": "assistant", "content": "", "refusal": None}, *_deltas(self.message)]
        for delta in deltas:
            said = delta.get("content")
            logprobs = self.logprobs if said else None
            for index in range(self.n):
                yield head | {"choices": [_choice(index, delta, None, logprobs)]}
        for index in range(self.n):
            yield head | {"choices": [_choice(index, {}, self.finish, None)]}
        if usage:
            yield head | {"choices": [], "usage": self.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


def _choice(
    index: int, delta: dict[str, Any], finish: str | None, logprobs: dict[str, Any] | None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in ("content", "refusal"):
        for piece in pieces(message.get(key) or ""):
            yield {key: piece}
    for index, call in enumerate(message.get("tool_calls") or ()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        opening = call | {"index": index, "function": {"name": name, "arguments": ""}}
        yield {"tool_calls": [opening]}
        for piece in pieces(arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def pieces(text: str) -> list[str]:
    """The text cut where a model's tokens might end: at words, and at 64 characters."""
    return re.findall(r"\s*\S{1,64}|\s+$", text)


def tokens(text: str) -> int:
    """A plausible count, about four characters each; never zero."""
    return len(text) // 4 + 1


def message_text(message: Any) -> str:
    """What a chat message says: its string, or its text parts joined."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return "\n".join(
            str(p["text"]) for p in content if isinstance(p, dict) and p.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def prompt_tokens(messages: Sequence[Any]) -> int:
    return sum(tokens(message_text(message)) + 3 for message in messages)


def choices(body: dict[str, Any]) -> int:
    """How many answers are asked for (`n`). Raises `BadRequest`."""
    n = body.get("n")
    if n is None:
        return 1
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MAX_CHOICES:
        raise BadRequest(f"n must be a whole number from 1 to {MAX_CHOICES}", param="n")
    return n


def wants_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


async def incoming(receive: Receive) -> AsyncIterator[bytes]:
    """The request's body as it arrives; ends early when the caller has left."""
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        yield event.get("body", b"")
        more = event.get("more_body", False)


async def read_json(receive: Receive) -> dict[str, Any]:
    """The whole body as a JSON object. Raises `BadRequest`."""
    body = bytearray()
    async for part in incoming(receive):
        body += part
        if len(body) > MAX_BODY:
            raise BadRequest(f"The body is larger than {MAX_BODY} bytes.", status=413)
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(parsed, dict):
        raise BadRequest("The body must be a JSON object.")
    return parsed


def chat_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The request's messages. Raises `BadRequest` where they, or the model, are not usable."""
    if not isinstance(body.get("model"), str):
        raise BadRequest("you must provide a model parameter", param="model")
    messages = body.get("messages")
    if messages is None:
        raise BadRequest("Missing required parameter: 'messages'.", param="messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("'messages' must be an array of objects.", param="messages")
    if not messages:
        raise BadRequest("'messages' must hold at least 1 message.", param="messages")
    return messages


async def send_bytes(
    send: Send, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    """One whole answer; JSON unless the headers say otherwise."""
    fields = {"content-type": "application/json"} | (headers or {})
    fields["content-length"] = str(len(body))
    await start(send, status, fields)
    await send({"type": "http.response.body", "body": body})


async def send_json(
    send: Send, status: int, document: Any, headers: dict[str, str] | None = None
) -> None:
    await send_bytes(send, status, orjson.dumps(document), headers)


async def start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


def envelope(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    """OpenAI's error shape; all four keys are always there."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def event(document: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + orjson.dumps(document) + b"\n\n"


async def lifespan(receive: Receive, send: Send) -> None:
    """Answers a server's start-up and shutdown; there is nothing to prepare."""
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


class SampleUpstream:
    """The ASGI app. `latency` is the wait before the first byte, `per_token` after each, in s."""

    def __init__(self, latency: float = 0.25, per_token: float = 0.005) -> None:
        self.latency = latency
        self.per_token = per_token
        self.calls = 0
        self._answers = {_key(turn.messages): turn.answer for turn in load()}
        self._routes = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("GET", "/v1/models"): self._models,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        try:
            await self._route(scope["method"], scope["path"])(receive, send)
        except BadRequest as bad:
            body = envelope(bad.message, "invalid_request_error", bad.param, bad.code)
            await send_json(send, bad.status, body)

    def _route(self, method: str, path: str) -> Callable[[Receive, Send], Awaitable[None]]:
        route = self._routes.get((method, path))
        if route is None:
            known = any(path == one for _, one in self._routes)
            raise BadRequest(
                f"The sample upstream has no {method} {path}; it answers "
                + ", ".join(f"{m} {p}" for m, p in self._routes),
                status=405 if known else 404,
                code="unknown_url",
            )
        return route

    async def _chat(self, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        messages = chat_messages(body)
        text = self.answer(messages)
        reply = Reply(
            model=body["model"],
            message={"content": text},
            tokens_in=prompt_tokens(messages),
            tokens_out=tokens(text),
            n=choices(body),
        )
        self.calls += 1
        await asyncio.sleep(self.latency)
        if body.get("stream") is True:
            await self._stream(send, reply, usage=wants_usage(body))
            return
        await asyncio.sleep(self.per_token * reply.tokens_out)
        await send_json(send, 200, reply.document())

    async def _stream(self, send: Send, reply: Reply, *, usage: bool) -> None:
        await start(send, 200, SSE_HEADERS)
        for chunk in reply.chunks(usage=usage):
            await send({"type": "http.response.body", "body": event(chunk), "more_body": True})
            await asyncio.sleep(self.per_token)
        await send({"type": "http.response.body", "body": DONE})

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """The canned answer, also under another system prompt; else a word on who speaks."""
        system, users = _key(messages)
        canned = self._answers.get((system, users)) or self._answers.get(("", users))
        if canned:
            return canned
        question = message_text(messages[-1]).strip()
        return (
            "This is the sample upstream that ships with Likewise: no model runs here, and only "
            f"the bundled questions have real answers. You asked: {question}"
        )

    async def _embeddings(self, receive: Receive, send: Send) -> None:
        body = await read_json(receive)
        texts = _inputs(body.get("input"))
        size = _size(body.get("dimensions"))
        packed = body.get("encoding_format") == "base64"
        self.calls += 1
        await asyncio.sleep(self.latency)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(text, size, packed=packed)}
            for index, text in enumerate(texts)
        ]
        total = sum(tokens(text) for text in texts)
        usage = {"prompt_tokens": total, "total_tokens": total}
        model = body.get("model") or EMBEDDING_MODEL
        await send_json(send, 200, {"object": "list", "data": data, "model": model, "usage": usage})

    async def _models(self, _receive: Receive, send: Send) -> None:
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "likewise"}
            for name in (MODEL, EMBEDDING_MODEL)
        ]
        await send_json(send, 200, {"object": "list", "data": data})


def _key(messages: Sequence[dict[str, Any]]) -> tuple[str, tuple[str, ...]]:
    """What a canned answer hangs on: the system prompt, and everything that the user said."""
    said: dict[str, list[str]] = {"system": [], "user": []}
    for message in messages:
        role = "system" if message.get("role") == "developer" else message.get("role")
        if role in said:
            said[role].append(plain(message_text(message)))
    return "\n".join(said["system"]), tuple(said["user"])


def _inputs(given: Any) -> list[str]:
    """The texts to embed; token arrays count as texts of their own."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(item, int) for item in given):
            return [str(given)]
        return [item if isinstance(item, str) else str(item) for item in given]
    raise BadRequest("Missing required parameter: 'input'.", param="input")


def _size(given: Any) -> int:
    if given is None:
        return DIMENSIONS
    if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MAX_DIMENSIONS:
        raise BadRequest(
            f"dimensions must be a whole number from 1 to {MAX_DIMENSIONS}", param="dimensions"
        )
    return given


def _vector(text: str, size: int, *, packed: bool) -> list[float] | str:
    """A unit vector that depends on nothing but the text: sums of hashed words."""
    total = np.zeros(size, dtype=np.float64)
    for word in plain(text).split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(size)
    unit = (total / np.linalg.norm(total)).astype("<f4")
    return base64.b64encode(unit.tobytes()).decode() if packed else unit.astype(float).tolist()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m proxy.demo.upstream",
        description="The sample upstream. Example: python -m proxy.demo.upstream --port 9000",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--latency", type=float, default=0.25, help="seconds to the first byte")
    parser.add_argument("--per-token", type=float, default=0.005, help="seconds a token")
    given = parser.parse_args(arguments)
    app = SampleUpstream(latency=given.latency, per_token=given.per_token)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
