from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.pages.explain import turns
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import card
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


def test_who_asks_goes_along(person: TestClient, console: FakeConsole) -> None:
    """Key, user, category and earlier turns reach the console; the key is not shown again."""
    console.cards = [card("code", 0.9)]
    csrf = Reading(person.get("/explain").text).field("csrf")
    form = {
        "csrf": csrf, "prompt": "And there?", "history": "user: Where?\nassistant: Here.",
        "credential": "sk-secret", "user": "u1", "category": "code",
    }  # fmt: skip
    html = person.post("/explain", data=form, headers={"origin": ORIGIN}).text
    asked = console.asked[-1]
    assert asked.history == (("user", "Where?"), ("assistant", "Here."))
    assert (asked.credential, asked.user, asked.category) == ("sk-secret", "u1", "code")
    assert "sk-secret" not in html


def test_a_decision_fills_the_form_in(person: TestClient, console: FakeConsole) -> None:
    """A link with a prompt asks nothing by itself."""
    html = person.get("/explain?prompt=Is+it+so%3F&model=m").text
    assert "Is it so?" in Reading(html).text
    assert Reading(html).field("model") == "m"
    assert console.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n \n", []),
        ("Hello", [("user", "Hello")]),
        ("User: a\nb\n\nASSISTANT:c", [("user", "a\nb\n"), ("assistant", "c")]),
        ("a user: b", [("user", "a user: b")]),
    ],
)
def test_turns(text: str, expected: list[tuple[str, str]]) -> None:
    """A role at the start of a line begins a turn; what comes before is the user's."""
    assert list(turns(text)) == expected
