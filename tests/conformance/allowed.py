"""Differences that are the client's own doing, each with its reason. They are counted and shown."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """`where` is matched against `client · column · case: difference`."""

    where: str
    reason: str


_CROSSED = r"(whole to stream|stream to whole)"
ALLOWED = (
    Allowance(
        r"^openai · whole to stream .*(native_finish_reason|content_filter_results): ",
        "openai's accumulator keeps a choice's unknown fields of its first chunk only, and a whole "
        "answer does not tell in which chunk they came",
    ),
    Allowance(
        r"whole to stream .*-late: answer\.prompt_filter_results: .* is too much",
        "openai's accumulators leave out the chunk in which Azure sends these; a replay of a whole "
        "answer has them in every chunk",
    ),
    Allowance(
        r"^openai.* · stream to whole .*b40e9deb82: answer\.usage: .* is too much",
        "openai's accumulators forget the token counts when another chunk follows theirs",
    ),
    Allowance(
        rf"^openai-node · {_CROSSED} .*(\.reasoning_content|\.x_groq\.\w+|\.created): ",
        "openai-node's accumulator keeps the last chunk's word of what it does not add up",
    ),
    Allowance(
        r"^anthropic · stream to whole .*38053047ed: answer\.(model|usage\.iterations): ",
        "anthropic's accumulator keeps the model that began, where another one finished",
    ),
    Allowance(
        r"^pydantic-ai · stream to whole .*38053047ed: ",
        "pydantic-ai reads the block `fallback` in streams only",
    ),
    Allowance(
        r"^langchain-openai · stream to whole .*a58c976902: answer\.content\[0\]\.index: ",
        "langchain-openai numbers the parts of streams only",
    ),
)


def allowed(line: str) -> str:
    """Why a difference may be; empty where it may not."""
    found = (one.reason for one in ALLOWED if re.search(one.where, line, re.DOTALL))
    return next(found, "")
