from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Selection
from admin_ui.facts import Evidence, Judged, Kept, Refused, Said
from policies.record import Filter
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import ENTRY, decision, entry
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

PAIR = decision(
    7, reason="guard-numbers", similarity=0.9821, cut=0.97, seen="4 against 5",
    prompt="Price on 4 March", matched="Price on 5 March", neighbour="ab" * 16,
)  # fmt: skip
WHOLE = Evidence(
    "00000000000000aa",
    refused=(Refused("cd" * 16, 0.91, "below-threshold", "0.91 < 0.97", (0.4,), "Price in March"),),
    served=Kept(ENTRY, "stored", "Price on 4 March", "It costs 9."),
    nearest=Kept("ab" * 16, "replaced", "Price on 5 March", "It costs 8."),
    judged=(Judged(0.0, "ab" * 16, 0.98, False, "embedding"),),
    guards=("numbers", "negation"),
    context="meaning",
)


def test_a_row_is_short(person: TestClient, console: FakeConsole) -> None:
    """The list holds what tells rows apart, and leads to the evidence, which it does not carry."""
    console.rows = [PAIR]
    html = person.get("/decisions").text
    text = Reading(html).text
    for words in ("guard-numbers", "0.982", "0.970", "412 ms", "Price on 4 March"):
        assert words in text
    assert "Price on 5 March" not in text
    assert 'href="/decisions/7"' in html


def test_a_decision_shows_its_evidence(person: TestClient, console: FakeConsole) -> None:
    """Both prompts with the differing word marked, answers, refusals, why, and times."""
    console.rows, console.told = [PAIR], WHOLE
    html = person.get("/decisions/7").text
    text = Reading(html).text
    for words in ("4 against 5", "names other numbers", "It costs 9.", "It costs 8.", "0.91 < 0.97",
                  "another answer stands there by now", "turn 1: 0.400", "numbers, negation",
                  "another answer", "00000000000000aa", "ab" * 16, "Upstream"):  # fmt: skip
        assert words in text
    assert "<mark>4</mark>" in html
    assert "<mark>5</mark>" in html


def test_an_unknown_decision_is_a_page(person: TestClient) -> None:
    """The log is bounded: what fell out of it is told as such."""
    answer = person.get("/decisions/5")
    assert answer.status_code == 404
    assert "bounded history" in answer.text
    assert person.get("/decisions/x").status_code == 422
    assert person.get("/decisions/9999999999999999999").status_code == 404


def test_decisions_are_paged(person: TestClient, console: FakeConsole) -> None:
    """Fifty a page; `Older` leads on, and the end says so."""
    console.rows = [decision(number, prompt=f"question {number}") for number in range(1, 61)]
    first = person.get("/decisions").text
    assert "question 11" in first
    assert "question 10<" not in first
    assert 'href="/decisions?before=11"' in first
    second = person.get("/decisions?before=11").text
    assert "question 10" in second
    assert ">Older<" not in second
    assert "No older decisions" in person.get("/decisions?before=1").text
    assert person.get("/decisions?before=x").status_code == 422


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("", None),
        ("text=+&least=", None),
        ("category=code&outcome=hit", Filter(category="code", outcome="hit")),
        ("reason=semantic&model=m", Filter(reason="semantic", model="m")),
        ("owner=o1&text=a+cat", Filter(owner="o1", text="a cat")),
        ("least=.5&most=1", Filter(least=0.5, most=1.0)),
        (f"entry={ENTRY}", Filter(entry=ENTRY)),
    ],
)
def test_the_filter_reaches_the_console(
    person: TestClient, console: FakeConsole, query: str, chosen: Filter | None
) -> None:
    """What the address says narrows the log, its older pages and the stream alike."""
    console.rows = [
        decision(n, category="code", outcome="hit", reason="semantic", model="m", owner="o1",
                 prompt="a cat", similarity=0.7, entry=ENTRY)
        for n in range(60)
    ]  # fmt: skip
    html = person.get(f"/decisions?{query}").text
    asked = [one for one in console.asked if isinstance(one, tuple)]
    assert asked == [(50, None) if chosen is None else (50, None, chosen)]
    stream = next(a["data-stream"] for _, a in Reading(html).tags if "data-stream" in a)
    assert person.get(stream).status_code == 200
    assert console.asked[-1] == (chosen, None)


@pytest.mark.parametrize(
    "query",
    [
        "least=a",
        "least=2",
        "most=-1",
        "before=a",
        "before=-1",
        f"before={1 << 63}",
    ],
)
def test_a_filter_that_is_none_is_refused(person: TestClient, query: str) -> None:
    """A similarity is between 0 and 1, a place in the log a number."""
    assert person.get(f"/decisions?{query}").status_code == 422


def test_nothing_that_fits_says_what_to_do(person: TestClient, console: FakeConsole) -> None:
    """An empty list under a filter leads back to all."""
    console.rows = [decision(1)]
    html = person.get("/decisions?reason=semantic").text
    assert "No decision matches" in html
    assert 'href="/decisions"' in html


@pytest.mark.parametrize(
    ("effect", "words"),
    [("flagged", "not served by meaning"), ("removed", "is removed"), ("stands", "first verdict")],
)
def test_a_verdict_is_said_and_told(
    person: TestClient, console: FakeConsole, effect: str, words: str
) -> None:
    """The buttons judge the request, and the page says what that ended."""
    console.rows, console.effects = [decision(7, outcome="hit", reason="semantic")], {7: effect}
    page = Reading(person.get("/decisions/7").text)
    form = {"csrf": page.field("csrf"), "verdict": "bad"}
    html = person.post("/decisions/7/judge", data=form, headers={"origin": ORIGIN}).text
    assert (7, False, "") in console.asked
    assert words in html


def test_no_second_verdict_is_offered(person: TestClient, console: FakeConsole) -> None:
    """Where there is a verdict it is shown instead of the buttons; misses have none either."""
    console.rows = [decision(7, outcome="hit"), decision(8)]
    assert "Bad answer" in person.get("/decisions/7").text
    assert "Bad answer" not in person.get("/decisions/8").text
    console.told = Evidence("7", verdict=Said(0.0, False, "wrong year"))
    html = person.get("/decisions/7").text
    assert "Bad answer" not in html
    assert "wrong year" in html


def test_an_entry_is_purged_from_its_decision(person: TestClient, console: FakeConsole) -> None:
    """The button removes the one entry, and the page says so."""
    console.rows, console.told = [decision(7)], WHOLE
    console.kept = [entry(1, "a cat") | {"entry": ENTRY}]
    csrf = Reading(person.get("/decisions/7").text).field("csrf")
    form = {"csrf": csrf, "entry": ENTRY}
    html = person.post("/decisions/7/purge", data=form, headers={"origin": ORIGIN}).text
    assert (Selection(ids=(ENTRY,)), None) in console.asked
    assert "had back for a minute" in html
    aside = next(a["value"] for _, a in Reading(html).tags if a.get("name") == "aside")
    html = person.post(
        "/decisions/7/undo", data={"csrf": csrf, "aside": aside}, headers={"origin": ORIGIN}
    ).text
    assert "The entry is back." in html


def test_an_entry_too_large_to_undo_is_purged(person: TestClient, console: FakeConsole) -> None:
    """What cannot be held aside goes for good, and nothing promises otherwise."""
    console.rows, console.told, console.crowded = [decision(7)], WHOLE, True
    console.kept = [entry(1, "a cat") | {"entry": ENTRY}]
    csrf = Reading(person.get("/decisions/7").text).field("csrf")
    form = {"csrf": csrf, "entry": ENTRY}
    html = person.post("/decisions/7/purge", data=form, headers={"origin": ORIGIN}).text
    assert (Selection(ids=(ENTRY,)), False) in console.asked
    assert "The entry is gone." in html
    assert "minute" not in html
