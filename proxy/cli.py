"""The command line. Parses, calls, prints; every error is one line with the next step.

Exit codes: 0 good, 1 failed (the environment's fault), 2 the user's input is wrong.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from index.errors import MemoryFault
from policies.errors import PolicyError
from proxy import moving, trials
from proxy import settings as configuration
from proxy.terminal import (
    ERR,
    OUT,
    Nearest,
    admin_option,
    bar,
    config_option,
    die,
    running,
    settings_of,
)

if TYPE_CHECKING:
    from proxy.app import Addresses
    from proxy.settings import Settings


@click.group(cls=Nearest, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="likewise", prog_name="likewise")
def cli() -> None:
    """Answer repeated and rephrased LLM questions from memory, safely.

    Example: likewise serve --upstream https://api.openai.com/v1
    """


@cli.command()
@config_option
@click.option("--upstream", metavar="URL", help="Where to forward, e.g. https://api.openai.com/v1")
@click.option("--host", help="Address of the data port; default 127.0.0.1.")
@click.option("--port", type=int, help="Data port; default 8080.")
@click.option("--admin-port", type=int, help="Admin port; default 8081.")
@click.option(
    "--access-log",
    metavar="PATH",
    help="A JSON line for each request goes to this file; - for standard output. Default none.",
)
def serve(
    config: str | None,
    upstream: str | None,
    host: str | None,
    port: int | None,
    admin_port: int | None,
    access_log: str | None,
) -> None:
    """Run the proxy.

    Example: likewise serve --upstream https://api.openai.com/v1 --port 8080
    """
    from proxy import app, server  # noqa: PLC0415 - only this command pays for the imports

    chosen = settings_of(
        config,
        upstream=upstream,
        host=host,
        port=port,
        admin_port=admin_port,
        access_log=access_log,
    )
    _log()
    for notice in configuration.notices(chosen):
        ERR.print(f"note: {notice}", style="yellow")

    def ready(where: app.Addresses) -> None:
        _keep_all()
        _greet(chosen, where)

    with bar() as progress:
        code = server.run(app.run(chosen, progress=progress, on_ready=ready))
    raise SystemExit(code)


@cli.command()
@click.option("--exit", "leave", is_flag=True, help="Stop after the table instead of serving on.")
@click.option("--port", default=8080, show_default=True, help="Data port.")
@click.option("--admin-port", default=8081, show_default=True, help="Admin port.")
def demo(leave: bool, port: int, admin_port: int) -> None:
    """Show the main job with nothing to configure.

    Example: likewise demo --exit
    """
    from proxy import server  # noqa: PLC0415 - only this command pays for the imports
    from proxy.demo import stage  # noqa: PLC0415

    _log(logging.ERROR)
    with bar() as progress:
        raise SystemExit(
            server.run(stage.play(port, admin_port, progress=progress, stay=not leave, out=OUT))
        )


@cli.command()
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.argument("path", default="likewise.yaml", type=click.Path())
def init(path: str, force: bool) -> None:
    """Write a commented likewise.yaml and its JSON Schema.

    Example: likewise init
    """
    from proxy import template  # noqa: PLC0415 - only this command pays for the imports

    target = Path(path)
    schema = target.with_name(template.SCHEMA_FILE)
    if target.exists() and not force:
        raise click.UsageError(f"{target} is already there; give --force to overwrite it")
    try:
        target.write_text(template.TEMPLATE)
        schema.write_text(json.dumps(template.schema(), indent=2) + "\n")
    except OSError as fault:
        die(f"{target}: cannot be written ({fault.strerror}); choose another folder")
    OUT.print(f"Wrote {target} and {schema}. Next: likewise check {target}")


@cli.command()
@click.argument("path", required=False, type=click.Path())
@click.option("--upstream", metavar="URL", help="Stands in for `upstreams:` of the file.")
@click.option(
    "--from-litellm",
    type=click.Path(exists=True, dir_okay=False),
    help="A LiteLLM proxy's config.yaml: write what it says as a likewise.yaml instead.",
)
@click.option("--output", type=click.Path(), help="Where to; default standard output.")
def check(
    path: str | None, upstream: str | None, from_litellm: str | None, output: str | None
) -> None:
    """Validate a configuration, and see whether store and embedder answer.

    Example: likewise check likewise.yaml
    """
    if from_litellm is not None:
        if path is not None or upstream is not None:
            raise click.UsageError("--from-litellm reads its own file; leave out the other one")
        _carry_over(Path(from_litellm), None if output is None else Path(output))
        return
    if output is not None:
        raise click.UsageError("--output is for --from-litellm; a check writes nothing")
    from proxy import checking  # noqa: PLC0415 - only this command pays for the imports

    chosen = settings_of(path, upstream=upstream)
    for notice in configuration.notices(chosen):
        OUT.print(f"note: {notice}", style="yellow", soft_wrap=True, highlight=False)
    failed = False
    with bar() as progress:
        for good, said in checking.answers(chosen, progress):
            OUT.print(f"{'ok  ' if good else 'FAIL'} {said}", soft_wrap=True, highlight=False)
            failed = failed or not good
    raise SystemExit(1 if failed else 0)


@cli.command()
@click.argument("prompt")
@click.option("--model", default="", help="Only neighbours of this model; default any.")
@click.option("--system", help="The system prompt that the client sends.")
@click.option("--context", multiple=True, help="Earlier user turns, oldest first; repeat.")
@click.option("--category", help="Pin the category.")
@click.option("--json", "as_json", is_flag=True, help="The whole evidence as JSON.")
@config_option
@admin_option
def explain(
    prompt: str,
    model: str,
    system: str | None,
    context: tuple[str, ...],
    category: str | None,
    as_json: bool,
    config: str | None,
    admin: str | None,
) -> None:
    """Ask a running proxy why a prompt would hit or miss.

    Example: likewise explain "Why is the sky blue?"
    """
    from proxy import remote  # noqa: PLC0415 - only this command pays for the imports

    question = {
        "prompt": prompt,
        "model": model,
        "system": system,
        "history": [["user", turn] for turn in context],
        "category": category,
    }
    told = running(config, admin).explain(question)
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    OUT.print(remote.explanation(told))


@cli.group(cls=Nearest)
def models() -> None:
    """Embedding models on this machine.

    Example: likewise models pull
    """


@models.command()
@click.argument("model", default="all-MiniLM-L6-v2")
@click.option("--precision", type=click.Choice(["int8", "fp32"]), default="int8")
@click.option("--runtime", type=click.Choice(["onnx", "torch"]), default="onnx")
def pull(model: str, precision: str, runtime: str) -> None:
    """Fetch and build an embedding model ahead of time.

    Example: likewise models pull all-MiniLM-L6-v2
    """
    from index import build  # noqa: PLC0415 - only this command pays for the import

    with bar() as progress:
        made = build.embedder(
            model, runtime=runtime, precision=precision, threads=1, progress=progress
        )
    OUT.print(f"{made.id} is ready.")


@cli.command()
@click.option("--quick", is_flag=True, help="About 20 seconds instead of a minute.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON.")
def bench(quick: bool, as_json: bool) -> None:
    """Measure this machine: each path as a ratio to its floor.

    Example: likewise bench --quick
    """
    from proxy import bench as benching  # noqa: PLC0415 - only this command pays for the import

    with bar() as progress:
        figures = benching.measure(quick=quick, progress=progress)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        OUT.print(benching.table(figures))


@cli.command("hash-key")
def hash_key() -> None:
    """Print the hash of an API key, read from standard input, for `tenants:`.

    Example: printenv OPENAI_API_KEY | likewise hash-key
    """
    from proxy import identity  # noqa: PLC0415 - only this command pays for the import

    tty = sys.stdin.isatty()
    key = click.prompt("API key", hide_input=True) if tty else sys.stdin.read()
    if not key.strip():
        raise click.UsageError("no key was given on standard input")
    click.echo("sha256:" + identity.hash_key(identity.bare_key(key.strip().encode())))


for _command in (
    *(trials.replay, trials.tune),
    *(moving.purge, moving.export, moving.import_, moving.backup),
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as leaving:
        raise SystemExit(leaving.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    except click.ClickException as fault:
        die(fault.format_message(), 2)
    except PolicyError as fault:
        for problem in fault.problems:
            ERR.print(str(problem), markup=False)
        raise SystemExit(2) from None
    except MemoryFault as fault:
        die(str(fault))
    except BrokenPipeError:
        raise SystemExit(1) from None


def _carry_over(source: Path, target: Path | None) -> None:
    """Write a LiteLLM configuration as a likewise.yaml; what it cannot say goes to stderr."""
    from proxy import litellm  # noqa: PLC0415 - only this command pays for the import

    made = litellm.convert(configuration.read_file(source))
    for remark in made.remarks:
        ERR.print(str(remark), markup=False)
    if not made.text:
        die(f"{source}: nothing of it could be carried over")
    if target is None:
        click.echo(made.text, nl=False)
        return
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(made.text)
    except FileExistsError:
        raise click.UsageError(f"{target} is already there; name another file") from None
    except OSError as fault:
        die(f"{target}: cannot be written ({fault.strerror}); choose another folder")
    OUT.print(f"Wrote {target}. Next: likewise check {target}", soft_wrap=True, highlight=False)


def _keep_all() -> None:
    """What there is by now stays for good. To look through it for garbage takes 80 ms each time, in
    which nobody is answered."""
    gc.collect()
    gc.freeze()
    # Counts what may be garbage from here on, of which a quarter more makes it look again.
    gc.collect()


def _greet(chosen: Settings, where: Addresses) -> None:
    source = chosen.source or "built-in policy"
    ERR.print(f"Likewise serves {where.data}/v1  ({source}, {chosen.store_url.rpartition('@')[2]})")
    for upstream in chosen.upstreams:
        ERR.print(f"  forwards {', '.join(upstream.models)} to {upstream.base_url}", markup=False)
    # A token that somebody chose is known to them, and logs are read by others.
    token = "of LIKEWISE_ADMIN_TOKEN" if chosen.admin_token else where.token
    ERR.print(f"  dashboard {where.admin}  token {token}", markup=False)


def _log(level: int = logging.INFO) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    for noisy in ("httpx", "httpx2", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))


if __name__ == "__main__":
    main()
