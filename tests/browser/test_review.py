"""The review by keyboard in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.browser.traffic import answered

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House


def flagged(house: House) -> set[str]:
    return {one["entry"] for one in house.api("/api/entries?flagged=true")["entries"]}


def called_bad(house: House, prompt: str, again: str, note: str) -> str:
    """The entry of a semantic hit that its caller was not content with."""
    key, answer = answered(house, prompt, again, "sk-review")
    told = {"request": answer.headers["x-likewise-request"], "verdict": "bad", "note": note}
    house.client.post(
        f"{house.where.data}/v1/likewise/feedback",
        json=told,
        headers={"authorization": f"Bearer {key}"},
    ).raise_for_status()
    return answer.headers["x-likewise-entry"]


def test_the_queue_is_worked_off_by_keyboard(page: Page, house: House) -> None:
    """What a caller called bad comes first; G serves it again, S passes one over."""
    again = "how do the magnets work"
    entry = called_bad(house, "How do magnets work?", again, "too old")
    assert entry in flagged(house)
    page.goto("/review")
    doubt = page.locator("#doubt")
    expect(doubt).to_contain_text("too old")
    expect(doubt).to_contain_text(again)
    page.keyboard.press("g")
    expect(doubt.get_by_role("status")).to_contain_text("served by meaning again")
    expect(doubt).not_to_contain_text("too old")
    assert entry not in flagged(house)
    called_bad(house, "How do compasses work?", "how do the compasses work", "too short")
    page.goto("/review")
    expect(doubt).to_contain_text("1 of")
    page.keyboard.press("s")
    page.wait_for_url("**/review?at=1")
