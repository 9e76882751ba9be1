from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Doubt
from tests.admin_ui.fake import decision, entry

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_labels(program: TestClient, console: FakeConsole) -> None:
    """Verdicts come newest first, and their ids keep every digit."""
    big = 2**62 + 1
    console.said = [{"id": big, "at": 5.0, "good": False, "entry": "e", "note": "no"}, {"id": 1}]
    told = program.get("/api/labels?limit=1").json()
    assert told == {
        "verdicts": [{"id": str(big), "at": 5.0, "good": False, "entry": "e", "note": "no"}]
    }
    assert console.asked == [1]


def test_review(program: TestClient, console: FakeConsole) -> None:
    """A verdict of the operator reaches the console; one on nothing is a 404."""
    console.kept = [entry(1, "a")]
    for word in ("good", "bad"):
        body = {"entry": f"{1:032x}", "verdict": word}
        assert program.post("/api/labels", json=body).json() == {"reviewed": True}
    assert console.asked == [(f"{1:032x}", True), (f"{1:032x}", False)]
    body = {"entry": f"{2:032x}", "verdict": "good"}
    assert program.post("/api/labels", json=body).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {}, {"entry": f"{1:032x}"}, {"entry": "x", "verdict": "good"},
        {"entry": f"{1:032x}", "verdict": "fine"},
        {"entry": f"{1:032x}", "verdict": "good", "more": 1},
    ],
)  # fmt: skip
def test_review_refuses(program: TestClient, console: FakeConsole, body: dict[str, object]) -> None:
    """What is no review changes nothing."""
    assert program.post("/api/labels", json=body).status_code == 422
    assert console.asked == []


def test_the_queue(program: TestClient, console: FakeConsole) -> None:
    """Doubtful decisions in the console's order, ids with every digit."""
    big = 2**62 + 1
    console.doubts = [Doubt(decision(big), "bad", "no"), Doubt(decision(2), "uncertain")]
    told = program.get("/api/review").json()["doubts"]
    assert [(one["kind"], one["note"]) for one in told] == [("bad", "no"), ("uncertain", "")]
    assert told[0]["decision"]["id"] == str(big)
    assert len(program.get("/api/review?limit=1").json()["doubts"]) == 1
    assert program.get("/api/review?limit=0").status_code == 422


def test_a_word_on_a_doubt(program: TestClient, console: FakeConsole) -> None:
    """What it changed; 404 without such a decision, 409 where somebody else was first."""
    console.effects = {5: "restored", 6: "stands"}
    assert program.post("/api/review/5", json={"verdict": "good"}).json() == {"effect": "restored"}
    assert program.post("/api/review/6", json={"verdict": "bad"}).status_code == 409
    assert program.post("/api/review/7", json={"verdict": "bad"}).status_code == 404
    assert program.post("/api/review/x", json={"verdict": "bad"}).status_code == 422
    assert console.asked == [(5, True, ""), (6, False, ""), (7, False, "")]
