"""`python -m tests.model`: thousands of steps in random order; exit 1 at the first untruth."""

from __future__ import annotations

import sys
import time

import click
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from proxy.demo.oracle import OracleUpstream
from tests.model.machine import machine_before
from tests.proxy.house import uvicorn_of

LIVES, EACH = 100, 50


@click.command()
@click.option("--steps", default=20_000, show_default=True)
def main(steps: int) -> None:
    """Move a proxy and a model of it side by side."""
    begun, oracle, done = time.monotonic(), OracleUpstream(), 0
    with uvicorn_of(oracle) as url:
        while done < steps:
            done += play(url, oracle, lives=LIVES, each=EACH)
    took, calls = time.monotonic() - begun, len(oracle.log)
    sys.stdout.write(f"{done:,} steps, 0 violations, {calls:,} calls upstream, {took:.0f} s\n")


def play(url: str, oracle: OracleUpstream, *, lives: int, each: int) -> int:
    """So many proxies, each for so many steps at most; how many steps in all. Raises at the first
    untruth."""
    machine = machine_before(url, oracle)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=each,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.steps


if __name__ == "__main__":
    main()
