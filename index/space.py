"""Nearest neighbours inside one space: exact while it is small, by FAISS inverted lists when large.

A number is in the space when its `home` says so; whatever is found otherwise, every candidate is
scored again from `Vectors` before it is returned. So lists may hold what is gone, or was put
elsewhere since: it costs a little time and never a wrong answer.

FAISS must not be added to while it is searched (it crashes). New numbers go into a short list that
is scanned exactly; `grow`, in the background, moves them into the lists in small slices, and builds
the lists anew aside when the space has outgrown them. One thread adds and removes, others search.
"""

from __future__ import annotations

from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from index.postings import Postings
from index.vectors import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from index.snapshot import Writer
    from index.vectors import Numbers, Vectors
    from policies.values import Vector

# Below this many vectors an exact scan is about as quick as lists.
FLAT_MOST = 2_000
# New numbers wait for `grow` until they are this share of what a small space may hold.
FRESH_SHARE = 1 / 8
# The lists are built anew when the space is this many times what they were made for, or this share
# of them is dead.
GROWTH, DEAD_MOST = 4, 0.3
# How many candidates the lists are asked for, and how many are scored in full, at least; and for
# each answer asked for.
CANDIDATES, LIKELY, PER_ANSWER = 64, 32, 4
# A search that meets too few of the living looks into this many times as many lists.
WIDER = 8
# Vectors moved into the lists while searches wait.
SLICE = 16


class _Now(NamedTuple):
    """The numbers to scan and the lists beside them, replaced whole so that searches see a pair."""

    fresh: Numbers
    postings: Postings | None


_EMPTY = _Now(np.zeros(0, np.int32), None)


class Space:
    """The numbers of one space, which is number `ordinal` among those over the same `Vectors`."""

    __slots__ = (
        *("_flat_most", "_growing", "_lock", "_now", "_ordinal", "_size", "_touched"),
        "_vectors",
    )

    def __init__(self, vectors: Vectors, ordinal: int, *, flat_most: int = FLAT_MOST) -> None:
        self._vectors = vectors
        self._ordinal = ordinal
        self._flat_most = flat_most
        self._size = 0
        self._now = _EMPTY
        # Held for moments only, by whoever changes something. `Postings.lock` is taken before it.
        self._lock = Lock()
        self._growing = Lock()
        # What was added or removed since the growth under way looked.
        self._touched: set[int] | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def crowded(self) -> bool:
        """Whether `grow` has work to do."""
        now = self._now
        waiting = now.postings is not None and len(now.fresh) > FRESH_SHARE * self._flat_most
        return waiting or self._outgrown

    @property
    def dead(self) -> int:
        """Rows of the lists whose numbers are gone."""
        postings = self._now.postings
        return 0 if postings is None else postings.dead

    def add(self, number: int) -> None:
        """Take in a number, or its new vector; `Vectors` has the vector by now."""
        self.extend((number,))

    def extend(self, numbers: Iterable[int]) -> None:
        """`add` for many. None of them may be in another space."""
        new = _distinct(numbers)
        with self._lock:
            self._drop(new)
            self._vectors.home[new] = self._ordinal
            self._now = self._now._replace(fresh=_appended(self._now.fresh, new))
            self._size += len(new)
            self._touch(new)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget numbers; those that are not here are ignored."""
        gone = _distinct(numbers)
        with self._lock:
            self._drop(gone[gone < len(self._vectors.home)])

    def search(self, vector: Vector, k: int) -> list[tuple[int, float]]:
        """Up to k (number, cosine in [0, 1]), best first."""
        vector = np.ascontiguousarray(vector, np.float32)
        if k < 1 or not np.isfinite(vector).all():
            return []
        found, postings = self._now
        if postings is not None:
            found = np.union1d(found, self._posted(postings, vector, k))
        found = self._likely(vector, self._here(found), k)
        scores = self._vectors.scores(vector, found)
        # Once more, for what has gone while it was scored.
        here = self._vectors.home.take(found) == self._ordinal
        return _best(found[here], scores[here], k)

    def save(self, out: Writer, name: str) -> bool:
        """Write down what is costly to make again, if there is any; searches and changes go on."""
        with self._growing:
            postings = self._now.postings
            if postings is None:
                return False
            with self._lock:
                drops = postings.frozen()
            postings.save(out, name, drops)
            return True

    def restore(self, members: Numbers, postings: Postings | None) -> None:
        """Take over the numbers that are in the space, before anybody searches it."""
        fresh = members if postings is None else members[~postings.knows(members)]
        self._now, self._size = _Now(fresh, postings), len(members)

    def grow(self) -> None:
        """Bring the lists up to date; searches, inserts and removals go on."""
        with self._growing:
            if self._outgrown:
                self._rebuild()
            elif self._now.postings is not None:
                self._merge(self._now.postings)

    @property
    def _outgrown(self) -> bool:
        postings = self._now.postings
        if postings is None:
            return self._size > self._flat_most
        dead = postings.dead > DEAD_MOST * max(len(postings), self._flat_most)
        return dead or self._size > GROWTH * postings.made_for

    def _posted(self, postings: Postings, vector: Vector, k: int) -> Numbers:
        """Candidates from the lists; all numbers where nearly all are asked for."""
        if PER_ANSWER * k >= self._size:
            return self._members()
        most, probes = max(CANDIDATES, PER_ANSWER * k), postings.probes
        found = self._with_twins(postings, postings.search(vector, most, probes), k)
        while len(found) < k and probes < postings.lists:
            probes *= WIDER
            found = self._with_twins(postings, postings.search(vector, most, probes), k)
        return found

    def _with_twins(self, postings: Postings, found: Numbers, k: int) -> Numbers:
        if not postings.twins:
            return found
        with self._lock:
            twins = [
                twin
                for number in found.tolist()
                for twin in islice(postings.twins.get(number, ()), k)
            ]
        return np.concatenate((found, np.array(twins, np.int32)))

    def _here(self, numbers: Numbers) -> Numbers:
        """Those in this space. Looked at before scoring: a number that comes to this space has its
        vector by then, one that leaves is not given to another entry while a search goes on."""
        here: Numbers = numbers[self._vectors.home.take(numbers) == self._ordinal]
        return here

    def _likely(self, vector: Vector, numbers: Numbers, k: int) -> Numbers:
        """The few among which the best are: what is scored in full."""
        most = max(LIKELY, PER_ANSWER * k)
        if len(numbers) <= most:
            return numbers
        return numbers[np.argpartition(self._vectors.rough(vector, numbers), -most)[-most:]]

    def _members(self) -> Numbers:
        return np.flatnonzero(self._vectors.home == self._ordinal).astype(np.int32)

    def _drop(self, numbers: Numbers) -> None:
        home = self._vectors.home
        here = numbers[home[numbers] == self._ordinal]
        if not len(here):
            return
        home[here] = NOWHERE
        self._size -= len(here)
        self._touch(here)
        fresh, postings = self._now
        if postings is not None:
            for number in here[~np.isin(here, fresh)].tolist():
                postings.drop(number)
        self._now = _Now(fresh[~np.isin(fresh, here)], postings)

    def _touch(self, numbers: Numbers) -> None:
        if self._touched is not None:
            self._touched.update(numbers.tolist())

    # -- growing ---------------------------------------------------------------------------------

    def _merge(self, postings: Postings) -> None:
        """Move the fresh numbers of now into the lists, a slice at a time."""
        for _ in range(0, len(self._now.fresh), SLICE):
            with self._lock:
                self._touched = set()
                part = self._now.fresh[:SLICE]
            rows = postings.points(part)
            lists = postings.assigned(rows)
            with postings.lock, self._lock:
                self._move(postings, part, rows, lists)

    def _move(self, postings: Postings, part: Numbers, rows: Vector, lists: Numbers) -> None:
        touched, self._touched = self._touched or set(), None
        moved = [row for row, number in enumerate(part.tolist()) if number not in touched]
        for row in moved:
            postings.insert(part[row : row + 1], rows[row : row + 1], lists[row : row + 1])
        fresh = self._now.fresh
        self._now = _Now(fresh[~np.isin(fresh, part[moved])], postings)

    def _rebuild(self) -> None:
        """Build lists over all numbers aside, then take them over in one assignment."""
        with self._lock:
            self._touched = set()
            members = self._members()
        built = None
        if len(members) > self._flat_most:
            built = Postings.made(self._vectors, self._ordinal, members)
        with self._lock:
            self._now = self._since(members, built)

    def _since(self, members: Numbers, built: Postings | None) -> _Now:
        """New lists over what the space was, and what has changed since."""
        touched, self._touched = self._touched or set(), None
        if built is None:
            return _Now(self._members(), None)
        orphans = built.disown(touched)
        posted = np.zeros(len(self._vectors.home), bool)
        posted[members] = True
        posted[list(touched)] = False
        fresh = self._now.fresh
        return _Now(np.union1d(fresh[~posted[fresh]], orphans), built)


def _distinct(numbers: Iterable[int]) -> Numbers:
    given = numbers if isinstance(numbers, np.ndarray) else np.fromiter(numbers, np.int32)
    return np.unique(given.astype(np.int32, copy=False)) if len(given) > 1 else given


def _appended(fresh: Numbers, new: Numbers) -> Numbers:
    """A longer view of the same array where there is room; a reader keeps its shorter one."""
    size, longer = len(fresh), len(fresh) + len(new)
    room = fresh.base
    if not isinstance(room, np.ndarray) or len(room) < longer:
        room = np.empty(longer + longer // 2, np.int32)
        room[:size] = fresh
    room[size:longer] = new
    return room[:longer]


def _best(numbers: Numbers, scores: Vector, k: int) -> list[tuple[int, float]]:
    order = np.lexsort((numbers, -scores))[:k]
    return list(zip(numbers[order].tolist(), scores[order].tolist(), strict=True))
