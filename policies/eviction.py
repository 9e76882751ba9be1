"""Which entries must go when memory is full. Chosen here, deleted in `index`.

Each rule gives every entry a value, and the least valuable go first. How often an entry is asked
for is not known, but what it answered is: its hits and the miss that brought it, halved for every
`HALF_LIFE` since it was last used. That is the ageing that GDSF's inflation term is for, without a
state to keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

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
    """What eviction weighs, a row for each entry.

    `size` in bytes, `used` in Unix seconds, `hits` answers since, `cost` of a new answer in
    milliseconds; `category` and `owner` are places in `categories` and `owners`. An owner is a key
    or tenant, with all its end users; the empty one owns what is shared with everyone. What is
    `pinned` counts, and never goes.
    """

    size: NDArray[np.int64]
    used: NDArray[np.float64]
    hits: NDArray[np.int64]
    cost: NDArray[np.float64]
    category: NDArray[np.int64]
    owner: NDArray[np.int64]
    pinned: NDArray[np.bool_]
    categories: tuple[str, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most entries and bytes in all; `quotas` is the most entries per category, `each` of any one
    owner."""

    entries: int
    size: int
    quotas: Mapping[str, int]
    each: int | None = None


def victims(held: Held, bounds: Bounds, rule: Rule = Rule.LRU) -> NDArray[np.int64]:
    """The rows that go, worst first: over a category's quota, over an owner's, over all, to just
    under.

    Of equal value, the one that was used longest ago goes first.
    """
    order = np.lexsort((held.used, _values(held, rule), held.pinned))
    gone = np.zeros(len(order), bool)
    for place, name in enumerate(held.categories):
        if name in bounds.quotas:
            _cut(gone, _among(order, gone, held.category == place), bounds.quotas[name])
    for place in _hogs(held, gone, bounds.each):
        _cut(gone, _among(order, gone, held.owner == place), bounds.each or 0)
    _cut(gone, order[~gone[order]], bounds.entries)
    _cut_size(gone, order[~gone[order]], held.size, bounds.size)
    return order[(gone & ~held.pinned)[order]]


def _values(held: Held, rule: Rule) -> NDArray[np.float64]:
    """What each entry is worth, on a scale of the rule's own.

    Logarithms, so that no product of age, cost and size leaves the range of a float.
    """
    if rule is Rule.LRU:
        return held.used
    value: NDArray[np.float64] = np.log2(held.hits + 1.0) + held.used / HALF_LIFE
    if rule is not Rule.LFU:
        # An answer costs something even where nobody measured it.
        value += np.log2(np.maximum(held.cost, 1.0))
    if rule is Rule.GDSF:
        value -= np.log2(np.maximum(held.size, 1))
    return value


def _hogs(held: Held, gone: NDArray[np.bool_], each: int | None) -> list[int]:
    """The owners that hold more than any may; what everyone shares is nobody's."""
    if each is None:
        return []
    counts = np.bincount(held.owner[~gone], minlength=len(held.owners))
    return [place for place in np.flatnonzero(counts > each).tolist() if held.owners[place]]


def _among(
    order: NDArray[np.int64], gone: NDArray[np.bool_], chosen: NDArray[np.bool_]
) -> NDArray[np.int64]:
    return order[(chosen & ~gone)[order]]


def _cut(gone: NDArray[np.bool_], rows: NDArray[np.int64], most: int) -> None:
    if len(rows) > most:
        gone[rows[: len(rows) - most + int(most * SLACK)]] = True


def _cut_size(
    gone: NDArray[np.bool_], rows: NDArray[np.int64], size: NDArray[np.int64], most: int
) -> None:
    freed = np.cumsum(size[rows])
    if len(freed) and freed[-1] > most:
        needed = np.searchsorted(freed, freed[-1] - most * (1 - SLACK)) + 1
        gone[rows[:needed]] = True
