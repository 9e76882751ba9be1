from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Selection
from admin_ui.pages.entries import Search
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import ENTRY, VIEWER, entry
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    import httpx
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def send(person: TestClient, path: str, **fields: str) -> httpx.Response:
    csrf = Reading(person.get("/explain").text).field("csrf")
    return person.post(path, data={"csrf": csrf, **fields}, headers={"origin": ORIGIN})


@pytest.mark.parametrize(
    ("query", "selection"),
    [
        ("", Selection()),
        ("text=dog&category=default", Selection(text="dog", category="default")),
        ("older=3600&mark=flagged", Selection(older_than=3600.0, flagged=True)),
        ("mark=pinned&tenant=acme", Selection(tenant="acme", pinned=True)),
        ("tag=a&model=m&meaning=a+pet", Selection(tag="a", model="m")),
    ],
)
def test_the_search_reaches_the_console(
    person: TestClient, console: FakeConsole, query: str, selection: Selection
) -> None:
    """The form's fields narrow the list, and stay filled in."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog", flagged=True)]
    html = person.get(f"/entries?{query}").text
    assert selection in [one for one in console.asked if isinstance(one, Selection)] or any(
        isinstance(one, tuple) and selection in one for one in console.asked
    )
    for name, value in (pair.split("=") for pair in query.split("&") if pair):
        assert f'value="{value.replace("+", " ")}"' in html or f">{value}</option>" in html, name


@pytest.mark.parametrize("query", ["older=x", "mark=x", "sort=x", "offset=-1"])
def test_a_search_that_is_none_is_refused(person: TestClient, query: str) -> None:
    """What the form cannot say, the address may not say either."""
    assert person.get(f"/entries?{query}").status_code == 422


def test_what_a_purge_goes_by() -> None:
    """Order, place and meaning show entries; they do not narrow what is removed."""
    search = Search(text="cat", meaning="a pet", sort="hits", offset=100)
    assert search.narrowed == "text=cat"
    assert search.address == "text=cat&meaning=a+pet&sort=hits"


def test_the_list_says_what_is_worth_keeping(person: TestClient, console: FakeConsole) -> None:
    """Hits, savings and marks stand with each prompt."""
    console.kept = [entry(1, "a cat", pinned=True), entry(2, "a dog", dollars_saved=0.0)]
    text = Reading(person.get("/entries").text).text
    for words in ("a cat", "pinned", "$0.01", "30 tokens", "1.8 KB"):
        assert words in text


def test_nothing_there_says_what_to_do(person: TestClient) -> None:
    """An empty memory and an empty search have different advice."""
    assert "Nothing is remembered yet" in person.get("/entries").text
    assert "No entry matches" in person.get("/entries?text=x").text


def test_an_entry_is_opened(person: TestClient, console: FakeConsole) -> None:
    """Prompt, answer and facts; an entry that is gone is 404."""
    console.kept = [entry(1, "Why is it so?", entry=ENTRY, tags=("a",))]
    text = Reading(person.get(f"/entries/{ENTRY}").text).text
    for words in ("Why is it so?", "Because.", ENTRY, "saved 30 tokens"):
        assert words in text
    assert person.get(f"/entries/{2:032x}").status_code == 404
    assert person.get("/entries/x").status_code == 422


@pytest.mark.parametrize(
    ("path", "fields", "asked", "words"),
    [
        ("lifetime", {"ttl": "7d"}, (ENTRY, 604800.0, None), "lives for 7d"),
        ("lifetime", {"ttl": " 90s "}, (ENTRY, 90.0, None), "lives for 90s"),
        ("pin", {"pinned": "true"}, (ENTRY, None, True), "Pinned"),
        ("pin", {"pinned": "false"}, (ENTRY, None, False), "Not pinned any more"),
    ],
)
def test_an_entry_is_amended(
    person: TestClient,
    console: FakeConsole,
    path: str,
    fields: dict[str, str],
    asked: tuple[object, ...],
    words: str,
) -> None:
    """Lifetime and pin go to the console, and the page says what is so now."""
    console.kept = [entry(1, "a cat", entry=ENTRY)]
    answer = send(person, f"/entries/{ENTRY}/{path}", **fields)
    assert asked in console.asked
    assert words in answer.text


@pytest.mark.parametrize("ttl", ["soon", "0s", "9999d", "-1d"])
def test_a_lifetime_that_is_none(person: TestClient, console: FakeConsole, ttl: str) -> None:
    """Nothing is changed, and what is allowed is said."""
    console.kept = [entry(1, "a cat", entry=ENTRY)]
    answer = send(person, f"/entries/{ENTRY}/lifetime", ttl=ttl)
    assert answer.status_code == 422
    assert not any(isinstance(one, tuple) and one[0] == ENTRY for one in console.asked)


def test_an_entry_is_removed_and_had_back(person: TestClient, console: FakeConsole) -> None:
    """The button leads back to the same search, where a minute's undo is offered."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    answer = send(person, f"/entries/{1:032x}/delete?category=default")
    assert answer.headers["location"] == "/entries?category=default"
    assert [e["text"] for e in console.kept] == ["a dog"]
    html = person.get("/entries").text
    assert "1 entry removed." in Reading(html).text
    aside = next(a["value"] for _, a in Reading(html).tags if a.get("name") == "aside")
    assert send(person, "/entries/undo", aside=aside).headers["location"] == "/entries?back=2"
    assert "2 entries are back" in person.get("/entries?back=2").text
    assert send(person, "/entries/undo", aside="1" * 16).status_code == 404


def test_purging_counts_first(person: TestClient, console: FakeConsole) -> None:
    """The first page counts and removes nothing; the second step sets aside what was counted."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    html = person.get("/entries/purge?text=cat").text
    assert "Remove 1 entry?" in html
    assert len(console.kept) == 2
    answer = send(person, "/entries/purge?text=cat")
    assert answer.headers["location"] == "/entries"
    assert [e["text"] for e in console.kept] == ["a dog"]


def test_purging_everything_is_said_aloud(person: TestClient, console: FakeConsole) -> None:
    """Without a filter the page warns that the whole cache goes."""
    console.kept = [entry(1, "a cat")]
    assert "empties the whole cache" in person.get("/entries/purge").text


def test_what_is_too_much_to_undo_needs_a_second_word(
    person: TestClient, console: FakeConsole
) -> None:
    """Nothing goes for good before somebody has read that it cannot be undone."""
    console.kept, console.crowded = [entry(1, "a cat")], True
    answer = send(person, "/entries/purge?text=cat")
    assert answer.status_code == 409
    assert "cannot be undone" in answer.text
    assert len(console.kept) == 1
    answer = send(person, "/entries/purge?text=cat", final="true")
    assert answer.headers["location"] == "/entries?gone=1"
    assert console.kept == []
    assert "1 entry removed for good" in person.get("/entries?gone=1").text


def test_viewers_are_offered_no_change(stranger: TestClient, console: FakeConsole) -> None:
    """Who may only look sees everything, without the buttons."""
    stranger.post("/login", data={"token": VIEWER}, headers={"origin": ORIGIN})
    console.kept = [entry(1, "a cat", entry=ENTRY)]
    for path in ("/entries", f"/entries/{ENTRY}", "/entries/purge"):
        page = Reading(stranger.get(path).text)
        forms = [a["action"] for tag, a in page.tags if tag == "form" and a["method"] == "post"]
        assert forms == ["/logout"], path
