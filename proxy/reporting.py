"""What was learned, told whole: for the API, the pages and `explain`. Nothing here decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from policies import features, lessons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.evidence import Share
    from policies.lessons import Lessons
    from policies.verdicts import Study
    from policies.verified import Standing

JUDGED = ("same", "different", "unknown", "dropped")


def told(held: Lessons, judge: str) -> dict[str, Any]:
    """The learned state: model, what it may serve under each bound, how often it was wrong.

    `false_hits` is estimated from audits of would-be hits alone, each weighted by one over its
    chance. `judge_noise` is how often the judge called two answers to one prompt different: no
    bound below it can be shown to hold.
    """
    account = lessons.account(held.labels)
    model = held.learned
    return {
        "judge": judge,
        "labels": len(held.labels),
        "started_anew": held.forgotten,
        "judge_noise": _share(held.noise.share()),
        "coefficients": dict(zip(features.NAMES, model.weights, strict=False)),
        "offsets": dict(model.offsets),
        "bounds": [standing(s) for s in model.standings.values()],
        "false_hits": _share(account.share),
        "by_category": {name: _share(share) for name, share in account.by_category.items()},
    }


def gauges(held: Lessons, counts: Mapping[str, int]) -> dict[str, float]:
    """For the metrics: how often what was served was wrong, and what the judge said."""
    share = lessons.account(held.labels).share
    told = {f"judged_{word}_total": float(counts.get(word, 0)) for word in JUDGED}
    if share.samples:
        told |= {"false_hits": share.estimate, "false_hits_low": share.low}
        told |= {"false_hits_high": share.high}
    return told | {"audits_held": float(share.samples)}


def standing(held: Standing) -> dict[str, Any]:
    """What may be served under one bound, and why not more."""
    return {
        "bound": held.bound,
        "certified": held.cut is not None,
        "highest_risk": held.start_cut if held.cut is None else held.cut,
        "upper": held.upper,
        "labels": held.labels,
        "wrong": held.wrong,
        "audits": held.audit,
    }


def weighed(study: Study) -> dict[str, Any]:
    """One neighbour as the learned threshold saw it."""
    return {
        "risk": study.risk,
        "bound": study.bound,
        "would": study.would,
        "asked_upstream": study.propensity,
        "features": {
            name: round(value, 3)
            for name, value in zip(features.NAMES, study.features, strict=True)
        },
    }


def _share(share: Share) -> dict[str, Any]:
    """`low` and `high` hold at every look with 90% each."""
    return {
        "estimate": share.estimate if share.samples else None,
        "low": share.low,
        "high": share.high,
        "samples": share.samples,
    }
