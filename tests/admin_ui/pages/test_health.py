from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from admin_ui.facts import Act, Replica
from admin_ui.pages.health import concerns, others
from tests.admin_ui.fake import FakeConsole
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

ONE, TWO, THREE = "1" * 16, "2" * 16, "3" * 16


def test_each_part_tells_how_it_is(person: TestClient) -> None:
    """Store, index, embedder, upstreams and journal with their figures, and that all is well."""
    text = Reading(person.get("/health").text).text
    for words in ("All parts work", "sqlite:./likewise.db", "7 in 1 space",
                  "4.1 KB of 8.2 KB reserved", "all-MiniLM-L6-v2", "3.1 ms", "openai",
                  "10 B free of 20 B", "up for 1 min"):  # fmt: skip
        assert words in text


def test_who_changed_what(person: TestClient, console: FakeConsole) -> None:
    """The newest change first, with how it ended; without one it says what will stand there."""
    console.acts_done.clear()
    assert "Every change" in person.get("/health").text
    console.acts_done = [
        Act(5.0, "operator 0a", "operator", "10.0.0.1", "POST /policy", "by hand", "done")
    ]
    text = Reading(person.get("/health").text).text
    for words in ("operator 0a", "10.0.0.1", "POST /policy", "by hand", "done"):
        assert words in text


def test_one_replica_on_request(person: TestClient, console: FakeConsole) -> None:
    """Where there are several they are listed and can be chosen; who is gone is marked so, and an
    unknown one is not found."""
    assert 'name="replica"' not in person.get("/health").text
    console.fleet = [
        Replica(ONE, "web-1:7:a", True, 5.0, True),
        Replica(TWO, "web-2:7:b", False, 5.0, False),
    ]
    page = Reading(person.get("/health").text)
    for words in ("web-1:7:a", "this one", "web-2:7:b (gone)", "heard of"):
        assert words in page.text
    chosen = [a["value"] for tag, a in page.tags if tag == "option" and "selected" in a]
    assert ONE in chosen
    assert f"that of {TWO}" in person.get(f"/health?replica={TWO}").text
    assert person.get(f"/health?replica={'0' * 16}").status_code == 404
    assert person.get("/health?replica=x").status_code == 422


@pytest.mark.parametrize(
    ("shown", "said"),
    [("", ["two"]), (ONE, ["two"]), (TWO, []), (THREE, ["two"])],
)
def test_another_replica_that_is_not_ready(shown: str, said: list[str]) -> None:
    """It is a concern, unless it is the one shown, which says so itself, or is gone."""
    fleet = [
        one(ONE, "one", here=True),
        one(TWO, "two", ready=False, state="loads"),
        one(THREE, "three", live=False, ready=False, state="x"),
    ]
    found = others(fleet, shown, "p")
    assert [(one.bad, one.said) for one in found] == [
        (True, f"Replica {name} is not ready: loads.") for name in said
    ]


def one(number: str, name: str, **rest: Any) -> dict[str, Any]:
    """A replica as a page is told of it."""
    plain = {"here": False, "live": True, "ready": True, "state": "ready", "policy": "p"}
    return {"id": number, "name": name} | plain | rest


def test_another_policy_is_a_concern() -> None:
    """On whoever lives and tells which: of replicas of before and of those gone nobody knows."""
    fleet = [
        one(ONE, "one", here=True),
        one(TWO, "two", policy="q"),
        one(THREE, "three", policy="q"),
        one("4" * 16, "four", policy=""),
        one("5" * 16, "five", policy="q", live=False),
        one("6" * 16, "six"),
    ]
    (found,) = others(fleet, "", "p")
    assert (found.bad, found.said.split(":")[0]) == (
        False, "Another policy is in force on two, three",
    )  # fmt: skip
    assert others(fleet[:1] + fleet[3:], "", "p") == []
    assert "one, six" in others(fleet, TWO, "q")[0].said


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, []),
        ({"ready": False, "state": "loading"}, [(True, "Not ready: loading.")]),
        ({"upstreams_failing": ["a", "b"]}, [(True, "Requests to a, b fail")]),
        ({"embedder_stalled": True}, [(True, "only exact matches")]),
        ({"journal": {"dropped": 3, "faults": 0}}, [(False, "Decisions were lost")]),
        ({"disk": {"free": 1, "total": 100}}, [(False, "nearly full")]),
        ({"disk": None}, []),
        ({"store_faults": {"read": 9, "write": 9}}, []),
    ],
)
def test_concerns(facts: dict[str, Any], said: list[tuple[bool, str]]) -> None:
    """What suffers is told apart from what is to be looked at; the past is no concern."""
    found = concerns(FakeConsole().condition | facts)
    assert [one.bad for one in found] == [bad for bad, _ in said]
    assert all(words in one.said for one, (_, words) in zip(found, said, strict=True))
