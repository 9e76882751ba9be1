from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Crowded
from index.journal import Journal
from policies.record import Filter
from proxy import watching
from proxy.watching import Viewer, Watching
from tests.index.test_journal import decision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from policies.record import Decision


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come fast, and lead on where a test waits for what must not come."""
    monkeypatch.setattr(watching, "SIGN", 0.05)


async def heard(told: AsyncIterator[Decision | int], count: int) -> list[int]:
    """The ids of the next so many decisions; losses as negative numbers."""
    got: list[int] = []
    async for one in told:
        if isinstance(one, int):
            got += [-one] if one else []
        else:
            got.append(one.id)
        if len(got) == count:
            break
    return got


async def test_new_decisions_come_as_they_are_recorded(journal: Journal) -> None:
    """Those that fit, in order; nothing from before."""
    journal.record(decision(1))
    told = Watching(journal).watch(Filter(model="big"))
    assert await anext(told) == 0
    for number, model in ((2, "big"), (3, "m"), (4, "big")):
        journal.record(decision(number, model=model))
    assert await heard(told, 2) == [2, 4]
    await told.aclose()


async def test_a_viewer_goes_on_where_it_was(journal: Journal) -> None:
    """What was recorded behind the last one it saw comes first, in that order."""
    for number in (5, 3, 7):
        journal.record(decision(number))
    told = Watching(journal).watch(None, after=5)
    assert await heard(told, 2) == [3, 7]
    journal.record(decision(9))
    assert await heard(told, 1) == [9]


async def test_a_viewer_that_was_away_for_long(journal: Journal) -> None:
    """By their ids, where another process recorded the last one it saw."""
    for number in (5, 3, 7):
        journal.record(decision(number))
    told = Watching(journal).watch(Filter(text=""), after=4)
    assert await heard(told, 2) == [5, 7]


async def test_a_slow_viewer_loses_the_oldest() -> None:
    """And is told how many; the request path is never held up."""
    viewer = Viewer(lambda _: True, most=3)
    for number in range(5):
        viewer.put(decision(number))
    lost, rows = await viewer.take(1.0)
    assert (lost, [row.id for row in rows]) == (2, [2, 3, 4])
    assert await viewer.take(0.01) == (0, [])


async def test_only_so_many_may_watch(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is free again when one leaves."""
    monkeypatch.setattr(watching, "VIEWERS", 1)
    watchers = Watching(journal)
    first = watchers.watch(None)
    await anext(first)
    with pytest.raises(Crowded):
        watchers.watch(None)
    await first.aclose()
    assert await anext(watchers.watch(None)) == 0


async def test_a_stream_ends_by_itself(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a viewer must show from time to time that it still may."""
    monkeypatch.setattr(watching, "LASTING", 0.1)
    assert [one async for one in Watching(journal).watch(None)] != []


async def test_who_left_is_told_nothing_more(journal: Journal) -> None:
    """Recording costs nothing once nobody watches."""
    told = Watching(journal).watch(None)
    await anext(told)
    await told.aclose()
    journal.record(decision(1))
    assert journal._listeners == ()
