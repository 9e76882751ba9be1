"""Rows of pairs and of traffic: what is read, and what is said of the rest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from policies.context import answered
from policies.values import Turn
from proxy import rows
from proxy.rows import RowError

if TYPE_CHECKING:
    from pathlib import Path

PAIR = {"a": "Why is the sky blue?", "b": "why is the sky blue", "label": 1}
HISTORY = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi there"}]


def written(folder: Path, *some: Any) -> Path:
    """A file with one row a line; text stands as it is."""
    path = folder / "rows.jsonl"
    lines = (one if isinstance(one, str) else json.dumps(one) for one in some)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def complaints(path: Path) -> list[str]:
    with pytest.raises(RowError) as caught:
        rows.read(path)
    return [str(problem).removeprefix(f"{path}") for problem in caught.value.problems]


def test_pairs_are_read_with_their_lines(tmp_path: Path) -> None:
    """Empty lines are none, but count."""
    read = rows.read(written(tmp_path, PAIR, "", PAIR | {"label": 0, "category": "sky"}))
    assert [(p.line, p.a.text, p.b.text, p.same, p.category) for p in read.pairs] == [
        (1, PAIR["a"], PAIR["b"], True, ""),
        (3, PAIR["a"], PAIR["b"], False, "sky"),
    ]
    assert (len(read), read.judged, read.requests) == (2, False, ())


@pytest.mark.parametrize(
    ("row", "answer", "judged"),
    [
        ({"prompt": "Hi", "answer": "Hello."}, "Hello.", True),
        ({"prompt": "Hi", "response": "Hello."}, "Hello.", True),
        ({"text": "Hi", "intent": "greeting"}, "greeting", False),
        ({"text": "Hi", "cluster": 7}, "7", False),
        (
            {"messages": [{"role": "user", "content": "Hi"}], "intent": "greeting"},
            "greeting",
            False,
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello."},
                ]
            },
            "Hello.",
            True,
        ),
    ],
)
def test_traffic_says_which_answer_came(
    tmp_path: Path, row: dict[str, Any], answer: str, judged: bool
) -> None:
    """As a text, which a judge compares, or as a name that equal answers share."""
    read = rows.read(written(tmp_path, row))
    (request,) = read.requests
    assert (request.query.text, request.answer, read.judged) == ("Hi", answer, judged)
    assert request.query.before == ()


def test_a_history_comes_before_the_prompt(tmp_path: Path) -> None:
    """In traffic, for both prompts of a pair, or for each its own."""
    before = (Turn("user", text="Hello"), answered("Hi there"))
    traffic = rows.read(written(tmp_path, {"prompt": "And?", "intent": "x", "history": HISTORY}))
    assert traffic.requests[0].query.before == before
    pair = rows.read(written(tmp_path, PAIR | {"history": HISTORY})).pairs[0]
    assert (pair.a.before, pair.b.before) == (before, before)
    pair = rows.read(written(tmp_path, PAIR | {"a_history": HISTORY, "b_history": []})).pairs[0]
    assert (pair.a.before, pair.b.before) == (before, ())


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        (1_700_000_000, 1_700_000_000.0),
        (1_700_000_000.5, 1_700_000_000.5),
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
        (None, None),
    ],
)
def test_times_are_seconds_or_dates(tmp_path: Path, at: Any, seconds: float | None) -> None:
    """A date without a zone is UTC."""
    read = rows.read(written(tmp_path, {"prompt": "Hi", "intent": "x", "at": at}))
    assert read.requests[0].at == seconds
    assert read.timed == (seconds is not None)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("nope", ":1: is not JSON; "),
        ("[1]", ":1: must be an object; "),
        ('{"a": NaN', ":1: is not JSON; "),
        ({"a": "x", "b": "y"}, ":1: label: must be 1 "),
        ({"a": "x", "b": "y", "label": 2}, ":1: label: must be 1 "),
        ({"a": "x", "b": "y", "label": "yes"}, ":1: label: must be 1 "),
        ({"a": "x", "label": 1}, ":1: b: must be a text, or a list of {role, content}"),
        ({"a": " ", "b": "y", "label": 1}, ":1: a: must be a text, or a list"),
        (PAIR | {"history": "hello"}, ":1: a_history: must be a list of {role, content}"),
        (PAIR | {"b_history": ["hello"]}, ":1: b_history: must be a list of {role, content}"),
        (PAIR | {"category": 3}, ":1: category: must be a text"),
        ({"prompt": "x"}, ":1: says nothing of the answer: give one of answer, response, intent"),
        ({"answer": "x"}, ":1: prompt: must be a text, or a list of {role, content}"),
        ({"prompt": "x", "answer": 3}, ":1: answer: must be the answer's text"),
        ({"prompt": "x", "intent": True}, ":1: intent: must be a text or a whole number"),
        ({"messages": [{"content": "x"}], "intent": "x"}, ":1: messages: must be a list of {role"),
        ({"messages": HISTORY, "intent": "x"}, ":1: messages: must end with what the user said"),
        ({"prompt": "x", "intent": "x", "at": "soon"}, ":1: at: must be Unix seconds, or a time"),
        ({"prompt": "x", "intent": "x", "at": 1e300}, ":1: at: must be Unix seconds, or a time"),
    ],
)
def test_a_bad_row_is_named_with_what_is_allowed(tmp_path: Path, row: Any, said: str) -> None:
    """File, line, key."""
    (told,) = complaints(written(tmp_path, row))
    assert told.startswith(said)


def test_every_bad_row_is_named_beside_good_ones(tmp_path: Path) -> None:
    """Up to some number, in the file's order."""
    told = complaints(written(tmp_path, PAIR, "nope", PAIR, {"prompt": "x", "intent": "y"}))
    assert [line.split(":")[1] for line in told] == ["2", "4"]
    assert "one file holds one kind" in told[1]
    assert len(complaints(written(tmp_path, *["nope"] * 100))) == rows.MOST_PROBLEMS


def test_traffic_of_two_kinds_is_refused(tmp_path: Path) -> None:
    """Names and texts cannot be compared with each other."""
    mixed = ({"prompt": "x", "intent": "y"}, {"prompt": "x", "answer": "y"})
    assert complaints(written(tmp_path, *mixed)) == [
        ":2: the rows before are traffic with `intent`; one file holds one kind"
    ]


def test_no_rows_at_all_is_an_error(tmp_path: Path) -> None:
    """An empty file, a missing one, a folder, bytes that are no text."""
    assert complaints(written(tmp_path))[0].startswith(": holds no row; a row is ")
    assert complaints(tmp_path / "none.jsonl") == [": there is no such file"]
    assert complaints(tmp_path)[0].startswith(": cannot be read: ")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\n")
    assert complaints(tmp_path / "bytes") == [":1: is not UTF-8 text"]
