from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from admin_ui.facts import Act
from admin_ui.pages.health import concerns
from tests.admin_ui.fake import FakeConsole
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient


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
async def test_concerns(facts: dict[str, Any], said: list[tuple[bool, str]]) -> None:
    """What suffers is told apart from what is to be looked at; the past is no concern."""
    found = concerns(await FakeConsole().health() | facts)
    assert [one.bad for one in found] == [bad for bad, _ in said]
    assert all(words in one.said for one, (_, words) in zip(found, said, strict=True))
