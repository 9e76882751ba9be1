"""Answers past their time: served while a newer one is fetched, or when none can be had."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo.oracle import OracleUpstream, verify
from tests.proxy.house import House, body, serving, until, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
KEY = "sk-1"
SHORT = {"x-likewise-ttl": "1s"}


def policy(revalidate: str, on_error: str) -> dict[str, Any]:
    windows = {"stale_while_revalidate": revalidate, "stale_if_error": on_error}
    return {"policy": {"defaults": windows}}


def remember(house: House) -> httpx.Response:
    """An answer that has just expired."""
    fresh = house.chat(SKY, KEY, SHORT)
    time.sleep(1.1)
    return fresh


def text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def status(answer: httpx.Response) -> str:
    return re.sub(r"ttl=-\d+", "ttl=-N", answer.headers["cache-status"])


@pytest.mark.parametrize(("asked", "match"), [(SKY, "exact"), (SKY_AGAIN, "semantic")])
def test_a_stale_answer_is_served_at_once_and_refreshed_once(
    tmp_path: Path, asked: str, match: str
) -> None:
    """Ten requests past the time: ten stale answers, one call upstream, and then a fresh hit."""
    with with_oracle(tmp_path, **policy("10m", "0s")) as house:
        fresh = remember(house)
        slow = {"x-oracle-mode": "slow:2.0"}
        answers = [house.chat(asked, KEY, slow) for _ in range(10)]
        assert {text(a) for a in answers} == {text(fresh)}
        assert {a.headers["x-cache"] for a in answers} == {"STALE"}
        assert {a.headers["x-likewise-match"] for a in answers} == {match}
        detail = "stale-while-revalidate"
        assert {status(a) for a in answers} == {f"likewise; hit; ttl=-N; detail={detail}"}
        until(lambda: house.chat(asked, KEY).headers["x-cache"] == "HIT")
        assert house.calls(KEY) == 2
        assert text(house.chat(asked, KEY)) != text(fresh)


def test_no_stale_answer_outlives_its_window(tmp_path: Path) -> None:
    """With no windows an expired answer is asked again."""
    with with_oracle(tmp_path, **policy("0s", "0s")) as house:
        remember(house)
        again = house.chat(SKY, KEY)
        assert status(again) == "likewise; fwd=stale; stored; detail=expired"
        assert house.calls(KEY) == 2


@pytest.mark.parametrize("asked", [SKY, SKY_AGAIN])
@pytest.mark.parametrize("mode", ["status:503", "status:500", "reset"])
def test_a_stale_answer_is_better_than_an_error(tmp_path: Path, asked: str, mode: str) -> None:
    """RFC 5861 §4: inside the window a failing upstream is not the caller's business."""
    with with_oracle(tmp_path, **policy("0s", "1h")) as house:
        fresh = remember(house)
        again = house.chat(asked, KEY, {"x-oracle-mode": mode})
        assert again.status_code == 200
        assert verify(text(again), credential=KEY, prompt=SKY)
        assert text(again) == text(fresh)
        number = f" fwd-status={mode[-3:]};" if mode != "reset" else ""
        assert status(again) == f"likewise; fwd=stale;{number} detail=stale-if-error"
        assert (again.headers["x-cache"], int(again.headers["age"]) >= 1) == ("STALE", True)
        assert house.decision(again)["reason"] == "stale-if-error"


@pytest.mark.parametrize(("mode", "code"), [("status:429", 429), ("status:400", 400)])
def test_what_is_the_callers_own_error_is_passed_on(tmp_path: Path, mode: str, code: int) -> None:
    """A refusal is an answer: nothing stale hides it."""
    with with_oracle(tmp_path, **policy("0s", "1h")) as house:
        remember(house)
        assert house.chat(SKY, KEY, {"x-oracle-mode": mode}).status_code == code


def test_a_caller_may_ask_for_the_window_itself(tmp_path: Path) -> None:
    """`stale-if-error` in the request opens it, and only-if-cached never asks upstream for it."""
    with with_oracle(tmp_path, **policy("0s", "1s")) as house:
        remember(house)
        time.sleep(0.2)
        failing = {"x-oracle-mode": "status:503", "cache-control": "stale-if-error=0"}
        assert house.chat(SKY, KEY, failing).status_code == 503
        calls = house.calls(KEY)
        only = house.chat(SKY, KEY, {"cache-control": "only-if-cached"})
        assert (only.status_code, house.calls(KEY)) == (504, calls)


def test_an_upstream_that_is_gone_leaves_the_stale_answers(tmp_path: Path) -> None:
    """Nobody listens any more: the remembered answer still stands in."""
    oracle = OracleUpstream()
    with (
        uvicorn_of(oracle) as upstream,
        serving(tmp_path, upstream, oracle, **policy("0s", "1h")) as house,
    ):
        remember(house)
        oracle.mode = "reset"
        again = house.chat(SKY, KEY)
    assert again.headers["x-likewise-reason"] == "stale-if-error"


def test_a_resend_right_after_its_answer_can_ask_afresh(tmp_path: Path) -> None:
    """`regenerate`: equal requests in a row are new questions, later ones are hits."""
    with with_oracle(tmp_path, policy={"regenerate": "1s"}) as house:
        first = house.chat(SKY, KEY)
        second = house.chat(SKY, KEY)
        assert status(second) == "likewise; fwd=request; stored; detail=write-only"
        assert text(second) != text(first)
        time.sleep(1.1)
        third = house.chat(SKY, KEY)
        assert (third.headers["x-cache"], text(third)) == ("HIT", text(second))
        fourth = house.chat(SKY, KEY, {"x-oracle-mode": "status:503"})
        assert (fourth.headers["x-cache"], text(fourth)) == ("HIT", text(second))


def test_a_remembered_stream_can_keep_its_own_pace(tmp_path: Path) -> None:
    """`replay: original`: the events come one by one, in about the time they took at first."""
    with with_oracle(tmp_path, policy={"replay": "original"}) as house:
        asked = body(SKY, stream=True)
        fresh = house.post(asked, KEY, {"x-oracle-mode": "slow:0.6"})
        url = f"{house.where.data}/v1/chat/completions"
        head = {"authorization": f"Bearer {KEY}"}
        with house.client.stream("POST", url, json=asked, headers=head) as again:
            began = time.monotonic()
            parts = list(again.iter_raw())
            took = time.monotonic() - began
        assert again.headers["x-cache"] == "HIT"
        assert "content-length" not in again.headers
        assert b"".join(parts).decode() == fresh.text
        assert took > 0.4
