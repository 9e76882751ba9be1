"""Recorded pairs and traffic under a policy: counted right, and no more than that."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from index.embedders.hashing import HashingEmbedder
from policies.config import read_policy
from policies.document import read
from policies.lessons import Prior
from policies.values import JudgeKind, Threshold
from policies.verdicts import Reason
from proxy import replaying, rows
from proxy.rehearsal import Told
from proxy.replaying import BOUNDS, CUTS, DELTAS, Outcome, Tally, Tools

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = Path(__file__).resolve().parents[1] / "golden" / "replays"
RULES = read_policy(read((FILES / "likewise.yaml").read_text(), "likewise.yaml"))


@pytest.fixture
def tools() -> Iterator[Tools]:
    with replaying.judging(None, 0.0, HashingEmbedder()) as same:
        yield Tools(HashingEmbedder(), Prior(), same)


def told(reason: Reason, served: str | None = None, match: Reason | None = None) -> Told:
    return Told(reason, "default", served, match=match)


def test_pairs_are_counted(tools: Tools) -> None:
    """As by hand: of 24, 12 differ in case or marks (2 of them labelled otherwise), one is equal,
    4 differ in a number, 5 are about other things, 2 are somebody's own."""
    result = replaying.run("test", rows.read(FILES / "pairs.jsonl"), RULES, tools)
    total = result.total
    assert (total.asked, total.exact, total.semantic, total.wrong) == (24, 1, 12, 2)
    assert (total.could, total.found, total.unjudged, total.exact_wrong) == (13, 11, 0, 0)
    assert total.false_hits.estimate == pytest.approx(2 / 12)
    assert total.false_hits.low <= 2 / 12 <= total.false_hits.high
    assert total.reasons == {
        "semantic": 12, "below-threshold": 5, "guard-numbers": 4, "category-off": 2, "exact": 1
    }  # fmt: skip
    by_category = {name: (t.asked, t.hits, t.wrong) for name, t in result.categories.items()}
    assert by_category == {
        "ambiguous": (2, 2, 2), "default": (9, 0, 0), "everyday": (11, 11, 0), "personal": (2, 0, 0)
    }  # fmt: skip


def test_traffic_is_counted(tools: Tools) -> None:
    """As by hand; "money bank" gets the answer of "river bank", and what is older than an hour
    has expired."""
    result = replaying.run("test", rows.read(FILES / "traffic.jsonl"), RULES, tools)
    total = result.total
    assert (total.asked, total.exact, total.semantic, total.wrong) == (20, 2, 7, 1)
    assert (total.could, total.found) == (10, 8)
    assert total.reasons == {
        "semantic": 7, "below-threshold": 6, "category-off": 2, "exact": 2, "empty": 1,
        "expired": 1, "guard-numbers": 1,
    }  # fmt: skip


def test_without_times_nothing_expires(tools: Tools, tmp_path: Path) -> None:
    """Nor does anybody want another answer within `regenerate`, as no time goes by."""
    path = tmp_path / "traffic.jsonl"
    bare = re.sub(r', "at": \d+', "", (FILES / "traffic.jsonl").read_text())
    path.write_text(bare)
    rules = replace(RULES, regenerate=60.0)
    reasons = replaying.run("test", rows.read(path), rules, tools).total.reasons
    assert "expired" not in reasons
    assert reasons["exact"] == 2


def test_the_policys_mode_is_no_matter(tools: Tools) -> None:
    """What a policy in shadow would do is what a replay is for."""
    recorded = rows.read(FILES / "pairs.jsonl")
    shadow = replaying.run("test", recorded, replace(RULES, shadow=True), tools)
    assert shadow.total == replaying.run("test", recorded, RULES, tools).total


def test_in_shadow_everything_is_compared(tools: Tools) -> None:
    """Nothing is served; what would have been is told as right or wrong."""
    recorded = rows.read(FILES / "pairs.jsonl")
    some = list(replaying.outcomes(recorded, RULES, tools, shadow=True))
    assert all(one.told.served is None for one in some)
    audited = [one.told.compared for one in some if one.told.reason is Reason.AUDIT]
    assert (audited.count(True), audited.count(False), audited.count(None)) == (10, 2, 1)


def test_progress_ends_at_the_end(tools: Tools) -> None:
    """Shares rise to 1, of embedding and of deciding."""
    seen: list[tuple[str, float]] = []
    recorded = rows.read(FILES / "pairs.jsonl")
    replaying.embed(recorded, tools, lambda what, share: seen.append((what, share)))
    replaying.run("x", recorded, RULES, tools, lambda what, share: seen.append((what, share)))
    for what in ("embedding", "deciding"):
        shares = [share for name, share in seen if name == what]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0


def test_hits_are_told_apart() -> None:
    """Exact hits are no evidence of meaning; what no judge can tell is neither right nor wrong."""
    some = [
        Outcome("a", told(Reason.EXACT, "x", Reason.EXACT), False, None),
        Outcome("a", told(Reason.SEMANTIC, "x", Reason.SEMANTIC), True, None),
        Outcome("a", told(Reason.SEMANTIC, "x", Reason.SEMANTIC), None, None),
        Outcome("a", told(Reason.STALE_WHILE_REVALIDATE, "x", Reason.SEMANTIC), False, None),
        Outcome("a", told(Reason.EMPTY), None, None),
    ]
    total = replaying.tally(some)
    assert (total.exact, total.exact_wrong, total.semantic, total.wrong) == (1, 1, 3, 1)
    assert (total.unjudged, total.could, total.false_hits.samples) == (1, None, 2)
    assert total.hit_rate == pytest.approx(4 / 5)


def test_nothing_counted_is_no_evidence() -> None:
    """Neither a rate of hits nor one of errors is made up."""
    empty = replaying.tally([])
    assert (empty.hit_rate, empty.false_hits.low, empty.false_hits.high) == (0.0, 0.0, 1.0)
    assert empty.data()["false_hits_per_hit"]["estimate"] is None
    assert replaying.point("x", Tally()) is None


def test_a_result_is_json(tools: Tools) -> None:
    """The same figures under names."""
    result = replaying.run("test", rows.read(FILES / "pairs.jsonl"), RULES, tools)
    data = json.loads(json.dumps(result.data()))
    assert data["policy"] == "test"
    assert data["total"]["hits"] == {"exact": 1, "semantic": 12}
    assert data["total"]["false_hits_per_hit"]["of"] == 12
    assert set(data["categories"]) == {"ambiguous", "default", "everyday", "personal"}


@pytest.mark.parametrize(
    ("kind", "fresh", "same"),
    [
        (None, "Blue.", True),
        (None, "blue", False),
        (JudgeKind.TEXT, "Sure! *blue*", True),
        (JudgeKind.TEXT, "Red.", False),
        (JudgeKind.EMBEDDING, "Sure! *blue*", True),
        (JudgeKind.EMBEDDING, "Nothing that anybody could take for a colour", False),
        (JudgeKind.EMBEDDING, "", None),
    ],
)
def test_the_judges_are_those_of_production(
    kind: JudgeKind | None, fresh: str, same: bool | None
) -> None:
    """Names are equal or not; texts are compared by words or by vectors."""
    with replaying.judging(kind, 0.8, HashingEmbedder()) as judge:
        assert judge(fresh, "Blue.") is same


def test_a_plot_compares_every_kind(tools: Tools) -> None:
    """Looser settings answer no less; the strictest come first."""
    recorded = rows.read(FILES / "pairs.jsonl")
    shares: list[float] = []
    curves = replaying.curves(recorded, RULES, tools, lambda _, share: shares.append(share))
    assert [curve.name for curve in curves] == ["fixed", "max_false_hits", "vcache"]
    assert shares[-1] == 1.0
    fixed = curves[0].points
    assert [p.label for p in fixed] == [f"{cut:.2f}" for cut in reversed(CUTS)]
    rates = [p.hit_rate for p in fixed]
    assert rates == sorted(rates)
    # The policy's own cut is one of those that are drawn.
    mine = replaying.run("0.60", recorded, RULES, tools)
    assert fixed[-1] == replaying.point("0.60", mine.total)


def test_sweeps_leave_other_thresholds_alone() -> None:
    """A category with its own threshold keeps it; the others take part."""
    written = "policy: {categories: {a: {threshold: 0.9}, b: {ttl: 1h}}}"
    rules = read_policy(read(written, "test"))
    moved = replaying.ruled(rules, Threshold(0.7))
    assert [moved.defaults.threshold, *(moved.named(n).threshold for n in "ab")] == [  # type: ignore[union-attr]
        Threshold(0.7), Threshold(0.9), Threshold(0.7)
    ]  # fmt: skip
    kinds = replaying.sweeps(rules.defaults.threshold)
    assert [len(some) for some in kinds.values()] == [len(CUTS), len(BOUNDS), len(DELTAS)]
    assert [label for label, _ in kinds["max_false_hits"]] == ["0.5%", "1%", "2%", "5%", "10%"]
