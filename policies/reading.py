"""What was read of texts lately: at hand for the caller who sent them, and for nobody else.

Reading a text is pure, so it may be remembered. But were one caller's readings at hand for another,
the time of an answer would tell what others have asked.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Given = TypeVar("Given")
Read = TypeVar("Read")

_whose: ContextVar[str] = ContextVar("whose", default="")


def on_behalf_of(whose: str) -> None:
    """Say by a digest whose texts are read from here on, in this task and what it starts."""
    _whose.set(whose)


def remembered(most: int) -> Callable[[Callable[[Given], Read]], Callable[[Given], Read]]:
    """Have at hand what a pure function said of the last `most` texts, each caller's apart."""

    def decorated(read: Callable[[Given], Read]) -> Callable[[Given], Read]:
        @lru_cache(maxsize=most)
        def kept(whose: str, given: Given) -> Read:  # noqa: ARG001 - tells callers apart
            return read(given)

        @wraps(read)
        def reader(given: Given) -> Read:
            return kept(_whose.get(), given)

        return reader

    return decorated
