"""What the commands share: what they print on, their common options, the way to a configuration
and to a running proxy.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from proxy import settings as configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.settings import Settings

OUT = Console()
ERR = Console(stderr=True, highlight=False, soft_wrap=True)

config_option = click.option(
    "-c", "--config", type=click.Path(), help="The configuration; default ./likewise.yaml if there."
)
admin_option = click.option(
    "--admin", metavar="URL", help="The running proxy's admin address; default from the file."
)


class Nearest(click.Group):
    """A group that names the nearest command to a mistyped one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
            raise click.UsageError(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)


def die(said: str, code: int = 1) -> NoReturn:
    ERR.print(f"likewise: {said}", markup=False)
    raise SystemExit(code)


def settings_of(config: str | None, **overrides: Any) -> Settings:
    return configuration.load(config, env=os.environ, **overrides)


def policy_of(config: str | None) -> Settings:
    """The configuration where it does not matter whereto the proxy forwards."""
    return settings_of(config, upstream="http://127.0.0.1")


def running(config: str | None, admin: str | None) -> Any:
    """A client of the running proxy that the configuration, or `--admin`, points at."""
    from proxy.remote import Admin  # noqa: PLC0415 - only commands that ask a proxy pay for it

    return Admin.of(policy_of(config), admin)


class bar:  # noqa: N801 - used as a function
    """A progress bar that appears with the first report, and never without a terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> Callable[[str, float], None]:
        return self._report

    def _report(self, what: str, share: float) -> None:
        if not ERR.is_terminal:
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=ERR
            )
            self._progress.start()
            self._task = self._progress.add_task(what, total=1.0)
        self._progress.update(self._task, description=what, completed=share)
        if share >= 1.0:
            self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def __exit__(self, *_: object) -> None:
        self._stop()
