"""What holds on every page: readable by everybody, light to load, deaf to hostile text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.admin_ui.hostile import HOSTILE_200
from tests.browser.traffic import answered

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Response

    from tests.proxy.house import House

PAGES = [
    "/", "/categories", "/decisions", "/entries", "/explain", "/policy", "/review", "/health",
    "/api",
]  # fmt: skip
BYTES = 300_000
SERIOUS = {"serious", "critical"}
# What passes need not be told, which spares axe half of its work.
ONLY_FAULTS = {"resultTypes": ["violations"]}
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1360, "height": 900}


@pytest.fixture(scope="module", autouse=True)
def traffic(house: House) -> None:
    """A hit of each kind, a refusal by a guard, and a bypass."""
    coffee = "Is coffee good for you?"
    for again, reason in ((coffee, "exact"), (coffee.lower(), "semantic"),
                          ("Is coffee not good for you?", "guard-negation")):  # fmt: skip
        answered(house, coffee, again, "sk-pages", reason)
    house.chat("Is tea good for you?", "sk-pages", temperature=1.7)


def faults(page: Page) -> list[str]:
    """What axe finds that keeps somebody from using the page."""
    found: dict[str, Any] = Axe().run(page, options=ONLY_FAULTS).response
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_everybody_can_use_it(page: Page, path: str) -> None:
    """axe finds nothing serious, light and wide or dark on a phone; a phone's width is kept."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.set_viewport_size(WIDE)
    page.goto(path)
    assert faults(page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(NARROW)
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_an_opened_decision_can_be_used_by_everybody(page: Page) -> None:
    """The evidence, too, in both themes."""
    page.goto("/decisions?reason=guard-negation")
    page.locator("#log details").first.locator("summary").click()
    page.locator("#evidence").wait_for()
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert faults(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_light(context: BrowserContext, path: str) -> None:
    """All that a first visit loads stays below 300 KB, and carries the policy against scripts."""
    seen: list[Response] = []
    page = context.new_page()
    page.on("response", lambda answer: seen.append(answer))  # noqa: PLW0108 - not a built-in
    page.goto(path, wait_until="load")
    page.evaluate("document.fonts.ready")
    # A stream of events never ends; it carries what happens, not the page.
    whole = [one for one in seen if "event-stream" not in one.headers["content-type"]]
    assert sum(len(one.body()) for one in whole) < BYTES
    assert all("default-src 'none'" in one.headers["content-security-policy"] for one in seen)


def test_the_theme_is_the_readers(page: Page) -> None:
    """The choice holds on other pages and beats the system's."""
    page.emulate_media(color_scheme="light")
    page.goto("/")
    page.get_by_label("Theme").select_option("dark")
    page.goto("/decisions")
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    page.get_by_label("Theme").select_option("")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") is None


def test_two_hundred_hostile_texts_run_nothing(page: Page, house: House) -> None:
    """As prompts, models and users they are shown, and no dialog, call or refused script comes of
    it: the page fixture would hear of any."""
    for number, text in enumerate(HOSTILE_200):
        model = text if number % 2 else "gpt-4o-mini"
        house.chat(f"{text} {number}", "sk-hostile", model=model, user=text)
    address = "/decisions"
    opened = 0
    while opened < len(HOSTILE_200):
        page.goto(address)
        rows = page.locator("#log details")
        for at in range(0, rows.count(), 10):
            rows.nth(at).locator("summary").click()
            page.locator("#evidence").wait_for()
        opened += rows.count()
        address = page.get_by_role("link", name="Older").get_attribute("href") or ""
    page.goto("/entries")
    page.goto("/")
