"""Two proxies on one Redis, seen from one of them in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS, Complaints
from tests.browser.test_every_page import faults
from tests.proxy.house import until
from tests.proxy.test_fleet import apart, requests

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.servers import RedisServer


@pytest.mark.redis
def test_a_replica_is_picked_from_the_fleet(
    tmp_path: Path, browser: Browser, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages begin with the sum, show one replica on request, and stay usable by everybody."""
    with apart(tmp_path, own_redis, monkeypatch) as (here, there):
        for number in range(3):
            here.chat(f"What is {number} plus {number}?", "sk-1")
        for number in range(5):
            there.chat(f"What is {number} times {number}?", "sk-1")
        until(lambda: requests(here) == 8)
        other = here.api("/api/health")["fleet"][1]["id"]
        token = {"authorization": f"Bearer {here.where.token}"}
        context = browser.new_context(base_url=here.where.admin, extra_http_headers=token)
        context.set_default_timeout(PATIENCE_MS)
        page, complaints = context.new_page(), Complaints()
        complaints.hear(page, here.where.admin)
        page.goto("/?range=15m")
        rate, whose = page.get_by_role("region", name="Hit rate"), page.get_by_label("Figures of")
        expect(whose.locator("option:checked")).to_have_text("the fleet (2 replicas)")
        expect(rate).to_contain_text("of 8 requests")
        whose.select_option(other)
        page.get_by_role("button", name="Show").click()
        expect(rate).to_contain_text("of 5 requests")
        assert faults(page) == []
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        page.set_viewport_size({"width": 360, "height": 740})
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.goto(f"/health?replica={other}")
        expect(page.get_by_label("Figures of").locator("option:checked")).not_to_contain_text(
            "this one"
        )
        assert complaints == []
        context.close()
