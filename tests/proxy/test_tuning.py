"""Which cut is suggested from which labels, and how that is written into the file."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from policies.config import read_policy
from policies.document import Document, read
from policies.values import Candidate, Facts, Rules
from policies.verdicts import Reason, Study
from proxy import tuning
from proxy.rehearsal import Told
from proxy.replaying import Outcome
from proxy.tuning import Label

# Above 0.8 all is right, below half is wrong.
CLEAR = [
    *(Label("code", 0.8 + 0.2 * n / 400, same=True) for n in range(400)),
    *(Label("code", 0.6 + 0.2 * n / 400, same=n % 2 == 0) for n in range(400)),
]


def policy(written: str) -> tuple[Document, Rules]:
    document = read(written, "likewise.yaml")
    return document, read_policy(document)


FIXED = "policy:\n  categories:\n    code: {threshold: 0.95, keywords: [python]}  # mine\n"
BLOCK = """\
policy:
  categories:
    code:
      threshold:
        start: 0.95 # why
        floor: 0.7
"""
LEARNED = "policy:\n  categories:\n    code: {keywords: [python]}  # mine\n"


def test_the_lowest_cut_that_keeps_the_rate_is_suggested() -> None:
    """Where right and wrong are parted by 0.8 the cut comes near to it from below, as far as
    the wanted rate allows; its interval shows it."""
    (advice,) = tuning.advise(CLEAR, policy(FIXED)[1], 0.02)
    assert advice.cut is not None
    assert 0.79 <= advice.cut.at <= 0.80
    assert advice.cut.false_hits.high <= 0.02
    assert advice.cut.hit_rate == pytest.approx(0.5, abs=0.03)
    assert (advice.present.at, advice.labels) == (0.95, 800)
    assert advice.present.hit_rate == pytest.approx(0.125, abs=0.01)


def test_a_looser_rate_gives_a_lower_cut() -> None:
    """And a lower cut answers more."""
    cuts = [tuning.advise(CLEAR, policy(FIXED)[1], wanted)[0].cut for wanted in (0.02, 0.05, 0.2)]
    rates = [cut.hit_rate for cut in cuts if cut is not None]
    assert len(rates) == 3
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_the_wanted_rate_is_the_policys_own_unless_given() -> None:
    """2% where the category has a fixed cut."""
    rules = policy("policy: {categories: {code: {threshold: {max_false_hits: 7%}}}}")[1]
    assert tuning.advise(CLEAR, rules, None)[0].wanted == 0.07
    assert tuning.advise(CLEAR, rules, 0.03)[0].wanted == 0.03
    assert tuning.advise(CLEAR, policy(FIXED)[1], None)[0].wanted == 0.02


def test_labels_count_for_those_that_were_not_compared() -> None:
    """An audit at one in ten stands for ten: nine wrong of ninety are ten in a hundred."""
    audits = [Label("code", 0.9, same=n >= 9, propensity=0.1) for n in range(90)]
    missed = [Label("code", 0.5, same=False)] * 900
    (advice,) = tuning.advise([*audits, *missed], policy(FIXED)[1], 0.5)
    assert advice.cut is not None
    assert advice.cut.false_hits.estimate == pytest.approx(0.1)
    assert advice.cut.hit_rate == pytest.approx(0.5)


def test_too_few_labels_say_how_many_more() -> None:
    """About what evidence asks for: without an error 1 / rate times a small number."""
    (advice,) = tuning.advise([Label("code", 0.9, same=True)] * 30, policy(FIXED)[1], 0.02)
    assert advice.cut is None
    assert 50 < advice.missing < 300
    known = [Label("code", 0.9, same=True)] * (30 + advice.missing)
    assert tuning.advise(known, policy(FIXED)[1], 0.02)[0].cut is not None


@pytest.mark.parametrize(
    ("written", "name", "said"),
    [
        ("categories: {code: {threshold: vcache}}", "code", "learns each entry's own cut"),
        ("categories: {code: {cache: false}}", "code", "never answered from memory"),
        ("mode: serve", "Two words", "no category can have this name"),
    ],
)
def test_where_there_is_nothing_to_tune_it_is_said(written: str, name: str, said: str) -> None:
    """No number of labels would help."""
    known = [label._replace(category=name) for label in CLEAR]
    document, rules = policy(f"policy: {{{written}}}")
    (advice,) = tuning.advise(known, rules, 0.02)
    assert (advice.cut, advice.missing) == (None, 0)
    assert said in next(tuning.remarks([advice], document))


def test_errors_among_the_most_similar_are_said() -> None:
    """A threshold does not help against them."""
    known = [Label("code", 0.9 + n % 10 / 100, same=n % 2 == 0) for n in range(400)]
    known += [Label("code", 1.0, same=n % 2 == 0) for n in range(100)]
    (advice,) = tuning.advise(known, policy(FIXED)[1], 0.02)
    assert (advice.cut, advice.missing) == (None, 0)
    assert advice.said.startswith("no cut keeps this")
    few = tuning.advise(known[:6], policy(FIXED)[1], 0.1)[0]
    assert (few.said, few.missing > 20) == ("", True)


def test_the_floor_holds() -> None:
    """Nothing below it is suggested."""
    rules = policy("policy: {categories: {code: {threshold: {start: 0.95, floor: 0.9}}}}")[1]
    (advice,) = tuning.advise(CLEAR, rules, 0.02)
    assert advice.cut is not None
    assert advice.cut.at == 0.9


def test_a_category_that_was_never_compared_has_no_advice() -> None:
    """Requests without a neighbour count where there are others."""
    alone = [Label("code", None)] * 400
    assert tuning.advise(alone, policy(FIXED)[1], 0.02) == []
    (advice,) = tuning.advise([*CLEAR, *alone], policy(FIXED)[1], 0.02)
    assert advice.present.hit_rate == pytest.approx(100 / 1200, abs=0.01)


def test_replays_and_proxies_tell_labels() -> None:
    """What a guard refused is no matter of the threshold; an exact hit neither; a label without a
    known chance cannot be weighed."""
    some = [told(0.9, same=True), told(0.8, same=False), told(0.7, vetoed=True), told(None)]
    exact = Outcome("code", Told(Reason.AUDIT, "code"), None, None)
    assert tuning.labels([*some, exact]) == [
        Label("code", 0.9, same=True),
        Label("code", 0.8, same=False),
        Label("code", None),
        Label("code", None),
    ]
    row = {
        "category": "code",
        "similarity": 0.9,
        "same": True,
        "propensity": 0.2,
        "vetoed": False,
    }
    useless = [row | {"propensity": 0.0}, row | {"vetoed": True}]
    assert tuning.told([row, *useless]) == [Label("code", 0.9, same=True, propensity=0.2)]


def told(score: float | None, *, same: bool = True, vetoed: bool = False) -> Outcome:
    """A request in shadow, with a neighbour so far away, or with none."""
    if score is None:
        return Outcome("code", Told(Reason.EMPTY, "code"), None, None)
    facts = Facts("e", "s", "o", "code", "d", "m", "", "text", 0.0, 9.0, 9.0, 1)
    study = Study(
        candidate=Candidate(facts, score),
        features=(),
        risk=None,
        bound=None,
        would=True,
        propensity=1.0,
        reason=Reason.AUDIT,
        vetoed=vetoed,
    )
    return Outcome("code", Told(Reason.AUDIT, "code", study=study, compared=same), None, None)


@pytest.mark.parametrize(
    ("written", "wanted", "line"),
    [
        (FIXED, 0.02, "    code: {threshold: CUT, keywords: [python]}  # mine"),
        (LEARNED, 0.02, "    code: {keywords: [python], threshold: {start: CUT}}  # mine"),
        (
            LEARNED,
            0.05,
            "    code: {keywords: [python], threshold: {start: CUT, max_false_hits: 5%}}  # mine",
        ),
        ("policy: {}\n", 0.02, "policy: {categories: {code: {threshold: {start: CUT}}}}"),
        (
            BLOCK,
            0.02,
            "        start: CUT # why",
        ),
    ],
)  # fmt: skip
def test_the_suggestion_is_one_line_of_the_file(written: str, wanted: float, line: str) -> None:
    """And the policy that the file then holds has the cut that was suggested."""
    document, rules = policy(written)
    advice = tuning.advise(CLEAR, rules, wanted)
    assert advice[0].cut is not None
    new = tuning.edited(document, rules, advice, wanted)
    assert line.replace("CUT", f"{advice[0].cut.at:g}") in new.splitlines()
    assert len(new.splitlines()) == len(written.splitlines())
    changed = policy(new)[1].named("code")
    assert changed is not None
    assert changed.threshold.start == advice[0].cut.at
    assert changed.threshold.max_false_hits == (None if written == FIXED else wanted)


def test_the_defaults_are_a_category_too() -> None:
    """Under the name `default`."""
    document, rules = policy("policy:\n  defaults: {ttl: 1h}\n")
    known = [label._replace(category="default") for label in CLEAR]
    new = tuning.edited(document, rules, tuning.advise(known, rules, None), None)
    changed = policy(new)[1].defaults
    assert (changed.ttl, 0.79 <= changed.threshold.start <= 0.8) == (3600, True)


def test_what_is_as_suggested_stays() -> None:
    """A second run of `tune --write` changes nothing."""
    document, rules = policy(FIXED)
    text = tuning.edited(document, rules, tuning.advise(CLEAR, rules, 0.02), 0.02)
    again, rules = policy(text)
    assert tuning.edited(again, rules, tuning.advise(CLEAR, rules, 0.02), 0.02) == text


def test_shipped_categories_are_left_alone() -> None:
    """One written anew would lose its keywords; once it is in the file it is like any other."""
    known = [label._replace(category="time-sensitive") for label in CLEAR]
    document, rules = policy("policy: {mode: serve}\n")
    advice = tuning.advise(known, rules, 0.02)
    assert tuning.edited(document, rules, advice, 0.02) == document.text
    assert "comes with Likewise" in next(tuning.remarks(advice, document))
    document, rules = policy("policy: {categories: {time-sensitive: {keywords: [now]}}}\n")
    assert tuning.edited(document, rules, advice, 0.02) != document.text


def test_the_table_shows_both_cuts() -> None:
    """Present and suggested, with rates and intervals."""
    advice = tuning.advise(CLEAR, policy(FIXED)[1], 0.02)
    out = io.StringIO()
    Console(width=90, file=out).print(tuning.shown(advice))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[0][:4] == ["category", "labels", "cut", "at"]
    assert lines[1][:5] == ["code", "800", "present", "0.950", "12.5%"]
    assert lines[2][0] == "suggested"
