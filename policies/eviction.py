"""Which entries must go when memory is full. Chosen here, deleted in `index`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Evicting a little more than needed spares a pass over all entries on every insert.
SLACK = 0.02


@dataclass(frozen=True, slots=True)
class Held:
    """What eviction weighs of one entry."""

    entry: str
    category: str
    size: int
    used: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most entries and bytes in all; `quotas` is the most entries per category."""

    entries: int
    size: int
    quotas: Mapping[str, int]


def victims(held: Iterable[Held], bounds: Bounds) -> list[str]:
    """Least recently used first: inside categories over quota, then over all, to just under."""
    alive = sorted(held, key=lambda h: h.used)
    groups: dict[str, list[Held]] = defaultdict(list)
    for one in alive:
        if one.category in bounds.quotas:
            groups[one.category].append(one)
    gone = {
        one.entry for name, group in groups.items() for one in _over(group, bounds.quotas[name])
    }
    rest = [one for one in alive if one.entry not in gone]
    gone.update(one.entry for one in _over(rest, bounds.entries))
    rest = [one for one in rest if one.entry not in gone]
    gone.update(one.entry for one in _over_size(rest, bounds.size))
    return [one.entry for one in alive if one.entry in gone]


def _over(group: list[Held], most: int) -> list[Held]:
    if len(group) <= most:
        return []
    return group[: len(group) - most + int(most * SLACK)]


def _over_size(group: list[Held], most: int) -> list[Held]:
    total = sum(one.size for one in group)
    if total <= most:
        return []
    chosen = []
    for one in group:
        if total <= most * (1 - SLACK):
            break
        chosen.append(one)
        total -= one.size
    return chosen
