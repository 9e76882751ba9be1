"""`python -m tests.chaos`: every scenario in turn; exit 1 where a bound is broken."""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from tests.chaos.outcome import FULL, QUICK
from tests.chaos.parties import Absent
from tests.chaos.scenarios import SCENARIOS, play

if TYPE_CHECKING:
    from tests.chaos.outcome import Outcome

COLUMNS = (
    "scenario", "requests", "client errors", "wrong answers", "lost", "added p99", "p99 ratio",
    "recovered",
)  # fmt: skip


@click.command()
@click.option("--quick", is_flag=True, help="A few kills and hundreds of requests each.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(SCENARIOS)))
def main(names: tuple[str, ...], *, quick: bool) -> None:
    """Break what a running proxy leans on, and count what its clients notice."""
    gc.disable()  # a collection among the clients would count as the proxy's delay
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(*COLUMNS)
    faults: list[str] = []
    for name in names or SCENARIOS:
        begun = time.monotonic()
        console.print(f"{name}: begins")
        try:
            outcome = play(SCENARIOS[name], QUICK if quick else FULL)
        except Absent as absent:
            console.print(f"{name}: skipped, {absent}")
            continue
        table.add_row(*_row(name, outcome))
        faults += [f"{name}: {fault}" for fault in outcome.broken()]
        told = "".join(f"; {figure}" for figure in outcome.told)
        console.print(f"{name}: done in {time.monotonic() - begun:.0f} s{told}")
    console.print(table)
    for fault in faults:
        console.print(fault)
    sys.exit(1 if faults else 0)


def _row(name: str, outcome: Outcome) -> list[str]:
    lost = "-" if outcome.lost is None else str(outcome.lost)
    added = "-" if outcome.added_ms is None else f"{outcome.added_ms:.1f} ms"
    counts = [str(outcome.requests), str(outcome.errors), str(outcome.wrong)]
    ratio = "-" if outcome.ratio is None else f"{outcome.ratio:.2f}"
    return [name, *counts, lost, added, ratio, "yes" if outcome.recovered else "no"]


if __name__ == "__main__":
    main()
