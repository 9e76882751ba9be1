"""The first page in a real browser, on real traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House

QUESTION = "Which train goes from Vienna to Graz?"


def ask_thrice(house: House, key: str) -> None:
    for prompt in (QUESTION, QUESTION, "which train goes from vienna to graz"):
        assert house.chat(prompt, key).status_code == 200


def test_figures_follow_the_traffic(page: Page, house: House) -> None:
    """New requests change the open page by themselves: counts, category and reasons."""
    ask_thrice(house, "sk-overview")
    page.goto("/?range=15m")
    why = page.get_by_role("table").filter(has_text="What it means")
    expect(why.get_by_role("row").filter(has_text="to the letter")).to_be_visible()
    categories = page.get_by_role("region", name="Categories")
    row = categories.get_by_role("row").filter(has_text="travel")
    before = int(row.get_by_role("cell").nth(1).inner_text())
    ask_thrice(house, "sk-overview-2")
    expect(row.get_by_role("cell").nth(1)).to_have_text(str(before + 3))


def test_a_chart_is_read_by_keyboard(page: Page, house: House) -> None:
    """End goes to the newest moment and says in words what it holds."""
    ask_thrice(house, "sk-chart")
    page.goto("/?range=15m")
    chart = page.get_by_role("group", name="Requests over time")
    expect(chart.locator("canvas")).to_be_visible()
    chart.focus()
    page.keyboard.press("End")
    expect(page.locator("#requests-said")).to_contain_text("requests")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#requests-said")).to_contain_text(":")


def test_times_are_the_readers(browser_page_in_tokyo: Page, house: House) -> None:
    """A moment is shown in the zone of whoever reads it."""
    answer = house.chat(QUESTION, "sk-zone")
    page = browser_page_in_tokyo
    page.goto(f"/decisions/{answer.headers['x-likewise-request']}")
    expect(page.locator("dt:text-is('At') + dd")).to_contain_text("GMT+9")
