"""An end user's requests leave the log, and what others' requests quote of theirs with them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from index import erasing, journal
from index.journal import Journal, Verdict
from tests.index.test_journal import decision

if TYPE_CHECKING:
    from pathlib import Path

ANN, BOB = "a" * 32, "b" * 32
REFUSED = json.dumps({"turns": [], "refused": [{"entry": "x", "seen": "10 against 12"}]})
ELSE = REFUSED.replace('"x"', '"other"')
ROWS = (
    decision(1, user=ANN, prompt="Ann's account", entry="x"),
    decision(2, user=BOB, prompt="Bob's", entry="x", matched="Ann's account"),
    decision(3, prompt="nobody's", neighbour="x", matched="Ann's account", seen="10 against 12"),
    decision(4, user=BOB, prompt="near", evidence=REFUSED),
    decision(5, user=BOB, prompt="far", entry="y", matched="Bob's", evidence=ELSE),
    decision(6, user=ANN, prompt="Ann again", entry="z"),
    decision(7, would="x", matched="Ann's account"),
)
LEFT = {
    2: ("Bob's", "", ""),
    3: ("nobody's", "", ""),
    4: ("near", "", ""),
    5: ("far", "Bob's", ELSE),
    7: ("What?", "", ""),
}


@pytest.mark.parametrize("ring", [1_000, 3, 1])
async def test_an_end_user_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ring: int
) -> None:
    """Their own requests go, notes too; others' lose what they quote: in RAM, on disk, for good."""
    monkeypatch.setattr(journal, "RING", ring)
    monkeypatch.setattr(erasing, "SLICE", 2)
    path = tmp_path / "journal.db"
    log = Journal.open(path)
    for row in ROWS:
        log.record(row)
    await log.flush()
    await log.rule(Verdict(1, 1.0, good=False, entry="x", note="not Ann's"))
    await log.rule(Verdict(2, 1.0, good=False, entry="x", note="not Bob's"))
    assert await log.of_user(ANN) == 2
    assert await log.erase(ANN, ["x", "z"]) == 2
    assert (await log.of_user(ANN), await log.of_user(BOB)) == (0, 3)
    rows = await log.recent(10)
    assert {r.id: (r.prompt, r.matched, r.evidence) for r in rows} == LEFT
    assert not any(r.seen for r in rows)
    assert {v.id: v.note for v in await log.verdicts(10)} == {1: "", 2: "not Bob's"}
    await log.close()
    again = Journal.open(path)
    assert {r.id: (r.prompt, r.matched, r.evidence) for r in await again.recent(10)} == LEFT
    await again.close()
    left = await asyncio.to_thread(all_bytes, tmp_path)
    assert b"Bob's" in left
    assert b"Ann" not in left


def all_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_nobody_in_particular_is_nobody(tmp_path: Path) -> None:
    """Without a user only quotes go; requests that named none are not theirs."""
    log = Journal.open(tmp_path / "journal.db")
    for row in ROWS:
        log.record(row)
    assert await log.of_user("") == 0
    assert await log.erase("", ["x"]) == 0
    rows = await log.recent(10)
    assert len(rows) == len(ROWS)
    assert not any("Ann" in row.matched for row in rows)
    await log.close()


async def test_what_comes_later_stays(tmp_path: Path) -> None:
    """An erased user may come back."""
    log = Journal.open(tmp_path / "journal.db")
    log.record(ROWS[0])
    assert await log.erase(ANN, []) == 1
    log.record(ROWS[5])
    assert await log.of_user(ANN) == 1
    assert [row.id for row in await log.recent(10)] == [6]
    await log.close()
