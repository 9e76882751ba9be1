"""The bundled conversation set: reads `prompts.yaml` into typed turns and refuses a broken set.

Nothing here sends anything; `show` plays the turns and `upstream` answers them.
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from importlib.resources import files
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

SOURCE = "proxy/demo/prompts.yaml"


class ConversationError(Exception):
    """A set that cannot be played; the message names the turn and the next step."""


class Expect(StrEnum):
    """What a cache should make of a turn."""

    FRESH = "fresh"
    EXACT = "exact"
    PARAPHRASE = "paraphrase"
    LOOKALIKE = "lookalike"
    FOLLOWUP = "followup"

    @property
    def repeats(self) -> bool:
        """Whether the answer of the earlier turn is the right one."""
        return self in {Expect.EXACT, Expect.PARAPHRASE}


class Turn(BaseModel):
    """One question; `history` holds the (user, assistant) pairs before it, `of` an earlier id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    ask: str
    expect: Expect
    answer: str = ""
    of: str | None = None
    system: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    stream: bool = False

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turn as OpenAI chat messages."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        earlier = [
            {"role": role, "content": text}
            for pair in self.history
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]
        return [*system, *earlier, {"role": "user", "content": self.ask}]


def load() -> tuple[Turn, ...]:
    """The set that ships with Likewise."""
    return parse(files("proxy.demo").joinpath("prompts.yaml").read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Turn, ...]:
    """Turns in order, each with the answer that is right for it. Raises `ConversationError`."""
    try:
        rows = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{SOURCE}:{mark.line + 1}" if mark else SOURCE
        what = getattr(error, "problem", None) or "unreadable"
        raise ConversationError(f"{place}: not YAML ({what}): mend that line") from error
    if not isinstance(rows, list) or not rows:
        raise ConversationError(f"{SOURCE}: no turns found: write a list of turns, `- id: …`")
    turns: dict[str, Turn] = {}
    for number, row in enumerate(rows, start=1):
        turn = _settled(_turn(row, number), turns)
        turns[turn.id] = turn
    return tuple(turns.values())


def plain(text: str) -> str:
    """A text without the differences of case, white space and closing punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .?!…")


def _turn(row: Any, number: int) -> Turn:
    try:
        return Turn.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = row.get("id") if isinstance(row, dict) else None
        key = ".".join(str(part) for part in first["loc"]) or "turn"
        raise ConversationError(
            f"{SOURCE}: turn {number} ({name or 'no id'}): {key}: {first['msg']}: mend that key"
        ) from error


def _settled(turn: Turn, earlier: dict[str, Turn]) -> Turn:
    """The turn with its answer filled in, once it is consistent with the turns before it."""
    if turn.id in earlier:
        raise _fault(turn, "this id was used before: choose another")
    if turn.of is not None and turn.of not in earlier:
        raise _fault(
            turn, f"no earlier turn is called {turn.of!r}: name one, or move this below it"
        )
    original = earlier[turn.of] if turn.of else None
    if turn.expect.repeats:
        if original is None:
            raise _fault(turn, f"{turn.expect} needs `of`: name the turn that it repeats")
        if turn.answer:
            raise _fault(turn, f"{turn.expect} takes its answer from `of`: leave `answer` out")
        return turn.model_copy(update={"answer": original.answer})
    if not turn.answer:
        raise _fault(turn, f"{turn.expect} needs its own `answer`: write one")
    if original and plain(original.answer) == plain(turn.answer):
        raise _fault(turn, f"has the answer of {turn.of!r}, so no wrong hit would show: change it")
    return turn


def _fault(turn: Turn, what: str) -> ConversationError:
    return ConversationError(f"{SOURCE}: {turn.id}: {what}")
