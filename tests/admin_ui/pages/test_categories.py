from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Applied, Bin, Estimate, Fault, Predicted, Similarities
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import card
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

ALIKE = Similarities(
    "code", 7 * 86400.0, 100, 20, 12, 0.93, learned=True,
    bins=[Bin(0.9, 0.905, 3, 1, 6), Bin(0.95, 0.955, 5, 0, 0)],
    predicted=[
        Predicted(0.9, 0.3, 0.5, Estimate(0.1, 0.02, 0.3, 9)),
        Predicted(0.93, 0.2, 0.4, Estimate(0.0, 0.0, 0.25, 5)),
    ],
)  # fmt: skip
LEARNED = {
    "bound": 0.02, "certified": False, "highest_risk": 0.05, "upper": 0.3, "labels": 12,
    "wrong": 1, "audits": 0.1,
}  # fmt: skip


def test_a_card_each(person: TestClient, console: FakeConsole) -> None:
    """Threshold, what was learned, lifetime and quota stand on every category's card."""
    console.cards = [
        card("code", 0.93),
        card("travel", 0.9) | {"max_false_hits": 0.02, "learned": LEARNED, "quota_entries": None},
        card("off", 0.9) | {"cache": False, "strict": True},
    ]
    text = Reading(person.get("/categories").text).text
    for words in ("0.930", "7 17.5% of its quota", "12 comparisons, 1 wrong: not certified yet",
                  "at most 2.0% wrong", "1 min", "strict", "numbers"):  # fmt: skip
        assert words in " ".join(text.split())


def test_a_category_is_named_once(person: TestClient, console: FakeConsole) -> None:
    """On its own page a category's name is the one heading, with the ways on beside it."""
    console.alike = ALIKE
    html = person.get("/categories/code").text
    assert (html.count("<h1"), html.count("<h2")) == (1, 0)
    for way in ("/categories", "/decisions?category=code", "/entries?category=code"):
        assert f'href="{way}"' in html


def test_the_histogram_comes_with_its_prediction(person: TestClient, console: FakeConsole) -> None:
    """Bars tell what is known apart; the figures are those of the cut in force."""
    console.alike = ALIKE
    html = person.get("/categories/code").text
    text = " ".join(Reading(html).text.split())
    assert "0.900: 3 correct, 1 wrong, 6 unknown" in html
    assert "Hit rate40.0%" in text
    assert "Between 0% and 25.0% wrong, from 5 comparisons" in text
    assert "takes the place of the learned one" in text
    line = next(a for tag, a in Reading(html).tags if a.get("type") == "range")
    assert (line["value"], line["max"], line["name"]) == ("0.93", "1", "threshold")


def test_no_requests_say_what_will_be_there(person: TestClient, console: FakeConsole) -> None:
    """Without traffic there is no picture and no line."""
    console.alike = Similarities("code", 604800.0, 0, 0, 0, 0.93, learned=False)
    html = person.get("/categories/code").text
    assert "Once there are some" in html
    assert "cutter" not in html


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Applied(True, "r2"), "in force now"),
        (Applied(False, "r2", conflict=True), "Somebody else changed the policy"),
        (Applied(False, "r1", (Fault(7, "policy.x", "is wrong"),)), "Line 7: policy.x is wrong"),
    ],
)
def test_a_threshold_is_applied(
    person: TestClient, console: FakeConsole, told: Applied, words: str
) -> None:
    """The line's value goes to the console with the revision that was seen, and the end is said."""
    console.alike, console.applied = ALIKE, told
    page = Reading(person.get("/categories/code").text)
    form = {"csrf": page.field("csrf"), "revision": page.field("revision"), "threshold": "0.905"}
    answer = person.post("/categories/code/threshold", data=form, headers={"origin": ORIGIN})
    assert words in " ".join(Reading(answer.text).text.split())
    asked = next(one for one in console.asked if isinstance(one, tuple) and len(one) == 4)
    assert asked[:3] == ("code", 0.905, "r1")
    assert asked[3].startswith("operator")


def test_what_is_no_category_or_threshold(person: TestClient) -> None:
    """An unknown name is told as such; a cosine lies between 0 and 1."""
    assert person.get("/categories/nowhere").status_code == 404
    form = {"csrf": Reading(person.get("/explain").text).field("csrf"), "threshold": "1.5"}
    answer = person.post("/categories/code/threshold", data=form, headers={"origin": ORIGIN})
    assert answer.status_code == 422
