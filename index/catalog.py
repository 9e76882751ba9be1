"""What a process holds of its entries in RAM: their facts, where meaning finds them, the sums.

One thread changes it, the event loop's; others read meanwhile. Bodies and stores are elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from index.register import Register
from index.spaces import Spaces
from policies.eviction import Held

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from index.ports import Embedder
    from policies.values import Facts, Vector

# Facts, names and table rows of one entry in RAM, measured over 100,000 entries.
OVERHEAD = 2_048


@dataclass(slots=True)
class Slot:
    """An entry as RAM holds it. `hits` and `used` only order evictions and lists."""

    facts: Facts
    used: float
    hits: int = 0
    tokens_saved: int = 0


class Catalog:
    """The entries by name; those with a vector of this encoder are in `spaces` as well.

    `size` is what all cost in bytes. `counts` is how many each category has, `owners` how many each
    key, end users included, `groups` how many of an answer group are searched besides its founder.
    """

    def __init__(self, embedder: Embedder, *, storage: str, reserve: int) -> None:
        self.size = 0
        self.counts: Counter[str] = Counter()
        self.owners: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self._encoder = embedder.id
        self._register = Register()
        self.spaces = Spaces(self._register, embedder.dimension, storage=storage, reserve=reserve)
        self._slots: dict[str, Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def facts(self, entry: str) -> Facts | None:
        slot = self._slots.get(entry)
        return None if slot is None else slot.facts

    def slot(self, entry: str) -> Slot | None:
        return self._slots.get(entry)

    def slots(self) -> list[Slot]:
        return list(self._slots.values())

    def held(self) -> list[Held]:
        """What eviction weighs, for every entry; from any thread."""
        return [Held.of(s.facts, self._weight(s.facts), s.used, s.hits) for s in self.slots()]

    def touch(self, entry: str, now: float, tokens: int) -> None:
        """Count a hit."""
        slot = self._slots.get(entry)
        if slot is not None:
            slot.used = now
            slot.hits += 1
            slot.tokens_saved += tokens

    def hold(self, facts: Facts) -> None:
        """Take in an entry, or what is known of it now."""
        old = self._slots.get(facts.entry)
        if old is None:
            self._slots[facts.entry] = Slot(facts, used=facts.stored)
        else:
            self._count(old.facts, -1)
            if not facts.embedding or facts.space != old.facts.space:
                self.spaces.remove([facts.entry])
            old.facts, old.used = facts, max(old.used, facts.stored)
        self._count(facts, 1)

    def place(self, facts: Sequence[Facts], vectors: Sequence[Vector]) -> None:
        """Let held entries, each named once, be found by meaning, where this encoder read them."""
        by_space: dict[str, list[int]] = defaultdict(list)
        for row, one in enumerate(facts):
            if one.embedding == self._encoder:
                by_space[one.space].append(row)
        for space, rows in by_space.items():
            entries = [facts[row].entry for row in rows]
            self.spaces.put_many(entries, space, np.stack([vectors[row] for row in rows]))

    def drop(self, entries: Iterable[str]) -> list[Facts]:
        """Forget entries; the facts of those that were held."""
        slots = [self._slots.pop(entry, None) for entry in entries]
        gone = [slot.facts for slot in slots if slot is not None]
        self.spaces.remove([facts.entry for facts in gone])
        for facts in gone:
            self._count(facts, -1)
            self._register.give(facts.entry)
        return gone

    def _count(self, facts: Facts, step: int) -> None:
        self.size += step * self._weight(facts)
        self.counts[facts.category] += step
        _add(self.owners, facts.owner.partition(":")[0], step)
        if facts.group and facts.embedding:
            _add(self.groups, facts.group, step)

    def _weight(self, facts: Facts) -> int:
        """Bytes that an entry costs, what RAM holds of it included."""
        return facts.size + OVERHEAD + (self.spaces.weight if facts.embedding else 0)


def _add(counts: Counter[str], name: str, step: int) -> None:
    """Count, and hold nothing of what there is none of: names come and go without end."""
    counts[name] += step
    if not counts[name]:
        del counts[name]
