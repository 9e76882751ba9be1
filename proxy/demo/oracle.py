"""The oracle upstream: every answer proves for whom and for what it was made.

So the answer alone tells whether a cache may have served it. It also misbehaves on request.
Raw ASGI. The mode comes from `OracleUpstream.mode` or the request's `x-oracle-mode`; several are
joined by commas (`slow:0.5,length`). Judging an answer stays with `verify` and the tests.

    python -m proxy.demo.oracle --port 9001
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn

from proxy.demo.upstream import (
    DONE,
    SSE_HEADERS,
    BadRequest,
    Reply,
    chat_messages,
    choices,
    envelope,
    event,
    incoming,
    lifespan,
    message_text,
    prompt_tokens,
    read_json,
    send_bytes,
    send_json,
    start,
    tokens,
    wants_usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proxy.demo.upstream import Receive, Scope, Send

CHAT = ("POST", "/v1/chat/completions")
CREDENTIALS = ("authorization", "x-api-key", "api-key")
# What the answer does not depend on; `cache` is for the proxy and should never arrive.
UNSHAPING = frozenset({"messages", "stream", "stream_options", "user", "metadata", "cache"})
MODES = frozenset({
    "ok", "status", "cut", "reset", "error", "stall", "length", "content_filter", "tools",
    "refusal", "html", "invalid", "empty", "slow", "paced", "big", "nostore", "logprobs", "chunks",
    "mirror",
})  # fmt: skip
COUNTED = frozenset({"status", "cut", "error", "stall", "big", "chunks"})
ERROR_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
DOWNLOAD_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived; the credential is kept as its `tenant` digest only."""

    seq: int
    method: str
    path: str
    query: str
    tenant: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    modes: dict[str, str]


def tenant(credential: str) -> str:
    """Who a credential stands for: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(credential.encode()).hexdigest()[:16]


def digest(value: Any) -> str:
    """SHA-256 over canonical JSON (sorted keys, no spaces)."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def params_hash(body: Mapping[str, Any]) -> str:
    """A digest of all that shapes the answer besides the messages."""
    return digest({key: value for key, value in body.items() if key not in UNSHAPING})


def prove(who: str, body: Mapping[str, Any], seq: int, pad: int = 0) -> str:
    """The answer's text: a JSON object that names whom, what and itself; at least `pad` bytes."""
    messages = body["messages"]
    claim = {
        "tenant": who,
        "prompt": message_text(messages[-1]),
        "params_hash": params_hash(body),
        "messages_hash": digest(messages),
        "seq": seq,
    }
    if pad:
        claim["pad"] = "x" * pad
    return orjson.dumps(claim | {"sha256": digest(claim)}).decode()


def verify(
    answer_text: str, *, credential: str, prompt: str, body: Mapping[str, Any] | None = None
) -> bool:
    """Whether the answer is whole and was made for this credential and prompt.

    With `body`, also for exactly these messages and parameters.
    """
    try:
        claim = orjson.loads(answer_text)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(claim, dict):
        return False
    seal = claim.pop("sha256", None)
    wanted = {"tenant": tenant(credential), "prompt": prompt}
    if body is not None:
        wanted["params_hash"] = params_hash(body)
        wanted["messages_hash"] = digest(body["messages"])
    return seal == digest(claim) and all(claim.get(k) == v for k, v in wanted.items())


def parse_modes(text: str) -> dict[str, str]:
    """`slow:0.5,length` as a mapping. Raises `BadRequest` for a mode that does not exist."""
    modes = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, argument = word.partition(":")
        if name not in MODES:
            raise BadRequest(
                f"x-oracle-mode: {name!r} is unknown; use one of {', '.join(sorted(MODES))}"
            )
        whole = name in COUNTED or (name == "reset" and argument != "")
        timed = name in ("slow", "paced")
        if (whole and not argument.isdecimal()) or (timed and not _seconds(argument)):
            raise BadRequest(f"x-oracle-mode: {name} needs a number, as in {name}:1")
        modes[name] = argument
    return modes


def _seconds(text: str) -> bool:
    whole, _, part = text.partition(".")
    return (whole + part).isdecimal()


class OracleUpstream:
    """The ASGI app. `mode` rules where a request brings none; `log` holds all that arrived."""

    def __init__(self, mode: str = "ok") -> None:
        self.mode = mode
        self.log: list[Received] = []
        self._seq = itertools.count(1)

    @property
    def calls(self) -> int:
        """How many chat completions were asked for, the failed ones included."""
        return sum((seen.method, seen.path) == CHAT for seen in self.log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        try:
            if (scope["method"], scope["path"]) == CHAT:
                await self._chat(scope, receive, send)
            else:
                await self._other(scope, receive, send)
        except BadRequest as bad:
            await send_json(
                send,
                bad.status,
                envelope(bad.message, "invalid_request_error", bad.param, bad.code),
            )

    async def _chat(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_json(receive)
        except BadRequest:
            self._note(scope, None)
            raise
        seen = self._note(scope, body)
        modes = seen.modes
        await asyncio.sleep(float(modes.get("slow", "0")))
        if modes.get("reset") == "":
            await _drop(send)
        elif "status" in modes:
            await _fail(send, int(modes["status"]))
        elif "html" in modes:
            page = b"<!doctype html><title>Welcome</title><p>Please sign in to this network."
            await send_bytes(send, 200, page, {"content-type": "text/html; charset=utf-8"})
        elif body.get("stream") is True:
            await _stream(send, receive, _reply(seen, body), modes, usage=wants_usage(body))
        else:
            await _whole(send, _reply(seen, body), modes)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every other path: says what arrived, streams bytes down, or mirrors the upload."""
        seen = self._note(scope, None)
        if "mirror" in seen.modes:
            await start(send, 200, {"content-type": "application/octet-stream"})
            async for part in incoming(receive):
                await _more(send, part)
            await send({"type": "http.response.body", "body": b""})
            return
        hashed, size = hashlib.sha256(), 0
        async for part in incoming(receive):
            hashed.update(part)
            size += len(part)
        if "chunks" in seen.modes:
            await start(send, 200, {"content-type": "application/octet-stream"})
            for number in range(int(seen.modes["chunks"])):
                await _more(send, bytes([number % 256]) * DOWNLOAD_CHUNK)
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b""})
            return
        if "status" in seen.modes:
            await _fail(send, int(seen.modes["status"]))
            return
        await send_json(
            send,
            200,
            {
                "method": seen.method,
                "path": seen.path,
                "query": seen.query,
                "tenant": seen.tenant,
                "headers": seen.headers,
                "body_bytes": size,
                "body_sha256": hashed.hexdigest(),
            },
        )

    def _note(self, scope: Scope, body: dict[str, Any] | None) -> Received:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        credential = next((headers[name] for name in CREDENTIALS if name in headers), "")
        who = tenant(credential.removeprefix("Bearer "))
        shown = {k: f"<{who}>" if k in CREDENTIALS else v for k, v in headers.items()}
        seen = Received(
            seq=next(self._seq),
            method=scope["method"],
            path=scope["path"],
            query=scope.get("query_string", b"").decode("latin-1"),
            tenant=who,
            headers=shown,
            body=body,
            modes=parse_modes(headers.get("x-oracle-mode", self.mode)),
        )
        self.log.append(seen)
        return seen


def _reply(seen: Received, body: dict[str, Any]) -> Reply:
    messages = chat_messages(body)
    text = prove(seen.tenant, body, seen.seq, pad=int(seen.modes.get("big", "0")))
    message: dict[str, Any] = {"content": text}
    finish = next((name for name in ("length", "content_filter") if name in seen.modes), "stop")
    if "tools" in seen.modes:
        message, finish = {"content": None, "tool_calls": _tool_calls(text, seen.seq)}, "tool_calls"
    elif "refusal" in seen.modes:
        message = {"content": None, "refusal": text}
    logprobs = None
    if "logprobs" in seen.modes or body.get("logprobs") is True:
        logprobs = {"content": [_logprob(text[:4])], "refusal": None}
    return Reply(
        model=body["model"],
        message=message,
        tokens_in=prompt_tokens(messages),
        tokens_out=tokens(text),
        n=choices(body),
        finish=finish,
        logprobs=logprobs,
        fingerprint="likewise-oracle",
    )


def _tool_calls(proof: str, seq: int) -> list[dict[str, Any]]:
    """Two calls in parallel; the proof is the arguments of both."""
    return [
        {
            "id": f"call_{seq}_{number}",
            "type": "function",
            "function": {"name": name, "arguments": proof},
        }
        for number, name in enumerate(("look_up", "note_down"))
    ]


def _logprob(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.25, "bytes": list(token.encode()), "top_logprobs": []}


async def _whole(send: Send, reply: Reply, modes: dict[str, str]) -> None:
    headers = _headers(modes)
    document = reply.document()
    if "empty" in modes:
        document["choices"] = []
    body = orjson.dumps(document)
    if "invalid" in modes:
        body = body[: len(body) // 2]
    cut = modes.get("cut") or modes.get("reset")
    if cut is None:
        await send_bytes(send, 200, body, headers)
        return
    await start(send, 200, {"content-type": "application/json"} | headers)
    await _more(send, body[: int(cut)])
    if "reset" in modes:
        await _drop(send)
    else:
        await send({"type": "http.response.body", "body": b""})


async def _stream(
    send: Send, receive: Receive, reply: Reply, modes: dict[str, str], *, usage: bool
) -> None:
    await start(send, 200, SSE_HEADERS | _headers(modes))
    if "invalid" in modes:
        await _more(send, b"data: {not json\n\n")
    events = [] if "invalid" in modes else list(_events(reply, modes, usage=usage))
    ending = next((name for name in ("cut", "reset", "error", "stall") if name in modes), None)
    for sent in events[: int(modes[ending])] if ending else events:
        await _more(send, sent)
        await asyncio.sleep(float(modes.get("paced", "0")) / len(events))
    match ending:
        case "reset":
            await _drop(send)
        case "error":
            wrong = envelope("The server had an error.", "server_error", None, "server_error")
            await send({"type": "http.response.body", "body": event(wrong)})
        case "stall":
            while (await receive())["type"] != "http.disconnect":
                pass
        case "cut":
            await send({"type": "http.response.body", "body": b""})
        case _:
            await send({"type": "http.response.body", "body": DONE})


def _events(reply: Reply, modes: dict[str, str], *, usage: bool) -> Iterator[bytes]:
    for chunk in reply.chunks(usage=usage):
        yield event(chunk | {"choices": []} if "empty" in modes else chunk)


def _headers(modes: dict[str, str]) -> dict[str, str]:
    return {"cache-control": "no-store"} if "nostore" in modes else {}


async def _more(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _fail(send: Send, status: int) -> None:
    """An error as OpenAI words it; 429 and 5xx say when to come back."""
    server_error = 500
    kind = ERROR_KINDS.get(
        status, "server_error" if status >= server_error else "invalid_request_error"
    )
    body = envelope(f"The oracle was told to answer {status}.", kind, None, f"oracle_{status}")
    again = {"retry-after": "1"} if kind in {"rate_limit_error", "server_error"} else {}
    await send_json(send, status, body, again)


async def _drop(send: Send) -> None:
    """Close the caller's connection without an end; elsewhere than on uvicorn, raise."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("the oracle dropped this connection, as its mode asks")
    transport.abort()
    # The server learns of the lost connection in the loop's next rounds, before this call ends.
    for _ in range(3):
        await asyncio.sleep(0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m proxy.demo.oracle",
        description="The oracle upstream. Example: python -m proxy.demo.oracle --port 9001",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--mode", default="ok", help="mode of requests without x-oracle-mode")
    given = parser.parse_args(arguments)
    try:
        parse_modes(given.mode)
    except BadRequest as bad:
        parser.error(bad.message.replace("x-oracle-mode", "--mode"))
    uvicorn.run(OracleUpstream(given.mode), host=given.host, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
