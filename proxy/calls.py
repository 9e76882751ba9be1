"""The calls upstream of the last while, and those under way: what load is read from."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from policies.values import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 30.0
MOST = 4_096
# Of fewer answers neither a percentile nor a share says anything.
FEWEST = 5
# Too many requests; Anthropic says in a way of its own that it is overloaded.
OVERLOADED = frozenset({429, 529})


@dataclass(eq=False, slots=True)
class Call:
    """One call upstream; `status` once its answer began."""

    sent: float
    status: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer that began `seconds` after its request was sent."""

    at: float
    seconds: float
    status: int


@dataclass(slots=True)
class Calls:
    """Written to by whoever calls upstream, a few microseconds a call. `clock` is monotonic."""

    clock: Callable[[], float] = time.monotonic
    _answered: deque[Answered] = field(default_factory=lambda: deque(maxlen=MOST))
    _open: set[Call] = field(default_factory=set)

    def open(self) -> Call:
        """A request is sent."""
        call = Call(self.clock())
        self._open.add(call)
        return call

    def began(self, call: Call, status: int) -> None:
        """The head of its answer has come."""
        now = self.clock()
        call.status = status
        self._answered.append(Answered(now, now - call.sent, status))

    def close(self, call: Call) -> None:
        """It came to its end, whichever."""
        self._open.discard(call)

    def measured(self, signal: Signal) -> float | None:
        """The signal now, None while too little was seen to tell."""
        if signal is Signal.IN_FLIGHT:
            return float(len(self._open))
        now = self.clock()
        while self._answered and now - self._answered[0].at > WINDOW:
            self._answered.popleft()
        if signal is Signal.REFUSALS:
            refused = sum(one.status in OVERLOADED for one in self._answered)
            total = len(self._answered)
            return refused / total if total >= FEWEST else None
        return self._latency(now)

    def _latency(self, now: float) -> float | None:
        """The 95th percentile until an answer began, of those that were one.

        A call still waiting counts once it has waited longer than most: it can only get later.
        """
        seconds = [one.seconds for one in self._answered if one.status < 400]  # noqa: PLR2004
        usual = _percentile(sorted(seconds)) if seconds else 0.0
        waiting = (now - call.sent for call in self._open if not call.status)
        seconds += [waited for waited in waiting if waited > usual]
        return _percentile(sorted(seconds)) if len(seconds) >= FEWEST else None


def _percentile(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
