from __future__ import annotations

from typing import TYPE_CHECKING

from admin_ui.console import Selection
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import entry
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_entries_filter(person: TestClient, console: FakeConsole) -> None:
    """The filter's fields reach the console, and stay filled in."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog", flagged=True)]
    html = person.get("/entries?text=dog&category=default&older=3600").text
    assert console.asked == [Selection(text="dog", category="default", older_than=3600.0)]
    assert "a dog" in html
    assert "a cat" not in html
    assert Reading(html).field("text") == "dog"
    assert "flagged" in Reading(html).text


def test_an_entry_is_removed(person: TestClient, console: FakeConsole) -> None:
    """The button of a row removes that entry and comes back to the same search."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    csrf = Reading(person.get("/entries").text).field("csrf")
    answer = person.post(
        f"/entries/{1:032x}/delete?category=default",
        data={"csrf": csrf},
        headers={"origin": ORIGIN},
    )
    assert answer.headers["location"] == "/entries?category=default&removed=1"
    assert [e["text"] for e in console.kept] == ["a dog"]


def test_purging_asks_first(person: TestClient, console: FakeConsole) -> None:
    """The first page counts and removes nothing; the second step removes what was counted."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    html = person.get("/entries/purge?text=cat").text
    assert "Remove 1 entry?" in html
    assert len(console.kept) == 2
    answer = person.post(
        "/entries/purge?text=cat",
        data={"csrf": Reading(html).field("csrf")},
        headers={"origin": ORIGIN},
    )
    assert answer.headers["location"] == "/entries?removed=1"
    assert [e["text"] for e in console.kept] == ["a dog"]


def test_purging_everything_is_said_aloud(person: TestClient, console: FakeConsole) -> None:
    """Without a filter the page warns that the whole cache goes."""
    console.kept = [entry(1, "a cat")]
    assert "empties the whole cache" in person.get("/entries/purge").text
