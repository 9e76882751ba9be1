"""A short walk of proxy and model, and proof that the model would see a lie."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from proxy.demo.oracle import OracleUpstream
from tests.model.__main__ import play
from tests.model.model import Model, Policy, Question
from tests.proxy.house import uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy(ttl=60, revalidate=30, on_error=120)
ASKED = Question("k", 1, "Why is the sky blue?", "sky")
REPHRASED = replace(ASKED, text="why is the SKY blue")


def test_nothing_untrue_is_said() -> None:
    """Whatever is asked, purged, killed, reloaded and waited for, in any order."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as url:
        assert play(url, oracle, lives=12, each=20) > 100


@pytest.fixture
def model() -> Model:
    """An answer, number 7, made at 100 and on disk."""
    known = Model(POLICY)
    known.store(ASKED, 7, 100.0)
    known.settle()
    return known


@pytest.mark.parametrize(
    ("asked", "now", "failing", "true"),
    [
        (ASKED, 159, False, {7}),
        (REPHRASED, 159, False, {7}),
        (replace(REPHRASED, exact_only=True), 159, False, set()),
        (replace(ASKED, key="other"), 159, False, set()),
        (replace(ASKED, seed=2), 159, False, set()),
        (replace(ASKED, no_cache=True), 159, False, set()),
        (replace(ASKED, no_store=True), 159, False, set()),
        (ASKED, 189, False, {7}),
        (replace(ASKED, only_if_cached=True), 189, False, set()),
        (replace(ASKED, only_if_cached=True, max_stale=29.0), 189, False, {7}),
        (ASKED, 191, False, set()),
        (ASKED, 191, True, {7}),
        (replace(ASKED, stale_if_error=20.0), 191, True, set()),
        (ASKED, 280, True, set()),
        (replace(ASKED, max_age=30.0), 131, False, set()),
        (replace(ASKED, min_fresh=30.0), 131, False, set()),
    ],
)
def test_which_answers_are_true(
    model: Model, asked: Question, now: float, true: set[int], *, failing: bool
) -> None:
    """By caller, parameters, meaning, age, and what the caller allows."""
    assert model.true_answers(asked, now, failing=failing) == true


UNDOINGS: dict[str, Callable[[Model], object]] = {
    "purged": lambda model: model.purge(),
    "purged by key": lambda model: model.purge("k"),
    "refused": lambda model: model.heard("k", 401),
    "replaced": lambda model: model.store(ASKED, 8, 101.0),
}


@pytest.mark.parametrize("undo", UNDOINGS.values(), ids=UNDOINGS)
def test_what_is_true_no_more(model: Model, undo: Callable[[Model], object]) -> None:
    """A purge, a refusal and a newer answer end an older one."""
    assert model.owed(ASKED, 110.0) == 7
    undo(model)
    assert 7 not in model.true_answers(ASKED, 110.0, failing=True)
    assert model.owed(ASKED, 110.0) is None


def test_a_kept_stream_is_owed_to_streams_alone(model: Model) -> None:
    """It has no token counts, and may all the same be all that there is to give."""
    streamed = replace(ASKED, stream=True)
    assert model.owed(streamed, 110.0) == 7
    model.store(streamed, 8, 110.0)
    model.settle()
    assert model.owed(streamed, 111.0) == 8
    assert model.owed(ASKED, 111.0) is None
    assert model.true_answers(ASKED, 111.0, failing=False) == {8}


def test_a_kill_leaves_both_answers_possible(model: Model) -> None:
    """The one that was being written, and the one that it was to replace; neither is owed."""
    before, refused = list(model.kept), set(model.refused)
    model.store(ASKED, 8, 101.0)
    model.heard("k", 401)
    model.lose_power(before, refused)
    model.settle()
    assert model.true_answers(ASKED, 110.0, failing=False) == {7, 8}
    assert model.owed(ASKED, 110.0) is None
    model.heard("k", 401)
    assert model.true_answers(ASKED, 110.0, failing=False) == set()
