"""The bytes of requests and answers under way, over all connections: counted and bounded."""

from __future__ import annotations

MOST = 512_000_000


class Burden:
    """How much is held just now, and the most that may be before anything large is turned away."""

    def __init__(self, most: int = MOST) -> None:
        self.held = 0
        self._most = most

    @property
    def full(self) -> bool:
        return self.held > self._most

    def share(self) -> Share:
        return Share(self)


class Share:
    """What one exchange holds of the burden."""

    __slots__ = ("_burden", "_size")

    def __init__(self, burden: Burden) -> None:
        self._burden = burden
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether all exchanges together hold too much."""
        return self._burden.full

    def take(self, size: int) -> None:
        self._size += size
        self._burden.held += size

    def give(self, size: int) -> None:
        """Hold so much less."""
        self.take(-size)

    def give_all(self) -> None:
        """Hold nothing more."""
        self.give(self._size)
