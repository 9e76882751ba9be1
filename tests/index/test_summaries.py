"""Summaries add up whichever way they are cut, sent and put together again."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from index import summaries
from index.rollups import HOUR, MINUTE, Key, Rollup, Sums
from index.summaries import Summary
from tests.index.test_journal import comparison

if TYPE_CHECKING:
    from policies.record import Comparison

NOTHING = Summary([], [], Counter())


def rollup(at: int, count: int, span: int = MINUTE, **key: str) -> Rollup:
    named = Key(span, at, key.get("category", "c"), "exact", "hit", key.get("model", "m"))
    return Rollup(named, Sums(count, 1, 2.5 * count, 3, 4, {-7: count}, {190: count}))


def summary(*rollups: Rollup, labels: tuple[Comparison, ...] = (), **said: int) -> Summary:
    """`said` is `good_60=1`: so many good verdicts in the stretch from second 60 on."""
    counts: Counter[tuple[int, bool]] = Counter()
    for name, count in said.items():
        word, _, at = name.partition("_")
        counts[(int(at), word == "good")] = count
    return Summary(list(rollups), list(labels), counts)


@pytest.mark.parametrize(
    ("parts", "requests", "labels", "said"),
    [
        ([], 0, 0, {}),
        ([NOTHING, NOTHING], 0, 0, {}),
        ([summary(rollup(0, 2), good_0=1)], 2, 0, {(0, True): 1}),
        (
            [
                summary(rollup(0, 2), rollup(60, 5), good_0=1, bad_60=2),
                NOTHING,
                summary(rollup(0, 10), labels=(comparison(1),), good_0=3),
            ],
            17,
            1,
            {(0, True): 4, (60, False): 2},
        ),
    ],
)
def test_merged(
    parts: list[Summary], requests: int, labels: int, said: dict[tuple[int, bool], int]
) -> None:
    """Nothing is lost and nothing counts twice; of nobody there is nothing."""
    whole = summaries.merged(parts)
    assert sum(one.sums.count for one in whole.rollups) == requests
    assert len(whole.labels) == labels
    assert dict(whole.said) == said


def test_merging_changes_no_part() -> None:
    """A summary that went into another is as it was."""
    part = summary(rollup(0, 2), good_0=1)
    summaries.merged([part, part])
    assert part == summary(rollup(0, 2), good_0=1)


def test_cut_puts_everything_into_the_stretch_it_belongs_to() -> None:
    """Sums by their beginning, comparisons and verdicts by their time."""
    whole = summary(
        rollup(0, 1), rollup(60, 2),
        labels=(comparison(1, at=59.9), comparison(2, at=60.0), comparison(3, at=200.0)),
        good_60=1, bad_120=2,
    )  # fmt: skip
    cut = summaries.cut(whole, MINUTE)
    assert sorted(cut) == [0, 60, 120, 180]
    assert [[one.sums.count for one in cut[at].rollups] for at in sorted(cut)] == [[1], [2], [], []]
    assert [[one.id for one in cut[at].labels] for at in sorted(cut)] == [[1], [2], [], [3]]
    assert [dict(cut[at].said) for at in sorted(cut)] == [
        {}, {(60, True): 1}, {(120, False): 2}, {},
    ]  # fmt: skip
    assert sorted(summaries.cut(whole, HOUR)) == [0]


def test_a_sheet_holds_all_that_is_counted() -> None:
    """Every sum comes back as it was; comparisons with what they count by, as many as came."""
    seen = comparison(1, at=65.0, similarity=0.933, propensity=0.02, would=True, same=False)
    stretch = summary(
        rollup(60, 3), rollup(60, 4, category="\u00e9", model=""),
        labels=(seen, seen, comparison(2, at=66.0, similarity=1.0)), good_60=2, bad_60=1,
    )  # fmt: skip
    back = summaries.unpack(summaries.pack(stretch), MINUTE, 60)
    assert back is not None
    assert back.rollups == stretch.rollups
    assert back.said == stretch.said
    told = [
        (one.at, one.category, one.similarity, one.propensity, one.would, one.vetoed, one.same)
        for one in back.labels
    ]
    wrong = (60.0, "faq", 0.9325, 0.02, True, True, False)
    assert told == [wrong, wrong, (60.0, "faq", 1.0, 1.0, False, True, True)]


def test_a_sheet_names_nobody() -> None:
    """Ids of requests and entries stay at home."""
    label = comparison(77_000_123, entry="ab" * 16, neighbour="cd" * 16)
    sheet = zlib.decompress(summaries.pack(summary(labels=(label,))))
    for word in (b"77000123", b"ab" * 16, b"cd" * 16, b"judge"):
        assert word not in sheet


def packed(**changes: Any) -> bytes:
    told = {"form": 1, "sums": [], "labels": [], "said": [0, 0]}
    return zlib.compress(orjson.dumps(told | changes))


@pytest.mark.parametrize(
    "sheet",
    [
        b"", b"nonsense", zlib.compress(b"{}"), zlib.compress(b"[]"), zlib.compress(b"\xff"),
        packed(form=2), packed(sums=[[1, 2]]), packed(labels=[["x"]]), packed(said=[1]),
        packed(sums=[["c", "r", "o", "m", 1, 0, 1.0, 1, 1, {"x": 1}, {}]]),
    ],
)  # fmt: skip
def test_what_is_no_sheet_is_left_out(sheet: bytes) -> None:
    """Damage, and what a newer release wrote, is nothing: never a fault."""
    assert summaries.unpack(packed(), MINUTE, 0) == summary(good_0=0, bad_0=0)
    assert summaries.unpack(sheet, MINUTE, 0) is None
