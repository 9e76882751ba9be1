"""What was read of a text is at hand for its caller, and for nobody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest

from policies import guards, text
from policies.reading import on_behalf_of, remembered

if TYPE_CHECKING:
    from collections.abc import Callable

SAID = "How many miles are 10 km?"


def counting(most: int = 100) -> tuple[Callable[[str], str], Counter[str]]:
    """A reading, and how often each text was really read."""
    reads: Counter[str] = Counter()

    @remembered(most)
    def read(given: str) -> str:
        """Large letters."""
        reads[given] += 1
        return given.upper()

    return read, reads


def on(whose: str, read: Callable[[str], str], given: str) -> str:
    def asked() -> str:
        on_behalf_of(whose)
        return read(given)

    return copy_context().run(asked)


def test_a_callers_text_is_read_once() -> None:
    """And the reading keeps its own name."""
    read, reads = counting()
    assert [on("k", read, "a"), on("k", read, "a")] == ["A", "A"]
    assert reads == {"a": 1}
    assert (read.__name__, read.__doc__) == ("read", "Large letters.")


def test_nobody_elses_reading_is_at_hand() -> None:
    """Each caller's first time is a first time, and so is that of no caller."""
    read, reads = counting()
    for whose in ("k", "other", ""):
        on(whose, read, "a")
    assert reads == {"a": 3}


def test_so_many_and_no_more() -> None:
    """The longest unused is read anew."""
    read, reads = counting(most=2)
    for given in "abca":
        on("k", read, given)
    assert reads == {"a": 2, "b": 1, "c": 1}


async def test_requests_at_the_same_time_stay_apart() -> None:
    """A task reads for its own caller, whatever others say meanwhile."""
    read, reads = counting()

    async def request(whose: str) -> None:
        on_behalf_of(whose)
        for _ in range(3):
            await asyncio.sleep(0)
            read("a")

    await asyncio.gather(request("one"), request("two"))
    assert reads == {"a": 2}


@pytest.mark.parametrize("read", [text.words, text.stems, text.bag])
def test_what_texts_say_does_not_depend_on_the_caller(read: Callable[[str], object]) -> None:
    """A reading is the same for everybody; only whether it is at hand differs."""
    assert on("k", read, SAID) == on("other", read, SAID) == read(SAID)  # type: ignore[arg-type]


def test_guards_say_the_same_to_everybody() -> None:
    """A veto does not depend on who studied the text."""
    other = "How many miles are 12 km?"
    said = []
    for whose in ("k", "other"):
        on(whose, lambda given: guards.study(given) or "", SAID)
        said.append(on(whose, lambda given: str(guards.veto(given, other, ["numbers"])), SAID))
    assert said[0] == said[1] != "None"
