"""Embeddings through the house: each item from where it is, upstream asked for the rest alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.proxy.house import House, serving, uvicorn_of
from tests.proxy.wire import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-1"


class Vectors:
    """An upstream whose vectors prove for which item, model and size they were made."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.fault = ""
        self.slow = 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.loads(await read_all(receive))
        given = body["input"]
        single = isinstance(given, str) or isinstance(given[0], int)
        items = [given] if single else given
        self.asked.append(items)
        await asyncio.sleep(self.slow)
        rows = [
            {"object": "embedding", "index": at, "embedding": form(prove(body, item), body)}
            for at, item in enumerate(items)
        ]
        tokens = sum(len(item) for item in items)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        whole: dict[str, Any] = {"object": "list", "data": rows, "model": "m", "usage": usage}
        if self.fault == "short":
            rows.pop()
        if self.fault == "turned":
            rows.reverse()
        status = 500 if self.fault == "error" else 200
        if status != 200:
            whole = {"error": {"message": "broken", "type": "x", "param": None, "code": None}}
        head = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps(whole).encode()})


def prove(body: dict[str, Any], item: Any) -> list[float]:
    seal = hashlib.sha256(json.dumps([body["model"], body.get("dimensions"), item]).encode())
    return [byte / 256 for byte in seal.digest()[:8]]


def form(vector: list[float], body: dict[str, Any]) -> Any:
    if body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack("<8f", *vector)).decode()


class Bed:
    """A house, its upstream and a client with a memory of its own."""

    def __init__(self, house: House, vectors: Vectors) -> None:
        self.house, self.vectors = house, vectors
        self.heads: list[Any] = []

    def embed(self, given: Any, key: str = KEY, **more: Any) -> Any:
        seen = {"response": [lambda answer: self.heads.append(answer.headers)]}
        client = openai.OpenAI(
            api_key=key, base_url=f"{self.house.where.data}/v1", max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False, event_hooks=seen),
        )  # fmt: skip
        with client:
            return client.embeddings.create(**{"model": "m", "input": given} | more)

    def status(self) -> str:
        told = self.heads[-1]["cache-status"].split("; ")
        return "; ".join(part for part in told if not part.startswith("ttl="))

    @property
    def last(self) -> list[Any]:
        return self.vectors.asked[-1]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    vectors = Vectors()
    with uvicorn_of(vectors) as upstream, serving(tmp_path, upstream) as house:
        yield Bed(house, vectors)


def right(told: Any, items: list[Any], **more: Any) -> bool:
    """Whether every vector is its item's, in the items' order."""
    wanted = [prove({"model": "m"} | more, item) for item in items]
    got = [one.embedding for one in told.data]
    close = all(
        all(abs(a - b) < 1e-6 for a, b in zip(x, y, strict=True))
        for x, y in zip(got, wanted, strict=True)
    )
    return close and [one.index for one in told.data] == list(range(len(items)))


def test_upstream_is_asked_for_what_is_missing_only(bed: Bed) -> None:
    """Nothing, some and all of a batch known; duplicates once; vectors in the caller's order."""
    assert right(bed.embed(["a", "b"]), ["a", "b"])
    assert bed.status() == "likewise; fwd=miss; stored; detail=empty"
    assert right(bed.embed(["c", "b", "c", "a"]), ["c", "b", "c", "a"])
    assert bed.status() == "likewise; fwd=partial; stored; detail=empty"
    assert bed.last == ["c"]
    assert right(bed.embed("c"), ["c"])
    assert right(bed.embed(["a", "c", "b"]), ["a", "c", "b"])
    assert bed.status() == "likewise; hit; detail=exact"
    assert len(bed.vectors.asked) == 2
    assert {bed.heads[-1][name] for name in ("x-cache", "x-likewise-match")} == {"HIT", "exact"}


def test_token_lists_are_items_too(bed: Bed) -> None:
    """One list of tokens is one item, alone or among others."""
    assert right(bed.embed([1, 2]), [[1, 2]])
    assert right(bed.embed([[3], [1, 2]]), [[3], [1, 2]])
    assert bed.last == [[3]]


@pytest.mark.parametrize(
    ("more", "key"),
    [({"dimensions": 8}, KEY), ({"model": "n"}, KEY), ({"encoding_format": "float"}, KEY),
     ({}, "sk-2")],
)  # fmt: skip
def test_another_request_has_other_vectors(bed: Bed, more: dict[str, Any], key: str) -> None:
    """Size, model, form and caller each part the memory."""
    bed.embed("a")
    assert right(bed.embed("a", key, **more), ["a"], **more)
    assert len(bed.vectors.asked) == 2


def test_usage_adds_up(bed: Bed) -> None:
    """A batch from memory costs what it once cost, to the token."""
    fresh = bed.embed(["a", "bbb", "cc"])
    assert bed.embed(["a", "bbb", "cc"]).usage == fresh.usage
    assert bed.heads[-1]["x-likewise-tokens-saved"] == str(fresh.usage.total_tokens)


@pytest.mark.parametrize("fault", ["short", "error"])
def test_a_bad_answer_is_passed_on_and_not_kept(bed: Bed, fault: str) -> None:
    """What does not give one vector for each item is nobody's later answer."""
    bed.vectors.fault = fault
    url = f"{bed.house.where.data}/v1/embeddings"
    asked = {"model": "m", "input": ["a", "b"]}
    head = {"authorization": f"Bearer {KEY}"}
    answer = bed.house.client.post(url, json=asked, headers=head)
    assert answer.status_code == (500 if fault == "error" else 200)
    bed.vectors.fault = ""
    assert right(bed.embed(["a", "b"]), ["a", "b"])
    assert bed.last == ["a", "b"]


def test_an_answer_in_another_order_is_put_in_order(bed: Bed) -> None:
    """By index, whichever way the upstream lists them."""
    bed.vectors.fault = "turned"
    bed.embed(["a", "b"])
    assert right(bed.embed(["b", "a"]), ["b", "a"])


def test_directives_hold_for_every_item(bed: Bed) -> None:
    """no-store writes nothing, no-cache asks for all, only-if-cached never asks."""
    bed.embed("a", extra_headers={"cache-control": "no-store"})
    with pytest.raises(openai.InternalServerError) as caught:
        bed.embed(["a"], extra_headers={"cache-control": "only-if-cached"})
    assert (caught.value.status_code, caught.value.code) == (504, "only_if_cached_miss")
    bed.embed(["a", "b"])
    bed.embed(["a", "b"], extra_headers={"cache-control": "no-cache"})
    assert bed.last == ["a", "b"]
    assert right(bed.embed("b", extra_headers={"cache-control": "only-if-cached"}), ["b"])
    assert len(bed.vectors.asked) == 3


def test_what_is_no_input_is_the_upstreams_to_judge(bed: Bed) -> None:
    """Forwarded as it is, and told so."""
    bed.vectors.fault = "error"
    with pytest.raises(openai.InternalServerError):
        bed.embed(["a", 1])
    assert bed.heads[-1]["cache-status"] == "likewise; fwd=bypass; detail=unsupported"


def test_vectors_outlast_a_restart(tmp_path: Path) -> None:
    """What was stored item by item is there again."""
    vectors = Vectors()
    with uvicorn_of(vectors) as upstream:
        for _ in range(2):
            with serving(tmp_path, upstream) as house:
                assert right(Bed(house, vectors).embed(["a", "b"]), ["a", "b"])
    assert len(vectors.asked) == 1


async def test_equal_batches_at_once_cost_one_call(bed: Bed) -> None:
    """Thirty at the same moment: one call, and everybody the same vectors."""
    bed.vectors.slow = 0.5
    url = f"{bed.house.where.data}/v1/embeddings"
    asked = {"model": "m", "input": ["a", "b"]}
    head = {"authorization": f"Bearer {KEY}"}
    limits = httpx.Limits(max_connections=30)
    async with httpx.AsyncClient(trust_env=False, timeout=20, limits=limits) as client:
        answers = await asyncio.gather(
            *(client.post(url, json=asked, headers=head) for _ in range(30))
        )
    assert len({answer.content for answer in answers}) == 1
    assert len(bed.vectors.asked) == 1
    assert sum("collapsed" in answer.headers["cache-status"] for answer in answers) == 29
