"""A threshold dragged and applied in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.traffic import answered
from tests.proxy.house import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House

PAIR = (
    "When should I be at the airport for a flight?",
    "When do I have to be at the airport for a flight?",
)


def test_a_threshold_is_moved_by_keys_and_applied(page: Page, house: House) -> None:
    """The figures follow the line, the file is written, and the next request is decided by it."""
    answered(house, *PAIR, "sk-cut")
    until(lambda: house.api("/api/categories/travel/similarities")["predicted"][0]["semantic"])
    page.goto("/categories")
    form = page.locator("form.cutting").filter(has_text="Apply to travel")
    line = page.get_by_role("slider", name="Threshold of travel")
    line.scroll_into_view_if_needed()
    apply = form.get_by_role("button", name="Apply to travel")
    expect(apply).to_be_disabled()
    before = form.locator("[data-show=hit]").inner_text()
    line.focus()
    page.keyboard.press("End")
    expect(form.locator("[data-show=cut]")).to_have_text("1.000")
    expect(form.locator("[data-show=hit]")).not_to_have_text(before)
    apply.click()
    expect(page.get_by_role("status").filter(has_text="in force now")).to_be_visible()
    assert "threshold: 1" in house.config.read_text()
    answered(house, *PAIR, "sk-cut-after", "below-threshold")


def test_a_threshold_is_dragged(page: Page, house: House) -> None:
    """The pointer moves the line, and with it what is told; nothing is written by that."""
    house.chat("How do I sort a list in Python?", "sk-drag")
    text = house.config.read_text()
    page.goto("/categories/code")
    line = page.get_by_role("slider", name="Threshold of code")
    box = line.bounding_box()
    assert box is not None
    y = box["y"] + 20
    page.mouse.move(box["x"] + box["width"] * 0.7, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, y, steps=4)
    page.mouse.up()
    cut = page.locator("[data-show=cut]")
    expect(cut).to_contain_text("0.6")
    expect(page.get_by_role("button", name="Apply to code")).to_be_enabled()
    assert house.config.read_text() == text
