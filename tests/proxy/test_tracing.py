"""One decision's evidence, and the log around it, through the real admin port."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.proxy.house import House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN, NOT_SKY = "Why is the sky blue?", "why is the sky blue", "Why is the sky not blue?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path, policy={"defaults": {"threshold": 0.85}}) as running:
        yield running


def whole(house: House, answer: httpx.Response) -> dict[str, Any]:
    """A decision with its evidence, by the id that its caller got."""
    row = house.decision(answer)
    told: dict[str, Any] = house.api(f"/api/decisions/{row['request']}")
    assert told["decision"] == row
    assert told == house.api(f"/api/decisions/{row['id']}")
    return told


def test_a_hit_shows_what_was_served(house: House) -> None:
    """The remembered prompt and its answer's text, and whose rules were in force."""
    first = house.chat(SKY, "sk-1")
    hit = house.chat(SKY_AGAIN, "sk-1")
    told = whole(house, hit)
    served = told["evidence"]["served"]
    assert served["entry"] == first.headers["x-likewise-entry"]
    assert (served["state"], served["text"]) == ("stored", SKY)
    assert served["answer"] == first.json()["choices"][0]["message"]["content"]
    assert "numbers" in told["evidence"]["guards"]
    assert told["evidence"]["refused"] == []
    assert told["evidence"]["nearest"] is None


def test_a_miss_shows_who_was_refused(house: House) -> None:
    """Each candidate with score and reason; the one that was near, beside what was kept."""
    entry = house.chat(SKY, "sk-1").headers["x-likewise-entry"]
    miss = house.chat(NOT_SKY, "sk-1")
    told = whole(house, miss)["evidence"]
    (refused,) = told["refused"]
    assert (refused["entry"], refused["reason"], refused["text"]) == (entry, "guard-negation", SKY)
    assert 0.5 < refused["score"] < 1
    assert told["nearest"]["entry"] == entry
    assert told["served"]["text"] == NOT_SKY


def test_what_is_gone_is_said_to_be_gone(house: House) -> None:
    """A purged answer is not shown, and an answer that took its place is not taken for it."""
    house.chat(SKY, "sk-1")
    hit = house.chat(SKY, "sk-1")
    house.api("/api/entries/purge", {"selection": {}, "dry_run": False})
    assert whole(house, hit)["evidence"]["served"]["state"] == "gone"
    house.chat(SKY, "sk-1")
    assert whole(house, hit)["evidence"]["served"]["state"] == "replaced"


def test_a_conversation_shows_how_alike_its_turns_were(house: House) -> None:
    """The similarities of earlier turns, pair by pair."""
    earlier = [
        {"role": "user", "content": "Tell me of the sky."},
        {"role": "assistant", "content": "What of it?"},
    ]
    house.post(conversation([*earlier, {"role": "user", "content": SKY}]), "sk-1")
    earlier[0] = {"role": "user", "content": "Tell me of the sky"}
    hit = house.post(conversation([*earlier, {"role": "user", "content": SKY_AGAIN}]), "sk-1")
    assert hit.headers["x-cache"] == "HIT"
    assert whole(house, hit)["evidence"]["turns"] == pytest.approx([1.0, 1.0], abs=0.01)


def conversation(messages: list[dict[str, str]]) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": messages}


def test_what_must_not_be_stored_leaves_no_evidence(house: House) -> None:
    """`no-store`: neither prompt nor what was refused is in the journal."""
    house.chat(SKY, "sk-1")
    answer = house.chat(NOT_SKY, "sk-1", {"cache-control": "no-store"})
    told = whole(house, answer)
    assert (told["decision"]["prompt"], told["decision"]["matched"]) == ("", "")
    assert told["evidence"]["refused"] == []


def test_a_bad_verdict_ends_service(house: House) -> None:
    """The operator's word counts like a caller's: once, and at once; it is shown beside it."""
    house.chat(SKY, "sk-1")
    hit = house.chat(SKY_AGAIN, "sk-1")
    path = f"/api/decisions/{house.decision(hit)['id']}/verdict"
    assert house.api(path, {"verdict": "bad", "note": "no"}) == {"effect": "flagged"}
    assert house.chat(SKY_AGAIN, "sk-1").headers["x-likewise-reason"] == "flagged"
    told = whole(house, hit)["evidence"]
    assert (told["verdict"]["good"], told["verdict"]["note"]) == (False, "no")
    assert told["served"]["flagged"]
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        house.api(path, {"verdict": "good"})
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        house.api("/api/decisions/1/verdict", {"verdict": "good"})


def test_the_log_is_filtered(house: House) -> None:
    """By what a row says of itself; the oldest that was looked at is told."""
    for prompt in (SKY, SKY, SKY_AGAIN, NOT_SKY):
        house.chat(prompt, "sk-1")

    def found(query: str) -> list[str]:
        return [row["reason"] for row in house.api(f"/api/decisions?{query}")["decisions"]]

    until(lambda: len(found("limit=9")) == 4)
    assert found("outcome=hit") == ["semantic", "exact"]
    assert found("reason=guard-negation") == ["guard-negation"]
    assert found("text=NOT%20blue") == ["guard-negation"]
    assert found("least=0.999") == ["semantic", "exact"]
    assert found("model=other") == []
    row = house.api("/api/decisions?outcome=miss&limit=1")
    assert row["searched"] == row["decisions"][0]["at"]


def test_the_stream_brings_what_happens(house: House) -> None:
    """Over a real socket: a decision that is recorded while somebody watches, filtered."""
    heard: list[str] = []
    open_now = threading.Event()

    def watch() -> None:
        address = f"{house.where.admin}/api/decisions/stream?reason=exact"
        headers = {"authorization": f"Bearer {house.where.token}"}
        with httpx.stream("GET", address, headers=headers, timeout=30) as told:
            for line in told.iter_lines():
                open_now.set()
                heard.append(line)
                if line.startswith("data:"):
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    assert open_now.wait(30)
    house.chat(SKY, "sk-1")
    hit = house.chat(SKY, "sk-1")
    thread.join(30)
    data = next(line for line in heard if line.startswith("data:"))
    assert f'"request":"{hit.headers["x-likewise-request"]}"' in data
    assert heard.count("event: decision") == 1
