"""Replays of one file under one or several configurations, side by side, and as a terminal shows
them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from index import build
from policies import prior
from policies.values import JudgeKind
from proxy import replaying
from proxy.replaying import CONFIDENCE, Result, Tally, Tools
from proxy.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from index.embedders.weights import Progress
    from policies.evidence import Share
    from policies.values import JudgeRules
    from proxy.rows import Recorded
    from proxy.settings import Settings


@contextmanager
def tools(
    settings: Settings, recorded: Recorded, judge: str | None, report: Progress
) -> Iterator[Tools]:
    """The encoder of the settings with all prompts embedded, and who says what is the same.

    What was embedded is remembered beside the store. Raises `MemoryFault`.
    """
    wanted = settings.embedding
    made = build.embedder(
        wanted.model,
        runtime=wanted.runtime,
        precision=wanted.precision,
        threads=wanted.threads,
        progress=report,
    )
    vectors = Vectors(made, build.home(settings.store_url))
    rules = settings.rules.judge
    kind = judge_kind(rules, judge) if recorded.judged else None
    try:
        with replaying.judging(kind, rules.threshold, vectors) as same:
            held = Tools(vectors, prior.of(made.id), same)
            replaying.embed(recorded, held, report)
            yield held
    finally:
        vectors.save()


def judge_kind(rules: JudgeRules, wanted: str | None) -> JudgeKind:
    """Nothing is sent anywhere, so where the policy asks a model, vectors judge."""
    if wanted is not None:
        return JudgeKind(wanted)
    return rules.kind if rules.kind is JudgeKind.TEXT else JudgeKind.EMBEDDING


def compare(
    recorded: Recorded, sides: Sequence[tuple[str, Settings]], held: Tools, report: Progress
) -> list[Result]:
    """One run for each configuration; the first one's judge says what is right for all.

    Another one's encoder is its own.
    """
    results = []
    for name, settings in sides:
        if settings.embedding == sides[0][1].embedding:
            results.append(replaying.run(name, recorded, settings.rules, held, report))
            continue
        with tools(settings, recorded, None, report) as other:
            own = replace(other, same=held.same)
            results.append(replaying.run(name, recorded, settings.rules, own, report))
    return results


# -- for a terminal --------------------------------------------------------------------------------


def shown(recorded: Recorded, results: Sequence[Result]) -> Group:
    kind = "pairs" if recorded.pairs else "requests"
    said = f"{len(recorded)} {kind} of {recorded.file}; {CONFIDENCE}"
    tables = (_totals(results), _categories(results), _reasons(results))
    return Group(Text(said), *(part for table in tables for part in ("", table)))


def interval(share: Share) -> str:
    if not share.samples:
        return "-"
    return f"{share.estimate:.1%} ({share.low * 100:.1f}-{share.high:.1%})"


def _totals(results: Sequence[Result]) -> Table:
    table = _headed("", results)
    lines: list[tuple[str, Callable[[Result], str]]] = [
        ("hit rate", lambda r: f"{r.total.hit_rate:.1%}"),
        ("exact hits", lambda r: str(r.total.exact)),
        ("hits by meaning", lambda r: str(r.total.semantic)),
        ("  of them wrong", lambda r: str(r.total.wrong)),
        ("  false hits per hit", lambda r: interval(r.total.false_hits)),
    ]
    if any(result.total.unjudged for result in results):
        lines.append(("  not judged", lambda r: str(r.total.unjudged)))
    if any(result.total.exact_wrong for result in results):
        lines.append(("exact hits, another answer", lambda r: str(r.total.exact_wrong)))
    if all(result.total.could is not None for result in results):
        lines.append(("found of what could be", lambda r: _found(r.total)))
    lines.append(("ms per decision", lambda r: f"{r.ms:.2f} (95%: {r.ms_p95:.2f})"))
    for name, read in lines:
        table.add_row(name, *(read(result) for result in results))
    return table


def _headed(first: str, results: Sequence[Result]) -> Table:
    """A table with a column for each policy."""
    table = Table(first, box=None)
    for result in results:
        table.add_column(Text(result.name), justify="right")
    return table


def _found(total: Tally) -> str:
    return f"{total.found} of {total.could}"


def _categories(results: Sequence[Result]) -> Table:
    names = ("category", "policy")[: 2 if len(results) > 1 else 1]
    table = Table(box=None)
    table.add_column("category", overflow="fold")
    for head in names[1:]:
        table.add_column(head, no_wrap=True)
    for head in ("asked", "hit rate", "by meaning", "false hits per hit"):
        table.add_column(head, justify="right", no_wrap=True)
    for name in sorted({name for result in results for name in result.categories}):
        for result in results:
            part = result.categories.get(name, Tally())
            cells = [Text(name), Text(result.name)][: len(names)]
            numbers = (str(part.asked), f"{part.hit_rate:.1%}", str(part.semantic))
            table.add_row(*cells, *numbers, interval(part.false_hits))
    return table


def _reasons(results: Sequence[Result]) -> Table:
    table = _headed("reason", results)
    names = dict.fromkeys(reason for result in results for reason in result.total.reasons)
    for name in names:
        table.add_row(name, *(str(result.total.reasons.get(name, 0)) for result in results))
    return table
