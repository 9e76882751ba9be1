"""Questions with answers from a file: both forms, every bad line, and what they become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from openai.types.chat import ChatCompletion

from admin_ui.console import Pair
from proxy import pairs

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, text: str | bytes, name: str = "faq.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def complaints(path: Path) -> list[str]:
    with pytest.raises(pairs.PairError) as caught:
        pairs.read(path)
    return [str(problem).removeprefix(str(path)) for problem in caught.value.problems]


def test_csv(tmp_path: Path) -> None:
    """Columns in any order; quoted cells may hold commas, quotes and lines; a row keeps the line on
    which it begins; a byte order mark does no harm."""
    text = '\ufeffanswer,question,model\n"one\n""two"", three",Why?,\n\n4,When?,m\n'
    assert pairs.read(written(tmp_path, text)) == [
        (2, Pair("Why?", 'one\n"two", three')),
        (5, Pair("When?", "4", None, "m")),
    ]


def test_json_lines(tmp_path: Path) -> None:
    """The same keys as objects, blank lines left out."""
    text = (
        '{"question": "Why?", "answer": "So", "category": "code"}\n\n{"question":"ü","answer":"x"}'
    )
    assert pairs.read(written(tmp_path, text, "faq.jsonl")) == [
        (1, Pair("Why?", "So", "code")),
        (3, Pair("ü", "x")),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", [":1: the header must name question and answer"]),
        ("question;answer\na;b\n", [":1: the header must name"]),
        ("question,answer,colour\n", [":1: the header must name"]),
        ("question,answer,answer\n", [":1: the header must name"]),
        ("question,answer\n", [": holds no row"]),
        ("question,answer\na\nb,c\n,d\n", [":2: has 1 cells", ":4: question: must not be empty"]),
        ('question,answer\na,"b\n', [":2: unexpected end of data; quote what holds"]),
        (b"question,answer\n\xff,b\n", [":1: is not UTF-8 text"]),
        ("question,answer\na,b\na,c\n", [":3: asks what line 2 asks already"]),
        (f"question,answer\na,{'x' * 200_001}\n", [":2: field larger than field limit (200000)"]),
    ],
)
def test_every_bad_row_of_csv_is_told(tmp_path: Path, text: str | bytes, said: list[str]) -> None:
    """With its line and what is allowed; the good rows beside it do not hide it."""
    found = complaints(written(tmp_path, text))
    assert len(found) == len(said)
    assert all(one.startswith(wanted) for one, wanted in zip(found, said, strict=True)), found


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "is not a JSON object"),
        ("[1]", "is not a JSON object"),
        ('{"question": "q"}', "answer: must not be empty"),
        ('{"question": "q", "answer": 3}', "answer: must be a text"),
        ('{"question": "q", "answer": "a", "tags": []}', "tags: unknown key"),
        ('{"question": "q", "answer": "a", "model": 1}', "model: must be a text"),
        (json.dumps({"question": "q", "answer": "a" * 200_001}), "answer: is longer than 200,000"),
        (json.dumps({"question": "é" * 200_000, "answer": "é" * 200_000}), "takes more than"),
    ],
)
def test_every_bad_line_of_json_is_told(tmp_path: Path, row: str, said: str) -> None:
    """The same, for objects."""
    good = '{"question": "good", "answer": "a"}'
    (found,) = complaints(written(tmp_path, f"{good}\n{row}\n", "faq.jsonl"))
    assert found.startswith(f":2: {said}")


def test_portions_hold_every_pair_once() -> None:
    """A hundred at a time, fewer where they are long, each with its line."""
    many = [(n, Pair(f"q{n}", "a" * (150_000 if n == 7 else 1))) for n in range(1, 251)]
    many += [(n, Pair(f"q{n}", "a" * 200_000)) for n in range(251, 256)]
    portions = list(pairs.portions(many))
    assert [(n, p) for lines, some in portions for n, p in zip(lines, some, strict=True)] == many
    sizes = [len(json.dumps([vars_of(p) for p in some])) for _, some in portions]
    assert max(sizes) < 990_000
    assert max(len(lines) for lines, _ in portions) == 100


def vars_of(pair: Pair) -> dict[str, str | None]:
    return {"question": pair.question, "answer": pair.answer, "category": pair.category}


def test_a_request_is_what_an_application_sends() -> None:
    """The system prompt before the question where there is one, the pair's own model first."""
    assert pairs.request(Pair("Why?", "So"), "m", None, {}) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Why?"}],
    }
    made = pairs.request(Pair("Why?", "So", None, "own"), "m", "Be brief.", {"temperature": 0})
    assert made == {
        "temperature": 0,
        "model": "own",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"},
        ],
    }


def test_an_answer_is_a_chat_completion() -> None:
    """As the official client reads it, with no tokens spent."""
    read = ChatCompletion.model_validate_json(pairs.answer("So", "m", "e" * 32, 1.5), strict=True)
    assert read.choices[0].message.content == "So"
    assert (read.choices[0].finish_reason, read.model, read.created) == ("stop", "m", 1)
    assert read.usage is not None
    assert read.usage.total_tokens == 0
