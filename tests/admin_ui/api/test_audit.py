from __future__ import annotations

from typing import TYPE_CHECKING

from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import TOKEN, VIEWER

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def told(program: TestClient) -> list[tuple[str, str, str]]:
    acts = program.get("/api/audit").json()["acts"]
    return [(act["role"], act["what"], act["outcome"]) for act in acts]


def test_every_change_is_written_down(program: TestClient, console: FakeConsole) -> None:
    """Done, refused or impossible; what only asks is not."""
    program.get("/api/overview")
    program.post("/api/explain", json={"prompt": "x"})
    program.post("/api/policy/check", json={"text": "x"})
    program.post("/api/learned/forget", json={"category": "code"})
    program.post("/api/learned/forget", json={"category": "nowhere"})
    assert told(program) == [
        ("operator", "POST /api/learned/forget", "refused (404)"),
        ("operator", "POST /api/learned/forget", "done"),
    ]
    assert console.acts_done[0].detail == '{"category": "code"}'
    assert console.acts_done[0].who == "operator token"


def test_log_ins_are_written_down(
    stranger: TestClient, program: TestClient, console: FakeConsole
) -> None:
    """With the session that they open, and never the token; who is not let in is nobody."""
    stranger.post("/login", data={"token": "wrong"}, headers={"origin": ORIGIN})
    stranger.post("/login", data={"token": TOKEN}, headers={"origin": ORIGIN})
    stranger.post("/logout", headers={"origin": ORIGIN})
    assert told(program) == [
        ("operator", "POST /logout", "refused (403)"),
        ("operator", "POST /login", "done"),
    ]
    out, into = (act.who for act in console.acts_done[::-1])
    assert into == out != "operator token"
    assert TOKEN not in str(console.acts_done)


def test_the_log_comes_by_pages(program: TestClient) -> None:
    """Newest first."""
    for _ in range(3):
        program.post("/api/learned/forget", json={"category": "code"})
    first = program.get("/api/audit?limit=2").json()
    assert [act["id"] for act in first["acts"]] == ["3", "2"]
    second = program.get(f"/api/audit?limit=2&before={first['next']}").json()
    assert [act["id"] for act in second["acts"]] == ["1"]
    assert second["next"] is None
    assert program.get("/api/audit?before=x").status_code == 422


def test_a_viewer_sees_everything_and_changes_nothing(
    stranger: TestClient, console: FakeConsole
) -> None:
    """By token or by log-in; the try is written down."""
    bearer = {"authorization": f"Bearer {VIEWER}"}
    assert stranger.get("/api/audit", headers=bearer).status_code == 200
    assert stranger.post("/api/explain", json={"prompt": "x"}, headers=bearer).status_code == 200
    body = {"category": "code"}
    answer = stranger.post("/api/learned/forget", json=body, headers=bearer)
    assert answer.status_code == 403
    assert "operator" in answer.json()["error"]["message"]
    stranger.post("/login", data={"token": VIEWER}, headers={"origin": ORIGIN})
    assert stranger.get("/").status_code == 200
    assert [act.role for act in console.acts_done] == ["viewer", "viewer"]
    assert "code" not in console.asked
