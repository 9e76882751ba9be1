"""Upstreams that fail: who is asked instead, what callers are told, and how soon it is over."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo.oracle import OracleUpstream, verify
from proxy.upstream import asked_to_wait
from tests.faults import FaultProxy, in_front_of
from tests.proxy.house import body, serving, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

KEY, OTHER = "sk-1", "sk-2"
DOWN = {"x-oracle-mode": "status:503"}
EXACT = {"x-likewise-mode": "exact"}


@dataclass
class Side:
    """One upstream and the way to it."""

    oracle: OracleUpstream
    way: FaultProxy


@contextmanager
def sides(count: int) -> Iterator[list[Side]]:
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            oracle = OracleUpstream()
            address = stack.enter_context(uvicorn_of(oracle))
            way = stack.enter_context(in_front_of(int(address.rpartition(":")[2])))
            made.append(Side(oracle, way))
        yield made


def listed(*ways: Side, **more: Any) -> list[dict[str, Any]]:
    names = ("first", "second", "third")
    return [
        {"name": name, "base_url": f"{side.way.url}/v1", **more}
        for name, side in zip(names, ways, strict=False)
    ]


def text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def error(answer: httpx.Response) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()["error"]
    return told


def test_another_of_the_pool_stands_in(tmp_path: Path) -> None:
    """While the first cannot be reached the second answers, and its answers are the pool's own."""
    with sides(2) as (first, second):
        written = listed(first, second, pool="here")
        with serving(tmp_path, first.way.url, first.oracle, upstreams=written) as house:
            assert house.chat("one?", KEY).headers["x-cache"] == "MISS"
            first.way.vanish()
            answers = [house.chat(f"two {n}?", KEY) for n in range(8)]
            assert {a.status_code for a in answers} == {200}
            assert all(
                verify(text(a), credential=KEY, prompt=f"two {n}?") for n, a in enumerate(answers)
            )
            assert second.oracle.calls == 8
            assert {house.chat(f"two {n}?", KEY).headers["x-cache"] for n in range(8)} == {"HIT"}
            assert house.decision(answers[0])["upstream"] == "second"
            first.way.listen()
            until(lambda: house.chat(f"{time.monotonic()}", KEY) and first.oracle.calls > 2)


def test_no_other_upstream_stands_in(tmp_path: Path) -> None:
    """Without a pool a caller's key is shown to nobody else, though the model would match."""
    with (
        sides(2) as (first, second),
        serving(tmp_path, first.way.url, first.oracle, upstreams=listed(first, second)) as house,
    ):
        first.way.vanish()
        answer = house.chat("one?", KEY)
        assert (answer.status_code, error(answer)["code"]) == (502, "upstream_unreachable")
        assert second.way.accepted == 0


def test_answers_of_two_upstreams_are_two_answers(tmp_path: Path) -> None:
    """What one upstream said is served for the other only where they are one pool."""
    with sides(2) as (first, second):
        for pool, outcome in ((None, "MISS"), ("here", "HIT")):
            rest = {} if pool is None else {"pool": pool}
            folder = tmp_path / str(pool)
            folder.mkdir()
            with serving(folder, "", upstreams=listed(first, **rest)) as house:
                house.chat("one?", KEY)
            with serving(folder, "", upstreams=listed(second, **rest)) as house:
                assert house.chat("one?", KEY).headers["x-cache"] == outcome


def test_a_key_that_the_stand_in_refuses_is_not_told_so(tmp_path: Path) -> None:
    """A caller whose key is good must not hear 401 because of an outage."""
    with sides(2) as (first, second):
        written = listed(first, second, pool="here")
        second.oracle.mode = "status:401"
        with serving(tmp_path, first.way.url, first.oracle, upstreams=written) as house:
            first.way.vanish()
            answer = house.chat("one?", KEY)
            assert (answer.status_code, error(answer)["code"]) == (502, "upstream_unreachable")
            assert second.oracle.calls == 1


@pytest.mark.parametrize("mode", ["status:500", "status:503", "reset", "cut:5"])
def test_what_was_sent_is_sent_to_nobody_again(tmp_path: Path, mode: str) -> None:
    """One request is one call, whatever comes back; the client's library decides to ask again."""
    with sides(2) as (first, second):
        written = listed(first, second, pool="here")
        with serving(tmp_path, first.way.url, first.oracle, upstreams=written) as house:
            house.chat("one?", KEY, {"x-oracle-mode": mode})
            assert (first.oracle.calls, second.oracle.calls) == (1, 0)


def test_a_refused_connection_is_tried_once_more(tmp_path: Path) -> None:
    """An upstream that restarts loses no request, for nothing of it was sent."""
    with sides(1) as (only,), serving(tmp_path, only.way.url, only.oracle) as house:
        only.way.vanish()
        begun = time.monotonic()
        assert house.chat("one?", KEY).status_code == 502
        assert time.monotonic() - begun >= 0.1


def test_a_failing_upstream_is_asked_once_a_second(tmp_path: Path) -> None:
    """Others hear at once when to come back; hits are served all the while, and it recovers."""
    with sides(1) as (only,), serving(tmp_path, only.way.url, only.oracle) as house:
        house.chat("known?", KEY)
        only.oracle.mode = "status:500"
        for number in range(5):
            assert house.chat(f"new {number}?", KEY, EXACT).status_code == 500
        before, begun = only.oracle.calls, time.monotonic()
        told = Counter[int]()
        while (passed := time.monotonic() - begun) < 2.5:
            answer = house.chat(f"then {passed}?", KEY, EXACT)
            told[answer.status_code] += 1
            if answer.status_code == 503:
                assert error(answer)["code"] == "upstream_down"
                assert error(answer)["type"] == "server_error"
                assert answer.headers["retry-after"] == "1"
                assert "cache-status" not in answer.headers
            assert house.chat("known?", KEY).headers["x-cache"] == "HIT"
        assert 1 <= only.oracle.calls - before <= passed + 1
        assert told[503] > told[500] == only.oracle.calls - before
        only.oracle.mode = "ok"
        until(lambda: house.chat(f"{time.monotonic()}", KEY).status_code == 200)


def test_a_stale_answer_stands_in_while_the_breaker_is_open(tmp_path: Path) -> None:
    """RFC 5861 §4: nobody has to be asked for it to be true that nobody answers."""
    policy = {"defaults": {"stale_while_revalidate": "0s", "stale_if_error": "1h"}}
    with sides(1) as (only,), serving(tmp_path, only.way.url, only.oracle, policy=policy) as house:
        fresh = house.chat("known?", KEY, {"x-likewise-ttl": "1s"})
        for number in range(5):
            house.chat(f"new {number}?", KEY, EXACT | DOWN)
        time.sleep(1.1)
        assert house.chat("probe?", KEY, DOWN).status_code == 503
        calls = only.oracle.calls
        again = house.chat("known?", KEY)
        assert text(again) == text(fresh)
        assert again.headers["cache-status"] == "likewise; fwd=stale; detail=stale-if-error"
        assert only.oracle.calls == calls


def test_who_is_asked_to_wait_is_not_sent_again(tmp_path: Path) -> None:
    """Upstream's `Retry-After` is passed on as it is, and then kept to for that key alone."""
    with sides(1) as (only,), serving(tmp_path, only.way.url, only.oracle) as house:
        first = house.chat("one?", KEY, {"x-oracle-mode": "status:429"})
        assert (first.status_code, first.headers["retry-after"]) == (429, "1")
        second = house.chat("two?", KEY)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert error(second)["code"] == "upstream_asked_to_wait"
        assert error(second)["type"] == "rate_limit_error"
        assert only.oracle.calls == 1
        assert house.chat("two?", OTHER).status_code == 200
        until(lambda: house.chat("two?", KEY).status_code == 200)


def test_anthropic_callers_hear_of_it_in_their_own_words(tmp_path: Path) -> None:
    """The envelope is the caller's; what an SDK acts on, status and header, is the same."""
    with sides(1) as (only,), serving(tmp_path, only.way.url, only.oracle) as house:
        only.oracle.mode = "status:429"
        asked = body("one?", max_tokens=5)
        first, second = (
            house.client.post(
                f"{house.where.data}/v1/messages", json=asked, headers={"x-api-key": KEY}
            )
            for _ in range(2)
        )
        assert first.status_code == second.status_code == 429
        assert second.json()["error"]["type"] == "rate_limit_error"
        assert second.headers["retry-after"] == "1"
        assert len(only.oracle.log) == 1


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"Retry-After": formatdate(NOW - 90, usegmt=True)}, -90.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e999"}, None),
        ({"retry-after-ms": "many"}, None),
        ({"Retry-After": "Mon, 99 Foo 99999 99:99:99 GMT"}, None),
    ],
)
def test_every_way_to_say_when_to_come_back_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Seconds, a date (RFC 9110 §10.2.3) or milliseconds; what cannot be read says nothing."""
    assert asked_to_wait(_Head(headers), NOW) == seconds  # type: ignore[arg-type]


class _Head:
    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = {name.lower(): value for name, value in headers.items()}

    def header(self, name: str) -> str:
        return self._headers.get(name.lower(), "")
