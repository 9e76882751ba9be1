"""Texts in the pieces in which a model would send them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

WORDS = (
    "light", "water", "because", "scatters", "naïve", "Straße", "日本語", "Ελλάδα", "emoji 👩‍👩‍👧",
    "السلام", "\n\n", "\t", '"quoted"', "back\\slash", "</script>", "x²", "½", "e\u0301", "data:",
    "\u2028", "[DONE]", "{}", "\U0001d518\U0001d52b", "a", "$100", "\u200b", "null", "\x7f", "\r\n",
)  # fmt: skip
TOOLS = ("get_weather", "search", "send_mail")


def text(rng: Random, least: int = 4, most: int = 40) -> str:
    """Words of many scripts, and such as a careless parser of streams trips over."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


def pieces(rng: Random, whole: str) -> list[str]:
    """The text cut into pieces of 1 to 12 characters."""
    made, start = [], 0
    while start < len(whole):
        end = start + rng.randint(1, 12)
        made.append(whole[start:end])
        start = end
    return made


def arguments(rng: Random) -> str:
    """A tool call's input, as the text that a model writes."""
    value: dict[str, Any] = {
        "city": rng.choice(WORDS),
        "days": rng.randint(0, 9),
        "share": round(rng.random(), 6),
        "tags": [rng.choice(WORDS) for _ in range(rng.randint(0, 3))],
        "deep": {"none": None, "yes": True},
    }
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def identifier(rng: Random, prefix: str) -> str:
    return prefix + "".join(rng.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=24))


def tokens(rng: Random) -> tuple[int, int]:
    """How many tokens went in and came out."""
    return rng.randint(5, 900), rng.randint(1, 300)
