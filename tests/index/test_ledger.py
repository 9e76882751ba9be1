from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from index import ledger as module
from index.errors import NoRoomError, StoreError
from index.ledger import Act, Ledger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ACT = Act(1.5, "operator 0a", "operator", "::1", "PUT /x", "{}", "done")


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger.open(tmp_path / "ledger.db")
    yield ledger
    await ledger.close()


async def test_editions_come_newest_first(ledger: Ledger) -> None:
    """Each with its hand; a text that is in force already is none anew."""
    await ledger.edited(1.0, "file", "edited in place", "r1", "a: é\n")
    await ledger.edited(2.0, "operator", "edited", "r2", "b")
    await ledger.edited(3.0, "file", "edited in place", "r2", "b")
    await ledger.edited(4.0, "operator", "back to 1", "r1", "a: é\n")
    told = await ledger.editions(10)
    assert [(e.at, e.who, e.how, e.revision) for e in told] == [
        (4.0, "operator", "back to 1", "r1"),
        (2.0, "operator", "edited", "r2"),
        (1.0, "file", "edited in place", "r1"),
    ]
    assert await ledger.edition(told[2].id) == "a: é\n"
    assert await ledger.edition(99) is None
    assert len(await ledger.editions(1)) == 1


async def test_acts_come_newest_first_by_pages(ledger: Ledger) -> None:
    """Every field as it was."""
    for number in range(3):
        await ledger.acted(ACT._replace(at=float(number)))
    first = await ledger.acts(2)
    assert [act for _, act in first] == [ACT._replace(at=2.0), ACT._replace(at=1.0)]
    assert [act.at for _, act in await ledger.acts(2, first[-1][0])] == [0.0]


async def test_reviews_are_known_once(ledger: Ledger) -> None:
    """By the request's number."""
    await ledger.reviewed(7, 1.0, good=True)
    await ledger.reviewed(7, 2.0, good=False)
    await ledger.reviewed((1 << 63) - 1, 2.0, good=False)
    assert await ledger.reviews() == {7, (1 << 63) - 1}


async def test_a_disk_without_room_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call says so until there is room; nothing is half there meanwhile."""

    def full(path: Path, _layout: object) -> None:
        raise NoRoomError(f"ledger {path}: database or disk is full; free some space")

    with monkeypatch.context() as now:
        now.setattr("index.database.connect", full)
        ledger = Ledger.open(tmp_path / "ledger.db")
        for _ in range(2):
            with pytest.raises(NoRoomError, match="free some space"):
                await ledger.acted(ACT)
    await ledger.acted(ACT)
    assert [act for _, act in await ledger.acts(5)] == [ACT]
    await ledger.close()


async def test_all_of_it_is_bounded(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    for name in ("EDITIONS", "ACTS", "REVIEWS"):
        monkeypatch.setattr(module, name, 2)
    for number in range(5):
        await ledger.edited(float(number), "", "", f"r{number}", "")
        await ledger.acted(ACT._replace(at=float(number)))
        await ledger.reviewed(number, 0.0, good=True)
    assert [e.revision for e in await ledger.editions(9)] == ["r4", "r3"]
    assert [act.at for _, act in await ledger.acts(9)] == [4.0, 3.0]
    assert await ledger.reviews() == {3, 4}


async def test_what_people_did_outlives_the_process(tmp_path: Path) -> None:
    """Numbers go on where they were."""
    for number in (1, 2):
        ledger = Ledger.open(tmp_path / "ledger.db")
        await ledger.acted(ACT)
        assert [n for n, _ in await ledger.acts(9)] == list(range(number, 0, -1))
        await ledger.close()


async def test_what_cannot_be_kept(ledger: Ledger, tmp_path: Path) -> None:
    """Text that is none, a closed file and a place that cannot be had are faults of the store."""
    with pytest.raises(StoreError, match="ledger"):
        await ledger.acted(ACT._replace(what="\ud800"))
    await ledger.close()
    with pytest.raises(StoreError):
        await ledger.acts(1)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="make the directory writable"):
        Ledger.open(tmp_path / "file" / "ledger.db")
