"""`python -m tests.soak`: half an hour of new questions; exit 1 where memory grows."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tests.chaos.parties import stage
from tests.soak.watch import FULL, MEGABYTE, QUICK, soak

if TYPE_CHECKING:
    from tests.soak.watch import Plan, Soaked


@click.command()
@click.option("--quick", is_flag=True, help="A minute; too short to say much of growth.")
@click.option("--minutes", type=float, help="Another time for the same number of questions.")
def main(minutes: float | None, *, quick: bool) -> None:
    """Keep a proxy busy, and see what grows."""
    plan = QUICK if quick else FULL
    if minutes:
        plan = replace(plan, seconds=minutes * 60)
    seen = play(plan)
    first, last = seen.memory[0][1] / MEGABYTE, seen.memory[-1][1] / MEGABYTE
    click.echo(
        f"{seen.asked:,} requests in {seen.memory[-1][0]:.0f} s, {seen.errors} client errors, "
        f"{seen.entries:,} entries; {first:.0f} MB at first, {last:.0f} MB at last, "
        f"{seen.slope:+.2f} MB per ten minutes after the warm-up"
    )
    faults = seen.broken(timed=not quick)
    for fault in faults:
        click.echo(fault)
    sys.exit(1 if faults else 0)


def play(plan: Plan) -> Soaked:
    with tempfile.TemporaryDirectory(prefix="likewise-soak-") as folder, stage(Path(folder)) as at:
        return asyncio.run(soak(at, plan))


if __name__ == "__main__":
    main()
