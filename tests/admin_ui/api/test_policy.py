from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Applied, Fault

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

WRONG = {"line": 2, "path": "policy.mode", "message": "must be serve or shadow"}


def test_policy(program: TestClient, console: FakeConsole) -> None:
    """The policy in force passes as the console gives it, and so does the text."""
    assert program.get("/api/policy").json() == console.rules
    told = program.get("/api/policy/text").json()
    assert (told["text"], told["revision"], told["in_force"]) == ("policy: {}", "r1", True)


def test_a_text_is_checked(program: TestClient) -> None:
    """Faults with their lines, and what it would change."""
    sound = program.post("/api/policy/check", json={"text": "sound"}).json()
    assert sound == {"faults": [], "diff": "+sound"}
    assert program.post("/api/policy/check", json={"text": "x"}).json()["faults"] == [WRONG]


def test_a_text_is_tried(program: TestClient, console: FakeConsole) -> None:
    """On so many requests; faults instead where it is no policy."""
    told = program.post("/api/policy/trial", json={"text": "sound", "requests": 7}).json()
    assert (told["faults"], told["trial"]["gained"], told["trial"]["wrong_high"]) == ([], 2, 1.5)
    told = program.post("/api/policy/trial", json={"text": "x"}).json()
    assert told == {"faults": [WRONG], "trial": None}
    assert console.asked == [("sound", 7), ("x", 500)]
    for number in (0, 2001):
        body = {"text": "sound", "requests": number}
        assert program.post("/api/policy/trial", json=body).status_code == 422


def test_a_text_is_applied(program: TestClient, console: FakeConsole) -> None:
    """From the revision that was edited, by whose hand; 409 and 422 say what did not work."""
    body = {"text": "t", "revision": "r1"}
    assert program.put("/api/policy/text", json=body).json()["revision"] == "r2"
    console.applied = Applied(False, "r3", conflict=True)
    assert program.put("/api/policy/text", json=body).status_code == 409
    console.applied = Applied(False, "r3", (Fault(1, "a", "b"),))
    answer = program.put("/api/policy/text", json=body)
    assert answer.status_code == 422
    assert answer.json()["faults"] == [{"line": 1, "path": "a", "message": "b"}]
    assert console.asked[0] == ("t", "r1", "operator token")


@pytest.mark.parametrize("body", [{}, {"text": "t"}, {"text": "t", "revision": "r", "force": 1}])
def test_an_edit_needs_its_revision(
    program: TestClient, console: FakeConsole, body: dict[str, object]
) -> None:
    """Nothing is written over unseen."""
    assert program.put("/api/policy/text", json=body).status_code == 422
    assert console.asked == []


def test_editions(program: TestClient, console: FakeConsole) -> None:
    """What was in force, its text, and the way back."""
    (one,) = program.get("/api/policy/editions").json()["editions"]
    assert (one["id"], one["who"], one["how"]) == (1, "operator 0a", "edited")
    assert program.get("/api/policy/editions/1").json()["text"] == "policy: {}"
    assert program.get("/api/policy/editions/2").status_code == 404
    body = {"revision": "r1"}
    assert program.post("/api/policy/editions/1/restore", json=body).json()["applied"]
    assert program.post("/api/policy/editions/2/restore", json=body).status_code == 404
    assert program.post("/api/policy/editions/0/restore", json=body).status_code == 422
    assert console.asked == [(1, "r1", "operator token"), (2, "r1", "operator token")]
