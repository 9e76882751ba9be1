"""The log of decisions in a real browser: followed, filtered, opened, judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.traffic import answered

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House

TIDES = "How do tides work?"
NEVER = "How do tides not work?"


def test_the_log_grows_as_it_happens(page: Page, house: House) -> None:
    """A request appears on the open page, and the pause button stops that."""
    page.goto("/decisions")
    follow = page.get_by_role("button", name="Following")
    expect(follow).to_have_attribute("aria-pressed", "true")
    house.chat("Why do cats purr, I wonder?", "sk-live")
    log = page.locator("#log details")
    expect(log.first).to_contain_text("Why do cats purr")
    follow.click()
    expect(page.get_by_role("button", name="Follow", exact=True)).to_be_visible()
    house.chat("Why do dogs bark, I wonder?", "sk-live")
    page.goto("/decisions")
    expect(log.first).to_contain_text("Why do dogs bark")


def test_filters_narrow_the_log(page: Page, house: House) -> None:
    """Outcome and text leave what fits; nothing that fits says what to do."""
    house.chat(TIDES, "sk-filter")
    house.chat(TIDES, "sk-filter")
    page.goto("/decisions")
    page.get_by_label("Prompt contains").fill("tides")
    page.get_by_label("Reason").select_option("exact")
    page.get_by_role("button", name="Filter", exact=True).click()
    rows = page.locator("#log details")
    expect(rows.first).to_contain_text("exact")
    assert rows.count() == rows.filter(has_text="exact").filter(has_text="tides").count()
    page.get_by_label("Similarity to").fill("0.1")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("heading", name="No decision matches")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    expect(rows.first).to_be_visible()


def test_a_row_opens_to_its_evidence(page: Page, house: House) -> None:
    """Both prompts with the difference marked, both answers, why, and the headers' id."""
    _, answer = answered(house, TIDES, NEVER, "sk-pair", "guard-negation")
    page.goto("/decisions")
    page.locator("#log details").first.locator("summary").click()
    evidence = page.locator("#evidence")
    expect(evidence).to_contain_text("negated")
    expect(evidence.locator("mark", has_text="not")).to_be_visible()
    expect(evidence.locator("blockquote.answer")).to_have_count(2)
    expect(evidence).to_contain_text(answer.headers["x-likewise-request"])


def test_a_bad_answer_stops_hitting(page: Page, house: House) -> None:
    """Called bad on the page, an entry is not served by meaning again."""
    again = "how do the glaciers move"
    key, _ = answered(house, "How do glaciers move?", again, "sk-bad")
    page.goto("/decisions?reason=semantic")
    page.locator("#log details", has_text=again).first.locator("summary").click()
    page.get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("status").filter(has_text="Marked bad")).to_be_visible()
    expect(page.get_by_role("button", name="Bad answer")).to_have_count(0)
    assert house.chat(again, key).headers["x-likewise-reason"] == "flagged"


def test_an_entry_is_purged_from_its_decision(page: Page, house: House) -> None:
    """Gone at one button, back at the next."""
    answer = house.chat("How do rainbows form?", "sk-purge")
    page.goto(f"/decisions/{answer.headers['x-likewise-request']}")
    page.get_by_role("button", name="Purge the entry").click()
    expect(page.get_by_role("status").filter(has_text="gone")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="back")).to_be_visible()
    assert house.chat("How do rainbows form?", "sk-purge").headers["x-cache"] == "HIT"
