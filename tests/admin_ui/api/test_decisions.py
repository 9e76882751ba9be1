from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Evidence, Kept, Refused
from policies.record import Filter
from tests.admin_ui.fake import ENTRY, decision

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_decisions(program: TestClient, console: FakeConsole) -> None:
    """Newest first, page by page; 64-bit ids keep every digit."""
    big = 2**62 + 1
    console.rows = [decision(big, prompt="new"), decision(2, prompt="old"), decision(1)]
    first = program.get("/api/decisions?limit=2").json()
    assert [d["prompt"] for d in first["decisions"]] == ["new", "old"]
    assert first["decisions"][0]["id"] == str(big)
    second = program.get(f"/api/decisions?limit=2&before={first['next']}").json()
    assert [d["id"] for d in second["decisions"]] == ["1"]
    assert second["next"] is None


def test_a_filter_reaches_the_console_whole(program: TestClient, console: FakeConsole) -> None:
    """Every field; what is left empty narrows nothing."""
    query = (
        "category=code&outcome=hit&reason=semantic&owner=o1&model=m&least=0.9&most=0.95"
        f"&text=why&entry={ENTRY}"
    )
    assert program.get(f"/api/decisions?{query}&limit=5").status_code == 200
    program.get("/api/decisions?category=&text=&before=9")
    wanted = Filter("code", "hit", "semantic", "o1", "m", 0.9, 0.95, "why", ENTRY)
    assert console.asked == [(5, None, wanted), (100, 9)]


@pytest.mark.parametrize(
    "query",
    [
        *("least=2", "most=-1", "outcome=hits", "entry=x", "categry=a", "limit=0"),
        *("before=-1", f"before={1 << 63}"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(
    program: TestClient, console: FakeConsole, query: str
) -> None:
    """A misspelt or impossible filter must not list everything."""
    assert program.get(f"/api/decisions?{query}").status_code == 422
    assert console.asked == []


def test_one_decision_comes_with_its_evidence(program: TestClient, console: FakeConsole) -> None:
    """By its decimal id, or by the 16 hex digits that the caller got; without one, 404."""
    big = 2**62 + 5
    console.rows = [decision(big, prompt="new", upstream_id="req_1", evidence="[]")]
    refused = Refused("e" * 32, 0.91, "guard-numbers", "5 vs 6", (0.9,), "old")
    served = Kept("e" * 32, "stored", "old", "Because.")
    console.told = Evidence(f"{big:016x}", (refused,), served=served, guards=("numbers",))
    for name in (str(big), f"{big:016x}"):
        told = program.get(f"/api/decisions/{name}").json()
        assert (told["decision"]["id"], told["decision"]["upstream_id"]) == (str(big), "req_1")
        assert told["decision"]["request"] == told["evidence"]["request"] == f"{big:016x}"
        assert told["evidence"]["refused"][0]["seen"] == "5 vs 6"
        assert told["evidence"]["served"]["answer"] == "Because."
        assert "evidence" not in told["decision"]
    assert program.get("/api/decisions/7").status_code == 404
    assert program.get(f"/api/decisions/{10**19 - 1}").status_code == 404
    assert program.get("/api/decisions/zz").status_code == 422


def test_the_stream_tells_decisions_and_losses(program: TestClient, console: FakeConsole) -> None:
    """Server-sent events: ids to go on from, rows as JSON on one line, losses, signs of life."""
    console.rows = [decision(5, prompt="one\ntwo"), decision(6)]
    answer = program.get("/api/decisions/stream?category=default", headers={"last-event-id": "4"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[:2] == ["retry: 2000", ": still here"]
    number, kind, data = events[2].split("\n")
    assert (number, kind) == ("id: 5", "event: decision")
    assert '"prompt":"one\\ntwo"' in data
    assert events[4] == "event: lost\ndata: 7"
    assert console.asked == [(Filter(category="default"), 4)]


def test_too_many_viewers_are_told_so(program: TestClient, console: FakeConsole) -> None:
    """503 with a time to come back; an event id that is none is refused."""
    console.crowded = True
    answer = program.get("/api/decisions/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "close one of them" in answer.json()["error"]["message"]
    wrong = program.get("/api/decisions/stream", headers={"last-event-id": "x"})
    assert wrong.status_code == 422


def test_a_verdict_reaches_the_console(program: TestClient, console: FakeConsole) -> None:
    """What it ended is told; without such a decision 404, where another one stands 409."""
    console.effects = {5: "flagged", 6: "stands"}
    answer = program.post("/api/decisions/5/verdict", json={"verdict": "bad", "note": "wrong"})
    assert answer.json() == {"effect": "flagged"}
    assert program.post("/api/decisions/6/verdict", json={"verdict": "good"}).status_code == 409
    assert program.post("/api/decisions/7/verdict", json={"verdict": "good"}).status_code == 404
    assert program.post("/api/decisions/5/verdict", json={"verdict": "fine"}).status_code == 422
    assert console.asked == [(5, False, "wrong"), (6, True, ""), (7, True, "")]
