from __future__ import annotations

from typing import TYPE_CHECKING

from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_explain(person: TestClient, console: FakeConsole) -> None:
    """The story is shown step by step, with each candidate's reason, and nothing left out."""
    console.story = {
        "outcome": "miss", "reason": "guard-negation", "category": "code", "similarity": 0.991,
        "cut": 0.93, "steps": [{"name": "Exact", "text": "No entry has this key."}, "a bare step"],
        "candidates": [{"entry": "ab" * 16, "text": "Is it not safe?", "score": 0.991,
                        "reason": "guard-negation", "seen": "not"}],
        "embed_ms": 3.2,
    }  # fmt: skip
    csrf = Reading(person.get("/explain").text).field("csrf")
    html = person.post(
        "/explain",
        data={"csrf": csrf, "prompt": "Is it safe?", "model": " ", "system": "Be brief."},
        headers={"origin": ORIGIN},
    ).text
    text = Reading(html).text
    for words in ("guard-negation", "0.991", "No entry has this key.", "a bare step", "embed_ms"):
        assert words in text
    assert "<mark>not</mark>" in html
    asked = console.asked[-1]
    assert (asked.prompt, asked.model, asked.system) == ("Is it safe?", "gpt-4o-mini", "Be brief.")


def test_explain_wants_a_prompt(person: TestClient, console: FakeConsole) -> None:
    """An empty form is answered with what to do, and asks nothing."""
    csrf = Reading(person.get("/explain").text).field("csrf")
    answer = person.post("/explain", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.status_code == 400
    assert "Write the prompt" in answer.text
    assert console.asked == []
