"""The health page in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_parts_are_seen_at_work(page: Page) -> None:
    """Each part has its card, and the log-in of this very session is written down."""
    page.goto("/health")
    for name in ("Store", "Index", "Embedder", "Upstreams", "Journal", "Replicas"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("POST /login")
    expect(page.locator("#live-state")).to_contain_text("updated")
