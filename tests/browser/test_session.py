"""Coming in and going out in a real browser, and what a viewer is not offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.proxy.house import TOKEN

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.proxy.house import House


def test_logging_in_and_out(browser: Browser, house: House) -> None:
    """A wrong token is told, the right one leads to where one was going, and out is out."""
    page = browser.new_page(base_url=house.where.admin)
    page.goto("/decisions?outcome=hit")
    page.get_by_label("Token").fill("not the token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/decisions?outcome=hit")
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto("/policy")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.context.close()
