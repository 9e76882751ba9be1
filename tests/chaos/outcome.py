"""How much of a scenario is played, and what clients noticed of it."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 20_251
ADDED_MS = 100.0
RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it: `requests` in `seconds` while something is broken, `calm` before that."""

    kills: int
    calm: int
    requests: int
    seconds: float
    purges: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


FULL = Scale(kills=100, calm=3_000, requests=10_000, seconds=30.0, purges=100)
QUICK = Scale(kills=5, calm=300, requests=500, seconds=3.0, purges=10)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients noticed. `added_ms` is None where no calm phase compares, `lost` where nothing
    was promised. `ratio` is the time at p99 against that of the calm phase; `late` says what came
    too late, `told` what was measured."""

    requests: int
    errors: int
    wrong: int
    recovered: bool
    lost: int | None = None
    added_ms: float | None = None
    ratio: float | None = None
    notes: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    def broken(self, *, timed: bool = True) -> list[str]:
        """Which bounds it breaks, in words; none where all is well."""
        counts = {
            "client errors": self.errors,
            "wrong answers": self.wrong,
            "acknowledged answers lost": self.lost,
        }
        faults = [f"{count} {what}" for what, count in counts.items() if count]
        if timed:
            faults += self._late()
        if not self.recovered:
            faults.append("no recovery")
        return [*faults, *self.notes]

    def _late(self) -> list[str]:
        faults = list(self.late)
        if self.added_ms is not None and self.added_ms > ADDED_MS:
            faults.append(f"{self.added_ms:.0f} ms added at p99, {ADDED_MS:.0f} allowed")
        if self.ratio is not None and self.ratio > RATIO:
            faults.append(f"p99 is {self.ratio:.1f} times the calm one, {RATIO:.1f} allowed")
        return faults
