"""What a fixed cut would do in a category: from sums of past similarities, and from labels."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from admin_ui.facts import Bin, Predicted, Similarities
from index.rollups import FINE
from policies.verdicts import Outcome, Reason
from proxy.counting import estimate, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from index.rollups import Rollup
    from policies.record import Comparison
    from policies.values import CategoryRules

# What a decision on similarity can end as. What a guard refused is no matter of a cut.
CUT = frozenset({Reason.SEMANTIC, Reason.BELOW_THRESHOLD, Reason.UNVERIFIED, Reason.AUDIT})
# Bins and cuts below are of no use to anybody.
LEAST = FINE // 2


def foreseen(
    rule: CategoryRules, rollups: Sequence[Rollup], labels: Sequence[Comparison], seconds: float
) -> Similarities:
    """`rollups` and `labels` are those of a window, of all categories."""
    own = [one for one in rollups if one.key.category == rule.name]
    said = [one for one in labels if one.category == rule.name and not one.vetoed]
    requests = sum(sums.count for _, sums in own)
    exact = sum(sums.count for key, sums in own if key.reason == Reason.EXACT)
    near = _near(own)
    return Similarities(
        category=rule.name,
        seconds=seconds,
        requests=requests,
        exact=exact,
        labels=len(said),
        cut=rule.threshold.start,
        learned=rule.threshold.max_false_hits is not None or rule.threshold.delta is not None,
        bins=_bins(near, said),
        predicted=_predicted(near, said, requests, exact),
    )


def _near(rollups: Sequence[Rollup]) -> Counter[int]:
    near: Counter[int] = Counter()
    for key, sums in rollups:
        if key.reason in CUT and key.outcome in (Outcome.HIT, Outcome.MISS):
            near.update(sums.near)
    return near


def place(similarity: float) -> int:
    """Which bin a similarity is counted in; one of 1 belongs to the last."""
    return min(int(similarity * FINE), FINE - 1)


def _bins(near: Mapping[int, int], said: Sequence[Comparison]) -> list[Bin]:
    """From a half on; labels that are known for more than was counted leave nothing unknown."""
    all_: Counter[int] = Counter()
    for where, count in near.items():
        all_[min(where, FINE - 1)] += count
    correct = Counter(place(one.similarity) for one in said if one.same)
    wrong = Counter(place(one.similarity) for one in said if not one.same)
    return [
        Bin(
            at / FINE,
            (at + 1) / FINE,
            correct[at],
            wrong[at],
            max(0, all_[at] - correct[at] - wrong[at]),
        )
        for at in range(LEAST, FINE)
    ]


def _predicted(
    near: Mapping[int, int], said: Sequence[Comparison], requests: int, exact: int
) -> list[Predicted]:
    """A label that came by chance stands for all that had the same chance, a verdict for none."""
    counts = [one for one in said if one.propensity > 0]
    made = []
    for at in range(LEAST, FINE + 1):
        cut = at / FINE
        over = sum(count for where, count in near.items() if where >= at)
        above = [one for one in counts if one.similarity >= cut]
        some = max(1, requests)
        made.append(Predicted(cut, over / some, (exact + over) / some, estimate(share(above))))
    return made
