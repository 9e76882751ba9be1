"""All vectors of a process, each found inside its own space and nowhere else.

One thread puts, removes and asks which are crowded; others search and grow spaces meanwhile.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from index.postings import Postings
from index.space import Space
from index.vectors import NOWHERE, RESERVE, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from index.register import Register
    from index.snapshot import Reader, Writer
    from index.vectors import Numbers
    from policies.values import Vector

# What the lists of a large space keep of a vector besides half a byte for each dimension.
LISTED = 8


class Neighbours:
    """One space, searched by entry: a `VectorIndex`."""

    __slots__ = ("_register", "_space")

    def __init__(self, register: Register, space: Space) -> None:
        self._register = register
        self._space = space

    def __len__(self) -> int:
        return len(self._space)

    def search(self, vector: Vector, k: int) -> list[tuple[str, float]]:
        with self._register.search():
            found = self._space.search(vector, k)
            named = [(self._register.entry(number), score) for number, score in found]
        return [(entry, score) for entry, score in named if entry is not None]


class Spaces:
    """The spaces over one array of vectors, made when needed and let go when empty."""

    def __init__(
        self,
        register: Register,
        dimension: int,
        *,
        storage: str = "int8",
        reserve: int = RESERVE,
        pca: int | None = None,
    ) -> None:
        self._register = register
        self._vectors = Vectors(dimension, storage=storage, reserve=reserve, pca=pca)
        listed = self._vectors.pca or dimension
        self.weight = self._vectors.row_bytes + LISTED + listed // 2
        """Bytes of one vector, where it lies in lists as well."""
        # A space's number is never used again, as a growth of it may still be under way.
        self._ordinals = count()
        self._by_name: dict[str, tuple[int, Space]] = {}
        self._by_ordinal: dict[int, tuple[str, Space]] = {}
        self._changed: set[int] = set()

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def searched(self) -> int:
        """How many entries are found by meaning."""
        return sum(len(space) for _, space in list(self._by_name.values()))

    @property
    def dead(self) -> int:
        """Rows of removed entries that still lie in lists."""
        return sum(space.dead for _, space in list(self._by_name.values()))

    @property
    def nbytes(self) -> int:
        """Of all vectors, whether or not the system has had to provide them yet."""
        return self._vectors.nbytes

    @property
    def used(self) -> int:
        """Bytes of the rows that were written to, or may have been."""
        return min(self._register.reach * self._vectors.row_bytes, self.nbytes)

    def within(self, name: str) -> Neighbours | None:
        found = self._by_name.get(name)
        return None if found is None else Neighbours(self._register, found[1])

    def every(self) -> list[Neighbours]:
        return [Neighbours(self._register, space) for _, space in list(self._by_name.values())]

    def put(self, entry: str, name: str, vector: Vector) -> None:
        """Let an entry be found in that space, by its latest vector."""
        self.put_many([entry], name, vector.reshape(1, -1))

    def put_many(self, entries: Sequence[str], name: str, vectors: Vector) -> None:
        """`put` for many; none may stand twice among them."""
        numbers = np.array([self._register.take(entry) for entry in entries], np.int32)
        ordinal, space = self._space(name)
        home = self._vectors.home
        known = numbers[numbers < len(home)]
        self._leave(known[(home[known] != NOWHERE) & (home[known] != ordinal)])
        self._vectors.put_many(numbers, vectors)
        space.extend(numbers)
        self._changed.add(ordinal)

    def remove(self, entries: Iterable[str]) -> None:
        """Let entries be found no longer; unknown ones are ignored."""
        numbers = [self._register.of(entry) for entry in entries]
        known = np.array([n for n in numbers if n is not None], np.int32)
        home = self._vectors.home
        known = known[known < len(home)]
        self._leave(known[home[known] != NOWHERE])

    def crowded(self) -> list[Space]:
        """The spaces that want to grow; looks only at those that changed, or wanted to before."""
        known = {one: self._by_ordinal[one][1] for one in self._changed if one in self._by_ordinal}
        self._changed = {one for one, space in known.items() if space.crowded}
        return [known[one] for one in self._changed]

    def vectors(self, entries: Sequence[str]) -> dict[str, Vector]:
        """What is kept of the vectors of those entries that have one."""
        numbers = {entry: self._register.of(entry) for entry in entries}
        home = self._vectors.home
        known = {
            entry: number
            for entry, number in numbers.items()
            if number is not None and number < len(home) and home[number] != NOWHERE
        }
        rows = self._vectors.rows(np.fromiter(known.values(), np.int32, len(known)))
        return dict(zip(known, rows, strict=True))

    def save(self, out: Writer, rows: int) -> None:
        """Write down the vectors of the first so many numbers, and how large spaces find them."""
        spaces = [[name, ordinal] for name, (ordinal, _) in list(self._by_name.items())]
        for _, (ordinal, space) in list(self._by_name.items()):
            space.save(out, f"space.{ordinal}")
        self._vectors.save(out, rows)
        out.put_json("spaces", spaces)

    def restore(self, source: Reader, taken: NDArray[np.bool_]) -> None:
        """Take over what was written down of numbers that are taken; nobody searches yet."""
        self._vectors.restore(source)
        home = self._vectors.home
        home[: len(taken)][~taken] = NOWHERE
        order = np.argsort(home, kind="stable").astype(np.int32)
        homes, starts = np.unique(home[order], return_index=True)
        members = dict(zip(homes.tolist(), np.split(order, starts[1:]), strict=True))
        members.pop(NOWHERE, None)
        for name, ordinal in source.get_json("spaces"):
            if ordinal in members:
                self._restore(name, ordinal, members.pop(ordinal).copy(), source)
        for lost in members.values():
            home[lost] = NOWHERE
        self._ordinals = count(max(self._by_ordinal, default=-1) + 1)
        self._changed = set(self._by_ordinal)

    def _restore(self, name: str, ordinal: int, members: Numbers, source: Reader) -> None:
        space, part = Space(self._vectors, ordinal), f"space.{ordinal}"
        large = source.has(f"{part}.lists")
        postings = Postings.restored(self._vectors, ordinal, source, part) if large else None
        space.restore(members, postings)
        self._by_name[name], self._by_ordinal[ordinal] = (ordinal, space), (name, space)

    def _leave(self, numbers: np.ndarray) -> None:
        homes = self._vectors.home[numbers]
        for ordinal in np.unique(homes).tolist():
            name, space = self._by_ordinal[ordinal]
            space.remove(numbers[homes == ordinal])
            self._changed.add(ordinal)
            if not len(space):
                del self._by_name[name], self._by_ordinal[ordinal]

    def _space(self, name: str) -> tuple[int, Space]:
        found = self._by_name.get(name)
        if found is None:
            ordinal = next(self._ordinals)
            space = Space(self._vectors, ordinal)
            found = self._by_name[name] = (ordinal, space)
            self._by_ordinal[ordinal] = (name, space)
        return found
