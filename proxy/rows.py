"""What `likewise replay` and `likewise tune` read: JSON lines of labelled pairs, or of traffic.

A row of pairs is `{a, b, label}`: label 1 says that one answer serves both. A row of traffic is a
prompt and what became of it: its answer, or the name of an intent or cluster whose members share
one answer. Every complaint names file and line, and what is allowed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from policies.context import ASSISTANT, USER
from policies.errors import PolicyError, Problem
from policies.values import Owners
from proxy.dialects.chat import Chat
from proxy.dialects.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from policies.values import Query

MOST_PROBLEMS = 20
MOST_ROWS = 1_000_000
NAMES = ("intent", "cluster")
ANSWERS = ("answer", "response")
SHAPES = "a row is {a, b, label} or {prompt, answer}; for the other forms see `likewise replay -h`"
_CHAT = Chat()
_OWNERS = Owners("replayed")


class RowError(PolicyError):
    """A file of rows that cannot be used."""


class _Bad(Exception):
    """What is wrong with one row, and under which key."""

    def __init__(self, path: str, said: str) -> None:
        super().__init__(said)
        self.path = path


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts; `same`: one answer serves both."""

    line: int
    a: Query
    b: Query
    same: bool
    category: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt of recorded traffic. `at` is None where no time was written."""

    line: int
    query: Query
    answer: str
    at: float | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A whole file: pairs or traffic. `judged`: its answers are texts, so that whether two are the
    same is for a judge to say."""

    file: str
    pairs: tuple[Pair, ...] = ()
    requests: tuple[Request, ...] = ()
    judged: bool = False

    def __len__(self) -> int:
        return len(self.pairs) + len(self.requests)

    @property
    def timed(self) -> bool:
        return any(request.at is not None for request in self.requests)


def read(path: Path) -> Recorded:
    """Read a file whole; raises `RowError` with the first problems, each with its line."""
    problems: list[Problem] = []
    pairs: list[Pair] = []
    requests: list[Request] = []
    kind = ""
    for line, row in _rows(path, problems):
        try:
            kind = _kind(row, kind)
            if kind == "pair":
                pairs.append(_pair(row, line))
            else:
                requests.append(_request(row, line, kind))
        except _Bad as bad:
            problems.append(Problem(str(path), line, bad.path, str(bad)))
    if not (pairs or requests or problems):
        problems = [Problem(str(path), 0, "", f"holds no row; {SHAPES}")]
    if problems:
        raise RowError(problems)
    return Recorded(str(path), tuple(pairs), tuple(requests), judged=kind in ANSWERS)


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's object; what is none goes to `problems`."""
    try:
        with path.open("rb") as file:
            for line, raw in enumerate(file, 1):
                if len(problems) >= MOST_PROBLEMS:
                    return
                if line > MOST_ROWS:
                    raise RowError([Problem(str(path), line, "", f"more than {MOST_ROWS:,} rows")])
                if not raw.strip():
                    continue
                try:
                    yield line, _object(raw)
                except _Bad as bad:
                    problems.append(Problem(str(path), line, "", str(bad)))
    except FileNotFoundError:
        raise RowError([Problem(str(path), 0, "", "there is no such file")]) from None
    except OSError as fault:
        said = f"cannot be read: {fault.strerror}"
        raise RowError([Problem(str(path), 0, "", said)]) from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _Bad("", "is not UTF-8 text") from None
    except (ValueError, RecursionError):
        raise _Bad("", f"is not JSON; each line is one object: {SHAPES}") from None
    if not isinstance(row, dict):
        raise _Bad("", f"must be an object; {SHAPES}")
    return row


def _kind(row: dict[str, Any], before: str) -> str:
    """`pair`, or the key under which traffic says which answer came; the same in every row."""
    found = "pair" if {"a", "b", "label"} & row.keys() else _truth(row, before)
    if before and found != before:
        kinds = {"pair": "{a, b, label}"}
        said = f"the rows before are {kinds.get(before, f'traffic with `{before}`')}"
        raise _Bad("", f"{said}; one file holds one kind")
    return found


def _truth(row: dict[str, Any], before: str) -> str:
    if before in row:
        return before
    found = next((key for key in (*NAMES, *ANSWERS) if row.get(key) is not None), None)
    if found is None and _last_said(row) is not None:
        found = ANSWERS[0]
    if found is None:
        raise _Bad("", f"says nothing of the answer: give one of {', '.join((*ANSWERS, *NAMES))}")
    return found


def _last_said(row: dict[str, Any]) -> str | None:
    """The assistant's turn at the end of `messages`: then that is the answer."""
    messages = row.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == ASSISTANT:
        content = last.get("content")
        return content if isinstance(content, str) else None
    return None


def _pair(row: dict[str, Any], line: int) -> Pair:
    label = row.get("label")
    if not isinstance(label, int) or label not in (0, 1):
        raise _Bad("label", "must be 1 (one answer serves both) or 0")
    prompts = [
        _query(row, key, row.get(f"{key}_history", row.get("history")), f"{key}_history")
        for key in ("a", "b")
    ]
    return Pair(line, prompts[0], prompts[1], bool(label), _word(row, "category"))


def _request(row: dict[str, Any], line: int, truth: str) -> Request:
    key = next((key for key in ("prompt", "messages", "text") if key in row), "prompt")
    said = _last_said(row) if truth not in row else None
    if said is not None:
        row = row | {"messages": row["messages"][:-1], truth: said}
    answer = row[truth]
    named = truth in NAMES and isinstance(answer, int | str) and not isinstance(answer, bool)
    if not named and not (isinstance(answer, str) and answer.strip()):
        kinds = "a text or a whole number" if truth in NAMES else "the answer's text"
        raise _Bad(truth, f"must be {kinds}")
    query = _query(row, key, row.get("history"), "history")
    return Request(line, query, str(answer), _time(row), _word(row, "category"))


def _query(row: dict[str, Any], key: str, history: Any, history_key: str) -> Query:
    """The request as the chat API would have sent it."""
    said = row.get(key)
    if isinstance(said, str) and said.strip():
        said = [{"role": USER, "content": said}]
    if not isinstance(said, list) or not said:
        raise _Bad(key, "must be a text, or a list of {role, content}")
    if history is not None and not isinstance(history, list):
        raise _Bad(history_key, "must be a list of {role, content}")
    body = {"model": _word(row, "model"), "messages": [*(history or []), *said]}
    query = _CHAT.read(body, Frame(_OWNERS, "replayed"))
    if query.bypass is not None:
        where = history_key if history else key
        raise _Bad(where, "must be a list of {role, content}, each role a word")
    if not query.text.strip():
        raise _Bad(key, "must end with what the user said, as text")
    return query


def _word(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise _Bad(key, "must be a text")
    return value or ""


def _time(row: dict[str, Any]) -> float | None:
    """Unix seconds, from a number or from ISO 8601."""
    value = row.get("at")
    if value is None:
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    raise _Bad("at", "must be Unix seconds, or a time such as 2026-03-01T12:00:00Z")
