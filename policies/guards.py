"""The guards by their policy names: each vetoes answering one prompt with another's answer.

A guard is pure, `(a, b) -> Veto | None`, and symmetric. How each one reads a text lives in a
module of its own (quantities, polarity, units, names, order); this is only the list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from policies import names, order, polarity, quantities, units
from policies.verdicts import Reason


@dataclass(frozen=True, slots=True)
class Veto:
    """Why two prompts may not share an answer; `seen` is for people: `10 against 12`."""

    reason: Reason
    seen: str


Guard: TypeAlias = Callable[[str, str], Veto | None]


def _guard(reason: Reason, difference: Callable[[str, str], str | None]) -> Guard:
    def guard(a: str, b: str) -> Veto | None:
        seen = difference(a, b)
        return None if seen is None else Veto(reason, seen)

    return guard


# Longer texts are beyond the encoder's window, and so never compared by meaning.
STUDIED = 4_000

GUARDS: dict[str, Guard] = {
    "numbers": _guard(Reason.GUARD_NUMBERS, quantities.difference),
    "negation": _guard(Reason.GUARD_NEGATION, polarity.difference),
    "entities": _guard(Reason.GUARD_ENTITIES, names.difference),
    "units": _guard(Reason.GUARD_UNITS, units.difference),
    "order": _guard(Reason.GUARD_ORDER, order.difference),
}


def study(text: str) -> None:
    """Read a text ahead of its comparisons: what each guard sees in it is remembered by it."""
    if len(text) <= STUDIED:
        for guard in GUARDS.values():
            guard(text, text)


def veto(a: str, b: str, names: Iterable[str]) -> Veto | None:
    """The first veto among the named guards, in the order given; KeyError on an unknown name."""
    if a == b:
        return None
    return next((seen for name in names if (seen := GUARDS[name](a, b))), None)
