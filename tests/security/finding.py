"""How much of an attack is played, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

SEED = 62_024
# Things to ask about.
NOUNS = (
    *("harbour", "volcano", "telescope", "glacier", "orchestra", "lighthouse", "compass"),
    *("meadow", "furnace", "violin", "castle", "desert", "engine", "forest", "garden"),
    *("hammer", "island", "jacket", "kettle", "ladder", "magnet", "needle", "ocean", "pepper"),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it: `runs` of `samples` timings, `tenants` that ask `prompts` each, and so on;
    each reader is fuzzed for `fuzz` seconds."""

    runs: int
    samples: int
    tenants: int
    prompts: int
    kills: int
    canaries: int
    inputs: int
    fuzz: float


FULL = Scale(
    runs=10,
    samples=250,
    tenants=50,
    prompts=200,
    kills=3,
    canaries=10_000,
    inputs=2_000,
    fuzz=200,
)
QUICK = Scale(
    runs=1, samples=60, tenants=10, prompts=40, kills=1, canaries=400, inputs=200, fuzz=10
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure against its bound. `notes` say what else was counted."""

    what: str
    samples: int
    figure: str
    bound: str
    holds: bool
    notes: tuple[str, ...] = ()

    @classmethod
    def none_of(cls, what: str, samples: int, found: int, *notes: str) -> Finding:
        """A count that must be 0, out of at least one."""
        return cls(what, samples, str(found), "0", holds=found == 0 < samples, notes=notes)
