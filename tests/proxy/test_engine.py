"""What one request may get from memory, what may be kept, and what the answer's headers say."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy.demo.oracle import OracleUpstream, verify
from tests.proxy.house import House, body, serving, until, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES, TIDES_AGAIN = "How do tides work?", "How do the tides work?"
ONLY_CACHED = {"cache-control": "only-if-cached"}
REQUEST_ID = re.compile("[0-9a-f]{16}")
ENTRY_ID = re.compile("[0-9a-f]{32}")
PIXEL = base64.b64encode(b"not really a picture").decode()
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A credential that no other test uses, and so a memory of its own."""
    return f"sk-{request.node.name.encode().hex()}"


def status(answer: httpx.Response) -> str:
    """The Cache-Status line without the seconds that are left."""
    return re.sub(r" ttl=\d+;", "", answer.headers["cache-status"])


def said(answer: httpx.Response) -> str:
    """The text of a whole answer or of a stream."""
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if "data: {" in line]
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


def remembered(house: House, prompt: str, key: str, **rest: Any) -> bool:
    """Whether memory alone can answer."""
    return house.chat(prompt, key, ONLY_CACHED, **rest).status_code == 200


# --- hits


@pytest.mark.parametrize("first", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("second", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("told", "asked", "match"),
    [(SKY, SKY, "exact"), (SKY, SKY_AGAIN, "semantic"), (TIDES, TIDES_AGAIN, "semantic")],
)
def test_a_repeat_is_answered_from_memory_in_the_callers_form(
    house: House, key: str, told: str, asked: str, match: str, *, first: bool, second: bool
) -> None:
    """Whole or streamed, the same or rephrased: one upstream call, and the very same text."""
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    fresh = house.chat(told, key, **(counted if first else {}))
    again = house.chat(asked, key, stream=second)
    assert house.calls(key) == 1
    assert said(again) == said(fresh)
    assert verify(said(again), credential=key, prompt=told)
    assert (again.headers["x-cache"], again.headers["x-likewise-match"]) == ("HIT", match)
    kind = "text/event-stream" if second else "application/json"
    assert again.headers["content-type"].startswith(kind)
    assert second == again.text.endswith("data: [DONE]\n\n")


def test_a_miss_says_all_that_the_contract_promises(house: House, key: str) -> None:
    """Status, reason, category, ids; neither Age nor a match."""
    answer = house.chat(SKY, key)
    head = answer.headers
    assert status(answer) == "likewise; fwd=miss; stored; detail=empty"
    assert (head["x-cache"], head["x-likewise-reason"]) == ("MISS", "empty")
    assert head["x-likewise-category"] == "default"
    assert REQUEST_ID.fullmatch(head["x-likewise-request"])
    assert ENTRY_ID.fullmatch(head["x-likewise-entry"])
    assert not {"age", "x-likewise-match", "x-likewise-similarity"} & set(head)


def test_a_miss_with_a_neighbour_tells_how_near_it_was(house: House, key: str) -> None:
    """The similarity has three decimals and lies below the cut."""
    house.chat(SKY, key)
    answer = house.chat("Why is the grass green?", key)
    assert answer.headers["x-likewise-reason"] == "below-threshold"
    assert re.fullmatch(r"0\.\d{3}", answer.headers["x-likewise-similarity"])
    assert float(answer.headers["x-likewise-similarity"]) < 0.95


@pytest.mark.parametrize(
    ("asked", "match", "similarity"),
    [(SKY, "exact", r"1\.000"), (SKY_AGAIN, "semantic", r"1\.000")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_hit_says_all_that_the_contract_promises(
    house: House, key: str, asked: str, match: str, similarity: str, *, stream: bool
) -> None:
    """Status with the seconds left (a day by default), age, match, similarity, ids."""
    fresh = house.chat(SKY, key, stream=stream)
    answer = house.chat(asked, key, stream=stream)
    head = answer.headers
    left = re.fullmatch(r"likewise; hit; ttl=(\d+); detail=(\w+)", head["cache-status"])
    assert left is not None
    assert 86_000 < int(left[1]) <= 86_400
    assert left[2] == head["x-likewise-match"] == head["x-likewise-reason"] == match
    assert re.fullmatch(similarity, head["x-likewise-similarity"])
    assert 0 <= int(head["age"]) < 60
    assert head["x-cache"] == "HIT"
    assert head["x-likewise-category"] == "default"
    assert head["x-likewise-entry"] == house.decision(fresh)["entry"]
    assert head["x-likewise-request"] != fresh.headers["x-likewise-request"]


def test_a_stored_stream_serves_usage_only_to_who_asks_for_it(house: House, key: str) -> None:
    """One entry, three callers: without usage, with usage, and as a whole body."""
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    house.chat(SKY, key, **asked)
    assert '"completion_tokens"' in house.chat(SKY, key, **asked).text
    assert '"completion_tokens"' not in house.chat(SKY, key, stream=True).text
    assert house.chat(SKY, key).json()["usage"]["completion_tokens"] > 0
    assert house.calls(key) == 1


def test_a_whole_body_is_owed_its_token_counts(house: House, key: str) -> None:
    """A stream kept without usage answers streams only; a whole one then takes its place."""
    house.chat(SKY, key, stream=True)
    answer = house.chat(SKY, key)
    assert answer.headers["x-likewise-reason"] == "body-gone"
    assert answer.json()["usage"]["total_tokens"] > 0
    assert house.chat(SKY, key).headers["x-cache"] == "HIT"
    assert house.chat(SKY, key, stream=True).headers["x-cache"] == "HIT"


# --- misses


@pytest.mark.parametrize(
    ("told", "asked", "reason"),
    [
        ("What is 2+2?", "What is 2+3?", "guard-numbers"),
        ("Convert 10 miles to km", "Convert 10 km to miles", "guard-units"),
        ("Weigh a gold bar in kg, please.", "Weigh a gold bar in lb, please.", "guard-units"),
        ("How do I enable two-factor login?", "How do I disable two-factor login?", "guard-neg"),
        ("Is coffee good for the heart?", "Is coffee not good for the heart?", "guard-negation"),
        ("Does the dog chase the cat?", "Does the cat chase the dog?", "guard-order"),
        ("Tell me about Paris, France", "Tell me about Paris, Texas", ""),
    ],
)
def test_a_look_alike_is_not_served_even_at_the_lowest_cut(
    house: House, key: str, told: str, asked: str, reason: str
) -> None:
    """The reason names the guard that saw the difference (where the vectors are near at all)."""
    house.chat(told, key)
    answer = house.chat(asked, key, {"x-likewise-threshold": "0.85"})
    assert verify(said(answer), credential=key, prompt=asked)
    assert answer.headers["x-cache"] == "MISS"
    assert answer.headers["x-likewise-reason"].startswith(reason)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("重置我的密码", "删除我的帐户"),
        ("รีเซ็ตรหัสผ่านของฉัน", "ลบบัญชีของฉัน"),
        ("إعادة تعيين كلمة المرور الخاصة بي", "احذف حسابي"),
    ],
    ids=["chinese", "thai", "arabic"],
)
def test_what_the_encoder_cannot_read_is_matched_exactly_only(
    house: House, key: str, told: str, asked: str
) -> None:
    """`Reset my password` never answers `delete my account`, whatever the vectors say."""
    house.chat(told, key)
    other = house.chat(asked, key, {"x-likewise-threshold": "0.85"})
    assert verify(said(other), credential=key, prompt=asked)
    assert other.headers["x-likewise-reason"] == "language"
    assert house.chat(told, key).headers["x-likewise-match"] == "exact"
    assert house.calls(key) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gpt-4o"},
        {"temperature": 0.2},
        {"max_tokens": 5},
        {"seed": 3},
        {"response_format": {"type": "json_object"}},
        {"a_field_of_tomorrow": True},
        {"stop": ["\n"]},
        {"messages": [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": SKY}]},
        {
            "messages": [
                {"role": "user", "content": "I live on Mars."},
                {"role": "assistant", "content": "I see."},
                {"role": "user", "content": SKY},
            ]
        },
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_shapes_the_answer_parts_memory(
    house: House, key: str, change: dict[str, Any]
) -> None:
    """The plain question's answer is not the changed one's, by text or by meaning."""
    house.chat(SKY, key)
    changed = body(SKY) | change
    answer = house.post(changed, key)
    assert answer.headers["x-cache"] == "MISS"
    assert verify(said(answer), credential=key, prompt=SKY, body=changed)
    assert house.post(changed, key).headers["x-likewise-match"] == "exact"


def test_another_key_has_another_memory(house: House, key: str) -> None:
    """By text or by meaning, nobody gets what was made for someone else's key."""
    house.chat(SKY, key)
    for asked in (SKY, SKY_AGAIN):
        answer = house.chat(asked, f"{key}-other")
        assert verify(said(answer), credential=f"{key}-other", prompt=SKY)
    assert house.calls(f"{key}-other") == 1


@pytest.mark.parametrize(
    "field",
    [{"user": "ann"}, {"metadata": {"trace": "1"}}, {"stream_options": None}],
    ids=lambda field: next(iter(field)),
)
def test_what_does_not_shape_the_answer_parts_nothing(
    house: House, key: str, field: dict[str, Any]
) -> None:
    """Who asks on behalf of whom, and for which trace, leaves the answer as it is."""
    house.chat(SKY, key)
    assert house.chat(SKY, key, **field).headers["x-likewise-match"] == "exact"


def test_what_is_personal_is_shared_per_user_only(house: House, key: str) -> None:
    """One key serves many people: their own questions part by `user`."""
    mine = "What is my account balance?"
    house.chat(mine, key, user="ann")
    assert house.chat(mine, key, user="bob").headers["x-cache"] == "MISS"
    again = house.chat("what is my account balance", key, user="ann")
    assert again.headers["x-likewise-match"] == "semantic"
    assert again.headers["x-likewise-category"] == "personal"


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": SKY},
                            {
                                "type": "image_url",
                                "image_url": {"url": f"data:image/png;base64,{PIXEL}"},
                            },
                        ],
                    }
                ]
            },
            "multimodal",
        ),
    ],
    ids=["tools", "n", "logprobs", "image"],
)
def test_some_requests_are_matched_exactly_only(
    house: House, key: str, field: dict[str, Any], reason: str
) -> None:
    """An equal repeat hits; a rephrased one is asked, with the reason why."""
    first = house.post(body(SKY) | field, key)
    assert status(first) == f"likewise; fwd=bypass; stored; detail={reason}"
    assert house.post(body(SKY) | field, key).headers["x-likewise-match"] == "exact"
    text = json.dumps(body(SKY) | field).replace(SKY, SKY_AGAIN)
    other = house.post(text.encode(), key)
    assert (other.headers["x-cache"], other.headers["x-likewise-reason"]) == ("BYPASS", reason)
    assert house.calls(key) == 2


def test_the_order_of_tools_matters(house: House, key: str) -> None:
    """The same tools in another order are another request."""
    second = {"type": "function", "function": {"name": "note_down"}}
    house.chat(SKY, key, tools=[TOOL, second])
    assert house.chat(SKY, key, tools=[second, TOOL]).headers["x-cache"] == "BYPASS"
    assert house.calls(key) == 2


def test_tool_calls_are_replayed_as_they_were(house: House, key: str) -> None:
    """A remembered tool call keeps ids, names and arguments, whole and streamed."""
    first = house.chat(SKY, key, {"x-oracle-mode": "tools"}, tools=[TOOL])
    again = house.chat(SKY, key, tools=[TOOL])
    assert again.json()["choices"] == first.json()["choices"]
    streamed = house.chat(SKY, key, tools=[TOOL], stream=True)
    for call in first.json()["choices"][0]["message"]["tool_calls"]:
        assert call["id"] in streamed.text
    assert house.calls(key) == 1


@pytest.mark.parametrize(
    ("field", "reason"), [({"store": True}, "stateful"), ({"temperature": 1.5}, "sampling")]
)
def test_some_requests_are_never_kept(
    house: House, key: str, field: dict[str, Any], reason: str
) -> None:
    """Each repeat goes upstream."""
    for _ in range(2):
        answer = house.chat(SKY, key, **field)
        assert status(answer) == f"likewise; fwd=bypass; detail={reason}"
    assert house.calls(key) == 2


# --- directives


def test_only_if_cached_never_asks(house: House, key: str) -> None:
    """A 504 in the caller's envelope that clients do not retry; a hit where there is one."""
    answer = house.chat(SKY, key, ONLY_CACHED)
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "only_if_cached_miss"
    assert "cache-status" not in answer.headers
    assert house.calls(key) == 0
    house.chat(SKY, key)
    assert house.chat(SKY_AGAIN, key, ONLY_CACHED).headers["x-cache"] == "HIT"


def test_errors_of_our_own_carry_the_request_too(house: House, key: str) -> None:
    """x-cache, category, reason and id stand on an error as on any answer."""
    head = house.chat(SKY, key, ONLY_CACHED).headers
    assert (head["x-cache"], head["x-likewise-reason"]) == ("MISS", "empty")
    assert head["x-likewise-category"] == "default"
    assert REQUEST_ID.fullmatch(head["x-likewise-request"])


@pytest.mark.parametrize("way", ["header", "field"])
def test_no_store_neither_reads_nor_writes(house: House, key: str, way: str) -> None:
    """Before and after an answer was remembered."""
    header = {"cache-control": "no-store"} if way == "header" else {}
    field = {"cache": {"no-store": True}} if way == "field" else {}
    assert status(house.chat(SKY, key, header, **field)) == "likewise; fwd=bypass; detail=no-store"
    assert not remembered(house, SKY, key)
    house.chat(SKY, key)
    assert house.chat(SKY, key, header, **field).headers["x-cache"] == "BYPASS"
    assert house.calls(key) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_no_cache_asks_and_stores(house: House, key: str, *, stream: bool) -> None:
    """The newer answer takes the older one's place."""
    old = said(house.chat(SKY, key))
    answer = house.chat(SKY, key, {"cache-control": "no-cache"}, stream=stream)
    assert answer.headers["cache-status"].startswith("likewise; fwd=request")
    assert answer.headers["x-likewise-reason"] == "write-only"
    assert said(answer) != old
    assert said(house.chat(SKY, key, stream=stream)) == said(answer)
    assert house.calls(key) == 2


def test_the_cache_field_is_not_forwarded(house: House, key: str) -> None:
    """LiteLLM's controls are understood and taken out; a namespace parts memory."""
    house.chat(SKY, key, cache={"namespace": "a"})
    assert "cache" not in house.oracle.log[-1].body
    assert house.chat(SKY, key, cache={"namespace": "a"}).headers["x-cache"] == "HIT"
    assert house.chat(SKY, key, cache={"namespace": "b"}).headers["x-cache"] == "MISS"
    assert house.chat(SKY, key).headers["x-cache"] == "MISS"


def test_max_age_refuses_what_is_older(house: House, key: str) -> None:
    """Zero seconds: nothing remembered is young enough."""
    house.chat(SKY, key)
    answer = house.chat(SKY, key, {"cache-control": "max-age=0"})
    assert status(answer) == "likewise; fwd=stale; stored; detail=expired"
    assert house.chat(SKY, key, {"cache-control": "max-age=60"}).headers["x-cache"] == "HIT"


@pytest.mark.parametrize(
    ("mode", "same", "near"),
    [
        ("off", "mode-off", "mode-off"),
        ("exact", "exact", "mode-off"),
        ("semantic", "exact", "semantic"),
        ("shadow", "audit", "audit"),
    ],
)
def test_the_mode_says_how_far_memory_may_go(
    house: House, key: str, mode: str, same: str, near: str
) -> None:
    """Off reads nothing, exact no neighbours, shadow only writes down what it would have done."""
    house.chat(TIDES, key)
    asked = {"x-likewise-mode": mode}
    assert house.chat(TIDES, key, asked).headers["x-likewise-reason"] == same
    assert house.chat(TIDES_AGAIN, key, asked).headers["x-likewise-reason"] == near


def test_a_requests_own_ttl_holds(house: House, key: str) -> None:
    """Five minutes, as the header says, instead of the category's day."""
    house.chat(SKY, key, {"x-likewise-ttl": "5m"})
    left = re.search(r"ttl=(\d+)", house.chat(SKY, key).headers["cache-status"])
    assert left is not None
    assert 200 < int(left[1]) <= 300


def test_a_requests_own_threshold_holds_inside_the_bounds(house: House, key: str) -> None:
    """Above the neighbour's similarity it refuses; 1.0 is a value, not `unset`."""
    house.chat(TIDES, key)
    strict = house.chat(TIDES_AGAIN, key, {"x-likewise-threshold": "1.0"})
    assert strict.headers["x-likewise-reason"] == "below-threshold"


def test_a_pinned_category_rules(house: House, key: str) -> None:
    """The header wins over everything that the text might suggest."""
    answer = house.chat(SKY, key, {"x-likewise-category": "time-sensitive"})
    assert answer.headers["x-likewise-category"] == "time-sensitive"


# --- what is not kept


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        ("status:429", "status"),
        ("status:500", "status"),
        ("length", "finish-reason"),
        ("content_filter", "finish-reason"),
        ("refusal", "finish-reason"),
        ("empty", "incomplete"),
        ("html", "invalid-json"),
        ("invalid", "invalid-json"),
        ("nostore", "no-store"),
    ],
)
def test_what_is_no_good_answer_is_not_kept(
    house: House, key: str, mode: str, kept: str, *, stream: bool
) -> None:
    """It reaches the caller, and the next one asks again."""
    answer = house.chat(SKY, key, {"x-oracle-mode": mode}, stream=stream)
    assert "stored" not in answer.headers["cache-status"]
    assert house.decision(answer)["kept"] == kept
    assert not remembered(house, SKY, key)


@pytest.mark.parametrize("code", [429, 500])
def test_an_upstreams_error_passes_byte_for_byte(house: House, key: str, code: int) -> None:
    """Body, content type and Retry-After are the upstream's own."""
    asked = {"x-oracle-mode": f"status:{code}"}
    direct = httpx.post(
        f"{_upstream(house)}/v1/chat/completions",
        json=body(SKY),
        headers=asked | {"authorization": f"Bearer {key}"},
        trust_env=False,
    )
    answer = house.chat(SKY, key, asked)
    assert (answer.status_code, answer.content) == (code, direct.content)
    for name in ("content-type", "retry-after"):
        assert answer.headers[name] == direct.headers[name]


def _upstream(house: House) -> str:
    found = re.search(r"base_url: (\S+)/v1", house.config.read_text())
    assert found is not None
    return found[1]


@pytest.mark.parametrize("mode", ["cut:2", "reset:2"])
def test_a_stream_that_breaks_off_ends_in_an_error(house: House, key: str, mode: str) -> None:
    """The client hears it inside the stream, and nothing is remembered."""
    answer = house.chat(SKY, key, {"x-oracle-mode": mode}, stream=True)
    last = json.loads(answer.text.strip().splitlines()[-1].removeprefix("data: "))
    assert last["error"]["code"] == "upstream_incomplete"
    assert house.decision(answer)["kept"] == "incomplete"
    assert not remembered(house, SKY, key)


def test_an_error_inside_a_stream_passes_alone(house: House, key: str) -> None:
    """The upstream's own event is the last; ours is not put behind it."""
    answer = house.chat(SKY, key, {"x-oracle-mode": "error:2"}, stream=True)
    assert answer.text.count('"error"') == 1
    assert "upstream_incomplete" not in answer.text
    assert not remembered(house, SKY, key)


@pytest.mark.parametrize("mode", ["reset", "reset:20"])
def test_a_broken_whole_answer_is_a_bad_gateway(house: House, key: str, mode: str) -> None:
    """The caller gets a complete error in its own envelope."""
    answer = house.chat(SKY, key, {"x-oracle-mode": mode})
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "bad_gateway"
    assert not remembered(house, SKY, key)


def test_an_upstream_that_is_down_is_a_bad_gateway(tmp_path: Path) -> None:
    """The error names the upstream and what to look at; what memory holds is still served."""
    oracle = OracleUpstream()
    with ExitStack() as stack:
        upstream = ExitStack()
        address = upstream.enter_context(uvicorn_of(oracle))
        house = stack.enter_context(serving(tmp_path, address, oracle))
        house.chat(SKY, "sk-1")
        upstream.close()
        answer = house.chat(TIDES, "sk-1")
        assert house.chat(SKY_AGAIN, "sk-1").headers["x-cache"] == "HIT"
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] in ("upstream_unreachable", "bad_gateway")
    assert "oracle" in answer.json()["error"]["message"]


def test_an_answer_over_the_limit_passes_and_is_not_kept(tmp_path: Path) -> None:
    """Whole and streamed, every byte arrives."""
    with with_oracle(tmp_path, server={"limits": {"response": "20KB"}}) as house:
        for stream in (False, True):
            answer = house.chat(SKY, "sk-1", {"x-oracle-mode": "big:60000"}, stream=stream)
            assert verify(said(answer), credential="sk-1", prompt=SKY)
            assert house.decision(answer)["kept"] == "too-large"


def test_an_answer_outlives_the_client_that_asked(house: House, key: str) -> None:
    """Who leaves in the middle of a stream leaves the answer for the next one."""
    with house.client.stream(
        "POST",
        f"{house.where.data}/v1/chat/completions",
        json=body(SKY, stream=True),
        headers={"authorization": f"Bearer {key}", "x-oracle-mode": "big:200000"},
    ) as answer:
        next(answer.iter_bytes())
    until(lambda: remembered(house, SKY, key, stream=True))
    assert verify(said(house.chat(SKY, key, stream=True)), credential=key, prompt=SKY)
    assert house.calls(key) == 1


# --- all at once


async def test_two_hundred_at_once_get_their_own_answers(house: House) -> None:
    """Five keys, rephrasings, streams and parameters, mixed: not one answer is another's."""
    groups = [(SKY, SKY_AGAIN), (TIDES, TIDES_AGAIN), ("What is 2+2?",), ("What is 2+3?",),
              ("重置我的密码",), ("删除我的帐户",), ("What is my order number?",)]  # fmt: skip
    dice = random.Random(7)  # noqa: S311 - the same mixture every time
    asked = []
    for _ in range(200):
        group = dice.choice(groups)
        rest: dict[str, Any] = dice.choice([{}, {"max_tokens": 5}, {"tools": [TOOL]}])
        asked.append((
            f"sk-crowd-{dice.randrange(5)}",
            group,
            body(dice.choice(group), **rest, stream=dice.random() < 0.5),
        ))  # fmt: skip

    async def right(client: httpx.AsyncClient, key: str, group: Any, sent: Any) -> bool:
        answer = await client.post(
            f"{house.where.data}/v1/chat/completions",
            json=sent,
            headers={"authorization": f"Bearer {key}"},
        )
        return answer.status_code == 200 and any(
            verify(
                said(answer),
                credential=key,
                prompt=prompt,
                body=sent | {"messages": [{"role": "user", "content": prompt}]},
            )
            for prompt in group
        )

    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        verdicts = await asyncio.gather(*(right(client, *one) for one in asked))
    assert verdicts.count(False) == 0
    assert sum(house.calls(f"sk-crowd-{n}") for n in range(5)) <= 200
