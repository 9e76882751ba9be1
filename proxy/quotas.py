"""How much of the way upstream one key may take: calls at once, and requests a minute.

Both are off unless configured. What memory answers is never counted.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Callers choose their keys, so there is a bound on how many are remembered.
KEYS = 10_000
MINUTE = 60.0
# When to come back for a call under way to have ended: nobody can know.
SOON = 1.0


class Buckets:
    """So many at once for each key, and so many a second after that. `clock` is monotonic."""

    def __init__(self, burst: float, rate: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate = burst, rate
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, key: str) -> float:
        """Take one; 0, or the seconds until there is one again."""
        now = self._clock()
        left, at = self._left.pop(key, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._left[key] = (max(left - 1, 0.0) if left >= 1 else left, now)
        if len(self._left) > KEYS:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate


@dataclass(frozen=True, slots=True)
class Exceeded:
    """What a key has used up, in words, and after how many seconds to come back."""

    said: str
    after: float


class Quotas:
    """`calls` a key may have under way upstream, and `misses` a minute; None is no bound."""

    def __init__(
        self,
        calls: int | None = None,
        misses: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.refused = 0
        self._calls = calls
        self._misses = misses
        self._buckets = Buckets(misses, misses / MINUTE, clock) if misses else None
        self._under_way: Counter[str] = Counter()

    def enter(self, key: str) -> Exceeded | None:
        """Begin a call, to be ended by `leave`; or why it may not begin."""
        exceeded = self._exceeded(key)
        if exceeded is not None:
            self.refused += 1
        elif self._calls is not None:
            self._under_way[key] += 1
        return exceeded

    def leave(self, key: str) -> None:
        """A call has ended."""
        if self._calls is None:
            return
        self._under_way[key] -= 1
        if self._under_way[key] <= 0:
            del self._under_way[key]

    def _exceeded(self, key: str) -> Exceeded | None:
        if self._calls is not None and self._under_way[key] >= self._calls:
            said = f"This key has {self._calls} calls under way, which is all it may have."
            return Exceeded(said, SOON)
        wait = 0.0 if self._buckets is None else self._buckets.wait(key)
        if wait:
            said = f"This key may send {self._misses} requests a minute that memory cannot answer."
            return Exceeded(said, wait)
        return None
