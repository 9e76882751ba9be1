"""Answer groups: entries whose answers a judge called the same.

A group bears the name of the entry that founded it. An entry joins by being compared with a member
and with the founder, never because two groups seem alike: what is nearly the same must not drift
into what is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import Facts

# Vectors of one group that are searched. More would only crowd out other answers.
MOST = 32


def of(facts: Facts) -> str:
    """The group of an entry; one that stands alone is its own."""
    return facts.group or facts.entry


def founder(facts: Facts) -> str | None:
    """The entry that a newcomer must be compared with as well; None where `facts` is it."""
    return facts.group if facts.group not in ("", facts.entry) else None
