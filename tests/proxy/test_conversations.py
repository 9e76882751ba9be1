"""Conversations by meaning, through the whole house: sent whole each time, or as a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import MODEL, House, serving, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

HEART, HEART_AGAIN = (
    "Describe the structure of the human heart.",
    "Can you explain the human heart's structure?",
)
EYE = "Describe the structure of the human eye."
CHAMBERS, CHAMBERS_AGAIN = "How many chambers does it have?", "Number of chambers in it?"
LOOSEST = {"x-likewise-threshold": "0.85"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"sk-{request.node.name.encode().hex()}"


def said(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def whole(house: House, key: str, *turns: str, **headers: str) -> httpx.Response:
    """Ask as a client that sends the whole conversation, user and assistant by turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return house.post({"model": MODEL, "messages": messages}, key, LOOSEST | headers)


def session(house: House, key: str, name: str, *turns: str) -> list[httpx.Response]:
    """Ask as a client that sends each turn alone, under the session's id."""
    return [house.chat(turn, key, LOOSEST | {"x-likewise-session": name}) for turn in turns]


def outcome(answer: httpx.Response) -> tuple[str, str]:
    return answer.headers["x-cache"], answer.headers["x-likewise-reason"]


HIT, MISS = ("HIT", "semantic"), ("MISS", "other-context")


def test_a_conversation_in_other_words_is_answered(house: House, key: str) -> None:
    """Each turn of a paraphrased conversation gets what the first one got."""
    answer = said(whole(house, key, HEART))
    chambers = whole(house, key, HEART, answer, CHAMBERS)
    again = whole(house, key, HEART_AGAIN)
    assert (outcome(again), said(again)) == (HIT, answer)
    follow = whole(house, key, HEART_AGAIN, said(again), CHAMBERS_AGAIN)
    assert (outcome(follow), said(follow)) == (HIT, said(chambers))
    assert house.calls(key) == 2


@pytest.mark.parametrize(
    ("before", "seen"),
    [
        ((EYE, "The answer."), "turn 1: "),
        ((HEART_AGAIN, "Another answer."), "turn 2: the assistant said something else"),
        ((HEART_AGAIN, "The answer.", "Thanks.", "My pleasure."), "user assistant"),
        ((), "not"),
    ],
    ids=["another topic", "another answer", "more turns", "standalone"],
)
def test_another_conversation_is_a_miss(
    house: House, key: str, before: tuple[str, ...], seen: str
) -> None:
    """The journal says which turn differs, and by how much."""
    whole(house, key, HEART, "The answer.", CHAMBERS)
    answer = whole(house, key, *before, CHAMBERS_AGAIN)
    assert outcome(answer) == MISS
    assert seen in house.decision(answer)["seen"]


def test_a_personal_conversation_is_matched_exactly(house: House, key: str) -> None:
    """What a user told of themselves earlier on is not shared by its likeness."""
    told = ("My name is Ann, I have a cold.", "Get well soon.")
    whole(house, key, *told, "What helps against it?")
    assert outcome(whole(house, key, *told, "what helps against it"))[0] != "HIT"
    assert outcome(whole(house, key, *told, "What helps against it?")) == ("HIT", "exact")


def test_sessions_build_up_the_same_conversation(house: House, key: str) -> None:
    """Two sessions in other words meet; neither another topic nor a standalone question does."""
    first = session(house, key, "1", HEART, CHAMBERS)
    second = session(house, key, "2", HEART_AGAIN, CHAMBERS_AGAIN)
    assert [outcome(answer) for answer in second] == [HIT, HIT]
    assert [said(answer) for answer in second] == [said(answer) for answer in first]
    assert house.decision(second[1])["turns"] == 1
    third = session(house, key, "3", EYE, CHAMBERS_AGAIN)
    assert outcome(third[1]) == MISS
    assert outcome(house.chat(CHAMBERS_AGAIN, key, LOOSEST)) == MISS


def test_a_new_session_takes_standalone_answers(house: House, key: str) -> None:
    """Its first turn is a question like any other, and later ones are not."""
    answer = house.chat(HEART, key)
    first, second = session(house, key, "1", HEART, HEART)
    assert (outcome(first), said(first)) == (("HIT", "exact"), said(answer))
    assert outcome(second) == MISS


def test_a_turn_that_upstream_refused_is_asked_again(house: House, key: str) -> None:
    """A retry follows on the same conversation as the try that failed."""
    session(house, key, "1", HEART, CHAMBERS)
    (first,) = session(house, key, "2", HEART)
    assert outcome(first) == ("HIT", "exact")
    headers = {
        "x-likewise-session": "2",
        "x-oracle-mode": "status:500",
        "cache-control": "no-cache",
    }
    assert house.chat(CHAMBERS, key, headers).status_code == 500
    (retried,) = session(house, key, "2", CHAMBERS)
    assert outcome(retried) == ("HIT", "exact")


def test_a_session_outlives_a_restart_as_itself_only(tmp_path: Path) -> None:
    """Its next turn takes no standalone answer to the very words; a new one's does."""
    oracle, key = OracleUpstream(), "sk-restart"
    with uvicorn_of(oracle) as upstream:
        with serving(tmp_path, upstream, oracle) as house:
            house.chat(CHAMBERS, key)
            session(house, key, "1", HEART)
        with serving(tmp_path, upstream, oracle) as house:
            (lost,) = session(house, key, "1", CHAMBERS)
            (new,) = session(house, key, "2", CHAMBERS)
            assert (outcome(lost), outcome(new)) == (MISS, ("HIT", "exact"))


def explained(house: House, prompt: str, *before: str) -> dict[str, Any]:
    history = [["user", turn] for turn in before]
    told: dict[str, Any] = house.api("/api/explain", {"prompt": prompt, "history": history})
    return told


def test_explaining_takes_the_users_turns(tmp_path: Path) -> None:
    """What the assistant said is taken from the nearest entry; the users' turns are compared."""
    with with_oracle(tmp_path) as house:
        whole(house, "sk-1", HEART, "The answer.", CHAMBERS)
        for before in ((HEART,), (HEART_AGAIN,)):
            assert explained(house, CHAMBERS, *before)["reason"] in ("exact", "semantic")
        told = explained(house, CHAMBERS, EYE)
        assert told["reason"] == "other-context"
        assert any("turn 1" in step["text"] for step in told["steps"])
        assert explained(house, CHAMBERS, HEART, HEART)["reason"] == "other-context"
        assert explained(house, CHAMBERS)["reason"] == "other-context"
