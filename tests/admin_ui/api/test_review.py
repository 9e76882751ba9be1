from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.admin_ui.fake import entry

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
