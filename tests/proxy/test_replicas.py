"""Two whole proxies on one Redis, asked by clients: one cache."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import House, serving, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import RedisServer

pytestmark = pytest.mark.redis

KEY = "sk-1"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
FEEDBACK = "/v1/likewise/feedback"
# How long an answer takes that a purge is to meet on its way.
SLOW = 1.0


@contextmanager
def two(folder: Path, server: RedisServer, **parts: Any) -> Iterator[tuple[House, House]]:
    """Two proxies in front of one upstream."""
    oracle = OracleUpstream()
    store = {"url": server.url}
    for name in ("a", "b"):
        (folder / name).mkdir()
    with (
        uvicorn_of(oracle) as upstream,
        serving(folder / "a", upstream, oracle, store=store, **parts) as a,
        serving(folder / "b", upstream, oracle, store=store, **parts) as b,
    ):
        yield a, b


@pytest.fixture
def houses(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[House, House]]:
    # What is promised here is no matter of a busy machine's tenth of a second.
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
    with two(tmp_path, own_redis) as made:
        yield made


def text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def later(house: House, prompt: str) -> tuple[threading.Thread, list[httpx.Response]]:
    """A question that is under way, and where its answer will be."""
    answers: list[httpx.Response] = []
    slow = {"x-oracle-mode": f"slow:{SLOW}", "cache-control": "no-cache"}
    seen = house.calls(KEY)
    thread = threading.Thread(target=lambda: answers.append(house.chat(prompt, KEY, slow)))
    thread.start()
    until(lambda: house.calls(KEY) > seen)
    return thread, answers


def known(house: House, prompt: str) -> httpx.Response:
    """The answer from memory, waited for; upstream is not asked."""

    def hit() -> httpx.Response | None:
        answer = house.chat(prompt, KEY, {"cache-control": "only-if-cached"})
        return answer if answer.status_code == httpx.codes.OK else None

    answer: httpx.Response = until(hit)
    return answer


def purge(house: House, **selection: Any) -> int:
    return int(
        house.api("/api/entries/purge", {"selection": selection, "dry_run": False})["removed"]
    )


@pytest.mark.parametrize("by", ["tag", "id"])
def test_a_purge_ends_a_call_that_another_proxy_has_under_way(
    houses: tuple[House, House], by: str
) -> None:
    """What the other had asked upstream before the purge is told to its caller and to nobody
    else: it is not stored, and whoever asks after the acknowledgement gets a newer answer."""
    a, b = houses
    first = a.chat(SKY, KEY, {"x-likewise-tags": "sky"})
    thread, answers = later(b, SKY)
    chosen = {"tag": "sky"} if by == "tag" else {"ids": [first.headers["x-likewise-entry"]]}
    assert purge(a, **chosen) == 1
    assert not answers, "the call ended before the purge"
    joining = b.chat(SKY, KEY)
    thread.join()
    old = {text(first), text(answers[0])}
    for house in (a, b, a, b):
        assert text(house.chat(SKY, KEY)) == text(joining)
    assert text(joining) not in old
    assert a.calls(KEY) == 3


def test_a_purge_ends_what_was_not_stored_when_it_was_sent(houses: tuple[House, House]) -> None:
    """A purge of everything also ends the first answer to a question, which has no entry yet."""
    a, b = houses
    thread, answers = later(b, SKY)
    assert purge(a) == 0
    thread.join()
    assert text(a.chat(SKY, KEY)) != text(answers[0])
    assert text(b.chat(SKY, KEY)) != text(answers[0])


def test_an_answer_of_one_is_a_hit_by_meaning_at_the_other(houses: tuple[House, House]) -> None:
    """What one proxy has stored the other finds by meaning, without having been asked for it."""
    a, b = houses
    stored = a.chat(SKY, KEY)
    hit = known(b, SKY_AGAIN)
    assert hit.headers["x-likewise-match"] == "semantic"
    assert text(hit) == text(stored)


def test_a_bad_verdict_at_one_ends_the_service_at_the_other(houses: tuple[House, House]) -> None:
    """Once the verdict is acknowledged, the answer serves no paraphrase at either proxy, and both
    say that it is marked."""
    a, b = houses
    stored = a.chat(SKY, KEY)
    hit = known(b, SKY_AGAIN)
    verdict = {"request": hit.headers["x-likewise-request"], "verdict": "bad"}
    said = a.client.post(
        a.where.data + FEEDBACK, json=verdict, headers={"authorization": f"Bearer {KEY}"}
    )
    assert said.json()["effect"] == "flagged"
    for house in (b, a):
        assert text(house.chat(f"{SKY_AGAIN}!", KEY)) != text(stored)
    for house in (a, b):
        until(
            lambda house=house: (
                [entry["text"] for entry in house.api("/api/entries?flagged=true")["entries"]]
                == [SKY]
            )
        )


def test_each_proxy_tells_how_far_all_are(houses: tuple[House, House]) -> None:
    """Health lists both with their lag, the asked one first; metrics have its own figures."""
    told = [house.api("/api/health")["replicas"] for house in houses]
    assert [len(some) for some in told] == [2, 2]
    assert told[0][0]["name"] == told[1][1]["name"]
    assert told[1][0]["name"] == told[0][1]["name"]
    for house in houses:
        until(
            lambda house=house: (
                {one["behind"] for one in house.api("/api/health")["replicas"]} == {0}
            )
        )
        figures = house.api("/metrics")
        assert "likewise_replica_lag_seconds " in figures
        assert "likewise_replica_behind 0.0" in figures
        assert "likewise_resyncs_total 0.0" in figures


def test_a_purge_that_a_proxy_does_not_confirm_fails(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator is told that the purge is not sure and what to do, and it works again later."""
    monkeypatch.setattr("index.replicas.CONFIRM", 0.2)
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
    with two(tmp_path, own_redis) as (a, _):
        stored = a.chat(SKY, KEY)
        with own_redis.client() as client:
            now = int(time.time() * 1000)
            client.hset("{likewise}:replicas", "stuck:1:f00", f"0 {now + 3_600_000}")
        with pytest.raises(httpx.HTTPStatusError) as refused:
            purge(a)
        told = refused.value.response
        assert told.status_code == 503
        assert "stuck:1:f00" in told.json()["error"]["message"]
        assert "purge again" in told.json()["error"]["message"]
        assert text(a.chat(SKY, KEY)) != text(stored)
        with own_redis.client() as client:
            client.hdel("{likewise}:replicas", "stuck:1:f00")
        assert purge(a) == 1
