"""How much of a scenario is played, and what clients noticed of it."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 20_251
ADDED_MS = 100.0


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
    was promised."""

    requests: int
    errors: int
    wrong: int
    recovered: bool
    lost: int | None = None
    added_ms: float | None = None
    notes: tuple[str, ...] = ()

    def broken(self, *, timed: bool = True) -> list[str]:
        """Which bounds it breaks, in words; none where all is well."""
        counts = {
            "client errors": self.errors,
            "wrong answers": self.wrong,
            "acknowledged answers lost": self.lost,
        }
        faults = [f"{count} {what}" for what, count in counts.items() if count]
        if timed and self.added_ms is not None and self.added_ms > ADDED_MS:
            faults.append(f"{self.added_ms:.0f} ms added at p99, {ADDED_MS:.0f} allowed")
        if not self.recovered:
            faults.append("no recovery")
        return [*faults, *self.notes]
