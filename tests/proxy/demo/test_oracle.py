"""The oracle upstream: its answers prove themselves, each of its faults is the one asked for."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import openai
import pytest

from proxy.demo.oracle import OracleUpstream, params_hash, tenant, verify

ASK = {"model": "m", "messages": [{"role": "user", "content": "Who am I?"}]}
KEY = {"authorization": "Bearer sk-alice"}


@pytest.fixture
def oracle() -> OracleUpstream:
    return OracleUpstream()


@pytest.fixture
async def url(oracle: OracleUpstream, serve: Callable[[Any], Awaitable[str]]) -> str:
    """A real server: dropped connections and chunked bodies exist on real sockets only."""
    return await serve(oracle)


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, headers=KEY, trust_env=False) as client:
        yield client


async def _ask(http: httpx.AsyncClient, mode: str = "ok", **body: Any) -> httpx.Response:
    return await http.post("/v1/chat/completions", json=ASK | body, headers={"x-oracle-mode": mode})


def _events(answer: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]


def _choice(answer: httpx.Response) -> Any:
    return answer.json()["choices"][0]


def _said(answer: httpx.Response) -> str:
    chunks = [json.loads(e) for e in _events(answer) if e != "[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)


async def test_an_answer_proves_for_whom_and_for_what(http: httpx.AsyncClient) -> None:
    """It verifies for its own credential, prompt and body, and for nobody else's."""
    text = _choice(await _ask(http))["message"]["content"]
    assert verify(text, credential="sk-alice", prompt="Who am I?")
    assert verify(text, credential="sk-alice", prompt="Who am I?", body=ASK)
    assert not verify(text, credential="sk-bob", prompt="Who am I?")
    assert not verify(text, credential="sk-alice", prompt="Who are you?")
    other = ASK | {"temperature": 0.5}
    assert not verify(text, credential="sk-alice", prompt="Who am I?", body=other)
    assert json.loads(text)["tenant"] == tenant("sk-alice")


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"tenant": 1, "sha256": "x"}'])
def test_what_the_oracle_did_not_say_does_not_verify(text: str) -> None:
    """Nothing raises, nothing passes."""
    assert not verify(text, credential="sk-alice", prompt="Who am I?")


async def test_a_damaged_answer_does_not_verify(http: httpx.AsyncClient) -> None:
    """One changed digit breaks the seal."""
    text = _choice(await _ask(http))["message"]["content"]
    assert not verify(text.replace('"seq":1', '"seq":2'), credential="sk-alice", prompt="Who am I?")


async def test_a_stream_says_what_a_whole_answer_says(http: httpx.AsyncClient) -> None:
    """Streamed proofs verify against the same request."""
    answer = await _ask(http, stream=True)
    assert _events(answer)[-1] == "[DONE]"
    assert verify(_said(answer), credential="sk-alice", prompt="Who am I?", body=ASK)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"stream": True}, True),
        ({"stream_options": {"include_usage": True}}, True),
        ({"user": "u"}, True),
        ({"metadata": {"a": "b"}}, True),
        ({"temperature": 0.1}, False),
        ({"x_new": 1}, False),
        ({"model": "other"}, False),
    ],
)
def test_params_hash_sees_what_shapes_an_answer(change: dict[str, Any], *, same: bool) -> None:
    """Unknown fields count as shaping."""
    assert (params_hash(ASK) == params_hash(ASK | change)) is same


async def test_the_log_and_the_counter_say_what_arrived(
    oracle: OracleUpstream, http: httpx.AsyncClient
) -> None:
    """In order, with bodies, and never with a credential."""
    await _ask(http)
    await _ask(http, "status:500")
    await http.get("/v1/models")
    assert oracle.calls == 2
    assert [(seen.seq, seen.method, seen.path) for seen in oracle.log] == [
        (1, "POST", "/v1/chat/completions"),
        (2, "POST", "/v1/chat/completions"),
        (3, "GET", "/v1/models"),
    ]
    assert oracle.log[0].body == ASK
    assert "sk-alice" not in repr(oracle.log)


async def test_the_mode_set_in_process_rules_without_a_header(
    oracle: OracleUpstream, http: httpx.AsyncClient
) -> None:
    """The request's own header wins over it."""
    oracle.mode = "status:503"
    assert (await http.post("/v1/chat/completions", json=ASK)).status_code == 503
    assert (await _ask(http, "ok")).status_code == 200


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (401, "authentication_error", None),
        (429, "rate_limit_error", "1"),
        (500, "server_error", "1"),
    ],
)
async def test_status(http: httpx.AsyncClient, status: int, kind: str, again: str | None) -> None:
    """OpenAI's envelope, with retry-after where coming back makes sense."""
    answer = await _ask(http, f"status:{status}")
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == kind
    assert answer.headers.get("retry-after") == again


async def test_a_cut_stream_ends_cleanly_without_done(http: httpx.AsyncClient) -> None:
    """The transport sees nothing wrong: only the terminal event is missing."""
    answer = await _ask(http, "cut:2", stream=True)
    assert len(_events(answer)) == 2
    assert "[DONE]" not in answer.text


async def test_a_cut_whole_answer_is_no_json(http: httpx.AsyncClient) -> None:
    """The first bytes and a clean end."""
    assert (await _ask(http, "cut:10")).text == '{"id":"cha'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("mode", ["reset", "reset:2"])
async def test_reset_breaks_the_transport(
    http: httpx.AsyncClient, mode: str, *, stream: bool
) -> None:
    """Before or after the first bytes, the client gets an error and not an end."""
    with pytest.raises(httpx.TransportError):
        await _ask(http, mode, stream=stream)


async def test_reset_elsewhere_than_on_uvicorn_raises(oracle: OracleUpstream) -> None:
    """An in-process transport has no socket to drop, so the call itself breaks."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(oracle)) as client:
        with pytest.raises(ConnectionResetError):
            await client.post(
                "http://o/v1/chat/completions", json=ASK, headers={"x-oracle-mode": "reset"}
            )


async def test_error_comes_in_band(http: httpx.AsyncClient) -> None:
    """Chunks, then an error event, then the end without [DONE]."""
    *_, last = _events(await _ask(http, "error:2", stream=True))
    assert json.loads(last)["error"]["type"] == "server_error"


async def test_stall_holds_the_stream_open(http: httpx.AsyncClient) -> None:
    """The chunks come, then nothing until the caller gives up."""
    request = http.build_request(
        "POST",
        "/v1/chat/completions",
        json=ASK | {"stream": True},
        headers={"x-oracle-mode": "stall:1"},
        timeout=httpx.Timeout(5, read=0.2),
    )
    answer = await http.send(request, stream=True)
    with pytest.raises(httpx.ReadTimeout):
        await answer.aread()


@pytest.mark.parametrize(
    ("mode", "finish"),
    [
        ("ok", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("tools", "tool_calls"),
    ],
)
async def test_finish_reasons(http: httpx.AsyncClient, mode: str, finish: str) -> None:
    """The same whole and streamed."""
    assert _choice(await _ask(http, mode))["finish_reason"] == finish
    chunks = [json.loads(e) for e in _events(await _ask(http, mode, stream=True))[:-1]]
    assert chunks[-1]["choices"][0]["finish_reason"] == finish


async def test_tools_come_in_parallel(url: str) -> None:
    """The official client's own accumulation of the stream gives two whole calls."""
    async with (
        openai.AsyncOpenAI(
            api_key="sk-alice",
            base_url=f"{url}/v1",
            default_headers={"x-oracle-mode": "tools"},
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as client,
        client.chat.completions.stream(model="m", messages=ASK["messages"]) as stream,  # type: ignore[arg-type]
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["look_up", "note_down"]
    assert all(
        verify(call.function.arguments, credential="sk-alice", prompt="Who am I?") for call in calls
    )


async def test_refusal(http: httpx.AsyncClient) -> None:
    """The text stands under `refusal`, and there is no content."""
    message = _choice(await _ask(http, "refusal"))["message"]
    assert message["content"] is None
    assert verify(message["refusal"], credential="sk-alice", prompt="Who am I?")


async def test_shapes_that_are_no_answer(http: httpx.AsyncClient) -> None:
    """A login page, broken JSON and an empty list all come with status 200."""
    html, invalid, empty = [await _ask(http, mode) for mode in ("html", "invalid", "empty")]
    assert {html.status_code, invalid.status_code, empty.status_code} == {200}
    assert html.headers["content-type"].startswith("text/html")
    with pytest.raises(json.JSONDecodeError):
        invalid.json()
    assert empty.json()["choices"] == []
    assert _events(await _ask(http, "invalid", stream=True)) == ["{not json", "[DONE]"]


async def test_options_of_an_answer(http: httpx.AsyncClient) -> None:
    """no-store, size, log probabilities and n are as asked; modes join by commas."""
    answer = await _ask(http, "nostore, big:50000,logprobs,slow:0", n=2)
    assert answer.headers["cache-control"] == "no-store"
    first, second = answer.json()["choices"]
    assert len(first["message"]["content"]) > 50_000
    assert verify(first["message"]["content"], credential="sk-alice", prompt="Who am I?")
    assert first["logprobs"]["content"][0]["logprob"] == -0.25
    assert second["index"] == 1
    assert _choice(await _ask(http, logprobs=True))["logprobs"] is not None


@pytest.mark.parametrize("mode", ["status", "status:x", "slow:fast", "cut", "explode", "reset:x"])
async def test_an_unknown_mode_is_refused(http: httpx.AsyncClient, mode: str) -> None:
    """400 that names the mode, so a misspelt test cannot pass by accident."""
    answer = await _ask(http, mode)
    assert answer.status_code == 400
    assert mode.partition(":")[0] in answer.json()["error"]["message"]


async def test_bad_bodies_are_refused_and_logged(
    oracle: OracleUpstream, http: httpx.AsyncClient
) -> None:
    """What is not JSON, or holds no messages, is 400 and still counts as a call."""
    assert (await http.post("/v1/chat/completions", content=b"{")).status_code == 400
    assert (await http.post("/v1/chat/completions", json={"model": "m"})).status_code == 400
    assert oracle.calls == 2


async def test_other_paths_say_what_arrived(http: httpx.AsyncClient) -> None:
    """Method, path, query, headers and the body's digest; the credential as a digest only."""
    seen = (await http.request("PUT", "/v1/files/7?x=1", content=b"abc")).json()
    assert (seen["method"], seen["path"], seen["query"]) == ("PUT", "/v1/files/7", "x=1")
    assert seen["body_bytes"] == 3
    # sha256("abc"), FIPS 180-2's own example
    assert seen["body_sha256"].startswith("ba7816bf8f01cfea")
    assert seen["headers"]["authorization"] == f"<{tenant('sk-alice')}>"


async def test_bytes_stream_down_and_both_ways(http: httpx.AsyncClient) -> None:
    """A chunked download of the size asked, and an upload that comes back as it was."""
    down = await http.get("/v1/files/7/content", headers={"x-oracle-mode": "chunks:5"})
    assert down.headers["transfer-encoding"] == "chunked"
    assert len(down.content) == 5 * 1024

    async def upload() -> AsyncIterator[bytes]:
        for part in (b"one", b"two", b"three"):
            yield part

    back = await http.post("/v1/files", content=upload(), headers={"x-oracle-mode": "mirror"})
    assert back.content == b"onetwothree"
    assert (await http.get("/v1/files", headers={"x-oracle-mode": "status:404"})).status_code == 404
