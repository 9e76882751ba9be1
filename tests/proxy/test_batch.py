"""Embeddings through the house: each item from where it is, upstream asked for nothing twice."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import sqlite3
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.proxy.house import House, serving, until, uvicorn_of
from tests.proxy.wire import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MODEL = "text-embedding-3-small"
ONLY_CACHED = {"cache-control": "only-if-cached"}


def vector(item: Any, key: str, model: str = MODEL, dimensions: int = 4) -> list[float]:
    """Numbers that only this item, key, model and dimension have; exact as 32-bit floats."""
    seed = json.dumps([item, key, model, dimensions]).encode()
    return [hashlib.sha256(seed + bytes([n])).digest()[0] / 256 for n in range(dimensions)]


def packed(numbers: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@dataclass
class Vectors:
    """An embeddings API that counts what it is asked; `x-upstream` says how it misbehaves."""

    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        raw = await read_all(receive)
        heads = {name.decode(): value.decode() for name, value in scope["headers"]}
        given = dict(one.partition(":")[::2] for one in heads.get("x-upstream", "").split(","))
        body = json.loads(raw)
        items, key = body.get("input"), heads["authorization"].removeprefix("Bearer ")
        if not isinstance(items, list) or (items and isinstance(items[0], int)):
            items = [items]
        self.asked.append((key, items))
        self.bodies.append(raw)
        await asyncio.sleep(float(given.get("slow", 0)))
        status = int(given.get("status", 200 if items and items[0] else 400))
        made = self.answer(body, items, key, given) if status == 200 else {"error": {"n": status}}
        content = json.dumps(made, indent=1).encode()
        self.answers.append(content)
        lines = [(b"content-type", b"application/json"), (b"x-request-id", b"r-1")]
        lines += [(b"cache-control", b"no-store")] if "nostore" in given else []
        lines.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    def answer(self, body: Any, items: list[Any], key: str, given: dict[str, str]) -> Any:
        size = body.get("dimensions", 4)
        made = [vector(item, key, body["model"], size) for item in items]
        rows = [
            {"object": "embedding", "index": at, "embedding": packed(one) if _coded(body) else one}
            for at, one in enumerate(made)
        ]
        rows = rows[:-1] if "short" in given else rows
        rows = [row | {"index": 0} for row in rows] if "same" in given else rows
        rows = rows[::-1] if "shuffled" in given else rows
        tokens = sum(len(item) for item in items)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens + 1}
        model = given.get("model", body["model"])
        return {"object": "list", "data": rows, "model": model, "usage": usage}


def _coded(body: Any) -> bool:
    return bool(body.get("encoding_format") == "base64")


@dataclass
class Bed:
    """A house, the API behind it, and a key that no other test uses."""

    house: House
    upstream: Vectors
    key: str = "sk-batch"

    def ask(
        self, items: Any, headers: Mapping[str, str] | None = None, key: str = "", **more: Any
    ) -> httpx.Response:
        return self.send(json.dumps({"model": MODEL, "input": items} | more).encode(), headers, key)

    def send(
        self, content: bytes, headers: Mapping[str, str] | None = None, key: str = ""
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        where = f"{self.house.where.data}/v1/embeddings"
        return self.house.client.post(where, content=content, headers=sent | dict(headers or {}))

    @property
    def asked(self) -> list[list[Any]]:
        """The items of each call that this key paid for."""
        return [items for key, items in self.upstream.asked if key == self.key]

    def holds(self, items: Any, **more: Any) -> bool:
        """Whether memory alone can answer."""
        return self.ask(items, ONLY_CACHED, **more).status_code == 200

    def client(self) -> openai.OpenAI:
        where = f"{self.house.where.data}/v1"
        return openai.OpenAI(api_key=self.key, base_url=where, max_retries=0)

    def proven(self, answer: httpx.Response, items: list[Any], **more: Any) -> bool:
        """Whether each vector is its item's, in the caller's order."""
        rows = answer.json()["data"]
        assert [row["index"] for row in rows] == list(range(len(items)))
        return [row["embedding"] for row in rows] == [vector(i, self.key, **more) for i in items]


@contextmanager
def bed_in(folder: Path, **parts: Any) -> Iterator[Bed]:
    upstream = Vectors()
    with uvicorn_of(upstream) as address, serving(folder, address, **parts) as house:
        yield Bed(house, upstream)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with bed_in(tmp_path_factory.mktemp("house")) as bed:
        yield bed


@pytest.fixture
def bed(running: Bed, request: pytest.FixtureRequest) -> Bed:
    return Bed(running.house, running.upstream, f"sk-{request.node.name.encode().hex()}")


def status(answer: httpx.Response) -> str:
    """The Cache-Status line without the seconds that are left."""
    return re.sub(r" ttl=-?\d+;", "", answer.headers["cache-status"])


# --- known and unknown


def test_a_known_batch_is_answered_from_memory(bed: Bed) -> None:
    """In any order, in parts, with the headers of a hit and the tokens it would have cost."""
    fresh = bed.ask(["sky", "river", "sea"])
    assert status(fresh) == "likewise; fwd=miss; stored; detail=empty"
    assert (fresh.headers["x-cache"], fresh.headers["x-likewise-reason"]) == ("MISS", "empty")
    for items in (["sky", "river", "sea"], ["sea", "sky"], ["river"], "sea"):
        answer = bed.ask(items)
        wanted = [items] if isinstance(items, str) else items
        assert bed.proven(answer, wanted)
        head = answer.headers
        assert status(answer) == "likewise; hit; detail=exact"
        assert (head["x-cache"], head["x-likewise-match"]) == ("HIT", "exact")
        assert (head["x-likewise-reason"], head["x-likewise-similarity"]) == ("exact", "1.000")
        assert head["x-likewise-category"] == "default"
        assert 0 <= int(head["age"]) < 60
        assert re.fullmatch("[0-9a-f]{16}", head["x-likewise-request"])
        assert int(head["x-likewise-tokens-saved"]) == answer.json()["usage"]["prompt_tokens"]
    assert bed.ask(["sky", "river", "sea"]).json() == fresh.json()
    assert bed.asked == [["sky", "river", "sea"]]


def test_a_hit_is_named_after_its_first_item(bed: Bed) -> None:
    """And so is what was stored."""
    entries = [bed.ask(items).headers["x-likewise-entry"] for items in (["a", "b"], "a", "b")]
    assert entries[0] == entries[1] != entries[2]


def test_a_hit_is_as_old_as_its_oldest_item_and_ends_with_the_first(bed: Bed) -> None:
    """Age and time left are the worst of the batch."""
    bed.ask("old")
    time.sleep(1.1)
    bed.ask("short", {"x-likewise-ttl": "90s"})
    head = bed.ask(["short", "old"]).headers
    left = re.search(r"ttl=(\d+)", head["cache-status"])
    assert left is not None
    assert 60 < int(left[1]) <= 90
    assert 1 <= int(head["age"]) < 60


def test_a_half_known_batch_asks_for_the_rest_only(bed: Bed) -> None:
    """In the order of the caller, every vector its own item's, and the tokens add up."""
    bed.ask(["two", "four"])
    answer = bed.ask(["one", "two", "three", "four", "five"])
    assert bed.proven(answer, ["one", "two", "three", "four", "five"])
    assert bed.asked == [["two", "four"], ["one", "three", "five"]]
    assert status(answer) == "likewise; fwd=partial; stored; detail=empty"
    assert answer.headers["x-cache"] == "MISS"
    assert answer.headers["x-request-id"] == "r-1"
    assert int(answer.headers["content-length"]) == len(answer.content)
    # Each call costs a token besides its letters: 3 + 4 of the first, 3 + 5 + 4 of the second.
    assert answer.json()["usage"] == {"prompt_tokens": 19, "total_tokens": 21}
    assert bed.ask(["one", "two", "three", "four", "five"]).json() == answer.json()


def test_other_fields_of_a_half_known_batch_go_upstream_as_they_are(bed: Bed) -> None:
    """Only `input` is shorter, and what was the cache's own is gone."""
    more = {"dimensions": 2, "user": "ann", "new_field": {"x": [1.5]}}
    bed.ask(["sky"], **more)
    answer = bed.ask(["sky", "sea"], cache={"ttl": 60}, **more)
    sent = json.loads(bed.upstream.bodies[-1])
    assert sent == {"model": MODEL, "input": ["sea"]} | more
    assert bed.proven(answer, ["sky", "sea"], dimensions=2)


def test_what_is_all_unknown_passes_byte_for_byte(bed: Bed) -> None:
    """Both ways, white space included; only headers are added."""
    raw = f' {{"input" : ["sky",\n "sea"] , "model":"{MODEL}", "x":1.0}}'.encode()
    answer = bed.send(raw)
    assert bed.upstream.bodies[-1] == raw
    assert answer.content == bed.upstream.answers[-1]


def test_equal_items_are_asked_for_once(bed: Bed) -> None:
    """And answered as often as they were sent."""
    items = ["sky", "sea", "sky", "sky"]
    for wanted in ("likewise; fwd=miss; stored; detail=empty", "likewise; hit; detail=exact"):
        answer = bed.ask(items)
        assert bed.proven(answer, items)
        assert status(answer) == wanted
        assert answer.json()["usage"]["prompt_tokens"] == 12
    assert bed.proven(bed.ask(["new", "sky", "new"]), ["new", "sky", "new"])
    assert bed.asked == [["sky", "sea"], ["new"]]


@pytest.mark.parametrize("first", ["text", ["text"]])
@pytest.mark.parametrize("second", ["text", ["text"]])
def test_a_single_text_and_a_list_of_it_are_one(bed: Bed, first: Any, second: Any) -> None:
    """Whichever came first."""
    fresh = bed.ask(first)
    assert bed.ask(second).json() == fresh.json()
    assert len(bed.asked) == 1


def test_token_arrays_are_items_too(bed: Bed) -> None:
    """Single or several, half known, and never taken for the text that looks like them."""
    assert bed.proven(bed.ask([1, 2]), [[1, 2]])
    assert bed.proven(bed.ask([[3], [1, 2]]), [[3], [1, 2]])
    assert status(bed.ask([[1, 2]])) == "likewise; hit; detail=exact"
    assert bed.ask("[1,2]").headers["x-cache"] == "MISS"
    assert bed.asked == [[[1, 2]], [[3]], ["[1,2]"]]


def test_a_thousand_items_are_one_answer(bed: Bed) -> None:
    """Every other one known, and all of them its own vector."""
    items = [f"item {n}" for n in range(1_000)]
    bed.ask(items[::2])
    assert bed.proven(bed.ask(items), items)
    assert status(bed.ask(items)) == "likewise; hit; detail=exact"
    assert bed.asked == [items[::2], items[1::2]]


# --- through the official client


@pytest.mark.parametrize("more", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_the_official_client_hears_the_same_warm_and_cold(bed: Bed, more: Any) -> None:
    """It asks for base64 unless told otherwise; all known, half known and unknown."""
    client = bed.client().embeddings
    for items in (["sky", "sea"], ["sky", "sea"], ["new", "sky", "new", "other"], "sky"):
        heard = client.create(model=MODEL, input=items, **more)
        wanted = [vector(i, bed.key) for i in ([items] if isinstance(items, str) else items)]
        coded = list(map(packed, wanted)) if more.get("encoding_format") == "base64" else wanted
        assert [list(r.embedding) if coded is wanted else r.embedding for r in heard.data] == coded
        assert [row.index for row in heard.data] == list(range(len(wanted)))
        assert (heard.model, heard.object) == (MODEL, "list")
    assert bed.asked == [["sky", "sea"], ["new", "other"]]


def test_the_official_client_sees_upstreams_errors(bed: Bed) -> None:
    """As its own exceptions."""
    with pytest.raises(openai.RateLimitError):
        bed.client().embeddings.create(
            model=MODEL, input="sky", extra_headers={"x-upstream": "status:429"}
        )


# --- what never shares


@pytest.mark.parametrize(
    "change",
    [
        {"model": "text-embedding-3-large"},
        {"dimensions": 3},
        {"encoding_format": "float"},
        {"input_type": "query"},
        {"cache": {"namespace": "n"}},
    ],
)
def test_whatever_shapes_a_vector_parts_memory(bed: Bed, change: Any) -> None:
    """Each of them is another entry, and both stay."""
    for more in ({}, change):
        assert not bed.holds("sky", **more)
        bed.ask("sky", **more)
    for more in ({}, change):
        assert bed.holds("sky", **more)


def test_another_key_has_another_memory(bed: Bed) -> None:
    """The vector proves for whom it was made."""
    bed.ask(["sky", "sea"])
    other = Bed(bed.house, bed.upstream, bed.key + "-2")
    assert bed.proven(bed.ask(["sky"]), ["sky"])
    assert other.proven(other.ask(["sky"]), ["sky"])
    assert other.asked == [["sky"]]


def test_an_end_user_shapes_nothing_unless_the_policy_says_so(bed: Bed) -> None:
    """A personal text is kept per user, like any prompt; the batch's other items are not."""
    bed.ask(["what is my password", "sky"], user="ann")
    answer = bed.ask(["what is my password", "sky"], user="bob")
    assert status(answer) == "likewise; fwd=partial; stored; detail=empty"
    assert bed.asked[-1] == ["what is my password"]


# --- answers that are not good


@pytest.mark.parametrize("mode", ["short", "same"])
def test_a_batch_that_is_not_complete_passes_and_is_not_kept(bed: Bed, mode: str) -> None:
    """Byte for byte, and nothing of it is remembered."""
    answer = bed.ask(["sky", "sea"], {"x-upstream": mode})
    assert answer.content == bed.upstream.answers[-1]
    assert status(answer) == "likewise; fwd=miss; detail=empty"
    assert bed.house.decision(answer)["kept"] == "incomplete"
    assert not bed.holds(["sky"])


def test_another_order_is_read_by_index(bed: Bed) -> None:
    """What upstream sends backwards is kept under the right items."""
    items = ["sky", "river", "sea"]
    bed.ask(items, {"x-upstream": "shuffled"})
    assert bed.proven(bed.ask(items), items)
    more = [*items, "one", "two"]
    assert bed.proven(bed.ask(more, {"x-upstream": "shuffled"}), more)


@pytest.mark.parametrize("mode", ["short", "same", "nostore"])
def test_what_cannot_be_put_together_is_asked_for_as_a_whole(bed: Bed, mode: str) -> None:
    """The caller gets upstream's own answer to its own request, never a batch with holes."""
    bed.ask(["sky"])
    answer = bed.ask(["sky", "river", "sea"], {"x-upstream": mode})
    assert bed.asked[1:] == [["river", "sea"], ["sky", "river", "sea"]]
    assert answer.content == bed.upstream.answers[-1]
    assert status(answer) == "likewise; fwd=miss; detail=empty"
    assert not bed.holds("sea")


def test_an_upstream_that_forbids_storing_is_asked_once_from_then_on(bed: Bed) -> None:
    """Its answers cannot be shared out, so the next equal request goes as it came."""
    for calls in (2, 3):
        answer = bed.ask(["sky", "sky"], {"x-upstream": "nostore"})
        assert bed.proven(answer, ["sky", "sky"])
        assert len(bed.asked) == calls


def test_vectors_of_two_models_are_never_mixed(bed: Bed) -> None:
    """When upstream's model has changed, what was known is asked for anew, and then remembered."""
    bed.ask(["sky"])
    answer = bed.ask(["sky", "sea"], {"x-upstream": "model:next"})
    assert answer.json()["model"] == "next"
    assert bed.asked[1:] == [["sea"], ["sky", "sea"]]
    assert bed.ask(["sea", "sky"]).json()["model"] == "next"
    assert len(bed.asked) == 3


def test_known_vectors_of_two_models_are_asked_for_together(bed: Bed) -> None:
    """Each alone is a hit, both in one answer are not."""
    bed.ask(["sky"])
    bed.ask(["sea"], {"x-upstream": "model:next"})
    assert bed.holds("sky")
    assert bed.holds("sea")
    answer = bed.ask(["sky", "sea"])
    assert status(answer) == "likewise; fwd=miss; stored; detail=body-gone"
    assert bed.asked[2:] == [["sky", "sea"]]


@pytest.mark.parametrize("known", [[], ["sky"]])
@pytest.mark.parametrize("code", [400, 404, 429, 500, 503])
def test_an_upstreams_error_passes_byte_for_byte(bed: Bed, known: list[str], code: int) -> None:
    """One call, whatever was known; nothing is kept, and what is known stays."""
    for item in known:
        bed.ask(item)
    answer = bed.ask(["sky", "sea"], {"x-upstream": f"status:{code}"})
    assert (answer.status_code, answer.content) == (code, bed.upstream.answers[-1])
    assert len(bed.asked) == len(known) + 1
    assert not bed.holds("sea")
    assert bed.holds("sky") is bool(known)


def test_an_upstream_that_is_down_is_a_bad_gateway(tmp_path: Path) -> None:
    """502 in OpenAI's envelope, and 504 where it does not answer in time."""
    with serving(tmp_path, "http://127.0.0.1:9") as house:
        answer = Bed(house, Vectors()).ask(["sky"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    upstream = Vectors()
    (tmp_path / "late").mkdir()
    with uvicorn_of(upstream) as address:
        late = [{"name": "u", "base_url": f"{address}/v1", "timeout": {"first_byte": "0.2s"}}]
        with serving(tmp_path / "late", address, upstreams=late) as house:
            answer = Bed(house, upstream).ask(["sky"], {"x-upstream": "slow:1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


def test_an_answer_over_the_limit_passes_and_is_not_kept(tmp_path: Path) -> None:
    """As it comes; a known part does not help either."""
    with bed_in(tmp_path, server={"limits": {"response": "2KB"}}) as bed:
        bed.ask(["sky"])
        items = ["sky", *(f"item {n}" for n in range(50))]
        answer = bed.ask(items)
        assert bed.proven(answer, items)
        assert answer.content == bed.upstream.answers[-1]
        assert not bed.holds("item 1")


@pytest.mark.parametrize(
    "given",
    [None, [], {}, [None], ["sky", 1], [["sky"]], [[]], 7, ["x"] * 2_049],
    ids=lambda given: str(given)[:20],
)
def test_what_is_no_list_of_items_is_upstreams_to_judge(bed: Bed, given: Any) -> None:
    """Forwarded untouched, answered byte for byte, never kept."""
    raw = json.dumps({"model": MODEL, "input": given}).encode()
    for _ in range(2):
        answer = bed.send(raw, {"x-upstream": "status:400"})
        assert (answer.status_code, answer.content) == (400, bed.upstream.answers[-1])
        assert status(answer) == "likewise; fwd=bypass; detail=unsupported"
        assert bed.upstream.bodies[-1] == raw
    assert len(bed.asked) == 2


# --- what callers ask of the cache


def test_only_if_cached_never_asks(bed: Bed) -> None:
    """All known: served. One missing: 504 that no client retries."""
    bed.ask(["sky", "sea"])
    assert bed.proven(bed.ask(["sea", "sky"], ONLY_CACHED), ["sea", "sky"])
    answer = bed.ask(["sky", "new"], ONLY_CACHED)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (504, "false")
    assert answer.json()["error"]["code"] == "only_if_cached_miss"
    assert len(bed.asked) == 1


def test_no_store_neither_reads_nor_writes(bed: Bed) -> None:
    """The body goes as it came, and the journal keeps no text."""
    bed.ask("sky")
    answer = bed.ask(["sky", "sea", "sea"], {"cache-control": "no-store"})
    assert status(answer) == "likewise; fwd=bypass; detail=no-store"
    assert bed.asked[1:] == [["sky", "sea", "sea"]]
    assert bed.house.decision(answer)["prompt"] == ""
    assert not bed.holds("sea")


def test_no_cache_asks_and_stores(bed: Bed) -> None:
    """For every item, known or not."""
    bed.ask("sky")
    answer = bed.ask(["sky", "sea"], {"cache-control": "no-cache"})
    assert status(answer) == "likewise; fwd=request; stored; detail=write-only"
    assert bed.asked[1:] == [["sky", "sea"]]
    assert bed.holds(["sky", "sea"])


def test_max_age_refuses_each_item_that_is_older(bed: Bed) -> None:
    """Only those are asked for."""
    bed.ask("old")
    time.sleep(1.1)
    bed.ask("young")
    answer = bed.ask(["old", "young"], {"cache-control": "max-age=1"})
    assert status(answer) == "likewise; fwd=partial; stored; detail=expired"
    assert bed.asked[2:] == [["old"]]


@pytest.mark.parametrize(
    ("mode", "second", "kept"),
    [
        ("exact", "likewise; hit; detail=exact", True),
        ("off", "likewise; fwd=bypass; detail=mode-off", False),
        ("shadow", "likewise; fwd=miss; stored; detail=audit", True),
    ],
)
def test_the_mode_says_how_far_memory_may_go(
    bed: Bed, mode: str, second: str, *, kept: bool
) -> None:
    """Items are exact anyway; a shadow shows what would have been served."""
    steered = {"x-likewise-mode": mode}
    bed.ask(["sky", "sea"], steered)
    assert status(bed.ask(["sky", "sea"], steered)) == second
    assert bed.holds(["sky", "sea"]) is kept


def test_litellms_cache_field_is_understood_and_taken_out(bed: Bed) -> None:
    """It steers every item and does not reach upstream."""
    bed.ask(["sky", "sea"], cache={"no-store": True})
    assert b"no-store" not in bed.upstream.bodies[-1]
    assert not bed.holds("sky")


@pytest.mark.parametrize(
    ("content", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b'{"input": "a", "input": "b"}', "duplicate_key", "input"),
        (b'{"input": "a", "cache": 1}', "invalid_value", "cache"),
    ],
)
def test_what_cannot_be_read_is_refused(
    bed: Bed, content: bytes, code: str, param: str | None
) -> None:
    """As on the other routes, with nothing sent upstream."""
    answer = bed.send(content)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"], told["param"]) == (400, code, param)
    assert bed.asked == []


def test_a_deployment_of_azures_has_entries_of_its_own(bed: Bed) -> None:
    """The path names the model there."""
    sent = {"authorization": f"Bearer {bed.key}"}
    asked = {"input": ["sky"], "model": MODEL}
    paths = ["/embeddings", "/openai/deployments/mine/embeddings?api-version=1"]
    for path in (*paths, *paths):
        bed.house.client.post(bed.house.where.data + path, json=asked, headers=sent)
    assert bed.asked == [["sky"], ["sky"]]


# --- policy


def test_a_category_rules_its_own_items_only(tmp_path: Path) -> None:
    """What may not be kept is asked for each time, beside items that are served."""
    off = {"categories": {"secret": {"keywords": ["secret"], "cache": False}}}
    with bed_in(tmp_path, policy=off) as bed:
        items = ["sky", "a secret", "sea"]
        fresh = bed.ask(items)
        assert status(fresh) == "likewise; fwd=miss; stored; detail=empty"
        again = bed.ask(items)
        assert bed.proven(again, items)
        assert status(again) == "likewise; fwd=partial; detail=category-off"
        assert again.headers["x-likewise-category"] == "secret"
        alone = bed.ask(["a secret", "another secret"])
        assert status(alone) == "likewise; fwd=bypass; detail=category-off"
        assert bed.asked == [items, ["a secret"], ["a secret", "another secret"]]


def test_a_policy_for_sampling_is_not_about_vectors(tmp_path: Path) -> None:
    """`max_temperature: 0` keeps chat answers out that are sampled; these are not."""
    with bed_in(tmp_path, policy={"max_temperature": 0}) as bed:
        bed.ask("sky")
        assert bed.holds("sky")


SHORT = {"x-likewise-ttl": "1s"}


def test_stale_items_are_served_at_once_and_refreshed_behind(tmp_path: Path) -> None:
    """The answer says so, and only the stale ones are asked for."""
    windows = {"stale_while_revalidate": "10m", "stale_if_error": "0s"}
    with bed_in(tmp_path, policy={"defaults": windows}) as bed:
        bed.ask("old", SHORT)
        bed.ask("young")
        time.sleep(1.1)
        answer = bed.ask(["young", "old"], {"x-upstream": "slow:0.3"})
        assert status(answer) == "likewise; hit; detail=stale-while-revalidate"
        assert answer.headers["x-cache"] == "STALE"
        assert bed.proven(answer, ["young", "old"])
        until(lambda: bed.ask(["young", "old"]).headers["x-cache"] == "HIT")
        assert bed.asked == [["old"], ["young"], ["old"]]


def test_stale_items_stand_in_for_an_upstream_that_fails(tmp_path: Path) -> None:
    """Where all that is missing was known once; a new item lets the error pass."""
    windows = {"stale_while_revalidate": "0s", "stale_if_error": "1h"}
    fails = {"x-upstream": "status:503"}
    with bed_in(tmp_path, policy={"defaults": windows}) as bed:
        bed.ask("old", SHORT)
        bed.ask("young")
        time.sleep(1.1)
        answer = bed.ask(["young", "old"], fails)
        wanted = "likewise; fwd=stale; fwd-status=503; detail=stale-if-error"
        assert status(answer) == wanted
        assert bed.proven(answer, ["young", "old"])
        assert bed.ask(["young", "old", "new"], fails).status_code == 503
        again = bed.ask(["young", "old"])
        assert status(again) == "likewise; fwd=partial; stored; detail=expired"


# --- over time


def test_entries_survive_a_restart(tmp_path: Path) -> None:
    """Each item is found by another process, in any batch."""
    upstream = Vectors()
    with uvicorn_of(upstream) as address:
        with serving(tmp_path, address) as house:
            Bed(house, upstream).ask(["sky", "sea", "river"])
        with serving(tmp_path, address) as house:
            bed = Bed(house, upstream)
            answer = bed.ask(["river", "new", "sky"])
            assert bed.proven(answer, ["river", "new", "sky"])
    assert bed.asked[1:] == [["new"]]


def test_a_damaged_entry_is_a_miss(tmp_path: Path) -> None:
    """Its item is asked for again, the others are not."""
    upstream = Vectors()
    with uvicorn_of(upstream) as address:
        with serving(tmp_path, address) as house:
            entry = Bed(house, upstream).ask(["sky", "sea"]).headers["x-likewise-entry"]
        with sqlite3.connect(tmp_path / "likewise.db") as store:
            done = store.execute("update entries set body = x'00' where entry = ?", (entry,))
            assert done.rowcount == 1
        store.close()
        with serving(tmp_path, address) as house:
            bed = Bed(house, upstream)
            answer = bed.ask(["sea", "sky"])
            assert status(answer) == "likewise; fwd=partial; stored; detail=body-gone"
            assert bed.proven(answer, ["sea", "sky"])
    assert bed.asked[1:] == [["sky"]]


def test_the_journal_has_one_row_and_the_meters_one_request(tmp_path: Path) -> None:
    """For each request, however many items it has."""
    with bed_in(tmp_path) as bed:
        bed.ask(["sky", "sea"])
        partial = bed.house.decision(bed.ask(["sky", "new"]))
        hit = bed.house.decision(bed.ask(["sky", "new"]))
        assert [row["prompt"] for row in (partial, hit)] == ["sky\nnew"] * 2
        assert (partial["outcome"], partial["kept"], partial["tokens_in"]) == ("miss", "stored", 3)
        assert (hit["outcome"], hit["reason"], hit["tokens_in"]) == ("hit", "exact", 6)
        assert {row["dialect"] for row in (partial, hit)} == {"embeddings"}
        assert len(bed.house.api("/api/decisions?limit=100")["decisions"]) == 3
        said = bed.house.api("/metrics")
    counted = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in said.splitlines()
        if not line.startswith("#")
    }
    labels = 'category="default",outcome="{}",reason="{}"'
    for outcome, reason, times in (("miss", "empty", 2), ("hit", "exact", 1)):
        assert counted[f"likewise_requests_total{{{labels.format(outcome, reason)}}}"] == times
    assert counted["likewise_stored_total"] == 3
    assert counted["likewise_tokens_saved_total"] == 3 + 6


# --- at the same time


async def crowd(bed: Bed, mode: str, batches: list[Any]) -> list[httpx.Response]:
    """All at once, each on a connection of its own."""
    limits = httpx.Limits(max_connections=len(batches))
    sent = {"authorization": f"Bearer {bed.key}", "x-upstream": mode}
    where = f"{bed.house.where.data}/v1/embeddings"
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        asked = ({"model": MODEL, "input": items} for items in batches)
        return await asyncio.gather(*(client.post(where, json=a, headers=sent) for a in asked))


@pytest.mark.parametrize(
    "batches",
    [
        [["sky", "sea"]] * 30,
        [["sky", "sea", "known"]] * 30,
        [["sky", "sea"], ["sky", "known", "sea"], ["sky", "sea", "sky"]] * 10,
    ],
    ids=["unknown", "half known", "the same rest"],
)
async def test_equal_batches_cost_one_call(bed: Bed, batches: list[list[str]]) -> None:
    """Whoever lacks the same waits for the same call, and gets its own answer out of it."""
    await crowd(bed, "", [["known"]])
    answers = await crowd(bed, "slow:1.5", batches)
    assert all(bed.proven(a, items) for a, items in zip(answers, batches, strict=True))
    assert bed.asked[1:] == [["sky", "sea"]]
    waited = sum("; collapsed;" in answer.headers["cache-status"] for answer in answers)
    assert waited == len(batches) - 1


async def test_other_batches_never_wait_for_each_other(bed: Bed) -> None:
    """Another item, another order, another key: another call."""
    batches = [["sky", "sea"], ["sea", "sky"], ["sky"], ["sky", "tide"]]
    answers = await crowd(bed, "slow:0.3", batches)
    assert all(bed.proven(a, items) for a, items in zip(answers, batches, strict=True))
    assert len(bed.asked) == len(batches)


@pytest.mark.parametrize("mode", ["status:500", "status:429", "short"])
async def test_who_waited_in_vain_asks_for_itself(bed: Bed, mode: str) -> None:
    """All at once, and each with its own answer."""
    answers = await crowd(bed, f"slow:0.3,{mode}", [["sky", "sea"]] * 10)
    assert len(bed.asked) == 10
    assert max(answer.elapsed.total_seconds() for answer in answers) < 5


async def test_the_others_never_notice_that_the_leader_left(bed: Bed) -> None:
    """The call goes on, is everybody's, and is kept."""
    leader = asyncio.create_task(crowd(bed, "slow:0.8", [["sky", "sea"]]))
    await asyncio.to_thread(until, lambda: len(bed.asked) == 1)
    others = asyncio.create_task(crowd(bed, "slow:0.8", [["sky", "sea"]] * 5))
    await asyncio.sleep(0.2)
    leader.cancel()
    assert all(bed.proven(answer, ["sky", "sea"]) for answer in await others)
    assert len(bed.asked) == 1
    assert bed.holds(["sky", "sea"])


async def test_a_purge_under_way_forbids_storing(bed: Bed) -> None:
    """What was asked for before it is not kept after it."""
    early = asyncio.create_task(crowd(bed, "slow:0.6", [["sky", "sea"]]))
    await asyncio.to_thread(until, lambda: len(bed.asked) == 1)
    nothing = {"selection": {"model": "no-such-model"}, "dry_run": False}
    await asyncio.to_thread(bed.house.api, "/api/entries/purge", nothing)
    (answer,) = await early
    assert bed.proven(answer, ["sky", "sea"])
    assert status(answer) == "likewise; fwd=miss; detail=empty"
    assert not bed.holds("sky")


async def test_who_waited_for_vectors_of_another_model_asks_for_itself(bed: Bed) -> None:
    """What another's call brings does not go with what is known: the whole is asked for."""
    bed.ask("sky")
    batches = [["sea"], ["sky", "sea"]]
    alone, both = await crowd(bed, "slow:0.4,model:next", batches)
    assert [answer.json()["model"] for answer in (alone, both)] == ["next", "next"]
    assert bed.proven(both, ["sky", "sea"])
    assert "collapsed" not in both.headers["cache-status"]
    assert bed.asked[-1] == ["sky", "sea"]


async def test_nobody_waits_for_a_batch_with_an_item_that_is_not_kept(tmp_path: Path) -> None:
    """What may not be shared from memory may not be shared on its way either."""
    off = {"categories": {"secret": {"keywords": ["secret"], "cache": False}}}
    with bed_in(tmp_path, policy=off) as bed:
        await crowd(bed, "slow:0.3", [["sky", "a secret"]] * 5)
        assert len(bed.asked) == 5


async def test_collapsing_can_be_switched_off(tmp_path: Path) -> None:
    """`collapse: off`: each goes upstream."""
    with bed_in(tmp_path, policy={"collapse": "off"}) as bed:
        await crowd(bed, "slow:0.3", [["sky", "sea"]] * 5)
        assert len(bed.asked) == 5
