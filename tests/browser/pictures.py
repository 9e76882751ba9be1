"""Pictures of every page for docs/dashboard.md: `python -m tests.browser.pictures [FOLDER]`.

A house with a made-up day behind it and real traffic at the end, photographed by a real Chromium
on a desk and on a phone, light and dark.
"""

from __future__ import annotations

import asyncio
import io
import math
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from itertools import count, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from PIL import Image
from playwright.sync_api import sync_playwright

from index.journal import Journal
from policies.record import Comparison, Decision
from proxy.demo.conversation import load
from proxy.demo.stage import POLICY
from proxy.demo.upstream import SampleUpstream
from tests.browser.conftest import chromium
from tests.proxy.house import TOKEN, serving, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.proxy.house import House

TARGET: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SEED: Final = 7
HOURS: Final = 24
MODEL: Final = "gpt-4o"
SIZES: Final = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
THEMES: Final = ("light", "dark")
QUALITY: Final = 82
# Similarities of would-be hits in the made-up day: most lie high, and the low ones are often wrong.
SPREAD: Final = (9.0, 1.3)
BLANK: Final = Decision(
    id=0, at=0.0, outcome="miss", reason="below-threshold", category="default", dialect="chat",
    upstream="sample", model=MODEL, owner="3183c787694d52c64f3feedac0499c35", stream=False,
    status=200, similarity=None, cut=None, propensity=None, entry="", neighbour="", would="",
    seen="", kept="stored", turns=0, prompt="", matched="", ms=0.0, ms_embed=3.0, ms_search=0.2,
    ms_upstream=0.0, tokens_in=420, tokens_out=260,
)  # fmt: skip


def a_day(dice: random.Random, now: float) -> Iterator[tuple[Decision, Comparison | None]]:
    """Decisions of the last day, busier by day than by night; some are compared."""
    turns, numbers = load(), count(1)
    at = now - HOURS * 3600.0
    while at < now - 120:
        busy = 0.35 + 0.65 * math.sin(math.pi * (now - at) / (HOURS * 3600.0)) ** 2
        at += dice.expovariate(busy / 40.0)
        number = (int(at * 1000) << 22) | next(numbers) & 0xFFF
        turn = dice.choice(turns)
        category = dice.choices(
            ("code", "facts", "support", "maths", "writing", "default"), (5, 6, 4, 3, 1, 2)
        )[0]
        row = BLANK._replace(id=number, at=at, prompt=turn.ask, category=category)
        yield _decided(dice, row)


def _decided(dice: random.Random, row: Decision) -> tuple[Decision, Comparison | None]:
    kind = dice.choices(("exact", "near", "guard", "bypass"), (30, 42, 8, 3))[0]
    slow = dice.lognormvariate(6.6, 0.5)
    if kind == "exact":
        return row._replace(outcome="hit", reason="exact", ms=dice.uniform(0.3, 1.5)), None
    if kind == "bypass":
        return row._replace(outcome="bypass", reason="tools", ms=slow, ms_upstream=slow), None
    if kind == "guard":
        guard = dice.choice(("guard-numbers", "guard-negation", "guard-entities"))
        return row._replace(reason=guard, similarity=0.97, cut=0.9, ms=slow), None
    similarity = round(0.5 + 0.5 * dice.betavariate(*SPREAD) ** 0.6, 4)
    row = row._replace(similarity=similarity, cut=0.9, ms=slow, ms_upstream=slow, propensity=0.15)
    if similarity < 0.9:
        return row, _label(dice, row) if dice.random() < 0.1 else None
    if dice.random() < 0.15:
        return row._replace(reason="audit"), _label(dice, row)
    return row._replace(outcome="hit", reason="semantic", ms=dice.uniform(4.0, 12.0)), None


def _label(dice: random.Random, row: Decision) -> Comparison:
    similarity = row.similarity or 0.0
    wrong = max(0.004, min(0.9, (0.93 - similarity) * 6))
    return Comparison(
        row.id, row.at, row.category, "", "ab" * 16, similarity, None, 0.15,
        would=similarity >= 0.9, vetoed=False, same=dice.random() > wrong, judge="embedding",
    )  # fmt: skip


async def written(folder: Path) -> None:
    """Leave the made-up day in a journal that the house will find."""
    journal = Journal.open(folder / "journal.db")
    day = list(a_day(random.Random(SEED), time.time()))  # noqa: S311 - made-up figures
    for decision, _ in day:
        journal.record(decision)
    await journal.flush()
    await journal.compared([label for _, label in day if label is not None])
    await journal.close()


@contextmanager
def staged() -> Iterator[House]:
    """A house over that day, with the demo's policy and its questions asked once more."""
    policy = yaml.safe_load(POLICY.read_text())["policy"]
    policy |= {"audits": "15%", "defaults": {"threshold": 0.9}}
    policy["categories"]["code"]["quota"] = "40%"
    with tempfile.TemporaryDirectory(prefix="likewise-pictures-") as name:
        folder = Path(name)
        asyncio.run(written(folder))
        with (
            uvicorn_of(SampleUpstream()) as upstream,
            serving(folder, upstream, policy=policy) as house,
        ):
            for key, turn in product(("sk-one", "sk-two"), load()):
                house.post({"model": MODEL, "messages": turn.messages}, key)
            yield house


def opened(page: Page) -> None:
    """A decision that a guard refused, open at its evidence."""
    page.locator("#log details summary").first.click()
    page.locator("#evidence .pair").first.wait_for()


def drawn(page: Page) -> None:
    page.locator("form.cutting").first.wait_for()


def asked(page: Page) -> None:
    page.get_by_role("textbox", name="Prompt", exact=True).fill("Which planets have no rings?")
    page.get_by_label("Model").fill(MODEL)
    page.get_by_text("Who asks, and what came before").click()
    page.get_by_label("API key").fill("sk-one")
    page.get_by_role("button", name="Explain").click()
    page.locator(".verdict").evaluate("one => one.parentElement.scrollIntoView()")


def edited(page: Page) -> None:
    text = page.get_by_role("textbox", name="Text")
    text.fill(text.input_value().replace("threshold: 0.9\n", "threshold: 0.97\n"))
    page.get_by_role("button", name="Try the text on them").click()
    page.get_by_text("Hits gained", exact=True).wait_for()
    page.evaluate("scrollTo(0, 0)")
    text.evaluate("one => { one.setSelectionRange(0, 0); one.scrollTop = 0; }")


def still(page: Page) -> None:
    page.wait_for_load_state("networkidle")


PAGES: Final[dict[str, tuple[str, Callable[[Page], None]]]] = {
    "overview": ("/?range=24h", still),
    "categories": ("/categories/facts", drawn),
    "decisions": ("/decisions?reason=guard-negation", opened),
    "entries": ("/entries?meaning=planets", still),
    "explain": ("/explain", asked),
    "policy": ("/policy", edited),
    "review": ("/review", still),
    "health": ("/health", still),
}


def rooms(browser: Browser, house: House) -> Iterator[tuple[str, BrowserContext]]:
    """Every size and theme, logged in: one log-in, since they are few a minute."""
    door = browser.new_page(base_url=house.where.admin)
    door.goto("/login")
    door.get_by_label("Token").fill(TOKEN)
    door.get_by_role("button", name="Sign in").click()
    door.get_by_role("heading", name="Overview").wait_for()
    kept: Any = door.context.storage_state()
    for (size, viewport), theme in product(SIZES.items(), THEMES):
        context = browser.new_context(
            base_url=house.where.admin, storage_state=kept, viewport=viewport,
            color_scheme=theme, reduced_motion="reduce", locale="en-GB",
        )  # fmt: skip
        yield f"{size}-{theme}", context
        context.close()


def take(page: Page, name: str, target: Path) -> None:
    address, act = PAGES[name.partition("-")[0]]
    page.goto(address)
    act(page)
    page.evaluate("document.activeElement?.blur()")
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.save(target / f"{name}.webp", quality=QUALITY, method=6)


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with staged() as house, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), chromium_sandbox=False)
        for room, context in rooms(browser, house):
            page = context.new_page()
            for name in PAGES:
                take(page, f"{name}-{room}", target)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
