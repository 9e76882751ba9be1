from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from index import repeats, sifting
from index.journal import Journal
from index.repeats import LAST, SPAN, Again, Block, folded, unfolded, whole
from index.rollups import MINUTE
from policies.record import Decision, Filter
from tests.index.test_journal import decision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SKY = decision(1, outcome="hit", reason="exact", entry="e1", prompt="sky", similarity=1.0)
SEA = decision(2, outcome="hit", reason="exact", entry="e2", prompt="sea", similarity=1.0)
MILLISECOND = 1 << 22


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.close()


def told(one: Decision | Again) -> tuple[int, float, float]:
    """A row as it comes back: durations are kept as single precision."""
    row = whole(one)
    return row.id, row.at, pytest.approx(row.ms, rel=1e-6)


def traffic(count: int) -> list[Decision | Again]:
    """Repeats of two decisions among others, some recorded out of order, over ten seconds."""
    dice = random.Random(5)  # noqa: S311
    rows: list[Decision | Again] = []
    for n in range(count):
        number, at = (n + 10) * 10 * MILLISECOND + dice.randrange(4096), n / 100
        kind = dice.random()
        if kind < 0.2:
            rows.append(decision(number, at=at, ms=dice.random()))
        else:
            rows.append(Again(SKY if kind < 0.7 else SEA, number, at, dice.random()))
    for _ in range(count // 4):
        a, b = dice.randrange(count - 9), dice.randrange(9)
        rows[a], rows[a + b] = rows[a + b], rows[a]
    return rows


def test_repeats_of_one_decision_are_one_row() -> None:
    """In the order of their numbers; a row spans a second at most. Others stand alone, and so does
    a repeat that has no company."""
    rows = [Again(SKY, 30, 3.0, 0.5), decision(7), Again(SEA, 20, 2.0, 0.4), Again(SKY, 10, 1.0, 1)]
    alone, blocks = folded([*rows, Again(SKY, 10 + SPAN, 9.0, 0.1)])
    assert blocks == [Block(SKY, (10, 30), (1.0, 3.0), (1, 0.5))]
    assert alone == [
        decision(7),
        SKY._replace(id=10 + SPAN, at=9.0, ms=0.1),
        SEA._replace(id=20, at=2.0, ms=0.4),
    ]
    assert folded([]) == ([], [])


def test_a_row_unfolds_to_what_it_was_made_of() -> None:
    """Every field of each."""
    block = Block(SKY, (10, 30, 31), (1.0, 3.0, 4.0), (1.0, 0.5, 0.25))
    row = block.row()
    width = len(Decision._fields)
    back = unfolded((*row[:width], row[-1]))
    assert back == [SKY._replace(id=i, at=at, ms=ms) for i, at, ms in zip(*block[1:], strict=True)]
    assert unfolded((*SKY, None)) == [SKY]


async def test_repeats_come_back_one_by_one(journal: Journal) -> None:
    """Listed among the others in the order of their numbers, from RAM and from disk alike."""
    rows = traffic(3_000)
    for start in range(0, 3_000, 250):
        for row in rows[start : start + 250]:
            journal.record(row)
        await journal.flush()
    expected = [told(row) for row in sorted(rows, key=lambda row: -row.id)]
    found, before = [], None
    while page := await journal.recent(173, before):
        found += page
        before = page[-1].id
    assert [told(row) for row in found] == expected
    for row in rows[::97]:
        back = await journal.get(row.id)
        assert back is not None
        assert (told(back), back.prompt) == (told(row), whole(row).prompt)
    assert await journal.get(rows[0].id + 4096) is None
    with sqlite3.connect(journal.path) as db:
        assert db.execute("SELECT count(*) FROM decisions").fetchone()[0] < 1_000
        assert db.execute(repeats.COUNT).fetchone() == (3_000, max(row.id for row in rows))
    db.close()


@pytest.mark.parametrize(
    "wanted",
    [Filter(text="sky"), Filter(reason="exact"), Filter(outcome="miss"), Filter(entry="e2")],
)
async def test_repeats_are_sifted_like_others(
    journal: Journal, wanted: Filter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page without a gap or a second time, also where a page is handed over short."""
    rows = traffic(1_500)
    for start in range(0, 1_500, 100):
        for row in rows[start : start + 100]:
            journal.record(row)
        await journal.flush()
    monkeypatch.setattr(sifting, "SLICE", 50)
    monkeypatch.setattr(sifting, "PATIENCE", -1.0)
    found, before = [], None
    while True:
        page = await journal.sift(wanted, 40, before)
        assert len(page.rows) <= 40
        found += page.rows
        before = page.next
        if before is None:
            break
    expected = [row for row in sorted(rows, key=lambda row: -row.id) if wanted.fits(whole(row))]
    assert [told(row) for row in found] == [told(row) for row in expected]


@pytest.mark.parametrize("number", [LAST, LAST - 1, LAST - SPAN, LAST - SPAN + 1])
async def test_the_largest_numbers_are_looked_for(journal: Journal, number: int) -> None:
    """Nobody has them, or one row has: neither is a fault of the file."""
    rows = [Again(SKY, number - 2, 1.0, 0.5), Again(SKY, number, 2.0, 0.5)]
    assert await journal.get(number) is None
    for row in rows:
        journal.record(row)
    await journal.flush()
    with closing(sqlite3.connect(journal.path)) as db:
        assert repeats.get(db, number) == whole(rows[1])
        assert repeats.get(db, number - 1) is None
        assert repeats.newest(db, number, 9) == [whole(rows[0])]


async def test_repeats_count_like_others(tmp_path: Path) -> None:
    """In the sums, minute by minute, and against the bound of the log."""
    journal = Journal.open(tmp_path / "journal.db", keep=200)
    for n in range(1_000):
        journal.record(Again(SKY, n * 8 * MILLISECOND, n * 0.12, 2.0))
    await journal.flush()
    sums = await journal.rollups(MINUTE, 0.0)
    assert [(r.key.at, r.sums.count) for r in sums] == [(0, 500), (60, 500)]
    assert sums[0].sums.ms == pytest.approx(1_000.0)
    assert sums[0].sums.near == {200: 500}
    assert sum(sums[0].sums.times.values()) == 500
    await journal.close()
    journal = Journal.open(tmp_path / "journal.db", keep=200)
    journal.record(decision(10_000 * 8 * MILLISECOND))
    await journal.flush()
    assert len(await journal.recent(1_000, before=9_999 * 8 * MILLISECOND)) <= 200
    await journal.close()


async def test_what_is_there_already_is_not_counted_against_the_bound(tmp_path: Path) -> None:
    """A decision that comes once more, alone or among repeats, takes no other one's place."""
    journal = Journal.open(tmp_path / "journal.db", keep=8)
    for _ in range(3):
        for n in range(1, 4):
            journal.record(Again(SKY, n * MILLISECOND, n * 1.0, 2.0))
        for n in range(4, 9):
            journal.record(decision(n * MILLISECOND))
        await journal.flush()
    await journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute(repeats.COUNT).fetchone() == (8, 8 * MILLISECOND)


async def test_who_listens_hears_whole_decisions(journal: Journal) -> None:
    """A repeat is told as what it is."""
    heard: list[Decision] = []
    journal.listen(heard.append)
    journal.record(Again(SKY, 10, 1.0, 0.5))
    journal.record(decision(11))
    assert heard == [SKY._replace(id=10, at=1.0, ms=0.5), decision(11)]
    assert journal.since(10) == [decision(11)]
