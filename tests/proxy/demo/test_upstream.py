"""The sample upstream: OpenAI's shapes, honest answers, and the official client as the judge."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from proxy.demo.conversation import load
from proxy.demo.upstream import SampleUpstream, pieces, tokens

BASE = "http://sample/v1"
FRANCE = [{"role": "user", "content": "what is the capital of FRANCE"}]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(SampleUpstream(latency=0, per_token=0))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


async def _lines(http: httpx.AsyncClient, **body: object) -> list[str]:
    answer = await http.post(
        "/chat/completions", json={"model": "m", "messages": FRANCE, "stream": True} | body
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]


async def test_a_whole_answer_has_openais_shape(http: httpx.AsyncClient) -> None:
    """Every key that a client reads is there, and it is plain that no real model spoke."""
    answer = await http.post("/chat/completions", json={"model": "gpt-x", "messages": FRANCE})
    body = answer.json()
    assert answer.status_code == 200
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "gpt-x"
    assert body["system_fingerprint"] == "likewise-sample"
    (choice,) = body["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == "Paris is the capital of France."
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_every_bundled_turn_gets_its_own_answer() -> None:
    """System prompt and history decide as well as the question."""
    upstream = SampleUpstream()
    assert [t.id for t in load() if upstream.answer(t.messages) != t.answer] == []


async def test_an_unknown_question_is_echoed_honestly(http: httpx.AsyncClient) -> None:
    """The answer says who speaks and what was asked."""
    ask = [{"role": "user", "content": [{"type": "text", "text": "Will it rain?"}]}]
    answer = await http.post("/chat/completions", json={"model": "m", "messages": ask})
    said = answer.json()["choices"][0]["message"]["content"]
    assert "sample upstream" in said
    assert said.endswith("Will it rain?")


async def test_a_followup_never_gets_a_standalone_answer() -> None:
    """The same words after another conversation are another question."""
    messages = [{"role": "user", "content": "Tell me of ants."}, *FRANCE]
    assert "sample upstream" in SampleUpstream().answer(messages)


async def test_a_stream_holds_role_words_finish_and_done(http: httpx.AsyncClient) -> None:
    """Chunks in OpenAI's order, no usage unless asked for."""
    *chunks, last = await _lines(http)
    parsed = [json.loads(chunk) for chunk in chunks]
    assert last == "[DONE]"
    assert parsed[0]["choices"][0]["delta"]["role"] == "assistant"
    words = [p["choices"][0]["delta"].get("content") or "" for p in parsed]
    assert "".join(words) == "Paris is the capital of France."
    assert sum(bool(word) for word in words) > 1
    assert [p["choices"][0]["finish_reason"] for p in parsed] == [None] * (len(parsed) - 1) + [
        "stop"
    ]
    assert not any("usage" in p for p in parsed)
    assert {p["object"] for p in parsed} == {"chat.completion.chunk"}


async def test_usage_closes_a_stream_that_asks_for_it(http: httpx.AsyncClient) -> None:
    """One chunk without choices before the end; the others say null."""
    *chunks, _ = await _lines(http, stream_options={"include_usage": True})
    parsed = [json.loads(chunk) for chunk in chunks]
    assert parsed[-1]["choices"] == []
    assert parsed[-1]["usage"]["total_tokens"] > 0
    assert {p["usage"] is None for p in parsed[:-1]} == {True}


async def test_equal_requests_get_equal_answers(http: httpx.AsyncClient) -> None:
    """Only id and time may differ."""
    first, second = [
        (await http.post("/chat/completions", json={"model": "m", "messages": FRANCE})).json()
        for _ in range(2)
    ]
    assert first.pop("id") != second.pop("id")
    assert first | {"created": 0} == second | {"created": 0}


async def test_n_answers_are_given(http: httpx.AsyncClient) -> None:
    """As many choices as asked for, each with its index, whole and streamed."""
    body = {"model": "m", "messages": FRANCE, "n": 3}
    answer = await http.post("/chat/completions", json=body)
    assert [c["index"] for c in answer.json()["choices"]] == [0, 1, 2]
    *chunks, _ = await _lines(http, n=3)
    assert {json.loads(c)["choices"][0]["index"] for c in chunks} == {0, 1, 2}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "hello"}, "messages"),
        ({"model": "m", "messages": ["hello"]}, "messages"),
        ({"messages": FRANCE}, "model"),
        ({"model": "m", "messages": FRANCE, "n": 0}, "n"),
        ({"model": "m", "messages": FRANCE, "n": True}, "n"),
        ([1], None),
    ],
)
async def test_bad_requests_get_an_error_envelope(
    http: httpx.AsyncClient, body: object, param: str | None
) -> None:
    """400 with OpenAI's four keys, naming the parameter."""
    answer = await http.post("/chat/completions", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": NaN}', b""])
async def test_what_is_not_json_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    """400, never a traceback."""
    assert (await http.post("/chat/completions", content=body)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/chat/completions", 405), ("POST", "/audio", 404)]
)
async def test_unknown_routes_are_named(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    """The error says what there is instead."""
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert "POST /v1/chat/completions" in answer.json()["error"]["message"]


async def test_the_official_client_reads_everything(
    serve: Callable[[Any], Awaitable[str]],
) -> None:
    """Chat whole and streamed, embeddings in its binary default, models."""
    address = await serve(SampleUpstream(latency=0, per_token=0))
    asked: Any = {"model": "m", "messages": FRANCE}
    async with openai.AsyncOpenAI(
        api_key="x",
        base_url=f"{address}/v1",
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    ) as client:
        whole = await client.chat.completions.create(**asked)
        stream = await client.chat.completions.create(**asked, stream=True)
        streamed = [c.choices[0].delta.content or "" async for c in stream]
        vectors = await client.embeddings.create(model="e", input=["a cat", "A cat!", "a dog"])
        models = [m.id async for m in client.models.list()]
    assert whole.choices[0].message.content == "".join(streamed)
    same, again, other = (np.array(v.embedding) for v in vectors.data)
    assert same @ again == pytest.approx(1.0, abs=1e-6)
    assert same @ other < 0.99
    assert all(name.startswith("likewise-sample") for name in models)


@pytest.mark.parametrize("size", [None, 8])
async def test_embeddings_are_unit_vectors_of_the_size_asked(
    http: httpx.AsyncClient, size: int | None
) -> None:
    """Floats and base64 hold the same numbers."""
    body = {"model": "e", "input": "hello"} | ({"dimensions": size} if size else {})
    plain = (await http.post("/embeddings", json=body)).json()["data"][0]["embedding"]
    packed = await http.post("/embeddings", json=body | {"encoding_format": "base64"})
    unpacked = np.frombuffer(base64.b64decode(packed.json()["data"][0]["embedding"]), "<f4")
    assert len(plain) == (size or 64)
    assert np.linalg.norm(plain) == pytest.approx(1.0, abs=1e-6)
    assert plain == pytest.approx(unpacked.tolist())


@pytest.mark.parametrize("body", [{}, {"input": []}, {"input": "a", "dimensions": 0}])
async def test_bad_embedding_requests(http: httpx.AsyncClient, body: dict[str, object]) -> None:
    """No input, or a size that cannot be: 400."""
    assert (await http.post("/embeddings", json=body)).status_code == 400


@pytest.mark.parametrize("text", ["", " ", "one", "two words ", "line\nline", "x" * 200])
def test_pieces_lose_nothing(text: str) -> None:
    """Joined again they are the text."""
    assert "".join(pieces(text)) == text
    assert tokens(text) >= 1
