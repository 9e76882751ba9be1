"""The results for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.peers.running import Phase, Result

SPEEDS = ("exact", "semantic", "fresh")
QUALITIES = ("paraphrases", "lookalikes", "elsewhere")


def table(results: Sequence[Result]) -> Table:
    """A row for each set-up that ran: speed by kind of request, memory, start, answers."""
    made = Table(title="Likewise and its peers")
    made.add_column("set-up")
    for kind in SPEEDS:
        made.add_column(f"{kind}\n1/s at c=32", justify="right")
        made.add_column("p50 / p99 ms\nat c=1", justify="right")
        made.add_column("CPU ms", justify="right")
    for heading in ("calls\nsaved", "wrong\nanswers", "MB", "start s"):
        made.add_column(heading, justify="right")
    for result in results:
        if not result.skipped:
            made.add_row(result.name, *cells(result))
    return made


def cells(result: Result) -> Iterator[str]:
    for kind in SPEEDS:
        alone, many = result.phases[f"{kind} c=1"], result.phases[f"{kind} c=32"]
        yield f"{many.rate:,.0f}"
        yield f"{alone.p50:.3g} / {alone.p99:.3g}"
        yield f"{many.cpu:.3g}"
    asked = result.phases["paraphrases"]
    yield f"{asked.saved} of {asked.asked}"
    yield f"{wrong(result)} of {sum(result.phases[name].asked for name in QUALITIES)}"
    yield f"{result.full_mb:,.0f}"
    yield f"{result.ready_s:.1f}"


def wrong(result: Result) -> int:
    """Wrong answers to paraphrases, look-alikes, and questions under another system prompt."""
    return sum(result.phases[name].wrong for name in QUALITIES)


def line(result: Result) -> str:
    """One set-up as it ends."""
    if result.skipped:
        return f"{result.name}: skipped, {result.skipped}"
    return f"{result.name}: " + "; ".join(
        f"{name} {phase.rate:,.0f}/s" for name, phase in result.phases.items() if "c=32" in name
    )


def notes(results: Sequence[Result]) -> Iterator[str]:
    """What the table does not show: who was left out and why, and what did not go as meant."""
    for result in results:
        if result.skipped:
            yield f"{result.name}: skipped, {result.skipped}"
        for name, phase in result.phases.items():
            if said := oddities(name, phase):
                yield f"{result.name}, {name}: {said}"


def oddities(name: str, phase: Phase) -> str:
    """Answers that failed or were wrong, and hits that were misses or the other way round."""
    said = []
    if phase.failed:
        said.append(f"{phase.failed} answers without a proof")
    if phase.wrong:
        said.append(f"{phase.wrong} of {phase.asked} wrong")
    if name.startswith("semantic") and phase.saved < phase.asked:
        said.append(f"{phase.asked - phase.saved} of {phase.asked} went upstream")
    return ", ".join(said)
