"""The guards by their policy names: each vetoes answering one prompt with another's answer.

A guard is pure, `(a, b) -> Veto | None`, and symmetric. How each one reads a text lives in a
module of its own (quantities, polarity, asking, units, names, additions, order); here is only
their list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from policies import additions, asking, languages, names, order, polarity, quantities, units
from policies.verdicts import Reason


@dataclass(frozen=True, slots=True)
class Veto:
    """Why two prompts may not share an answer; `seen` is for people: `10 against 12`."""

    reason: Reason
    seen: str


Guard: TypeAlias = Callable[[str, str], Veto | None]


def _guard(reason: Reason, *differences: Callable[[str, str], str | None]) -> Guard:
    def guard(a: str, b: str) -> Veto | None:
        for difference in differences:
            seen = difference(a, b)
            if seen is not None:
                return Veto(reason, seen)
        return None

    return guard


# Longer texts are beyond the encoder's window, and so never compared by meaning.
STUDIED = 4_000

GUARDS: dict[str, Guard] = {
    "numbers": _guard(Reason.GUARD_NUMBERS, quantities.difference),
    "negation": _guard(Reason.GUARD_NEGATION, polarity.difference, asking.difference),
    "entities": _guard(Reason.GUARD_ENTITIES, names.difference, additions.difference),
    "units": _guard(Reason.GUARD_UNITS, units.difference),
    "order": _guard(Reason.GUARD_ORDER, order.difference),
}


def study(text: str) -> None:
    """Read a text ahead of its comparisons: what each guard sees in it is remembered by it."""
    if len(text) <= STUDIED:
        read = languages.gloss(text)
        for module in (quantities, polarity, asking, names, units, order):
            module.study(read)


def veto(a: str, b: str, names: Iterable[str]) -> Veto | None:
    """The first veto among the named guards, in the order given; KeyError on an unknown name."""
    if a == b:
        return None
    ours, theirs = languages.gloss(a), languages.gloss(b)
    return next((seen for name in names if (seen := GUARDS[name](ours, theirs))), None)
