"""What labels teach: the model's coefficients, and which risk may be served under which bound.

A label says whether a fresh answer was the same as the remembered one. It is scored by the risk
that the model of its moment gave it, never by a model that was fitted on it (prequential), so that
the same labels may both train and certify. Certified is a cut on the risk: of the labels at or
below it, a confidence sequence must stand under the bound. Labels from below the cut were certain
to come, labels from above it come from audits; served hits leave none.

Pure: `learn` takes a state and new labels and returns a state; called off the request path.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from policies import evidence, features
from policies.verified import START_RISK, Learned, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from policies.evidence import Share
    from policies.values import Rules
    from policies.verdicts import Study

    Floats = NDArray[np.float64]

# The newest labels that are held: they fit and certify.
HELD = 4_000
# The bound is missed with this probability at most, at any of all looks at one cut.
DOUBT = 0.2
# What is shown is stated more carefully than what is steered by.
SHOWN_DOUBT = 0.1
# A hit that is riskier than the bound by more than this is not averaged in with safer ones.
RISKIER = 0.025
FEWEST = 20
# Fewer labels than these change nothing of how a policy starts.
SETTLED = 200
# At first this share of would-be hits is audited; it falls once this many labels stand behind the
# cut, as one over their number, down to the configured share.
AUDITS, ENOUGH = 0.2, 100
# How many labels the prior is worth, per unit of a coefficient squared.
TRUST, TRUST_OFFSET = 20.0, 20.0
BLANK_TRUST = 1.0
NEWTON_STEPS = 3
# Until something is certified `start` rules, as long as labels of the same risk do not say, more
# likely than not, that it is wrong more often than this part of the bound.
CAUTION, START_DOUBT = 0.75, 0.5
# What an audit stands for at most when the model is fitted: 1 / propensity, bounded.
HEAVIEST = 10.0
# Page and Hinkley's test on (wrong - risk) of audits: tolerance per label, and what sum is drift.
SLACK, DRIFT = 0.02, 4.0


class Label(NamedTuple):
    """One comparison of a fresh answer with a remembered one, as its moment saw it.

    `risk` is negative where no model was there. `certifies` is False where the label's chance of
    existing is not known (feedback): it trains only.
    """

    at: float
    category: str
    features: tuple[float, ...]
    risk: float
    propensity: float
    would: bool
    same: bool
    bounded: bool = True
    certifies: bool = True


@dataclass(frozen=True, slots=True)
class Prior:
    """Where the coefficients start. Empty for an encoder that nothing is known of."""

    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Noise:
    """How often the judge called two fresh answers to one prompt different."""

    asked: int = 0
    differed: int = 0

    def share(self) -> Share:
        wrong = np.zeros(self.asked, bool)
        wrong[: self.differed] = True
        return evidence.share(wrong, doubt=SHOWN_DOUBT)


@dataclass(frozen=True, slots=True)
class Lessons:
    """All that was learned: the labels held, the model fitted on them, what it may serve.

    `drift` is the running sum of Page and Hinkley's test and its least value. `forgotten` counts
    how often the evidence had to start anew.
    """

    prior: Prior
    learned: Learned
    labels: tuple[Label, ...] = ()
    noise: Noise = Noise()
    drift: tuple[float, float] = (0.0, 0.0)
    forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Aim:
    """What the policy asks of the learned rule: the bounds in use, the share of audits."""

    bounds: tuple[float, ...] = ()
    audits: float = 0.02

    @classmethod
    def of(cls, rules: Rules) -> Aim:
        bounds = {c.threshold.max_false_hits for c in (rules.defaults, *rules.categories)}
        return cls(tuple(sorted(b for b in bounds if b is not None)), rules.audits)


def blank(prior: Prior) -> Lessons:
    """Nothing learned yet: the prior alone."""
    return Lessons(prior, Learned(prior.weights))


def label(study: Study, at: float, category: str, *, same: bool) -> Label:
    """File a judge's word under what was thought at the moment of decision."""
    return Label(
        at,
        category,
        study.features,
        -1.0 if study.risk is None else study.risk,
        study.propensity,
        study.would,
        same,
        bounded=study.bound is not None,
    )


def learn(state: Lessons, new: Iterable[Label], aim: Aim) -> Lessons:
    """Fold labels in, oldest first, fit the model anew and certify its cuts."""
    held, drift, forgotten = list(state.labels), state.drift, state.forgotten
    for label in new:
        drift, moved = _drifts(drift, label)
        if moved:
            held, forgotten = [], forgotten + 1
        held.append(label)
    labels = tuple(held[-HELD:])
    weights, offsets = fit(labels, state.prior, state.learned)
    learned = Learned(
        weights,
        offsets,
        {bound: certify(labels, bound, state.noise, aim) for bound in aim.bounds},
        state.learned.version + 1,
    )
    return replace(state, learned=learned, labels=labels, drift=drift, forgotten=forgotten)


def forget(state: Lessons, category: str, aim: Aim) -> Lessons:
    """The state without what one category taught."""
    rest = tuple(label for label in state.labels if label.category != category)
    return learn(replace(state, labels=rest, drift=(0.0, 0.0)), (), aim)


def _drifts(drift: tuple[float, float], label: Label) -> tuple[tuple[float, float], bool]:
    """Page and Hinkley: more wrong than the risks said, summed since it was least."""
    if label.risk < 0 or not label.certifies or not label.would:
        return drift, False
    total, least = drift
    total += (0.0 if label.same else 1.0) - label.risk - SLACK
    least = min(least, total)
    return ((0.0, 0.0), True) if total - least > DRIFT else ((total, least), False)


def fit(
    labels: Sequence[Label], prior: Prior, before: Learned
) -> tuple[tuple[float, ...], dict[str, float]]:
    """Coefficients and the categories' offsets: ridge towards the prior, by Newton's method."""
    if len(labels) < SETTLED:
        return prior.weights, {}
    categories = sorted({label.category for label in labels})
    design = _design(labels, categories)
    same = np.array([label.same for label in labels], np.float64)
    heavy: Floats = np.array([min(1 / label.propensity, HEAVIEST) for label in labels])
    width = len(features.NAMES)
    centre: Floats = np.zeros(design.shape[1])
    trust: Floats = np.full(design.shape[1], TRUST_OFFSET)
    trust[:width] = TRUST if prior.weights else BLANK_TRUST
    at: Floats = centre.copy()
    if prior.weights:
        centre[:width] = prior.weights
    at[:width] = before.weights or centre[:width]
    at[width:] = [before.offsets.get(name, 0.0) for name in categories]
    for _ in range(NEWTON_STEPS):
        at += _newton(design, same, heavy, at, centre, trust)
    return tuple(at[:width].tolist()), dict(zip(categories, at[width:].tolist(), strict=True))


def _design(labels: Sequence[Label], categories: Sequence[str]) -> Floats:
    """Features and one column per category, one row per label."""
    rows = np.array([label.features for label in labels], np.float64)
    place = {name: column for column, name in enumerate(categories)}
    marks = np.zeros((len(labels), len(categories)))
    marks[np.arange(len(labels)), [place[label.category] for label in labels]] = 1.0
    return np.hstack([rows, marks])


def _newton(
    design: Floats, same: Floats, heavy: Floats, at: Floats, centre: Floats, trust: Floats
) -> Floats:
    """One step towards the most probable coefficients."""
    right = 1 / (1 + np.exp(-np.clip(design @ at, -30, 30)))
    weighted = design * (heavy * right * (1 - right))[:, None]
    slope = design.T @ (heavy * (same - right)) - trust * (at - centre)
    return np.asarray(np.linalg.solve(design.T @ weighted + np.diag(trust), slope), np.float64)


def certify(labels: Sequence[Label], bound: float, noise: Noise, aim: Aim) -> Standing:
    """The highest risk that may be served under a bound, as far as the labels show.

    The labels at or below a risk count alike, however likely they were: audits come more often
    from close under the cut, and free labels from above it, so they err on the wrong side of it.
    """
    seen = [label for label in labels if label.certifies and label.bounded and label.risk >= 0]
    risks, wrong, count = _ascending(seen)
    judged = noise.share()
    # What the judge calls different although it is not shows in labels and in the risks learned
    # from them. Only what is certain of it is taken off a certified bound.
    tolerated, excused = judged.estimate, judged.low
    start = _start(risks, wrong, count, bound, tolerated)
    audits = _first(aim) if len(seen) >= SETTLED else aim.audits
    blank = Standing(bound, start_cut=start, audit=audits)
    if not aim.audits or not seen:
        return blank  # without audits nothing would ever show that it still holds
    upper = evidence.ceilings(wrong, count, doubt=DOUBT) - excused
    places = np.flatnonzero(
        (upper <= bound) & (count >= FEWEST) & (risks <= bound + RISKIER + tolerated)
    )
    if not len(places):
        return blank
    at = int(places[-1])
    return replace(
        blank,
        cut=float(risks[at]),
        audit=max(aim.audits, min(_first(aim), AUDITS * ENOUGH / float(count[at]))),
        upper=float(upper[at]),
        labels=int(count[at]),
        wrong=int(wrong[at]),
    )


def _ascending(labels: Sequence[Label]) -> tuple[Floats, Floats, Floats]:
    """Risks in ascending order, each once; how many labels up to it were wrong, and how many in
    all."""
    risks = np.array([label.risk for label in labels], np.float64)
    order = np.argsort(risks, kind="stable")
    risks = risks[order]
    wrong = np.cumsum(np.array([not label.same for label in labels], np.float64)[order])
    count = np.arange(1.0, len(labels) + 1)
    # Labels of one risk stand or fall together.
    last = np.flatnonzero(np.append(risks, np.inf)[1:] > risks)
    return risks[last], wrong[last], count[last]


def _start(risks: Floats, wrong: Floats, count: Floats, bound: float, tolerated: float) -> float:
    """The highest risk up to which `start` may rule.

    While there are few labels all but the plainly risky; then risks within the bound only, and of
    these none up to which labels speak against it.
    """
    if not len(count) or count[-1] < SETTLED:
        return START_RISK
    allowed = bound * CAUTION + tolerated
    against = evidence.floors(wrong, count, doubt=START_DOUBT) > allowed
    places = np.flatnonzero(against & (count >= FEWEST))
    unrefuted = float(risks[max(0, int(places[0]) - 1)]) if len(places) else 1.0
    return min(bound + tolerated, unrefuted)


def _first(aim: Aim) -> float:
    return max(AUDITS, aim.audits) if aim.audits else 0.0


@dataclass(frozen=True, slots=True)
class Account:
    """False hits per served hit, from audits alone: for people."""

    share: Share
    by_category: dict[str, Share] = field(default_factory=dict)


def account(labels: Sequence[Label]) -> Account:
    """Estimate what is served from its audits, each standing for those that were not audited."""
    audits = [label for label in labels if label.would and label.certifies]
    names = sorted({label.category for label in audits})
    return Account(
        _estimate(audits),
        {name: _estimate([a for a in audits if a.category == name]) for name in names},
    )


def _estimate(audits: Sequence[Label]) -> Share:
    wrong = np.array([not label.same for label in audits], bool)
    weights = np.array([1 / label.propensity for label in audits])
    return evidence.share(wrong, weights, doubt=SHOWN_DOUBT)
