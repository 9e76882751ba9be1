"""One house with real traffic, and pages of a real Chromium that complain about nothing."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.proxy.house import TOKEN, House, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState

PATIENCE_MS = 15_000
NAMES = ("chromium", "chromium-browser", "google-chrome")
POLICY = {
    "defaults": {"threshold": 0.85},
    "categories": {
        "code": {"examples": ["How do I reverse a list in Python?"], "threshold": 0.85},
        "travel": {"keywords": ["train", "flight"], "threshold": 0.85},
    },
}


def chromium() -> str:
    """Where Chromium is. Without one a test is skipped, except in CI, where that is a fault."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        advice = "chromium is not on PATH; install it (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(advice)
        pytest.skip(advice)
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """For this package only: while it is there, its event loop is the only one of the thread."""
    path = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as play:
        # Root has no user name space to put a sandbox into.
        running = play.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        yield running
        running.close()


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house"), policy=POLICY) as running:
        yield running


@pytest.fixture(scope="package")
def session(browser: Browser, house: House) -> StorageState:
    """A log-in as a person makes it, to be shared: log-ins are few a minute."""
    page = browser.new_page(base_url=house.where.admin)
    page.goto("/")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()
    kept = page.context.storage_state()
    page.context.close()
    return kept


class Complaints(list[str]):
    """What a page had to complain about: script faults, refused content, dialogs, foreign calls."""

    def hear(self, page: Page, home: str) -> None:
        page.on("pageerror", lambda fault: self.append(f"fault: {fault}"))
        page.on("console", self._said)
        page.on(
            "dialog", lambda dialog: (self.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.on("request", lambda request: self._asked(request.url, home))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.append(f"{message.type}: {message.text}")

    def _asked(self, url: str, home: str) -> None:
        if not url.startswith((home, "data:", "blob:")):
            self.append(f"asked {url}")


@pytest.fixture
def context(browser: Browser, house: House, session: StorageState) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=house.where.admin, storage_state=session)
    made.set_default_timeout(PATIENCE_MS)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, house: House) -> Iterator[Page]:
    """A page of somebody who is logged in; whatever it complains about fails the test."""
    made = context.new_page()
    complaints = Complaints()
    complaints.hear(made, house.where.admin)
    yield made
    assert complaints == []


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker("browser")


@pytest.fixture
def browser_page_in_tokyo(browser: Browser, house: House, session: StorageState) -> Iterator[Page]:
    made = browser.new_context(
        base_url=house.where.admin, storage_state=session, timezone_id="Asia/Tokyo", locale="en-US"
    )
    yield made.new_page()
    made.close()
