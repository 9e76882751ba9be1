"""`python -m tests.conformance`: every part in turn; exit 1 where an application could tell."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from tests.conformance import directives, official, suite

SEED = 20_251
PARTS = ("clients", "suite", "directives")


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only these parts.")
@click.option("--client", "names", multiple=True, help="Only these clients.")
@click.option("--share", default=1.0, help="Of the generated cases, how many (0.2 is a fifth).")
@click.option("--seed", default=SEED, help="What the generated cases are drawn from.")
def main(parts: tuple[str, ...], names: tuple[str, ...], share: float, seed: int) -> None:
    """Compare official clients with and without Likewise between them and an upstream."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    chosen = parts or PARTS
    good = True
    if "clients" in chosen:
        good &= official.run(console, names, seed=seed, share=share)
    if "suite" in chosen:
        good &= suite.run(console)
    if "directives" in chosen:
        good &= directives.run(console)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
