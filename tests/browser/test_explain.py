"""The playground in a real browser, asked about a real memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.traffic import answered

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House


def test_a_prompt_is_explained_without_being_sent(page: Page, house: House) -> None:
    """The verdict, the steps and the neighbour are shown; upstream hears nothing."""
    asked = "Do cats like water?"
    key, _ = answered(house, asked, asked.lower(), "sk-explain")
    calls = house.calls(key)
    page.goto("/explain")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("Do cats not like water?")
    page.get_by_text("Who asks, and what came before").click()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Explain").click()
    expect(page.locator(".verdict")).to_contain_text("guard-negation")
    expect(
        page.get_by_role("region", name="Step by step").get_by_role("listitem")
    ).not_to_have_count(0)
    expect(page.get_by_role("region", name="Nearest")).to_contain_text(asked)
    assert house.calls(key) == calls
