"""The policy's editor in a real browser: typed wrong, then right, tried, applied, taken back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.proxy.house import House


def test_a_policy_is_edited_tried_applied_and_taken_back(page: Page, house: House) -> None:
    """A fault stands at its line and locks `Apply`; the mended text is tried on the log, put in
    force, and the edition before it brought back."""
    question = "How do whales sleep at sea?"
    house.chat(question, "sk-policy")
    page.goto("/policy")
    editor = page.get_by_role("textbox", name="Text")
    old = editor.input_value()
    faulty = old.replace("audits: 0%", "audits: many")
    assert faulty != old
    editor.fill(faulty)
    fault = page.locator("#checked .faults")
    expect(fault).to_contain_text("policy.audits")
    expect(page.get_by_role("button", name="Apply")).to_be_disabled()
    number = faulty.split("\n").index("  audits: many") + 1
    fault.get_by_role("button", name=f"line {number}").click()
    assert page.evaluate("getSelection().toString()") == "  audits: many"
    expect(page.locator(".gutter b")).to_have_text(str(number))

    new = re.sub(r"(?m)^policy:$", "policy:\n  mode: shadow", old)
    editor.fill(new)
    expect(page.locator("#checked .plus")).to_have_text("+  mode: shadow\n")
    page.get_by_role("button", name="Try the text on them").click()
    expect(page.locator("#trial")).to_contain_text("Hits gained")
    expect(editor).to_have_value(new)
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("status").filter(has_text="Applied.")).to_be_visible()
    assert house.config.read_text() == new
    assert house.chat(question, "sk-policy").headers["x-cache"] == "MISS"

    page.get_by_role("link", name="Compare and go back").first.click()
    page.get_by_role("button", name="Go back to edition").click()
    expect(page.get_by_role("status").filter(has_text="Applied.")).to_be_visible()
    assert house.config.read_text() == old
    assert house.chat(question, "sk-policy").headers["x-cache"] == "HIT"
