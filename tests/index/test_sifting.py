from __future__ import annotations

import random
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from index import sifting
from index.journal import Journal
from policies.record import Filter
from tests.index.test_journal import decision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from policies.record import Decision

VALUES: dict[str, tuple[Any, ...]] = {
    "category": ("default", "code"),
    "outcome": ("hit", "miss"),
    "reason": ("semantic", "empty", "guard-units"),
    "owner": ("a", "b"),
    "model": ("m", "big"),
    "similarity": (None, 0.8, 0.9, 1.0),
    "prompt": ("Why is the sky blue?", "WHY ÄPFEL 50%", ""),
    "matched": ("", "apples_and"),
    "entry": ("", "e1"),
    "neighbour": ("", "e1", "e2"),
}


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.close()


def some(count: int) -> list[Decision]:
    dice = random.Random(3)  # noqa: S311
    return [
        decision(n, at=float(n), **{name: dice.choice(v) for name, v in VALUES.items()})
        for n in range(count)
    ]


FILTERS = [
    Filter(category="code"),
    Filter(outcome="hit", owner="a"),
    Filter(reason="guard-units"),
    Filter(reason="semantic", model="big", category="default"),
    Filter(least=0.85),
    Filter(most=0.85),
    Filter(least=0.9, most=0.9),
    Filter(text="äpfel"),
    Filter(text="50%"),
    Filter(text="_and"),
    Filter(text="nowhere"),
    Filter(entry="e1"),
    Filter(category="none such"),
]


@pytest.mark.parametrize("wanted", FILTERS)
async def test_a_page_holds_what_fits(journal: Journal, wanted: Filter) -> None:
    """The journal and the live stream mean the same by a filter; pages join without a gap."""
    rows = some(600)
    for row in rows:
        journal.record(row)
    found, before = [], None
    for _ in range(100):
        page = await journal.sift(wanted, 7, before)
        assert len(page.rows) <= 7
        found += page.rows
        before = page.next
        if before is None:
            break
    assert found == [row for row in reversed(rows) if wanted.fits(row)]


def test_every_field_is_tried() -> None:
    """A filter field that no test uses proves nothing."""
    used = {f.name for one in FILTERS for f in fields(one) if getattr(one, f.name) is not None}
    assert used == {f.name for f in fields(Filter)}


async def test_rare_things_take_several_steps(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time is up, a page is handed over short, with where to go on and how far it saw."""
    monkeypatch.setattr(sifting, "SLICE", 100)
    monkeypatch.setattr(sifting, "PATIENCE", -1.0)
    for number in range(250):
        journal.record(decision(number, at=float(number), model="rare" if number == 3 else "m"))
    page = await journal.sift(Filter(model="rare"), 10)
    assert (page.rows, page.next, page.searched) == ([], 150, 150.0)
    page = await journal.sift(Filter(model="rare"), 10, page.next)
    assert (page.rows, page.next) == ([], 50)
    page = await journal.sift(Filter(model="rare"), 10, page.next)
    assert ([row.id for row in page.rows], page.next, page.searched) == ([3], None, 0.0)


async def test_an_empty_journal_has_no_page(journal: Journal) -> None:
    """Nothing, and nothing to go on to."""
    assert await journal.sift(Filter(model="m"), 10) == ([], None, None)
