"""Requests that end as a test needs them to. No test lives here."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tests.proxy.house import until

if TYPE_CHECKING:
    import httpx

    from tests.proxy.house import House


def answered(
    house: House, asked: str, again: str, key: str, reason: str = "semantic"
) -> tuple[str, httpx.Response]:
    """The answer to `again` after `asked`, and under which key.

    A busy machine may be too late with an embedding: then another caller tries, from the start.
    """
    numbers = count()

    def tried() -> tuple[str, httpx.Response] | None:
        caller = f"{key}-{next(numbers)}"
        house.chat(asked, caller)
        answer = house.chat(again, caller)
        return (caller, answer) if answer.headers["x-likewise-reason"] == reason else None

    found: tuple[str, httpx.Response] = until(tried)
    return found
