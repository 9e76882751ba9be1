"""Which entries must go when memory is full. Chosen here, deleted in `index`.

Each rule gives every entry a value, and the least valuable go first. How often an entry is asked
for is not known, but what it answered is: its hits and the miss that brought it, halved for every
`HALF_LIFE` since it was last used. That is the ageing that GDSF's inflation term is for, without a
state to keep.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from policies.values import Facts

# Evicting a little more than needed spares a pass over all entries on every insert.
SLACK = 0.02
# Seconds in which an entry that nobody asks for loses half of its past.
HALF_LIFE = 3_600.0


class Rule(StrEnum):
    """What the value of an entry is.

    LRU: when it was last used. LFU: how often it is. LEC: how often, times what a new answer costs
    (least expected cost, Zhu et al., arXiv 2306.02003). GDSF: the same per byte (greedy dual size
    frequency).
    """

    LRU = "lru"
    LFU = "lfu"
    GDSF = "gdsf"
    LEC = "lec"


@dataclass(frozen=True, slots=True)
class Held:
    """What eviction weighs of one entry: `size` in bytes, `used` in Unix seconds, `cost` of a new
    answer in milliseconds."""

    entry: str
    category: str
    size: int
    used: float
    hits: int = 0
    cost: float = 0.0

    @classmethod
    def of(cls, facts: Facts, size: int, used: float, hits: int) -> Held:
        return cls(facts.entry, facts.category, size, used, hits, facts.cost_ms)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most entries and bytes in all; `quotas` is the most entries per category."""

    entries: int
    size: int
    quotas: Mapping[str, int]


def victims(held: Sequence[Held], bounds: Bounds, rule: Rule = Rule.LRU) -> list[str]:
    """The least valuable, worst first: inside categories over quota, then over all, to just under.

    Of equal value, the one that was used longest ago goes first.
    """
    used = np.array([one.used for one in held], np.float64)
    order = np.lexsort((used, _values(held, used, rule)))
    alive = [held[row] for row in order.tolist()]
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


def _values(held: Sequence[Held], used: NDArray[np.float64], rule: Rule) -> NDArray[np.float64]:
    """What each entry is worth, on a scale of the rule's own.

    Logarithms, so that no product of age, cost and size leaves the range of a float.
    """
    if rule is Rule.LRU or not held:
        return used
    times = np.array([one.hits for one in held], np.float64) + 1
    value: NDArray[np.float64] = np.log2(times) + used / HALF_LIFE
    if rule is not Rule.LFU:
        # An answer costs something even where nobody measured it.
        value += np.log2(np.maximum([one.cost for one in held], 1.0))
    if rule is Rule.GDSF:
        value -= np.log2(np.maximum([one.size for one in held], 1))
    return value


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
