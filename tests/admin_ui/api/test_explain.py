from __future__ import annotations

from typing import TYPE_CHECKING

from admin_ui.console import Question

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_explain(program: TestClient, console: FakeConsole) -> None:
    """The question reaches the console as asked, and the story comes back."""
    body = {"prompt": "Why?", "model": "m", "system": "s", "history": [["user", "Hi"]]}
    answer = program.post("/api/explain", json=body)
    assert answer.json() == console.story
    assert console.asked == [Question("Why?", "m", "s", (("user", "Hi"),))]


def test_explain_refuses(program: TestClient) -> None:
    """An empty prompt, an unknown field and an unknown category are the asker's errors."""
    assert program.post("/api/explain", json={"prompt": ""}).status_code == 422
    assert program.post("/api/explain", json={"prompt": "x", "modell": "m"}).status_code == 422
    answer = program.post("/api/explain", json={"prompt": "x", "category": "nowhere"})
    assert answer.status_code == 400
    assert "default, code" in answer.json()["error"]["message"]
