from __future__ import annotations

import random
import sqlite3
from statistics import quantiles

import pytest

from index import rollups
from index.repeats import Block
from index.rollups import HOUR, MINUTE, OTHER, QUARTER, Counted, Key, Sums, quantile, summed
from tests.index.test_journal import decision


def counted(**changes: object) -> Counted:
    plain = Counted(0.0, "default", "empty", "miss", "m", False, 2.0, 3, 5, None)
    return plain._replace(**changes)


def table() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute(rollups.TABLE)
    return db


@pytest.mark.parametrize("count", [2, rollups.FEW, rollups.FEW + 1, 10 * rollups.FEW])
def test_repeats_are_summed_as_if_they_stood_alone(count: int) -> None:
    """However many there are, over the turn of a minute too."""
    row = decision(1, category="default", reason="exact", outcome="hit", model="m", similarity=1.0)
    at = tuple(59.0 + n / count for n in range(2 * count))
    ms = tuple(0.25 * (n + 1) for n in range(2 * count))
    block = Block(row, tuple(range(2 * count)), at, ms)
    sums = summed((), [block], set())
    minutes = {key.at: one for key, one in sums.items() if key.span == MINUTE}
    assert {start: one.count for start, one in minutes.items()} == {0: count, 60: count}
    assert minutes[0].ms == pytest.approx(sum(ms[:count]))
    assert minutes[60].ms == pytest.approx(sum(ms[count:]))
    single = summed(
        [rollups.counted(row._replace(at=a, ms=b)) for a, b in zip(at, ms, strict=True)], (), set()
    )
    assert {key: (one.times, one.near, one.tokens_in) for key, one in sums.items()} == {
        key: (one.times, one.near, one.tokens_in) for key, one in single.items()
    }


def test_what_is_alike_is_summed() -> None:
    """By minute, hour and quarter of a day, in each by category, reason, outcome and model."""
    sums = summed(
        [
            counted(at=3599.9, collapsed=True),
            counted(at=3540.0, ms=4.0),
            counted(at=3600.0),
            counted(at=3540.0, model="big"),
        ],
        (),
        set(),
    )
    assert {(k.span, k.at, k.model): s.count for k, s in sums.items()} == {
        (MINUTE, 3540, "m"): 2,
        (MINUTE, 3600, "m"): 1,
        (MINUTE, 3540, "big"): 1,
        (HOUR, 0, "m"): 2,
        (HOUR, 3600, "m"): 1,
        (HOUR, 0, "big"): 1,
        (QUARTER, 0, "m"): 3,
        (QUARTER, 0, "big"): 1,
    }
    both = sums[Key(HOUR, 0, "default", "empty", "miss", "m")]
    assert (both.collapsed, both.ms, both.tokens_in, both.tokens_out) == (1, 6.0, 6, 10)


def test_callers_cannot_fill_the_disk_with_models() -> None:
    """Beyond two hundred names the rest is one."""
    known: set[str] = set()
    first = summed([counted(model=f"m{n}") for n in range(300)], (), known)
    names = {key.model for key in first}
    assert len(names) == 201
    assert OTHER in names
    again = summed([counted(model="m5"), counted(model="new")], (), known)
    assert {key.model for key in again} == {"m5", OTHER}


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_quantiles_are_within_a_bin(share: float) -> None:
    """Of a skewed sample, however it is cut into sums, to 5%."""
    dice = random.Random(7)  # noqa: S311
    times = [dice.lognormvariate(1.0, 2.0) for _ in range(5_000)]
    parts = summed([counted(at=60.0 * n, ms=ms) for n, ms in enumerate(times)], (), set())
    true = quantiles(times, n=100, method="inclusive")[round(share * 100) - 1]
    for span in (MINUTE, HOUR, QUARTER):
        whole = Sums()
        for key, sums in parts.items():
            if key.span == span:
                whole.add(sums)
        assert quantile(whole.times, share) == pytest.approx(true, rel=0.06)


def test_quantiles_of_nothing_and_of_no_time_at_all() -> None:
    """None without a decision; zero milliseconds are a time."""
    assert quantile({}, 0.5) is None
    instant, *_ = summed([counted(ms=0.0)], (), set()).values()
    assert quantile(instant.times, 0.5) == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize(("similarity", "place"), [(0.0, 0), (0.9301, 186), (1.0, 200)])
def test_similarities_are_counted_by_the_200th(similarity: float, place: int) -> None:
    """Those that there are."""
    sums = summed([counted(similarity=similarity), counted()], (), set())
    assert [one.near for one in sums.values()] == [{place: 1}] * 3


def test_what_is_written_adds_up() -> None:
    """Twice the same is double; what is read is what was written."""
    db = table()
    rows = [counted(at=60.0, ms=3.0, similarity=0.9), counted(at=120.0, reason="é\x00", ms=5.0)]
    for _ in range(2):
        rollups.add(db, summed(rows, (), set()))
    read = dict(rollups.since(db, MINUTE, 0.0))
    once = summed([*rows, *rows], (), set())
    assert read == {key: sums for key, sums in once.items() if key.span == MINUTE}
    assert [r.key.at for r in rollups.since(db, MINUTE, 60.5)] == [60, 120]
    assert [r.key.at for r in rollups.since(db, MINUTE, 61.0)] == [120]


def test_trimming_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each span its own number."""
    monkeypatch.setattr(rollups, "KEPT", {MINUTE: 2, HOUR: 1, QUARTER: 1})
    db = table()
    rollups.add(db, summed([counted(at=3600.0 * n) for n in range(4)], (), set()))
    rollups.trim(db)
    assert [r.key.at for r in rollups.since(db, MINUTE, 0.0)] == [7200, 10800]
    assert [r.key.at for r in rollups.since(db, HOUR, 0.0)] == [10800]
