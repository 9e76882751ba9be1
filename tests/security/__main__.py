"""`python -m tests.security`: every attack in turn; exit 1 where a wall does not hold."""

from __future__ import annotations

import asyncio
import inspect
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from tests.chaos.parties import Absent, stage
from tests.security import admin, canaries, fuzzing, smuggling, tenants, timing
from tests.security.finding import FULL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.security.finding import Finding, Scale

CHECKS: dict[str, Callable[..., Any]] = {
    "tenants": tenants.check,
    "timing": timing.check,
    "canaries": canaries.check,
    "smuggling": smuggling.check,
    "fuzz": fuzzing.check,
    "admin-api": admin.check,
}


def play(check: Callable[..., Any], scale: Scale) -> list[Finding]:
    """Run one attack on a stage of its own. Raises `Absent` where it takes what is not here."""
    with (
        tempfile.TemporaryDirectory(prefix="likewise-attack-") as folder,
        stage(Path(folder)) as at,
    ):
        if not inspect.iscoroutinefunction(check):
            found: list[Finding] = check(at, scale)
            return found
        return asyncio.run(check(at, scale))


@click.command()
@click.option("--quick", is_flag=True, help="A tenth of everything, and less.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(CHECKS)))
def main(names: tuple[str, ...], *, quick: bool) -> None:
    """Attack a running proxy, and count what gives."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table("what", "samples", "figure", "bound", "holds", "counted")
    broken = False
    for name in names or CHECKS:
        begun = time.monotonic()
        try:
            found = play(CHECKS[name], QUICK if quick else FULL)
        except Absent as absent:
            console.print(f"{name}: skipped, {absent}")
            continue
        for finding in found:
            broken = broken or not finding.holds
            holds = "yes" if finding.holds else "NO"
            row = (finding.what, f"{finding.samples:,}", finding.figure, finding.bound, holds)
            table.add_row(*row, "\n".join(finding.notes))
        console.print(f"{name}: done in {time.monotonic() - begun:.0f} s")
    console.print(table)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
