"""The commands that try a policy on what is known: `likewise replay`, `likewise tune`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proxy import settings as configuration
from proxy.terminal import OUT, admin_option, bar, config_option, die, policy_of, running

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.tuning import Label


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--policy", metavar="YAML", help="Replay under this file too, side by side.")
@click.option(
    "--judge",
    type=click.Choice(["text", "embedding"]),
    help="Who says whether two answers' texts are the same; default that of the policy.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw precision and hit rate."
)
@config_option
def replay(
    file: Path,
    policy: str | None,
    judge: str | None,
    as_json: bool,
    plot: Path | None,
    config: str | None,
) -> None:
    """Run labelled pairs or recorded traffic through the decisions, without a proxy.

    FILE holds JSON lines, all of one kind. Pairs: {a, b, label}, label 1 where one answer serves
    both; each pair asks b of a cache that holds a. Traffic, in order: {prompt, answer}, or instead
    of the answer `intent` or `cluster`, a name that requests with the same answer share. Also
    understood: `category`, `model`, `at` (a time), `history` and `messages` (lists of {role,
    content}; in pairs also `a_history`, `b_history`), `response` for `answer`, `text` for `prompt`.

    Example: likewise replay pairs.jsonl --policy looser.yaml
    """
    from proxy import comparing, plotting, replaying, rows  # noqa: PLC0415 - only this command pays

    if plot is not None:
        plotting.needed()
    mine = policy_of(config)
    sides = [(str(mine.source or "built-in policy"), mine)]
    if policy is not None:
        sides.append((policy, policy_of(policy)))
    recorded = rows.read(file)
    with bar() as progress, comparing.tools(mine, recorded, judge, progress) as tools:
        results = comparing.compare(recorded, sides, tools, progress)
        if plot is not None:
            curves = replaying.curves(recorded, mine.rules, tools, progress)
            chosen = replaying.point(results[0].name, results[0].total)
            plotting.draw(curves, chosen, plot, f"Policies over {file.name}")
    if as_json:
        click.echo(json.dumps([result.data() for result in results], indent=2))
    else:
        OUT.print(comparing.shown(recorded, results))


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--max-false-hits", metavar="SHARE", help="Wanted, e.g. 2%; default the policy's.")
@click.option("--judge", type=click.Choice(["text", "embedding"]), help="As for replay.")
@click.option("--write", is_flag=True, help="Change the file instead of only showing how.")
@click.option("--reset", metavar="CATEGORY", help="Make the proxy forget what it learned of it.")
@config_option
@admin_option
def tune(
    file: Path | None,
    max_false_hits: str | None,
    judge: str | None,
    write: bool,
    reset: str | None,
    config: str | None,
    admin: str | None,
) -> None:
    """Suggest a threshold for each category, from a running proxy's labels or from a file.

    FILE holds rows as for `likewise replay`. What is suggested is shown as a change of the
    configuration; nothing is written without --write.

    Example: likewise tune --max-false-hits 1%
    """
    from proxy import tuning  # noqa: PLC0415 - only this command pays for the import

    if reset is not None:
        if file is not None or write or max_false_hits or judge:
            raise click.UsageError("--reset goes with nothing but --config and --admin")
        running(config, admin).forget(reset)
        OUT.print(f"What {reset} taught is forgotten.", markup=False, highlight=False)
        return
    wanted = None if max_false_hits is None else _bound(max_false_hits)
    chosen = policy_of(config)
    if file is None:
        known = tuning.told(running(config, admin).labels())
    else:
        known = _labels_of(file, chosen, judge)
    advice = tuning.advise(known, chosen.rules, wanted)
    if not advice:
        die("there are no labels yet; let the proxy run for a while, or name a file")
    OUT.print(tuning.shown(advice))
    for remark in tuning.remarks(advice, chosen.document):
        OUT.print(remark, markup=False, highlight=False, soft_wrap=True)
    _suggest(chosen, tuning.edited(chosen.document, chosen.rules, advice, wanted), write=write)
    if not any(one.cut for one in advice) and any(one.missing for one in advice):
        raise SystemExit(1)


def _bound(given: str) -> float:
    from policies.amounts import share  # noqa: PLC0415 - only one command pays for the import

    try:
        bound = share(given)
    except ValueError as fault:
        raise click.UsageError(f"--max-false-hits: {fault}") from None
    if not 0 < bound < 1:
        raise click.UsageError("--max-false-hits: must be above 0% and below 100%, such as 2%")
    return bound


def _labels_of(file: Path, chosen: Settings, judge: str | None) -> list[Label]:
    """What a replay of a file says in which nothing is served."""
    from proxy import comparing, replaying, rows, tuning  # noqa: PLC0415 - for this command only

    recorded = rows.read(file)
    with bar() as progress, comparing.tools(chosen, recorded, judge, progress) as tools:
        asked = replaying.outcomes(recorded, chosen.rules, tools, progress, shadow=True)
        return tuning.labels(asked)


def _suggest(chosen: Settings, text: str, *, write: bool) -> None:
    """Show the configuration's change; with `write` make it."""
    from proxy import editing  # noqa: PLC0415 - only one command pays for the import

    target = chosen.source or Path(configuration.FILE)
    if text == chosen.document.text:
        OUT.print("Nothing to change.")
        return
    click.echo(editing.diff(chosen.document.text, text, str(target)), nl=False)
    if not write:
        return
    try:
        # Byte for byte: the text holds its own line endings.
        target.write_bytes(text.encode())
    except OSError as fault:
        die(f"{target}: cannot be written ({fault.strerror})")
    OUT.print(f"Wrote {target}.", soft_wrap=True, highlight=False)
