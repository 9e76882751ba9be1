"""Every remembered API by its official client: a remembered answer is the fresh one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tests.proxy.apis import Vendor
from tests.proxy.house import House, serving, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
APIS = ("completions", "messages", "responses")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Vendor]]:
    vendor = Vendor()
    with (
        uvicorn_of(vendor) as upstream,
        serving(tmp_path_factory.mktemp("apis"), upstream) as house,
    ):
        yield house, vendor


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"sk-{request.node.name.encode().hex()}"


class Client:
    """One API as an application uses it; what it gets, put together, as plain data."""

    def __init__(self, house: House, api: str, key: str) -> None:
        self.api, self.base = api, house.where.data
        self.heads: list[Any] = []
        vendor: Any = anthropic if api == "messages" else openai
        seen = {"response": [lambda answer: self.heads.append(answer.headers)]}
        http = vendor.DefaultHttpxClient(trust_env=False, timeout=20, event_hooks=seen)
        if api == "messages":
            self.claude = anthropic.Anthropic(
                api_key=key, base_url=self.base, max_retries=0, http_client=http
            )
        else:
            self.gpt = openai.OpenAI(
                api_key=key, base_url=f"{self.base}/v1", max_retries=0, http_client=http
            )

    def ask(self, prompt: str, *, stream: bool, **rest: Any) -> dict[str, Any]:
        made: Any = getattr(self, f"_{self.api}")(prompt, stream, rest)
        told: dict[str, Any] = made.model_dump()
        return told

    def _completions(self, prompt: str, stream: bool, rest: dict[str, Any]) -> Any:
        asked: Any = {"model": "m", "prompt": prompt, **rest}
        if not stream:
            return self.gpt.completions.create(**asked)
        counted = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(self.gpt.completions.create(**asked, **counted))
        whole = chunks[0].model_copy(deep=True)
        whole.choices[0].text = "".join(c.choices[0].text for c in chunks if c.choices)
        whole.choices[0].finish_reason = chunks[-2].choices[0].finish_reason
        whole.usage = chunks[-1].usage
        return whole

    def _messages(self, prompt: str, stream: bool, rest: dict[str, Any]) -> Any:
        asked: Any = {
            "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": prompt}],
        } | rest  # fmt: skip
        if not stream:
            return self.claude.messages.create(**asked)
        with self.claude.messages.stream(**asked) as told:
            return anthropic.types.Message.construct(**told.get_final_message().model_dump())

    def _responses(self, prompt: str, stream: bool, rest: dict[str, Any]) -> Any:
        asked: Any = {"model": "m", "input": prompt, **rest}
        if not stream:
            return self.gpt.responses.create(**asked)
        told = list(self.gpt.responses.create(**asked, stream=True))
        assert [event.sequence_number for event in told] == list(range(len(told)))
        return told[-1].response  # type: ignore[union-attr]


@pytest.mark.parametrize("second", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("first", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", APIS)
def test_a_remembered_answer_is_the_fresh_one(
    bed: tuple[House, Vendor], key: str, api: str, *, first: bool, second: bool
) -> None:
    """Asked again in the same form or the other: no call, and the same object to the last field."""
    house, vendor = bed
    client, before = Client(house, api, key), len(vendor.bodies)
    fresh = client.ask(SKY, stream=first)
    again = client.ask(SKY, stream=second)
    assert again == fresh
    assert len(vendor.bodies) == before + 1
    head = client.heads[-1]
    assert (head["x-cache"], head["x-likewise-match"]) == ("HIT", "exact")
    assert "request-id" not in head


@pytest.mark.parametrize("api", APIS)
def test_a_rephrased_question_is_answered_too(
    bed: tuple[House, Vendor], key: str, api: str
) -> None:
    """By meaning, in every API; what only that answer's maker may use is not in it."""
    house, _ = bed
    client = Client(house, api, key)
    fresh, again = client.ask(SKY, stream=False), client.ask(SKY_AGAIN, stream=True)
    assert client.heads[-1]["x-likewise-match"] == "semantic"
    if api == "responses":
        entry = client.heads[-1]["x-likewise-entry"]
        assert again.pop("id") == f"resp_likewise_{entry}"
        assert fresh.pop("id").startswith("resp_")
    assert again == fresh


@pytest.mark.parametrize("api", APIS)
def test_another_parameter_is_another_question(
    bed: tuple[House, Vendor], key: str, api: str
) -> None:
    """Fields that shape the answer, known and unknown, part it in every API."""
    house, vendor = bed
    client, before = Client(house, api, key), len(vendor.bodies)
    client.ask(SKY, stream=False)
    for more in ({"temperature": 0.3}, {"x_new": 1}, {"x_new": 2}):
        client.ask(SKY, stream=False, extra_body=more)
    assert len(vendor.bodies) == before + 4


def test_a_reference_to_a_made_up_id_is_refused(bed: tuple[House, Vendor], key: str) -> None:
    """Whoever continues from a response matched by meaning hears why it cannot be continued."""
    house, vendor = bed
    client = Client(house, "responses", key)
    client.ask(SKY, stream=False)
    name = client.ask(SKY_AGAIN, stream=False)["id"]
    before = len(vendor.bodies)
    for call in (
        lambda: client.ask("and then?", stream=False, previous_response_id=name),
        lambda: client.gpt.responses.retrieve(name),
        lambda: client.gpt.responses.delete(name),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            call()
        assert caught.value.code == "previous_response_not_found"
    assert len(vendor.bodies) == before


def test_a_response_that_keys_share_has_no_id_of_its_vendor(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Where entries are shared beyond one key, no hit carries an id that only its maker may use."""
    policy = {"share": "everyone"}
    with (
        uvicorn_of(Vendor()) as upstream,
        serving(tmp_path_factory.mktemp("shared"), upstream, policy=policy) as house,
    ):
        maker, other = (Client(house, "responses", f"sk-{n}") for n in (1, 2))
        assert maker.ask(SKY, stream=False)["id"] == "resp_1"
        assert other.ask(SKY, stream=False)["id"].startswith("resp_likewise_")


@pytest.mark.parametrize("stream", [False, True])
def test_who_takes_a_response_under_way_gets_no_id_or_user_of_another(
    tmp_path_factory: pytest.TempPathFactory, stream: bool
) -> None:
    """Two keys that share, at one moment: one call, and the vendor's id for its maker alone."""
    vendor = Vendor()
    vendor.slow = 0.5
    with (
        uvicorn_of(vendor) as upstream,
        serving(tmp_path_factory.mktemp("way"), upstream, policy={"share": "everyone"}) as house,
        ThreadPoolExecutor(2) as pool,
    ):
        clients = [Client(house, "responses", f"sk-{n}") for n in (1, 2)]
        made = list(pool.map(lambda one: one.ask(SKY, stream=stream)["id"], clients))
    assert len(vendor.bodies) == 1
    assert sorted(name.startswith("resp_likewise_") for name in made) == [False, True]


def test_responses_that_are_kept_may_be_kept_out(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """`stateful: bypass`: only what the vendor is told not to keep is remembered."""
    policy = {"stateful": "bypass"}
    with (
        uvicorn_of(Vendor()) as upstream,
        serving(tmp_path_factory.mktemp("kept"), upstream, policy=policy) as house,
    ):
        client = Client(house, "responses", "sk-1")
        seen = []
        for store in (None, None, False, False):
            rest = {} if store is None else {"store": store}
            client.ask(SKY, stream=False, **rest)
            seen.append(client.heads[-1]["x-likewise-reason"])
    assert seen == ["stateful", "stateful", "empty", "exact"]


@pytest.mark.parametrize(
    ("body", "kind", "raised"),
    [
        (b"{", "invalid_request_error", anthropic.BadRequestError),
        (b'{"a": 1, "a": 2}', "invalid_request_error", anthropic.BadRequestError),
    ],
)
def test_anthropics_callers_get_anthropics_errors(
    bed: tuple[House, Vendor], body: bytes, kind: str, raised: type[Exception]
) -> None:
    """Refusals of ours come in the envelope that the client understands."""
    house, _ = bed
    answer = house.client.post(
        f"{house.where.data}/v1/messages", content=body, headers={"x-api-key": "k"}
    )
    assert answer.json()["error"]["type"] == kind
    assert answer.json()["type"] == "error"
    assert raised.status_code == answer.status_code  # type: ignore[attr-defined]
