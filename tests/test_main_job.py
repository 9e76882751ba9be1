"""The main job, as an application sees it: the official OpenAI client with another base URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

from proxy.demo.conversation import load
from proxy.demo.oracle import verify
from proxy.demo.upstream import MODEL, SampleUpstream
from tests.proxy.house import PATIENCE, House, serving, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES, TIDES_AGAIN = "How do tides work?", "How do the tides work?"
TURNS = {turn.id: turn for turn in load()}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A credential that no other test uses, and so a memory of its own."""
    return f"sk-{request.node.name.encode().hex()}"


def client_of(house: House, key: str, kind: type[Any] = openai.OpenAI) -> Any:
    http = openai.DefaultHttpxClient(trust_env=False)
    if kind is openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
    return kind(
        base_url=f"{house.where.data}/v1",
        api_key=key,
        max_retries=0,
        timeout=PATIENCE,
        http_client=http,
    )


def ask(client: Any, prompt: str, *, stream: bool, **rest: Any) -> tuple[Mapping[str, str], str]:
    """Headers and text of an answer, whole or put together from a stream."""
    create = client.chat.completions.with_raw_response.create
    if stream:
        rest |= {"stream": True, "stream_options": {"include_usage": True}}
    raw = create(model=MODEL, messages=[{"role": "user", "content": prompt}], **rest)
    told = raw.parse()
    if not stream:
        return raw.headers, told.choices[0].message.content
    chunks = list(told)
    assert chunks[-1].usage.total_tokens > 0
    return raw.headers, "".join(c.delta.content or "" for x in chunks for c in x.choices)


@pytest.mark.parametrize("first", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("second", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("told", "asked", "match"),
    [(SKY, SKY, "exact"), (SKY, SKY_AGAIN, "semantic"), (TIDES, TIDES_AGAIN, "semantic")],
)
def test_the_client_gets_a_remembered_answer(
    house: House, key: str, told: str, asked: str, match: str, *, first: bool, second: bool
) -> None:
    """A miss, then hits in either form: one call upstream, one and the same text."""
    with client_of(house, key) as client:
        head, fresh = ask(client, told, stream=first)
        assert head["x-cache"] == "MISS"
        head, again = ask(client, asked, stream=second)
    assert (head["x-cache"], head["x-likewise-match"]) == ("HIT", match)
    assert again == fresh
    assert verify(again, credential=key, prompt=told)
    assert house.calls(key) == 1


async def test_the_async_client_too(house: House, key: str) -> None:
    """The same through AsyncOpenAI, streamed."""
    texts = []
    async with client_of(house, key, openai.AsyncOpenAI) as client:
        for prompt in (SKY, SKY_AGAIN):
            asked = [{"role": "user", "content": prompt}]
            stream = await client.chat.completions.create(model=MODEL, messages=asked, stream=True)
            texts.append("".join([c.choices[0].delta.content or "" async for c in stream]))
    assert texts[0] == texts[1]
    assert house.calls(key) == 1


def test_the_client_sees_a_remembered_answer_as_a_fresh_one(house: House, key: str) -> None:
    """Every field that the upstream gave is there again."""
    asked = {"model": MODEL, "messages": [{"role": "user", "content": SKY}]}
    with client_of(house, key) as client:
        fresh, again = (client.chat.completions.create(**asked) for _ in range(2))
    assert again.model_dump() == fresh.model_dump()


def test_the_clients_controls_work(house: House, key: str) -> None:
    """`extra_headers` and `extra_body` steer the cache."""
    with client_of(house, key) as client:
        ask(client, SKY, stream=False, extra_headers={"x-likewise-tags": "sky"})
        head, _ = ask(client, SKY, stream=False, extra_body={"cache": {"no-cache": True}})
        assert head["x-likewise-reason"] == "write-only"
        head, _ = ask(client, SKY, stream=False, extra_headers={"cache-control": "no-store"})
        assert head["x-likewise-reason"] == "no-store"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("status:429", openai.RateLimitError),
        ("status:500", openai.InternalServerError),
        ("reset", openai.InternalServerError),
    ],
)
def test_the_client_understands_errors(
    house: House, key: str, mode: str, kind: type[openai.APIStatusError]
) -> None:
    """The upstream's and ours arrive as the client's own exceptions, message and all."""
    with client_of(house, key) as client, pytest.raises(kind) as caught:
        ask(client, SKY, stream=False, extra_headers={"x-oracle-mode": mode})
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"]


def test_the_client_hears_that_a_stream_was_cut(house: House, key: str) -> None:
    """It raises instead of taking half an answer for a whole one; a repeat asks again."""
    with client_of(house, key) as client:
        with pytest.raises(openai.APIError, match="ended before it was complete"):
            ask(client, SKY, stream=True, extra_headers={"x-oracle-mode": "cut:2"})
        head, text = ask(client, SKY, stream=True)
    assert head["x-cache"] == "MISS"
    assert verify(text, credential=key, prompt=SKY)


def test_the_client_does_not_retry_only_if_cached(house: House, key: str) -> None:
    """`x-should-retry: false` holds with retries on; nothing reached the upstream."""
    with (
        client_of(house, key).with_options(max_retries=3) as client,
        pytest.raises(openai.InternalServerError) as caught,
    ):
        ask(client, SKY, stream=False, extra_headers={"cache-control": "only-if-cached"})
    assert caught.value.status_code == 504
    rows = house.api("/api/decisions?limit=1000")["decisions"]
    owner = next(row["owner"] for row in rows if row["status"] == 504)
    assert sum(row["owner"] == owner for row in rows) == 1
    assert house.calls(key) == 0


def test_other_calls_of_the_client_pass(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Models and embeddings come from the upstream behind."""
    with (
        uvicorn_of(SampleUpstream(latency=0, per_token=0)) as upstream,
        serving(tmp_path_factory.mktemp("sample"), upstream) as house,
        client_of(house, "sk-1") as client,
    ):
        assert MODEL in [model.id for model in client.models.list()]
        vectors = client.embeddings.create(model="any", input=["a", "b"])
        assert len(vectors.data) == 2


def test_the_bundled_conversations_get_right_answers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whoever asks gets the answer written for the question; not one look-alike is served."""
    served, wrong = set(), []
    with (
        uvicorn_of(SampleUpstream(latency=0, per_token=0)) as upstream,
        serving(tmp_path_factory.mktemp("sample"), upstream) as house,
        client_of(house, "sk-1") as client,
    ):
        for turn in TURNS.values():
            raw = client.chat.completions.with_raw_response.create(
                model=MODEL, messages=turn.messages
            )
            text = raw.parse().choices[0].message.content
            if raw.headers["x-cache"] == "HIT":
                served.add(turn.expect.value)
            if text.strip() != turn.answer.strip():
                wrong.append(turn.id)
    assert wrong == []
    assert "lookalike" not in served
    assert served >= {"paraphrase"}
