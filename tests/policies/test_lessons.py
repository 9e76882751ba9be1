"""What labels teach: certified cuts, the fit, drift, the judge's noise, audits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies import lessons
from policies.features import NAMES
from policies.lessons import Aim, Label, Noise, Prior
from policies.values import CategoryRules, Rules, Threshold
from policies.verified import START_RISK, Learned, Standing

WIDTH = len(NAMES)
PRIOR = Prior((2.0, *[0.5] * (WIDTH - 1)))
AIM = Aim((0.02,), 0.02)
FLAT = (1.0, *[0.0] * (WIDTH - 1))


def label(same: bool = True, risk: float = 0.01, **more: object) -> Label:
    return Label(0.0, "default", FLAT, risk, 1.0, would=False, same=same)._replace(**more)


def certified(labels: list[Label], aim: Aim = AIM, noise: Noise = Noise()) -> Standing:  # noqa: B008 - frozen
    return lessons.certify(labels, aim.bounds[0], noise, aim)


@pytest.mark.parametrize(
    ("right", "wrong", "holds"),
    [
        # The bound at one look is (1.277 wrong + 4.02) / labels: 2% from 202 labels on.
        (190, 0, False), (210, 0, True), (260, 1, False), (280, 1, True), (1000, 40, False),
    ],
)  # fmt: skip
def test_a_cut_is_certified_by_enough_labels(right: int, wrong: int, holds: bool) -> None:
    """Few labels, or too many wrong ones, certify nothing: then `start` rules."""
    labels = [label()] * right + [label(same=False)] * wrong
    standing = certified(labels)
    assert (standing.cut is not None) is holds
    if holds:
        assert standing.upper <= 0.02
        assert (standing.labels, standing.wrong) == (right + wrong, wrong)


def test_the_highest_certified_risk_is_the_cut() -> None:
    """Wrong answers at a higher risk leave the safer part certified."""
    labels = [label(risk=0.01)] * 400 + [label(risk=0.1, same=False)] * 50
    labels += [label(risk=0.1)] * 50
    assert certified(labels).cut == pytest.approx(0.01)


def test_what_has_no_known_chance_certifies_nothing() -> None:
    """Feedback, labels of other rules, and labels that no model scored stay out."""
    for other in ({"certifies": False}, {"bounded": False}, {"risk": -1.0}):
        assert certified([label(**other)] * 1000).cut is None


def test_labels_that_contradict_the_start_close_it() -> None:
    """Nothing certified, and what looks safe is wrong one time in ten: nothing is served. Without
    labels `start` rules up to a fixed risk, with some up to the bound."""
    assert certified([]).start_cut == START_RISK
    assert certified([label(risk=0.5)] * 199).start_cut == START_RISK
    assert certified([label(risk=0.5)] * 200).start_cut == 0.02
    labels = [label(risk=0.005, same=number % 10 > 0) for number in range(300)]
    standing = certified(labels)
    assert standing.cut is None
    assert standing.start_cut <= 0.005


def test_without_audits_nothing_is_certified() -> None:
    """Nothing would ever show that it still holds."""
    standing = certified([label()] * 1000, Aim((0.02,), 0.0))
    assert standing.cut is None
    assert standing.audit == 0.0


def test_audits_fall_to_the_configured_share() -> None:
    """A fifth as soon as there are labels, less with every label behind the cut, never below what
    is configured."""
    shares = [certified([label()] * count).audit for count in (0, 300, 600, 4000)]
    assert shares == pytest.approx([0.02, 0.2 * 100 / 300, 0.2 * 100 / 600, 0.02])
    assert certified([label(same=False)] * 200).audit == 0.2
    assert certified([label()] * 4000, Aim((0.02,), 0.3)).audit == 0.3


def test_the_judge_s_own_noise_is_taken_off() -> None:
    """A judge that calls a tenth of equal answers different: that tenth is not held against it."""
    labels = [label(same=number % 10 > 0) for number in range(2000)]
    assert certified(labels).cut is None
    noisy = Noise(2000, 200)
    assert certified(labels, Aim((0.06,), 0.02), noisy).cut is not None
    assert certified(labels, Aim((0.06,), 0.02)).cut is None


def test_a_noisy_judge_does_not_close_the_start() -> None:
    """What it calls different by its own noise does not speak against `start`."""
    labels = [label(risk=0.1, same=number % 10 > 0) for number in range(300)]
    assert certified(labels).start_cut < 0.1
    assert certified(labels, noise=Noise(200, 20)).start_cut >= 0.1


def test_the_fit_follows_the_labels() -> None:
    """Where answers differ although the prior trusts them, the risk rises, and more in the
    category where they do."""
    bad = [label(same=False, category="code")] * 300
    good = [label(category="chat")] * 300
    state = lessons.learn(lessons.blank(PRIOR), [*bad, *good], AIM)
    before = Learned(PRIOR.weights).risk(FLAT, "code")
    risk = state.learned.risk(FLAT, "code")
    assert before is not None
    assert risk is not None
    assert risk > before
    assert risk > 0.5 > (state.learned.risk(FLAT, "chat") or 1.0)


def test_a_logistic_model_is_found_again() -> None:
    """Labels drawn from known coefficients: the fit comes close to them."""
    dice = np.random.default_rng(3)
    truth = np.array([0.5, 1.0, -1.0, *[0.0] * (WIDTH - 3)])
    rows = np.hstack([np.ones((4000, 1)), dice.normal(size=(4000, WIDTH - 1))])
    right = dice.random(4000) < 1 / (1 + np.exp(-rows @ truth))
    labels = [label(bool(same), features=tuple(row)) for same, row in zip(right, rows, strict=True)]
    state = lessons.blank(Prior(tuple([0.1] * WIDTH)))
    for _ in range(3):
        state = lessons.learn(state, labels, AIM)
        labels = []
    found = np.array(state.learned.weights)
    found[0] += state.learned.offsets["default"]
    assert np.abs(found - truth).max() < 0.2


def test_the_first_fit_waits() -> None:
    """Too few labels move nothing away from the prior, or from having none; enough do."""
    labels = [label(same=number % 3 > 0) for number in range(lessons.SETTLED)]
    for prior in (Prior(), PRIOR):
        blank = lessons.blank(prior)
        assert lessons.learn(blank, labels[:-1], AIM).learned.weights == prior.weights
        fitted = lessons.learn(blank, labels, AIM).learned.weights
        assert fitted != prior.weights
        assert len(fitted) == WIDTH


def test_drift_forgets_what_no_longer_holds() -> None:
    """Audits that turn wrong in a row begin the evidence anew; a rare wrong one does not."""
    calm = [label(would=True, same=number % 100 > 0, risk=0.01) for number in range(500)]
    state = lessons.learn(lessons.blank(PRIOR), calm, AIM)
    assert state.forgotten == 0
    state = lessons.learn(state, [label(would=True, same=False, risk=0.01)] * 6, AIM)
    assert state.forgotten == 1
    assert len(state.labels) <= 6
    assert state.learned.standing(0.02, 0.02).cut is None


def test_the_newest_labels_are_held() -> None:
    """State stays small, however long it learns."""
    labels = [label(at=float(number)) for number in range(lessons.HELD + 100)]
    held = lessons.learn(lessons.blank(PRIOR), labels, AIM).labels
    assert len(held) == lessons.HELD
    assert held[0].at == 100.0


def test_one_category_can_be_forgotten() -> None:
    """Its labels and its offset go, the others stay."""
    both = [label(category="code"), *[label(category="chat")] * 3] * 100
    state = lessons.forget(lessons.learn(lessons.blank(PRIOR), both, AIM), "code", AIM)
    assert {one.category for one in state.labels} == {"chat"}
    assert set(state.learned.offsets) == {"chat"}


def test_the_account_weighs_audits_by_their_chance() -> None:
    """Only would-be hits count, each for those that were served without being audited."""
    rows = [
        label(would=True, same=False, propensity=0.5),
        *[label(would=True, propensity=0.1)] * 9,
        label(would=False, same=False),
        label(would=True, same=False, propensity=0.1, certifies=False),
    ]
    account = lessons.account(rows)
    assert account.share.estimate == pytest.approx(2 / (2 + 90))
    assert account.share.samples == 10
    assert account.by_category["default"] == account.share


def test_the_aim_is_read_from_the_rules() -> None:
    """Every bound in use once, and the share of audits."""
    plain = CategoryRules("default", Threshold(0.95, max_false_hits=0.02), 60.0)
    rules = Rules(
        plain,
        (
            replace(plain, name="a", threshold=Threshold(0.9)),
            replace(plain, name="b", threshold=Threshold(0.9, max_false_hits=0.01)),
            replace(plain, name="c"),
        ),
        audits=0.05,
    )
    assert Aim.of(rules) == Aim((0.01, 0.02), 0.05)
