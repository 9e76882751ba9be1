from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from admin_ui.facts import Applied, Fault, Written
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    import httpx
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def send(person: TestClient, path: str, **fields: Any) -> httpx.Response:
    page = Reading(person.get("/policy").text)
    form = {"csrf": page.field("csrf"), "revision": page.field("revision"), **fields}
    return person.post(path, data=form, headers={"origin": ORIGIN})


def test_the_text_in_force_is_edited(person: TestClient) -> None:
    """The file's text and revision stand in the form, the history below it."""
    html = person.get("/policy").text
    page = Reading(html)
    for words in ("likewise.yaml", "policy: {}", "operator 0a"):
        assert words in page.text
    assert page.field("revision") == "r1"


def test_a_long_path_stands_in_full_behind_its_name(
    person: TestClient, console: FakeConsole
) -> None:
    """The page names the file; where it lies is told on pointing at it."""
    console.text = Written("/srv/a/long/way/down/house.yaml", "x", "r1")
    html = person.get("/policy").text
    assert '<code title="/srv/a/long/way/down/house.yaml">house.yaml</code>' in html


def test_without_a_file_it_says_how_to_get_one(person: TestClient, console: FakeConsole) -> None:
    """The built-in policy cannot be edited in place."""
    console.text = Written("", "", "")
    html = person.get("/policy").text
    assert "likewise init" in html
    assert "<textarea" not in html


def test_a_file_that_is_not_in_force_is_said(person: TestClient, console: FakeConsole) -> None:
    """What is wrong with the file, and that the old policy rules on; notices too."""
    console.text = Written("f.yaml", "x", "r1", False, (Fault(3, "policy.x", "is unknown"),))
    console.rules = {"mode": "shadow", "notices": ["a category was renamed"]}
    text = Reading(person.get("/policy").text).text
    for words in ("not in force", "Line 3: is unknown", "shadow", "a category was renamed"):
        assert words in text


def test_faults_stand_at_their_lines(person: TestClient) -> None:
    """A check names line and key; the text that was typed stays."""
    answer = send(person, "/policy/check", text="policy:\r\n  mode: maybe\r\n")
    assert answer.status_code == 200
    assert 'data-line="2"' in answer.text
    assert "policy.mode: must be serve or shadow" in Reading(answer.text).text
    assert "mode: maybe" in Reading(answer.text).text


def test_a_sound_text_shows_its_difference(person: TestClient) -> None:
    """What an edit would change is shown before it is applied."""
    answer = send(person, "/policy/check", text="sound")
    assert "no faults" in Reading(answer.text).text
    assert '<span class="plus">+sound' in answer.text


def test_a_text_is_tried(person: TestClient, console: FakeConsole) -> None:
    """The last requests, both policies side by side; a faulty text is told instead."""
    answer = send(person, "/policy/trial", text="sound", requests="100")
    assert ("sound", 100) in console.asked
    text = " ".join(Reading(answer.text).text.split())
    for words in ("40.0% 2 hits", "60.0% 3 hits", "Hits gained2", "Between 0.1 and 1.5"):
        assert words in text
    assert "must be serve" in send(person, "/policy/trial", text="faulty").text
    assert send(person, "/policy/trial", text="sound", requests="9999").status_code == 422


@pytest.mark.parametrize("path", ["/policy", "/policy/editions/1/restore"])
def test_what_is_applied_is_said(person: TestClient, console: FakeConsole, path: str) -> None:
    """Applying and going back lead to the policy's page, which says so."""
    answer = send(person, path, text="a\r\nb")
    assert answer.headers["location"] == "/policy?applied=1"
    assert "Applied." in person.get("/policy?applied=1").text
    assert any(one[1] == "r1" and one[2].startswith("operator") for one in console.asked)


@pytest.mark.parametrize("path", ["/policy", "/policy/editions/1/restore"])
@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        (Applied(False, "r9", conflict=True), 409, "Somebody else"),
        (Applied(False, "r1", (Fault(0, "", "cannot be written"),)), 422, "cannot be written"),
    ],
)
def test_what_is_not_applied_is_said(
    person: TestClient, console: FakeConsole, path: str, told: Applied, status: int, words: str
) -> None:
    """A conflict or a fault writes nothing, says why, and keeps what was typed."""
    console.applied = told
    answer = send(person, path, text="typed")
    assert answer.status_code == status
    assert words in answer.text
    if path == "/policy":
        assert "typed" in Reading(answer.text).text


def test_an_edition_is_compared(person: TestClient) -> None:
    """Before going back one sees what that would change; unknown editions are 404."""
    html = person.get("/policy/editions/1").text
    assert "Go back to edition 1" in html
    assert "+policy: {}" in html
    assert person.get("/policy/editions/9").status_code == 404
    assert send(person, "/policy/editions/9/restore").status_code == 404
