"""How similar is similar enough: the policies behind `threshold:`.

A fixed cut, vCache's rule, or a bound on false hits. `reach` is how far a neighbour may be away to
be looked at, `weigh` whether one that no guard objects to may be served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from policies import features, vcache, verified
from policies.verdicts import Reason, Study
from policies.verified import Learned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.values import (
        Candidate,
        CategoryRules,
        Directives,
        Overrides,
        Query,
        Snapshot,
    )
    from policies.verified import Standing

# Other answers than the neighbour's with which a fresh one is compared.
RIVALS = 2
UNLEARNED = Learned()


def cut(category: CategoryRules, asked: Directives, bounds: Overrides) -> float:
    """The cosine a neighbour must reach under a fixed cut, and until labels certify more.

    A request's own wish is kept inside the policy's bounds and above the category's floor, and
    never loosens a strict category. Under vCache's rule the floor is all that holds for every
    entry.
    """
    threshold = category.threshold
    least = threshold.floor or 0.0
    own = threshold.start if threshold.delta is None else least
    if asked.threshold is None:
        return own
    low, high = bounds.threshold
    wished = max(min(max(asked.threshold, low), high), least)
    return max(wished, own) if category.strict else wished


def learns(category: CategoryRules, asked: Directives) -> bool:
    """Whether labels decide here; a request that names its own cut gets a fixed one."""
    threshold = category.threshold
    learned = threshold.delta is not None or threshold.max_false_hits is not None
    return learned and asked.threshold is None


def reach(category: CategoryRules, fixed: float, *, learned: bool) -> float:
    """The cosine from which on a neighbour is worth weighing."""
    if not learned:
        return fixed
    return verified.FLOOR if category.threshold.floor is None else category.threshold.floor


@dataclass(frozen=True, slots=True)
class Weighed:
    """Whether a neighbour may be served; if so, with what chance upstream is asked all the same."""

    would: bool
    audit: float
    reason: Reason
    seen: str

    @property
    def propensity(self) -> float:
        return self.audit if self.would else 1.0


def near_enough(similarity: float, cut: float, audit: float) -> Weighed:
    """The rule of a fixed cut."""
    seen = f"{similarity:.3f} < {cut:.3f}"
    return Weighed(similarity >= cut, audit, Reason.BELOW_THRESHOLD, seen)


def by_risk(risk: float | None, similarity: float, start: float, standing: Standing) -> Weighed:
    """The rule of a bound on false hits."""
    audit = standing.audit
    if risk is None:
        return near_enough(similarity, start + (1 - start) * verified.STERNER, audit)
    cut = standing.cut
    if cut is None:
        if similarity < start:
            return near_enough(similarity, start, audit)
        cut = standing.start_cut
    elif risk > cut / 2:
        # What lies close under the cut is the likeliest to be wrong, and tells most.
        audit = min(1.0, 2 * audit)
    return Weighed(risk <= cut, audit, Reason.UNVERIFIED, f"risk {risk:.2%} > {cut:.2%}")


def searchable(category: CategoryRules, *, same: bool) -> bool:
    """Whether a fresh answer that is the same as its neighbour's (or not) is itself searched for.

    Under vCache's rule a label that counts for the neighbour makes no entry of its own.
    """
    return category.threshold.delta is None or vcache.inserts(same=same)


def weigh(
    query: Query,
    chosen: Candidate,
    near: Sequence[Candidate],
    passed: int,
    category: CategoryRules,
    fixed: float,
    snap: Snapshot,
) -> Study:
    """Weigh the neighbour `chosen`, one of `near`, that nothing else objects to."""
    learned = snap.learned or UNLEARNED
    read = features.read(query.text, chosen, near, passed)
    risk = learned.risk(read, category.name)
    bound = category.threshold.max_false_hits if learns(category, query.directives) else None
    if bound is not None:
        standing = learned.standing(bound, snap.rules.audits)
        weighed = by_risk(risk, chosen.score, category.threshold.start, standing)
    elif learns(category, query.directives):
        weighed = _by_vcache(chosen, category)
    else:
        weighed = near_enough(chosen.score, fixed, snap.rules.audits)
    return Study(
        candidate=chosen,
        features=read,
        risk=risk,
        bound=bound,
        would=weighed.would,
        propensity=weighed.propensity,
        reason=weighed.reason,
        seen=weighed.seen,
        rivals=features.rivals(chosen, near, RIVALS),
    )


def _by_vcache(chosen: Candidate, category: CategoryRules) -> Weighed:
    threshold = category.threshold
    ask = vcache.explore(
        chosen.score, chosen.facts.labels, threshold.delta or vcache.DELTA, floor=threshold.floor
    )
    seen = f"upstream is asked {ask:.0%} of the time"
    return Weighed(ask < 1, ask, Reason.UNVERIFIED, seen)
