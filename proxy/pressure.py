"""Puts what load asks for into the rules in force, once a second and off the request path."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from policies.load import eased, risen
from policies.values import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.values import Rules
    from proxy.engine import Engine

LOG = logging.getLogger("likewise.pressure")
PERIOD = 1.0
GAUGES = {
    Signal.LATENCY: "upstream_latency_p95_seconds",
    Signal.IN_FLIGHT: "in_flight",
    Signal.REFUSALS: "rate_429",
}


class Pressure:
    """Keeps the engine's rules at the level that load asks for. `clock` is monotonic."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self.level = 0.0
        self._engine = engine
        self._clock = clock
        self._at = clock()
        self._written = engine.rules

    def adopt(self, rules: Rules) -> None:
        """Put a policy in force, at the level that is reached."""
        self._written = rules
        self._engine.rules = eased(rules, self.level)

    def turn(self) -> None:
        """Measure once. The rules are replaced only where a step was made."""
        now, load = self._clock(), self._written.load
        passed, self._at = now - self._at, now
        if load is None:
            self.level = 0.0
            return
        measured = self._engine.meters.calls.measured(load.signal)
        self.level = risen(self.level, measured, load, passed)
        rules = eased(self._written, self.level)
        if rules.level != self._engine.rules.level:
            self._engine.rules = rules
            LOG.info("%s: load is at %.1f", load.signal.value, rules.level)

    async def run(self) -> None:
        """Turn once a second until cancelled."""
        while True:
            await asyncio.sleep(PERIOD)
            try:
                self.turn()
            except Exception:
                LOG.exception("load could not be measured")


def gauges(engine: Engine) -> dict[str, float]:
    """For the metrics: the level in force, and every signal that can be told."""
    calls = engine.meters.calls
    seen = {name: calls.measured(signal) for signal, name in GAUGES.items()}
    told = {name: value for name, value in seen.items() if value is not None}
    return {"load": engine.rules.level} | told
