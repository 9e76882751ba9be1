from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Overview, Replica, Tally
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole

BUSY = Tally(
    requests=200, exact=50, semantic=40, stale=10, missed=80, bypassed=20, hit_p50_ms=4.0,
    hit_p95_ms=9.0, miss_p50_ms=1200.0, miss_p95_ms=5000.0, tokens_saved=12345,
    dollars_saved=1.5, seconds_saved=7200.0,
)  # fmt: skip


def test_overview_figures(person: TestClient, console: FakeConsole) -> None:
    """The hit rate counts all hits over all requests; figures carry units."""
    console.facts = Overview(
        3600.0, BUSY, {"code": BUSY}, {"exact": 50, "guard-order": 3}, entries=9, entry_bytes=2048
    )
    text = Reading(person.get("/").text).text
    for words in ("50.0%", "100 of 200 requests", "55.6% of the 180 that could be", "$1.50",
                  "12,345", "2 h", "4.0 ms", "1.20 s", "300\u00d7 quicker", "who does what to whom",
                  "code", "2.0 KB"):  # fmt: skip
        assert words in text


def test_overview_of_nothing(person: TestClient) -> None:
    """An empty dashboard says what to set, and shows no figure that it does not have."""
    text = Reading(person.get("/").text).text
    assert "OPENAI_BASE_URL=http://127.0.0.1:8080/v1" in text
    assert "curl -i http://127.0.0.1:8080/v1/chat/completions" in text
    assert "Hit rate" not in text


def test_overview_in_shadow(person: TestClient, console: FakeConsole) -> None:
    """In shadow mode the page says that nothing is answered from memory."""
    console.facts = Overview(3600.0, BUSY, policy_mode="shadow")
    assert "Shadow mode" in Reading(person.get("/").text).text


def test_overview_of_several_replicas(person: TestClient, console: FakeConsole) -> None:
    """The fleet unless one is chosen, and the choice stays with the time range; one replica alone
    is no choice, and a store that does not answer is said."""
    console.facts = Overview(3600.0, BUSY)
    assert 'name="replica"' not in person.get("/").text
    console.fleet = [
        Replica("1" * 16, "web-1", True, 5.0, True),
        Replica("2" * 16, "web-2", False, 5.0, True),
    ]
    console.facts = Overview(3600.0, BUSY, replicas=console.fleet)
    page = Reading(person.get("/?range=24h").text)
    assert "the fleet (2 replicas)" in page.text
    assert page.field("range") == "24h"
    html = person.get(f"/?range=24h&replica={'2' * 16}").text
    assert (86400, "2" * 16) in console.asked
    assert f'<option value="{"2" * 16}" selected>' in html
    assert f'href="/?range=7d&amp;replica={"2" * 16}"' in html
    assert person.get(f"/?replica={'0' * 16}").status_code == 404
    console.facts = Overview(3600.0, BUSY, alone=True)
    assert "without the others" in Reading(person.get("/").text).text


@pytest.mark.parametrize(
    ("chosen", "seconds"),
    [("15m", 900), ("1h", 3600), ("24h", 86400), ("7d", 604800), ("30d", 2592000), ("x", 3600)],
)
def test_overview_range(
    person: TestClient, console: FakeConsole, chosen: str, seconds: int
) -> None:
    """The picker chooses the window; an unknown one is the default."""
    html = person.get(f"/?range={chosen}").text
    assert console.asked == [seconds]
    assert f'data-seconds="{seconds}"' in html
