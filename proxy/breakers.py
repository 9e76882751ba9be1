"""Which calls upstream are not made just now: to who fails, and for who was told to wait.

A circuit opens after several failures in a row and lets one call a second through, until one is
answered. Failures of answers count for the model, failures to connect for the whole upstream. What
works takes no room here.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

LOG = logging.getLogger("likewise.breakers")

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

# An upstream that says one of these cannot answer just now; 529 is Anthropic's word for overloaded.
BREAKING = frozenset({500, 502, 503, 504, 529})
# What may come with a `Retry-After` that binds whoever asked.
PAUSING = frozenset({429, 503, 529})
FAILURES = 5
PROBE_EVERY = 1.0
LONGEST_PAUSE = 60.0
# Callers choose the names of models, so there is a bound on how many are known to fail.
MOST = 10_000
NAME_KEPT = 200


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a call is not made: `status` is upstream's own word, 0 where it fails."""

    seconds: float
    status: int = 0


@dataclass(slots=True)
class _Circuit:
    """A run of failures. `callers` are those of whom it is known, two at most."""

    everybody: bool
    failures: int = 0
    callers: set[str] = field(default_factory=set)
    probed: float = -math.inf

    def spares(self, caller: str) -> bool:
        """Whether this caller's calls wait. Failures of one caller alone are held against nobody
        else: one whose own prompts break a model must not keep the others from it."""
        if self.failures < FAILURES:
            return False
        return self.everybody or len(self.callers) > 1 or caller in self.callers


class Breakers:
    """The circuits and pauses of one process. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.spared = 0
        self._clock = clock
        self._circuits: OrderedDict[tuple[str, str | None], _Circuit] = OrderedDict()
        self._pauses: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    @property
    def open(self) -> list[str]:
        """The upstreams whose calls are spared, wholly or for a model."""
        failing = {name for (name, _), c in self._circuits.items() if c.failures >= FAILURES}
        return sorted(failing)

    def failing(self, upstream: str) -> bool:
        """Whether it cannot be reached, as far as is known."""
        return (upstream, None) in self._circuits

    def ask(self, upstream: str, model: str, caller: str) -> Wait | None:
        """None where the call may be made, and is: of an open circuit it is the probe."""
        model = model[:NAME_KEPT]
        now = self._clock()
        wait = self._paused((upstream, model, caller), now) or self._spared(
            upstream, model, caller, now
        )
        self.spared += wait is not None
        return wait

    def reached(self, upstream: str) -> None:
        """A connection was made."""
        self._close((upstream, None))

    def unreached(self, upstream: str) -> None:
        """No connection was made, so nothing was sent."""
        self._failed((upstream, None), _Circuit(everybody=True), "")

    def answered(
        self, upstream: str, model: str, caller: str, status: int, again: float | None
    ) -> None:
        """An answer's head came; `again` is after how many seconds it says to ask again."""
        model = model[:NAME_KEPT]
        if again is not None and again > 0 and status in PAUSING:
            until = self._clock() + min(again, LONGEST_PAUSE)
            _put(self._pauses, (upstream, model, caller), (until, status))
        if status in BREAKING:
            self.failed(upstream, model, caller)
        else:
            self._close((upstream, model))

    def failed(self, upstream: str, model: str, caller: str) -> None:
        """What was sent was not answered, or by an error of upstream's own."""
        self._failed((upstream, model[:NAME_KEPT]), _Circuit(everybody=False), caller)

    def _paused(self, key: tuple[str, str, str], now: float) -> Wait | None:
        until, status = self._pauses.get(key, (-math.inf, 0))
        if now < until:
            return Wait(until - now, status)
        self._pauses.pop(key, None)
        return None

    def _spared(self, upstream: str, model: str, caller: str, now: float) -> Wait | None:
        circuits = (self._circuits.get(key) for key in ((upstream, None), (upstream, model)))
        holding = [one for one in circuits if one is not None and one.spares(caller)]
        passed = now - max((one.probed for one in holding), default=-math.inf)
        if passed < PROBE_EVERY:
            return Wait(PROBE_EVERY - passed)
        for one in holding:
            one.probed = now
        return None

    def _failed(self, key: tuple[str, str | None], fresh: _Circuit, caller: str) -> None:
        circuit = self._circuits.get(key, fresh)
        circuit.failures += 1
        if len(circuit.callers) < 2:  # noqa: PLR2004 - more make no difference
            circuit.callers.add(caller)
        if circuit.failures == FAILURES:
            circuit.probed = self._clock()
            LOG.warning("upstream %s%s fails; asked once a second until it answers", *_named(key))
        _put(self._circuits, key, circuit)

    def _close(self, key: tuple[str, str | None]) -> None:
        circuit = self._circuits.pop(key, None)
        if circuit is not None and circuit.failures >= FAILURES:
            LOG.warning("upstream %s%s answers again", *_named(key))


def _put(into: OrderedDict[K, V], key: K, value: V) -> None:
    into[key] = value
    into.move_to_end(key)
    if len(into) > MOST:
        into.popitem(last=False)


def _named(key: tuple[str, str | None]) -> tuple[str, str]:
    """For the log; a model's name is the caller's word."""
    return key[0], f", model {key[1]!a:.80}," if key[1] else ""
