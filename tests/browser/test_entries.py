"""Entries in a real browser: found, opened, amended, purged and had back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.traffic import answered

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House


def test_an_entry_is_found_by_meaning_and_amended(page: Page, house: House) -> None:
    """Other words find it; its lifetime and pin are changed, and the proxy keeps to both."""
    asked = "How do volcanoes erupt?"
    answered(house, asked, asked.lower(), "sk-entries")
    page.goto("/entries")
    page.get_by_label("Prompt means").fill("why does a volcano erupt")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("row").nth(1).get_by_role("link", name=asked).click()
    expect(page.locator("blockquote.asked")).to_have_text(asked)
    page.get_by_label("Let it live for").fill("3d")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("status")).to_contain_text("lives for 3d")
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Pinned")
    (kept,) = house.api("/api/entries?pinned=true")["entries"]
    assert kept["text"] == asked
    assert 2.9 * 86400 < kept["expires"] - kept["stored"] < 3.1 * 86400
    page.get_by_role("button", name="Let go of the pin").click()
    expect(page.get_by_role("status")).to_contain_text("Not pinned")


def test_a_purge_is_counted_done_and_undone(page: Page, house: House) -> None:
    """Two entries are counted, removed, asked upstream again, and back after `Undo`."""
    key = "sk-undo"
    prompts = ["Zeppelin question one?", "Zeppelin question two?"]
    for prompt in prompts:
        house.chat(prompt, key)
    page.goto("/entries?text=zeppelin")
    page.get_by_role("link", name="Remove all that match").click()
    expect(page.get_by_role("heading", name="Remove 2 entries?")).to_be_visible()
    page.get_by_role("button", name="Remove 2").click()
    removed = page.locator("form.undo").filter(has_text="2 entries removed")
    expect(removed).to_contain_text(" s.")
    assert house.api("/api/entries?text=zeppelin")["entries"] == []
    removed.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("status").filter(has_text="2 entries are back")).to_be_visible()
    calls = house.calls(key)
    for prompt in prompts:
        assert house.chat(prompt, key).headers["x-likewise-reason"] == "exact"
    assert house.calls(key) == calls
