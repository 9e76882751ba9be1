"""Twenty cases in which caches for language models are known to go wrong, each by its number.

The list is drawn from what users of such caches reported. Where the contract's rules differ from
what a peer does, the contract rules: tools in another order are another request, and `no-store`
neither reads nor writes.
"""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from index.embedders.hashing import HashingEmbedder
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies.config import read_policy
from policies.document import read
from policies.values import Facts, Owners, Query
from policies.verdicts import Lookup
from proxy.demo.oracle import OracleUpstream, verify
from tests.proxy.house import House, body, command, serving, until, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
LOOSEST = {"x-likewise-threshold": "0.85"}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"sk-{request.node.name.encode().hex()}"


def text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def talk(*turns: str) -> dict[str, Any]:
    """A conversation: user and assistant by turns, the user last."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return {"model": "gpt-4o-mini", "messages": messages}


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("How do I turn on dark mode?", "How do I turn off dark mode?"),
        ("Convert 10 miles to km", "Convert 10 km to miles"),
        ("What is 2+2?", "What is 2+3?"),
        ("What was our Q3 2024 revenue?", "What was our Q3 2025 revenue?"),
        ("How do I reset my password?", "How do I reset my username?"),
    ],
)
def test_01_02_a_look_alike_is_a_miss(house: House, key: str, told: str, asked: str) -> None:
    """Polarity, direction, numbers, years and nouns: asked upstream, and `explain` says why."""
    house.chat(told, key, user="u")
    answer = house.chat(asked, key, LOOSEST, user="u")
    assert answer.headers["x-cache"] == "MISS"
    assert verify(text(answer), credential=key, prompt=asked)
    why = house.decision(answer)
    assert why["reason"].startswith("guard-") or why["reason"] == "below-threshold"
    assert 0 < why["similarity"] < 1 or why["reason"].startswith("guard-")


def test_03_a_paraphrase_is_a_hit(house: House, key: str) -> None:
    """What stops look-alikes lets the same question in other words through."""
    house.chat("What is the capital of France?", key)
    answer = house.chat("What is France's capital?", key, LOOSEST)
    assert answer.headers["x-likewise-match"] == "semantic"
    assert float(answer.headers["x-likewise-similarity"]) >= 0.85


def test_04_the_same_words_after_another_turn_are_a_miss(house: House, key: str) -> None:
    """`How old is he?` depends on who he is."""
    house.post(talk("Who is the CEO of OpenAI?", "Sam Altman.", "How old is he?"), key)
    answer = house.post(talk("Who is the CEO of Apple?", "Tim Cook.", "How old is he?"), key)
    assert (answer.headers["x-cache"], answer.headers["x-likewise-reason"]) == (
        "MISS",
        "other-context",
    )


def test_05_another_system_prompt_is_another_cache(house: House, key: str) -> None:
    """Different or missing: a miss. The same: a paraphrase hits."""

    def ask(system: str | None, prompt: str) -> str:
        first = [] if system is None else [{"role": "system", "content": system}]
        asked = body(prompt) | {"messages": [*first, {"role": "user", "content": prompt}]}
        return str(house.post(asked, key).headers["x-cache"])

    assert ask("Be brief.", SKY) == "MISS"
    assert ask("Rhyme.", SKY) == "MISS"
    assert ask(None, SKY) == "MISS"
    assert ask("Be brief.", SKY_AGAIN) == "HIT"


def test_06_a_long_common_beginning_hides_no_difference(house: House, key: str) -> None:
    """4,000 equal characters before two questions: never a match by meaning, and it says why."""
    prefix = "The report says that growth was steady in the northern region. " * 64
    house.chat(prefix + "What is the first finding?", key)
    # A text this long is near the time that a request has for embedding, on a busy machine.
    for again in range(10):
        answer = house.chat(prefix + "What is the last finding?" + " " * again, key, LOOSEST)
        assert answer.headers["x-cache"] == "MISS"
        if answer.headers["x-likewise-reason"] != "embed-timeout":
            break
    assert answer.headers["x-likewise-reason"] == "truncated"


@pytest.mark.parametrize(
    ("change", "hit"),
    [
        ({"model": "gpt-4o"}, False),
        ({"temperature": 1}, False),
        ({"response_format": {"type": "json_object"}}, False),
        ({"max_tokens": 9}, False),
        ({"tools": [TOOL]}, False),
        ({}, True),
    ],
)
def test_07_what_shapes_an_answer_parts_the_cache(
    house: House, key: str, change: dict[str, Any], hit: bool
) -> None:
    """Model, sampling, format, limits, tools. The order of JSON keys and white space do not."""
    asked = body(SKY, temperature=0, max_tokens=5)
    house.post(asked, key)
    turned = dict(reversed((asked | change).items()))
    answer = house.post(json.dumps(turned, indent=3).encode(), key)
    assert (answer.headers["x-cache"] == "HIT") is hit
    two = [TOOL, {"type": "function", "function": {"name": "note_down"}}]
    house.chat(SKY, key, tools=two)
    assert house.chat(SKY, key, tools=two[::-1]).headers["x-cache"] != "HIT"


def test_08_another_tenant_has_another_cache(house: House, key: str) -> None:
    """Byte-identical, or naming the other's namespace: a miss. A shared namespace stays inside."""
    space = {"cache": {"namespace": "shared"}}
    house.chat(SKY, key, **space)
    assert house.chat(SKY, f"{key}2").headers["x-cache"] == "MISS"
    assert house.chat(SKY, f"{key}2", **space).headers["x-cache"] == "MISS"
    assert house.chat(f"namespace=shared {SKY}", f"{key}2").headers["x-cache"] == "MISS"
    assert house.chat(SKY, key, **space).headers["x-cache"] == "HIT"


def test_08_sharing_is_a_setting(tmp_path: Path) -> None:
    """`share: everyone` lets one key's answer serve another."""
    with with_oracle(tmp_path, policy={"share": "everyone"}) as open_house:
        open_house.chat(SKY, "sk-1")
        assert open_house.chat(SKY, "sk-2").headers["x-cache"] == "HIT"


def test_09_a_hundred_repeats_cost_one_call(tmp_path: Path) -> None:
    """Across a restart, with the keys of the request in another order each time."""
    order, oracle = np.random.default_rng(9), OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        for _ in range(2):
            with serving(tmp_path, upstream, oracle) as running:
                for _ in range(50):
                    items = list(body(SKY, temperature=0, seed=1).items())
                    order.shuffle(items)
                    running.post(json.dumps(dict(items)).encode(), "sk-1")
    assert oracle.calls == 1


async def test_10_other_tenants_do_not_hide_a_neighbour() -> None:
    """One's own paraphrase is found among fifty tenants with a hundred near-identical entries."""
    memory = Memory(HashingEmbedder(), MemoryBodies())
    rules = read_policy(read("", "none"))
    for tenant in range(50):
        for number in range(100):
            prompt = f"why is the sky blue in town {number}"
            vector = memory.embedder.embed(prompt).vector
            name = f"{tenant:016x}{number:016x}"
            facts = Facts(name, f"space-{tenant}", "o", "default", "chat", "m", "", prompt,
                          0.0, 1e12, 1e12, 1)  # fmt: skip
            await memory.keep(facts, b"{}", vector, meaning=True)
    for tenant in range(50):
        query = Query("chat", "u", "m", Owners("k"), b"", "", "why is the sky blue in town 7?")
        lookup = Lookup("f" * 32, f"space-{tenant}", rules.defaults, None)
        found = await memory.find(lookup, query, rules)
        assert found.near[0].facts.text == "why is the sky blue in town 7"
        assert {c.facts.space for c in found.near} == {f"space-{tenant}"}
    await memory.close()


def test_11_a_stream_is_replayed_as_a_stream_and_as_a_body(house: House, key: str) -> None:
    """Role, deltas, finish reason, usage if asked for, the terminal event; then the same JSON."""
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    fresh = house.chat(SKY, key, **counted)
    again = house.chat(SKY, key, **counted)
    assert again.headers["content-type"] == "text/event-stream"
    assert again.text == fresh.text
    chunks = [json.loads(line[6:]) for line in again.text.splitlines() if "data: {" in line]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert again.text.endswith("data: [DONE]\n\n")
    said = "".join(c["delta"].get("content") or "" for x in chunks for c in x["choices"])
    whole = house.chat(SKY, key)
    assert whole.headers["content-type"] == "application/json"
    assert text(whole) == said
    assert house.calls(key) == 1


def test_12_tool_calls_survive_a_replay(house: House, key: str) -> None:
    """Two in parallel: indexes, ids, names, arguments and the finish reason."""
    streamed = {"tools": [TOOL], "stream": True}
    fresh = house.chat(SKY, key, {"x-oracle-mode": "tools"}, **streamed)
    again = house.chat(SKY, key, **streamed)
    assert again.headers["x-likewise-match"] == "exact"
    assert again.text == fresh.text
    assert '"finish_reason":"tool_calls"' in again.text.replace(" ", "")


@pytest.mark.parametrize("mode", ["cut:2", "reset:2", "error:2"])
def test_13_a_broken_stream_is_not_stored(house: House, key: str, mode: str) -> None:
    """Dropped, without its terminal event, or with an error inside a 200: asked again."""
    house.chat(SKY, key, {"x-oracle-mode": mode}, stream=True)
    assert house.chat(SKY, key, stream=True).headers["x-cache"] == "MISS"


@pytest.mark.parametrize(
    "mode", ["length", "content_filter", "empty", "status:400", "status:500", "refusal"]
)
def test_14_a_bad_answer_is_not_stored(house: House, key: str, mode: str) -> None:
    """Cut by a limit, filtered, empty, refused or an error: the next one asks again."""
    house.chat(SKY, key, {"x-oracle-mode": mode})
    assert house.chat(SKY, key).headers["x-cache"] == "MISS"


async def test_15_a_hanging_embedder_costs_its_budget_only() -> None:
    """The look-up gives up in time, says so, and the exact tier still answers."""

    class Hanging(HashingEmbedder):
        def embed(self, text: str) -> Any:
            gate.wait(10)
            return super().embed(text)

    gate = threading.Event()
    memory = Memory(Hanging(), MemoryBodies(), embed_budget=0.1)
    rules = read_policy(read("", "none"))
    facts = Facts("e" * 32, "s", "o", "default", "chat", "m", "", "q", 0.0, 1e12, 1e12, 1)
    await memory.keep(facts, b"{}", None, meaning=False)
    query = Query("chat", "u", "m", Owners("k"), b"", "", "why is the sky blue")
    lost = await memory.find(Lookup("f" * 32, "s", rules.defaults, None), query, rules)
    assert lost.fault == "embed-timeout"
    assert memory.faults.embed_timeout == 1
    known = await memory.find(Lookup("e" * 32, "s", rules.defaults, None), query, rules)
    assert known.exact == facts
    gate.set()
    await memory.close()


async def test_16_fifty_equal_requests_cost_one_call(house: House, key: str) -> None:
    """One call, fifty answers, forty-nine told `collapsed`."""
    sent = {"authorization": f"Bearer {key}", "x-oracle-mode": "slow:0.8"}
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        url = f"{house.where.data}/v1/chat/completions"
        answers = await asyncio.gather(
            *(client.post(url, json=body(SKY), headers=sent) for _ in range(50))
        )
    assert len({a.content for a in answers}) == 1
    assert house.calls(key) == 1
    assert sum("collapsed" in a.headers["cache-status"] for a in answers) == 49


def test_17_bounds_hold_and_nothing_expired_is_served(tmp_path: Path) -> None:
    """A thousandfold of the bound is asked for; what is kept stays under it and in step."""
    index = {"max_entries": 20}
    with with_oracle(tmp_path, index=index) as running:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: running.chat(f"Question {n}?", "sk-1"), range(200)))
        until(lambda: running.api("/api/overview")["entries"] <= 20)
        running.chat(SKY, "sk-1", {"x-likewise-ttl": "1s", "cache-control": "no-cache"})
        until(
            lambda: (
                running.chat(
                    SKY, "sk-1", {"cache-control": "max-age=0, only-if-cached"}
                ).status_code
                == 504
            )
        )


@pytest.mark.parametrize(
    ("value", "status"), [("0", 200), ("1.0", 200), ("1.01", 400), ("-0.1", 400), ("high", 400)]
)
def test_18_the_threshold_has_one_scale(house: House, key: str, value: str, status: int) -> None:
    """Cosine from 0 to 1; the ends are values, what lies beyond is refused."""
    assert house.chat(SKY, key, {"x-likewise-threshold": value}).status_code == status


async def test_18_another_model_means_no_mixed_vectors() -> None:
    """On one store: exact matches go on, near ones start anew, and no two kinds are compared."""
    bodies, rules = MemoryBodies(), read_policy(read("", "none"))
    facts = Facts("e" * 32, "s", "o", "default", "chat", "m", "", SKY, 0.0, 1e12, 1e12, 1)
    query = Query("chat", "u", "m", Owners("k"), b"", "", SKY_AGAIN)
    for dimension, near in ((256, 1), (64, 0)):
        memory = Memory(HashingEmbedder(dimension), bodies)
        await memory.load()
        if near:
            await memory.keep(facts, b"{}", memory.embedder.embed(SKY_AGAIN).vector, meaning=True)
            await memory.settled()
        found = await memory.find(Lookup("f" * 32, "s", rules.defaults, None), query, rules)
        assert len(found.near) == near
        known = await memory.find(Lookup("e" * 32, "s", rules.defaults, None), query, rules)
        assert known.exact is not None


def test_19_hits_are_accounted_for(house: House, key: str) -> None:
    """Usage as it was, tokens saved, entry and similarity in the log; headers on every answer."""
    fresh = house.chat(SKY, key)
    again = house.chat(SKY_AGAIN, key)
    bypass = house.chat(SKY, key, {"x-likewise-mode": "off"})
    assert again.json()["usage"] == fresh.json()["usage"]
    saved = int(again.headers["x-likewise-tokens-saved"])
    assert saved == fresh.json()["usage"]["total_tokens"]
    row = house.decision(again)
    assert (row["entry"], row["outcome"]) == (again.headers["x-likewise-entry"], "hit")
    assert row["similarity"] == pytest.approx(1.0, abs=0.01)
    for answer in (fresh, again, bypass):
        assert {"cache-status", "x-cache", "x-likewise-reason"} <= set(answer.headers)


def test_20_directives_and_deletion(house: House, key: str) -> None:
    """no-cache stores afresh, max-age skips what is older, no-store writes nothing, a deleted
    entry is gone at once for equal and rephrased questions."""
    first = house.chat(SKY, key, {"x-likewise-tags": "sky-20"})
    second = house.chat(SKY, key, {"cache-control": "no-cache", "x-likewise-tags": "sky-20"})
    assert text(second) != text(first)
    assert text(house.chat(SKY, key)) == text(second)
    assert house.chat(SKY, key, {"cache-control": "no-store"}).headers["x-cache"] == "BYPASS"
    selection = {"selection": {"tag": "sky-20"}}
    assert house.api("/api/entries/purge", selection)["removed"] == 1
    assert house.chat(SKY, key).headers["x-cache"] == "HIT"
    house.api("/api/entries/purge", selection | {"dry_run": False})
    for asked in (SKY_AGAIN, SKY):
        only = house.chat(asked, key, {"cache-control": "only-if-cached"})
        assert only.status_code == 504


def rate(house: House, answer: httpx.Response, key: str, verdict: str) -> int:
    told = {"request": answer.headers["x-likewise-request"], "verdict": verdict}
    where = f"{house.where.data}/v1/likewise/feedback"
    head = {"authorization": f"Bearer {key}"}
    return house.client.post(where, json=told, headers=head).status_code


def test_20_a_bad_verdict_ends_service(house: House, key: str) -> None:
    """After `bad`, rephrased and equal questions are asked upstream; another key's word is none."""
    house.chat(SKY, key)
    near = house.chat(SKY_AGAIN, key)
    assert near.headers["x-likewise-match"] == "semantic"
    assert rate(house, near, f"{key}2", "bad") == 404
    assert house.chat(SKY_AGAIN, key).headers["x-cache"] == "HIT"
    assert rate(house, near, key, "bad") == 200
    refused = house.chat(SKY_AGAIN, key)
    assert (refused.headers["x-cache"], refused.headers["x-likewise-reason"]) == ("MISS", "flagged")
    exact = house.chat(SKY, key)
    assert exact.headers["x-likewise-match"] == "exact"
    assert rate(house, exact, key, "bad") == 200
    assert house.chat(SKY, key, {"x-likewise-mode": "exact"}).headers["x-cache"] != "HIT"


def test_extra_other_paths_and_odd_model_names_pass(house: House, key: str) -> None:
    """A path that is not cached is no error, and `org/model:latest` is a model."""
    answer = house.chat(SKY, key, model="org/model:latest")
    assert answer.status_code == 200
    other = house.client.post(f"{house.where.data}/v1/rerank", json={"query": "x"})
    assert other.json()["path"] == "/v1/rerank"


def test_extra_no_prompt_or_key_in_what_is_logged(tmp_path: Path) -> None:
    """A run's own output holds neither; the store alone does."""
    with with_oracle(tmp_path) as behind:
        (tmp_path / "front").mkdir()
        with command(
            "serve", "--port", "0", "--admin-port", "0", "--upstream", behind.where.data + "/v1",
            cwd=tmp_path / "front",
        ) as running:  # fmt: skip
            url = running.found(r"(http://127\.0\.0\.1:\d+)/v1")
            head = {"authorization": "Bearer sk-very-secret"}
            httpx.post(f"{url}/v1/chat/completions", json=body("my secret question"), headers=head)
        assert "secret" not in running.said
