"""What a process holds of its entries in RAM: their facts, where meaning finds them, the sums.

One thread changes it, the event loop's; others read meanwhile. Bodies and stores are elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from index.finder import WIDTH, Finder
from index.packing import Kind, said_key
from index.register import Register
from index.shelf import Shelf
from index.spaces import Spaces
from index.table import Table
from policies.eviction import Held, victims

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from index.ports import Embedder
    from index.snapshot import Reader, Writer
    from policies.eviction import Bounds, Rule
    from policies.values import Facts, Turn, Vector

# As `decide.owner_of` names it.
EVERYONE = "everyone"
NO_KIND = Kind("", "", "", "", "", "")
# Entries whose facts are at hand as objects.
AT_HAND = 4_096
# Entries that are taken over before others have their turn.
FEW = 64


@dataclass(frozen=True, slots=True)
class Slot:
    """An entry as RAM holds it. `hits` and `used` only order evictions and lists."""

    facts: Facts
    used: float
    hits: int = 0
    tokens_saved: int = 0


class _Known(NamedTuple):
    """An entry's number and facts, for as long as the table keeps that object for it."""

    number: int
    packed: bytes
    facts: Facts


class Catalog:
    """The entries by name; those with a vector of this encoder are in `spaces` as well.

    `size` is what all cost in bytes. `counts` is how many each category has, `owners` how many each
    key, end users included, `groups` how many of an answer group are searched besides its founder.
    `changes` counts whatever is held and dropped.
    """

    def __init__(
        self, embedder: Embedder, *, storage: str, reserve: int, pca: int | None = None
    ) -> None:
        self.size = 0
        self.changes = 0
        self.counts: Counter[str] = Counter()
        self.owners: Counter[str] = Counter()
        self.groups: Counter[str] = Counter()
        self._readers: Counter[str] = Counter()
        self._encoder = embedder.id
        self._register = Register(reserve)
        self.spaces = Spaces(
            self._register, embedder.dimension, storage=storage, reserve=reserve, pca=pca
        )
        self._table = Table(reserve)
        self._said = Finder(reserve)
        self._at_hand: Shelf[_Known] = Shelf(AT_HAND)

    def __len__(self) -> int:
        return len(self._register)

    def facts(self, entry: str) -> Facts | None:
        known = self._find(entry)
        return None if known is None else known.facts

    def slot(self, entry: str) -> Slot | None:
        known = self._find(entry)
        return None if known is None else Slot(known.facts, *self._table.use(known.number))

    def used(self, entry: str) -> float:
        """When it was last of use; 0 where it is not held."""
        number = self._register.of(entry)
        return 0.0 if number is None else self._table.use(number).used

    def slots(self) -> Iterator[Slot]:
        """Every entry, as they are walked; from any thread."""
        for number in self._table.numbers():
            facts = self._table.facts(number)
            if facts is not None:
                yield Slot(facts, *self._table.use(number))

    def saying(self, said: Turn) -> Facts | None:
        """The entry whose answer is what was said; the one that came last of several."""
        key = said_key(said)
        number = None if key is None else self._said.get(key)
        facts = None if number is None else self._table.facts(number)
        same = facts is not None and facts.said is not None and facts.said.rest == said.rest
        return facts if same else None

    def members(self, group: str) -> list[str]:
        """The entries that name that group; from any thread."""
        some = [self._table.facts(number) for number in self._table.grouped()]
        return [facts.entry for facts in some if facts is not None and facts.group == group]

    def gone(self, now: float) -> list[str]:
        """Entries past their last use in any form."""
        entries = [self._register.entry(number) for number in self._table.gone(now)]
        return [entry for entry in entries if entry is not None]

    def worst(self, bounds: Bounds, rule: Rule) -> list[tuple[str, float]]:
        """What must go to keep within bounds, each with its last use as it was weighed; from any
        thread."""
        numbers, held = self.held()
        rows = victims(held, bounds, rule)
        chosen = zip(numbers[rows].tolist(), held.used[rows].tolist(), strict=True)
        named = ((self._register.entry(number), used) for number, used in chosen)
        return [(entry, used) for entry, used in named if entry is not None]

    def held(self) -> tuple[NDArray[np.int64], Held]:
        """What eviction weighs of every entry, beside their numbers; from any thread."""
        numbers = self._table.filled()
        names = ("weight", "used", "hits", "cost", "kind", "pinned")
        weight, used, hits, cost, kind, pinned = (self._table.column(n, numbers) for n in names)
        kinds, which = np.unique(kind, return_inverse=True)
        known = [self._table.kinds.get(one) or NO_KIND for one in kinds.tolist()]
        categories, category = _placed([one.category for one in known])
        owners, owner = _placed([owner_of(one.owner) for one in known])
        held = Held(
            *(weight, used, hits, cost, category[which], owner[which]),
            pinned=pinned,
            categories=categories,
            owners=owners,
        )
        return numbers, held

    @property
    def unread(self) -> int:
        """How many entries another encoder has read."""
        return len(self) - self._readers[self._encoder] - self._readers[""]

    def foreign(self) -> list[str]:
        """Those entries, the latest of use first; from any thread."""
        numbers, held = self.held()
        kinds = self._table.column("kind", numbers)
        theirs = [kind for kind in np.unique(kinds).tolist() if self._is_foreign(kind)]
        chosen = np.flatnonzero(np.isin(kinds, theirs))
        latest = chosen[np.argsort(-held.used[chosen], kind="stable")]
        named = map(self._register.entry, numbers[latest].tolist())
        return [entry for entry in named if entry is not None]

    def _is_foreign(self, kind: int) -> bool:
        known = self._table.kinds.get(kind)
        return known is not None and known.embedding not in ("", self._encoder)

    def touch(self, entry: str, now: float, tokens: int) -> None:
        """Count a hit."""
        known = self._find(entry)
        if known is not None:
            self._table.touch(known.number, now, tokens)

    def hold(self, facts: Facts) -> None:
        """Take in an entry, or what is known of it now."""
        old, number = self.facts(facts.entry), self._register.take(facts.entry)
        if old is not None:
            self._count(old, -1)
            self._unsay(old, number)
            if not facts.embedding or facts.space != old.space:
                self.spaces.remove([facts.entry])
        beside = facts.size + (self.spaces.weight if facts.embedding else 0)
        self.changes += 1
        self.size -= self._table.weight(number)
        self.size += self._table.put(number, facts, beside)
        self._count(facts, 1)
        key = said_key(facts.said)
        if key is not None:
            self._said.put(key, number)

    def place(self, facts: Sequence[Facts], vectors: Sequence[Vector]) -> None:
        """Let held entries, each named once, be found by meaning, where this encoder read them."""
        by_space: dict[str, list[int]] = defaultdict(list)
        for row, one in enumerate(facts):
            if one.embedding == self._encoder:
                by_space[one.space].append(row)
        for space, rows in by_space.items():
            entries = [facts[row].entry for row in rows]
            self.spaces.put_many(entries, space, np.stack([vectors[row] for row in rows]))

    def drop(self, entries: Iterable[str]) -> int:
        """Forget entries; how many of them were held."""
        known = map(self.facts, dict.fromkeys(entries))
        held = [facts for facts in known if facts is not None]
        self.spaces.remove([facts.entry for facts in held])
        for facts in held:
            number = self._register.take(facts.entry)
            self._count(facts, -1)
            self._unsay(facts, number)
            self.changes += 1
            self.size -= self._table.weight(number)
            self._table.clear(number)
            self._register.give(facts.entry)
        return len(held)

    def save(self, out: Writer) -> None:
        """Write all of it down, while entries come and go: of these, anything may be told."""
        rows = self._register.save(out)
        self.spaces.save(out, rows)
        self._table.save(out, rows)
        out.put("said", self._said.keys(rows))

    def restore(self, source: Reader) -> None:
        """Take over what was written down, before anybody else sees it. Blocks for a while."""
        keys, taken = source.get("entries", np.uint8), source.get("taken", np.bool_)
        whole = self._table.restore(source, keys, taken)
        taken = self._register.restore(keys, whole)
        for number in whole[~taken[whole]].tolist():
            self._table.clear(number)
        self.spaces.restore(source, taken)
        said = source.get("said", np.uint8)
        some = taken & said.reshape(-1, WIDTH).any(1)
        self._said.restore(said, np.flatnonzero(some).astype(np.int32))
        self._recount()

    def joined(self, other: Catalog) -> Iterator[None]:
        """Take over the entries of another catalog, few at a time: yields between two of them."""
        for slots in batched(other.slots(), FEW):
            new = [s.facts for s in slots if self.facts(s.facts.entry) != s.facts]
            for facts in new:
                self.hold(facts)
            vectors = other.spaces.vectors([facts.entry for facts in new])
            found = [facts for facts in new if facts.entry in vectors]
            self.place(found, [vectors[facts.entry] for facts in found])
            yield

    def _recount(self) -> None:
        """Make the sums anew, from what is held."""
        self.size = self._table.total
        for kind, entries in self._table.kinds.counted():
            self.counts[kind.category] += entries
            _add(self.owners, owner_of(kind.owner), entries)
            _add(self._readers, kind.embedding, entries)
        for number in self._table.grouped():
            facts = self._table.facts(number)
            if facts is not None and facts.embedding:
                _add(self.groups, facts.group, 1)

    def _find(self, entry: str) -> _Known | None:
        known = self._at_hand.get(entry)
        if known is not None and self._table.packed(known.number) is known.packed:
            return known
        number = self._register.of(entry)
        packed = None if number is None else self._table.packed(number)
        facts = None if packed is None else self._table.read(packed)
        # Seen from another thread, its number may have become another's meanwhile.
        if number is None or packed is None or facts is None or facts.entry != entry:
            return None
        known = _Known(number, packed, facts)
        self._at_hand.put(entry, known)
        return known

    def _unsay(self, facts: Facts, number: int) -> None:
        key = said_key(facts.said)
        if key is not None:
            self._said.pop(key, number)

    def _count(self, facts: Facts, step: int) -> None:
        self.counts[facts.category] += step
        _add(self.owners, owner_of(facts.owner), step)
        _add(self._readers, facts.embedding, step)
        if facts.group and facts.embedding:
            _add(self.groups, facts.group, step)


def owner_of(partition: str) -> str:
    """The key or tenant that a partition belongs to, end users or not; none where all share it."""
    owner = partition.partition(":")[0]
    return "" if owner == EVERYONE else owner


def _placed(names: list[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Each name once, and for each given one its place among them."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return tuple(places), np.array([places[name] for name in names], np.int64)


def _add(counts: Counter[str], name: str, step: int) -> None:
    """Count, and hold nothing of what there is none of: names come and go without end."""
    counts[name] += step
    if not counts[name]:
        del counts[name]


def batched(items: Iterator[Slot], size: int) -> Iterator[list[Slot]]:
    while some := list(islice(items, size)):
        yield some
