"""The commands that move entries: `likewise purge`, `export`, `import`, `backup`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from policies.errors import PolicyError, Problem
from proxy.terminal import ERR, OUT, admin_option, bar, config_option, die, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    from proxy.carrier import Carrier

    Report = Callable[[str, float], None]

F = TypeVar("F", bound="Callable[..., Any]")

MOST_PROBLEMS = 200
# The admin port takes bodies of up to 1 MB.
MOST_BYTES = 990_000
FOREIGN = (
    "note: this comes from a house with another secret: only what is shared with everyone will be "
    "found; start the proxy with the LIKEWISE_SECRET of that house, or restore a backup"
)
_CHOICES = (
    click.option("--id", "ids", multiple=True, help="Entry id; repeat for several."),
    click.option("--tag", help="Entries stored with this tag."),
    click.option("--category", help="Entries of this category."),
    click.option("--tenant", help="Entries of this tenant."),
    click.option("--model", help="Entries of this model."),
    click.option("--user", help="Entries of this end user, where they are shared per user."),
    click.option("--older-than", metavar="AGE", help="Entries older than e.g. 7d."),
)


def choices(command: F) -> F:
    """The options that say which entries."""
    for option in reversed(_CHOICES):
        command = option(command)
    return command


@click.command()
@choices
@click.option("--all", "everything", is_flag=True, help="Every entry.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
@config_option
@admin_option
def purge(
    everything: bool, dry_run: bool, config: str | None, admin: str | None, **given: Any
) -> None:
    """Remove entries from a running proxy.

    With --user the proxy is asked again afterwards, and what is left is told; anything left is
    exit code 1.

    Example: likewise purge --category market_data --older-than 1h --dry-run
    """
    from proxy.carrier import carrier  # noqa: PLC0415 - only commands that ask a proxy pay for it

    chosen = _selection(**given)
    if not chosen and not everything:
        raise click.UsageError("say which entries: --id, --tag, --category, … or --all")
    proxy = carrier(config, admin)
    told = proxy.count(chosen)
    if not dry_run:
        with bar() as report:
            told = proxy.clear(chosen, told.removed, report)
    also = f" and {_requests(told.decisions)} of the log" if "user" in chosen else ""
    OUT.print(f"{_entries(told.removed)}{also} {'would be removed' if dry_run else 'removed'}.")
    for said in told.untold:
        ERR.print(f"note: {said}", style="yellow")
    if "user" in chosen and not dry_run:
        left = proxy.count(chosen)
        OUT.print(f"{_entries(left.removed)} and {_requests(left.decisions)} of this user left.")
        raise SystemExit(1 if left.removed or left.decisions else 0)


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@choices
@click.option("--vectors", is_flag=True, help="With vectors, so that nothing is embedded again.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@config_option
@admin_option
def export(
    file: Path | None,
    vectors: bool,
    force: bool,
    config: str | None,
    admin: str | None,
    **given: Any,
) -> None:
    """Write entries of a running proxy as JSON lines, to a file or to standard output.

    The last line tells how many there are and their SHA-256. An export that was cut off has none,
    and is exit code 1.

    Example: likewise export entries.jsonl --category code
    """
    from proxy.carrier import carrier  # noqa: PLC0415 - only commands that ask a proxy pay for it

    chosen = _selection(**given)
    if file is not None and file.exists() and not force:
        raise click.UsageError(f"{file} is already there; give --force to overwrite it")
    proxy = carrier(config, admin)
    with bar() as report, proxy.export(chosen, vectors=vectors) as (total, lines):
        if file is None:
            _write(lines, sys.stdout.buffer, total, report)
            return
        try:
            with _fresh(file, force=force) as into:
                written = _write(lines, into, total, report)
        except FileExistsError:
            raise click.UsageError(f"{file} is already there; give --force") from None
        except OSError as fault:
            die(f"{file}: cannot be written ({fault.strerror}); choose another folder")
    OUT.print(f"Wrote {_entries(written)} to {file}.", soft_wrap=True, highlight=False)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace entries that are there already.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--partial", is_flag=True, help="Take an export that was cut off or edited.")
@click.option("--model", help="Pairs: the model that will be asked.")
@click.option("--system", help="Pairs: the system prompt that the application sends.")
@click.option("--body", help="Pairs: more fields of its requests, as JSON.")
@click.option("--key-env", metavar="VARIABLE", help="Pairs: where the key is that will ask.")
@click.option("--tenant", help="Pairs: the tenant whose keys will ask (`share: tenant`).")
@config_option
@admin_option
def import_(
    file: Path,
    overwrite: bool,
    dry_run: bool,
    partial: bool,
    config: str | None,
    admin: str | None,
    **asking: str | None,
) -> None:
    """Put entries into a running proxy: an export, or questions with answers.

    FILE is what `likewise export` wrote; or CSV with the header question,answer (and, if wanted,
    category,model); or JSON lines of {"question", "answer"}. A question is remembered as if it had
    been asked by chat completion, with this model, system prompt and body and nothing else.

    Every line is looked at first: a bad one is told, and then nothing is taken.

    Example: likewise import faq.csv --model gpt-4o-mini --key-env OPENAI_API_KEY
    """
    from proxy.carrier import carrier  # noqa: PLC0415 - only commands that ask a proxy pay for it

    given = [key for key, value in asking.items() if value is not None]
    if not _holds_entries(file):
        if partial:
            raise click.UsageError("--partial is for exports")
        load = _pairs(file, carrier(config, admin), _asked(asking), overwrite=overwrite)
    elif given:
        raise click.UsageError(f"--{given[0].replace('_', '-')} is for questions with answers")
    else:
        load = _lines(file, carrier(config, admin), partial=partial, overwrite=overwrite)
    with bar() as report:
        told = _sent(file, load, report, dry_run=True)
        if told.refused:
            raise PolicyError(told.refused)
        if not dry_run:
            told = _sent(file, load, report, dry_run=False)
    if told.foreign:
        ERR.print(FOREIGN, style="yellow")
    skipped = f"{told.existing} there already, {told.expired} expired"
    OUT.print(f"{_entries(told.taken)} {'would be ' * dry_run}taken; skipped: {skipped}.")
    for problem in told.refused:
        ERR.print(str(problem), markup=False)
    raise SystemExit(1 if told.refused else 0)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@config_option
def backup(file: Path, force: bool, config: str | None) -> None:
    """Copy the SQLite store while the proxy serves from it.

    The copy is of one moment, is checked, and holds the secret: only its owner may read it. To go
    back, stop the proxy and put the copy in the store's place.

    Example: likewise backup likewise-backup.db
    """
    from proxy import backup as copying  # noqa: PLC0415 - only this command pays for the import

    scheme, _, rest = policy_of(config).store_url.partition(":")
    if scheme != "sqlite":
        raise click.UsageError(
            "the store is a Redis, which makes its own copies: run `redis-cli BGSAVE` there, wait "
            "until `redis-cli LASTSAVE` moves, and keep its dump.rdb"
        )
    try:
        with bar() as report:
            entries = copying.copy(Path(rest), file, force=force, report=report)
    except FileExistsError:
        raise click.UsageError(f"{file} is already there; give --force to overwrite it") from None
    OUT.print(f"Copied {_entries(entries)} to {file}.", soft_wrap=True, highlight=False)


class _Load(NamedTuple):
    """What an import sends: pieces, each with the file's line for each of its own, and how."""

    total: int
    pieces: Callable[[], Iterator[tuple[list[int], Any]]]
    send: Callable[[Any, bool], dict[str, Any]]


@dataclass(slots=True)
class _Told:
    """What the proxy said of all pieces."""

    taken: int = 0
    existing: int = 0
    expired: int = 0
    foreign: bool = False
    refused: list[Problem] = field(default_factory=list)


def _sent(file: Path, load: _Load, report: Report, *, dry_run: bool) -> _Told:
    """Send all pieces; a refusal ends what is meant."""
    told, done = _Told(), 0
    what = "looking at each line" if dry_run else "importing"
    for numbers, piece in load.pieces():
        answer = load.send(piece, dry_run)
        told.taken += answer["taken"]
        told.existing += answer["skipped"]["existing"]
        told.expired += answer["skipped"]["expired"]
        told.foreign |= answer["foreign"]
        for one in answer["refused"]:
            told.refused.append(Problem(str(file), numbers[one["line"] - 1], "", one["why"]))
        if told.refused and (not dry_run or len(told.refused) >= MOST_PROBLEMS):
            break
        done += len(numbers)
        report(what, min(0.99, done / max(1, load.total)))
    report(what, 1.0)
    return told


def _lines(file: Path, proxy: Carrier, *, partial: bool, overwrite: bool) -> _Load:
    """An export as a load, after a first look at its end."""
    from proxy import transfer  # noqa: PLC0415 - only this command pays for the import

    total, secret, long = 0, None, []
    try:
        with file.open("rb") as lines:
            for line in transfer.whole(lines):
                total += 1
                end = transfer.end_of(line)
                secret = end.secret if end is not None else secret
                if len(line) > MOST_BYTES:
                    said = f"is longer than the {MOST_BYTES:,} bytes that the admin port takes"
                    long.append(Problem(str(file), total, "", said))
    except transfer.Cut as cut:
        if not partial:
            said = f"{cut}: it was cut off or edited; export again, or give --partial"
            raise PolicyError([Problem(str(file), 0, "", said)]) from None
    if long:
        raise PolicyError(long[:MOST_PROBLEMS])

    def send(piece: Any, dry_run: bool) -> dict[str, Any]:
        return proxy.take(piece, overwrite=overwrite, dry_run=dry_run, secret=secret)

    return _Load(total, lambda: _pieces(file), send)


def _pieces(file: Path) -> Iterator[tuple[list[int], bytes]]:
    """An export's lines without the last one, as many at once as one request takes."""
    numbers: list[int] = []
    held: list[bytes] = []
    size = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith(b'{"end":'):
                continue
            if held and size + len(line) > MOST_BYTES:
                yield numbers, b"".join(held)
                numbers, held, size = [], [], 0
            numbers.append(number)
            held.append(line)
            size += len(line)
    if held:
        yield numbers, b"".join(held)


def _pairs(file: Path, proxy: Carrier, asked: dict[str, Any], *, overwrite: bool) -> _Load:
    """Questions with answers as a load."""
    from proxy import pairs  # noqa: PLC0415 - only this command pays for the import

    known = pairs.read(file)

    def pieces() -> Iterator[tuple[list[int], Any]]:
        for numbers, some in pairs.portions(known):
            yield numbers, [asdict(pair) for pair in some]

    def send(piece: Any, dry_run: bool) -> dict[str, Any]:
        return proxy.warm(asked | {"pairs": piece, "overwrite": overwrite, "dry_run": dry_run})

    return _Load(len(known), pieces, send)


def _asked(asking: dict[str, str | None]) -> dict[str, Any]:
    """How an application will ask, from the options that say so."""
    if not asking["model"]:
        raise click.UsageError("questions with answers need --model: which one will be asked?")
    if asking["key_env"] is not None and asking["tenant"] is not None:
        raise click.UsageError("give --key-env or --tenant, not both")
    key = None if asking["key_env"] is None else os.environ.get(asking["key_env"], "").strip()
    if key == "":
        raise click.UsageError(f"--key-env: {asking['key_env']} is not set, or empty")
    return {
        "model": asking["model"],
        "system": asking["system"],
        "credential": key,
        "tenant": asking["tenant"],
        "body": _body(asking["body"]),
    }


def _body(given: str | None) -> dict[str, Any]:
    try:
        body = json.loads(given or "{}")
    except ValueError:
        body = None
    if not isinstance(body, dict) or {"model", "messages"} & body.keys():
        said = 'must be a JSON object such as {"temperature": 0}, without model and messages'
        raise click.UsageError(f"--body: {said}")
    return body


def _holds_entries(file: Path) -> bool:
    """Whether this is an export; what is neither is told when it is read as pairs."""
    with file.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"")
    return file.suffix.lower() != ".csv" and first.startswith((b'{"facts":', b'{"end":'))


def _selection(**given: Any) -> dict[str, Any]:
    """The choices that were made, as the API takes them."""
    from policies.amounts import duration  # noqa: PLC0415 - only these commands pay for the import

    chosen = {key: value for key, value in given.items() if value not in (None, ())}
    if "older_than" in chosen:
        try:
            chosen["older_than"] = duration(chosen["older_than"])
        except ValueError as fault:
            raise click.UsageError(f"--older-than: {fault}") from None
    return chosen


def _write(lines: Iterator[bytes], into: IO[bytes], total: int, report: Report) -> int:
    """Write an export as it comes; how many entries. One that was cut off ends the command."""
    from proxy import transfer  # noqa: PLC0415 - only this command pays for the import

    written = -1
    try:
        for line in transfer.whole(lines):
            into.write(line)
            written += 1
            report("exporting", min(0.99, written / max(1, total)))
        into.flush()
    except transfer.Cut as cut:
        die(f"the export was cut off ({cut}); see that the proxy and its store run, and try again")
    report("exporting", 1.0)
    return written


@contextmanager
def _fresh(file: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """A file that takes its name once it is whole, readable by its owner only."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as into:
            yield into
        if force:
            part.replace(file)
        else:
            os.link(part, file)  # unlike a rename, it never replaces what is there
    finally:
        with suppress(OSError):
            part.unlink()


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _requests(count: int) -> str:
    return f"{count} {'request' if count == 1 else 'requests'}"
