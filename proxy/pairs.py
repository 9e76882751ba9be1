"""Questions with answers that somebody wrote: read from a file, put as a request and its answer.

A file is CSV with a header, or JSON lines. Complaints name file and line, and what is allowed.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import orjson

from admin_ui.console import Pair
from policies.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEEDED = ("question", "answer")
ALLOWED = (*NEEDED, "category", "model")
MOST_PAIRS = 100_000
MOST_PROBLEMS = 200
# Characters of one question or answer.
LONGEST = 200_000
# Of one request to the admin port, which takes 1 MB: a second or two of embedding, and room for
# what the requests have besides.
PAIRS, PORTION = 100, 700_000
SHAPE = "a row is question, answer and, if wanted, category and model"


class PairError(PolicyError):
    """A file of pairs that cannot be used."""


class _Bad(Exception):
    """What is wrong with one row."""


def read(path: Path) -> list[tuple[int, Pair]]:
    """The pairs with their lines; raises `PairError` with every bad line, up to 200 of them."""
    pairs: list[tuple[int, Pair]] = []
    problems: list[Problem] = []
    asked: dict[tuple[str, str | None], int] = {}
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    for line, row in rows:
        try:
            pair = _pair(row)
            _once(pair, line, asked)
            pairs.append((line, pair))
        except _Bad as bad:
            problems.append(Problem(str(path), line, "", str(bad)))
        if len(problems) >= MOST_PROBLEMS or len(pairs) > MOST_PAIRS:
            break
    if len(pairs) > MOST_PAIRS:
        problems.append(Problem(str(path), 0, "", f"holds more than {MOST_PAIRS:,} pairs; cut it"))
    if not pairs and not problems:
        problems.append(Problem(str(path), 0, "", f"holds no row; {SHAPE}"))
    if problems:
        raise PairError(problems)
    return pairs


def portions(pairs: list[tuple[int, Pair]]) -> Iterator[tuple[list[int], list[Pair]]]:
    """The pairs with their lines, as many at once as one request takes."""
    lines: list[int] = []
    held: list[Pair] = []
    size = 0
    for line, pair in pairs:
        weight = _weight(pair)
        if held and (size + weight > PORTION or len(held) == PAIRS):
            yield lines, held
            lines, held, size = [], [], 0
        lines.append(line)
        held.append(pair)
        size += weight
    if held:
        yield lines, held


def request(pair: Pair, model: str, system: str | None, rest: dict[str, Any]) -> dict[str, Any]:
    """The chat request that an application sends for this question."""
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": pair.question})
    return {**rest, "model": pair.model or model, "messages": messages}


def answer(text: str, model: str, entry: str, made: float) -> bytes:
    """The chat completion that stands for an answer. No tokens were spent on it."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    return orjson.dumps(
        {
            "id": f"chatcmpl-{entry}",
            "object": "chat.completion",
            "created": int(made),
            "model": model,
            "choices": [choice],
            "usage": usage,
        }
    )


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Each row with the line on which it begins; a fault of the whole file ends it."""
    csv.field_size_limit(LONGEST)
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            if not set(NEEDED) <= set(header) <= set(ALLOWED) or len(set(header)) < len(header):
                raise _broken(path, 1, f"the header must name {' and '.join(NEEDED)}; {SHAPE}")
            line = rows.line_num + 1
            for cells in rows:
                if cells:
                    fits = len(cells) == len(header)
                    yield line, dict(zip(header, cells, strict=True)) if fits else len(cells)
                line = rows.line_num + 1
    except UnicodeDecodeError:
        raise _broken(path, line, "is not UTF-8 text") from None
    except csv.Error as fault:
        said = f"{fault}; quote what holds commas, quotes or line ends, at most {LONGEST:,} long"
        raise _broken(path, line, said) from None


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            try:
                yield line, orjson.loads(raw.removeprefix(b"\xef\xbb\xbf"))
            except orjson.JSONDecodeError:
                yield line, None


def _pair(row: Any) -> Pair:
    if isinstance(row, int):
        raise _Bad(f"has {row} cells, other than the header; {SHAPE}")
    if not isinstance(row, dict):
        raise _Bad('is not a JSON object; a line is {"question": text, "answer": text}')
    if unknown := sorted(row.keys() - set(ALLOWED)):
        raise _Bad(f"{unknown[0][:40]}: unknown key; {SHAPE}")
    for key in ALLOWED:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            raise _Bad(f"{key}: must be a text")
        if key in NEEDED and not (value or "").strip():
            raise _Bad(f"{key}: must not be empty")
        if len(value or "") > LONGEST:
            raise _Bad(f"{key}: is longer than {LONGEST:,} characters")
    category, model = row.get("category") or None, row.get("model") or None
    pair = Pair(row["question"], row["answer"], category, model)
    if _weight(pair) > PORTION:
        raise _Bad(f"takes more than {PORTION:,} bytes; cut the answer")
    return pair


def _weight(pair: Pair) -> int:
    """Bytes of the pair in a request. Raises `_Bad` for a text that JSON cannot carry."""
    try:
        return len(orjson.dumps(pair))
    except TypeError:
        raise _Bad("is not Unicode text throughout") from None


def _once(pair: Pair, line: int, asked: dict[tuple[str, str | None], int]) -> None:
    first = asked.setdefault((pair.question, pair.model), line)
    if first != line:
        raise _Bad(f"asks what line {first} asks already; leave one of them")


def _broken(path: Path, line: int, said: str) -> PairError:
    return PairError([Problem(str(path), line, "", said)])
