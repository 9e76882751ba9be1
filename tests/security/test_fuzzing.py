"""Both engines' words are read right, and what is planted is found."""

from __future__ import annotations

import pytest

from tests.security import fuzzing
from tests.security.fuzzing import counted, put

TOLD = (b"max-age", b"=", b"5", b",")


def test_a_planted_fault_is_found_by_words() -> None:
    """Two words in one order, which single bytes would hardly come to."""

    def fails(data: bytes) -> None:
        assert b"max-age=" not in data

    with pytest.raises(AssertionError):
        put(fails, TOLD, 300)
    put(lambda _: None, TOLD, 50)


def test_each_round_puts_other_inputs() -> None:
    """The same ones for the same beginning, so that a crash comes back."""

    def inputs(begin: int) -> list[bytes]:
        seen: list[bytes] = []
        put(seen.append, TOLD, 30, begin)
        return seen

    assert inputs(1) == inputs(1) != inputs(2)


@pytest.mark.parametrize(
    ("code", "said", "runs", "holds"),
    [
        (0, "stat::number_of_executed_units: 5120\nstat::peak_rss_mb: 90\n", 5_120, True),
        (0, "runs: 700\n", 700, True),
        (0, "", 0, False),
        (77, "stat::number_of_executed_units: 12\nAssertionError: two parsers differ", 12, False),
        (-9, "", 0, False),
    ],
    ids=["atheris", "hypothesis", "nothing ran", "crash", "killed"],
)
def test_what_became_of_a_target(code: int, said: str, runs: int, *, holds: bool) -> None:
    """Inputs are counted; a crash, and a run without any, hold nothing and keep their words."""
    found = counted("bodies", code, said)
    assert (found.samples, found.holds) == (runs, holds)
    assert code == 0 or found.notes[-1] == said


@pytest.mark.parametrize("there", [True, False])
def test_the_engine_is_told(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    """And where it is the lesser one, how to get the other."""
    monkeypatch.setattr(fuzzing, "guided", lambda: there)
    (note,) = counted("bodies", 0, "runs: 5").notes
    assert note.startswith("atheris") is there
    assert ("[fuzz]" in note) is not there
