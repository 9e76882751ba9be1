from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from admin_ui.console import Doubt
from admin_ui.facts import (
    Applied,
    Estimate,
    Evidence,
    Fault,
    Judged,
    Kept,
    Line,
    Overview,
    Refused,
    Said,
    Written,
)
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import ENTRY, card, decision, entry
from tests.admin_ui.hostile import HOSTILE
from tests.admin_ui.pages.test_overview import BUSY
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

PAGES = [
    "/", "/categories", "/decisions", "/entries", "/explain", "/policy", "/review", "/health",
]  # fmt: skip


WHOLE = f"/entries/{ENTRY}"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(person: TestClient, console: FakeConsole, text: str) -> None:
    """Whatever a caller or an upstream wrote adds no script, handler, frame or style anywhere."""
    console.facts = Overview(
        3600.0, BUSY, {text: BUSY}, {text: 3}, lines={text: Line((1,), (1,))},
        false_hits_by_category={text: Estimate(0.1, 0.0, 0.2, 9)}, policy_mode=text, version=text,
    )  # fmt: skip
    console.rows = [
        decision(1, prompt=text, matched=f"other {text}", model=text, category=text, seen=text,
                 reason=text, outcome=text, dialect=text, upstream=text, entry=text, kept=text,
                 neighbour=text + "n", would=text, similarity=0.5, cut=0.9)
    ]  # fmt: skip
    kept = Kept(text, "stored", text, text)
    console.told = Evidence(
        text, (Refused(text, 0.9, text, text, (), text),), served=kept, nearest=kept,
        verdict=Said(0.0, True, text), judged=(Judged(0.0, text, 0.9, True, text),),
        guards=(text,), context=text,
    )  # fmt: skip
    console.kept = [
        entry(
            1, text, category=text, model=text, tags=(text,), entry=ENTRY, owner=text, dialect=text
        )
    ]
    console.rules = {"mode": text, "load": text, "notices": [text]}
    console.text = Written(text, text, text, False, (Fault(1, text, text),))
    console.applied = Applied(False, text, (Fault(1, text, text),))
    console.cards = [card(text, 0.9) | {"share": text, "guards": [text]}, card("code", 0.9)]
    console.doubts = [Doubt(console.rows[0], "bad", text)]
    console.story = {
        "outcome": text, "reason": text, "category": text, "entry": text, text: text,
        "steps": [{"name": text, "text": text}, text],
        "candidates": [{"entry": text, "text": text, "score": 0.9, "reason": text, "seen": text}],
    }  # fmt: skip
    csrf = Reading(person.get("/explain").text).field("csrf")
    answers = [person.get(path) for path in (*PAGES, "/decisions/1", "/policy/editions/1", WHOLE)]
    answers += [
        person.get(path, params={"text": text, "category": text, "next": text, "range": text})
        for path in ("/entries", "/entries/purge", "/login", "/", "/decisions", f"/{quote(text)}")
    ]
    answers.append(
        person.post(
            "/explain",
            data={"csrf": csrf, "prompt": text, "model": text, "system": text},
            headers={"origin": ORIGIN},
        )
    )
    changed = {"csrf": csrf, "text": text, "threshold": "0.9"}
    answers += [
        person.post(path, data=changed, headers={"origin": ORIGIN})
        for path in ("/policy", "/policy/check", "/policy/trial", "/categories/code/threshold")
    ]
    for answer in answers:
        assert answer.headers["content-type"].startswith("text/html"), answer.url
        assert answer.status_code in {200, 404, 422}
        assert Reading(answer.text).active() == [], answer.url
    assert "alert(1)" in Reading(answers[2].text).text or "evil" in Reading(answers[2].text).text


@pytest.mark.parametrize("path", PAGES)
def test_pages_can_be_used_without_sight(person: TestClient, path: str) -> None:
    """Each page has a language, one heading, a main part, and its place marked in the menu."""
    tags = Reading(person.get(path).text).tags
    assert ("html", {"lang": "en"}) in tags
    assert sum(tag == "h1" for tag, _ in tags) == 1
    assert sum(tag == "main" for tag, _ in tags) == 1
    here = [a["href"] for tag, a in tags if tag == "a" and a.get("aria-current") == "page"]
    assert here == [path]


def test_links_lead_somewhere(person: TestClient, console: FakeConsole) -> None:
    """No page links to something that does not exist."""
    console.facts = Overview(3600.0, BUSY)
    console.kept = [entry(1, "a cat")]
    console.rows = [decision(n) for n in range(60)]
    targets = {
        a["href"]
        for path in (*PAGES, "/decisions/1", "/categories/code", "/entries/purge", WHOLE, "/api")
        for tag, a in Reading(person.get(path).text).tags
        if tag in {"a", "link"} and not a["href"].startswith("#")
    }
    assert len(targets) > 10
    for target in targets:
        assert person.get(target).status_code == 200, target
