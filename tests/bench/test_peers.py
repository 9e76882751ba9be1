"""The comparison with other caches asks what it says it asks, and counts what came back."""

from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING

import orjson
import pytest

from bench.peers import children, environments, prompts, running, setups, table
from proxy.demo.oracle import prove

if TYPE_CHECKING:
    from pathlib import Path

    from bench.peers.prompts import Course, Question


@pytest.fixture(scope="module")
def course() -> Course:
    return prompts.course(fresh=60, variants=prompts.variants()[:20])


def test_no_question_is_asked_twice(course: Course) -> None:
    """What is a repetition is so by the phase alone, never by a text that stands in two parts."""
    requests = [question.request() for question in course.all]
    assert len(set(requests)) == len(requests)
    assert len(course.by_proof()) == len(requests)


def test_paraphrases_have_a_seed_and_lookalikes_none(course: Course) -> None:
    """Each part holds what its name says, judged by which remembered answer may serve."""
    for part, served in (
        (course.paraphrases, True), (course.variants, True), (course.lookalikes, False),
        (course.elsewhere, False), (course.fresh, False),
    ):  # fmt: skip
        assert part
        for asked in part:
            assert any(seed.serves(asked) for seed in course.seeds) is served, asked


def test_the_same_words_under_another_system_prompt_are_another_question(course: Course) -> None:
    """Every question of that part differs from a seed in its system prompt alone."""
    known = {(seed.text, seed.context) for seed in course.seeds}
    for asked in course.elsewhere:
        assert (asked.text, asked.context) not in known
        assert asked.text in {text for text, _ in known}


def test_new_questions_share_two_words_at_most() -> None:
    """Fresh questions are far from each other, so that a hit among them is a fault."""
    made = [
        set(question.text.removeprefix("Write a line that joins ").replace(",", "").split())
        for question in prompts.new_questions(80)
    ]
    assert all(len((one & other) - {"and"}) <= 2 for one, other in combinations(made, 2))


def answer(question: Question, number: int, status: bytes = b"200 OK") -> bytes:
    """An answer of the oracle for this question, with this number, as HTTP."""
    said = prove("somebody", {"messages": question.messages}, number)
    body = orjson.dumps({"choices": [{"message": {"content": said}}]})
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)


def test_answers_are_judged_by_whom_they_were_made_for(course: Course) -> None:
    """A number seen before is a saved call; an answer to another question is wrong."""
    seed = course.seeds[0]
    same = next(one for one in course.paraphrases if seed.serves(one))
    other = course.lookalikes[0]
    judge = running.Judge(course)
    phase = running.Phase(0, 0, 0, 0, asked=6)
    judge.read(
        phase,
        [
            (seed.request(), answer(seed, 1)),
            (same.request(), answer(seed, 1)),
            (other.request(), answer(seed, 1)),
            (other.request(), answer(other, 2)),
            (seed.request(), answer(seed, 3, b"500 Internal Server Error")),
            (seed.request(), b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        ],
    )
    assert (phase.saved, phase.wrong, phase.failed) == (2, 1, 2)
    assert "2 answers without a proof" in table.oddities("lookalikes", phase)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("WARNING: old\nERROR: No matching distribution found for x\n", "ERROR: No matching"),
        ("Traceback\nOSError: disk full\n", "OSError: disk full"),
        ("", "no reason given"),
    ],
)
def test_a_failed_installation_says_why(said: str, wanted: str) -> None:
    """The last complaint is what the table's reader sees."""
    assert environments.last_error(said).startswith(wanted)


def test_what_cannot_be_had_is_skipped_with_its_reason(
    course: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A binary that is not there is named, and the upstream is ended all the same."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(running, "serve", lambda _stage: 1)
    semcache = next(setup for setup in setups.SETUPS if setup.name == "semcache")
    with pytest.raises(environments.Unavailable, match="PATH"):
        running.run(semcache, course, scale=0.1, say=lambda _what: None)


def test_a_server_that_dies_leaves_its_last_words(tmp_path: Path) -> None:
    """The reason for skipping a peer is what it said before it ended."""
    dies = ["/bin/sh", "-c", "echo no room >&2; exit 3"]
    with (
        children.Stage(tmp_path) as stage,
        pytest.raises(environments.Unavailable, match="no room"),
    ):
        stage.launch(dies, port=children.free_port(), path="/")


def test_processes_are_weighed_with_what_they_started(tmp_path: Path) -> None:
    """Memory and CPU count a server's children too, and a process that ended counts as nothing."""
    port = children.free_port()
    serve = f"import http.server as h; h.test(port={port}, bind='127.0.0.1')"
    with children.Stage(tmp_path) as stage:
        stage.launch(["/bin/sh", "-c", f'{sys.executable} -c "{serve}"; true'], port=port, path="/")
        assert len(children.family(stage.pids)) == 2
        assert stage.megabytes() > 1
        assert stage.cpu_seconds() > 0
    assert stage.megabytes() == 0
