from __future__ import annotations

from typing import TYPE_CHECKING, Any

from admin_ui.console import Doubt
from admin_ui.facts import Evidence, Kept
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import ENTRY, decision
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    import httpx
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

FIRST = decision(7, outcome="hit", reason="semantic", similarity=0.951, cut=0.95, risk=0.04,
                 prompt="How tall is it?", matched="How high is it?")  # fmt: skip
SECOND = decision(8, outcome="hit", reason="exact", prompt="What is DNS?")


def queue(console: FakeConsole) -> None:
    console.rows = [FIRST, SECOND]
    console.doubts = [Doubt(FIRST, "uncertain"), Doubt(SECOND, "bad", "out of date")]
    console.told = Evidence("7", served=Kept(ENTRY, "stored", "How high is it?", "8,849 metres."))


def settle(person: TestClient, number: int, **fields: Any) -> httpx.Response:
    form = {"csrf": Reading(person.get("/review").text).field("csrf"), **fields}
    return person.post(f"/review/{number}", data=form, headers={"origin": ORIGIN})


def test_one_after_the_other(person: TestClient, console: FakeConsole) -> None:
    """The first doubt whole, the second behind `Skip`, and then the end."""
    queue(console)
    html = person.get("/review").text
    text = Reading(html).text
    for words in ("1 of 2", "uncertain", "4.0%", "8,849 metres.", "0.951"):
        assert words in text
    assert "<mark>tall</mark>" in html
    assert 'href="/review?at=1"' in html
    text = Reading(person.get("/review?at=1").text).text
    assert "out of date" in text
    assert "to the letter" in text
    assert "That was the last one" in person.get("/review?at=2").text


def test_nothing_to_review_says_when_there_is(person: TestClient) -> None:
    """An empty queue explains what comes there."""
    assert "close to the threshold" in person.get("/review").text


def test_a_word_settles_it(person: TestClient, console: FakeConsole) -> None:
    """Good and bad go to the console; the next one follows, and what it did is said."""
    queue(console)
    console.effects = {7: "removed"}
    answer = settle(person, 7, verdict="bad", at="0")
    assert (7, False, "") in console.asked
    assert answer.headers["location"] == "/review?at=0&effect=removed"
    assert "the entry is removed" in person.get("/review?at=0&effect=removed").text


def test_what_cannot_be_settled(person: TestClient, console: FakeConsole) -> None:
    """A decision that fell out of the log is 404, a verdict that is none 422."""
    queue(console)
    assert settle(person, 9, verdict="good").status_code == 404
    assert settle(person, 7, verdict="maybe").status_code == 422
    assert person.get("/review?at=-1").status_code == 422
