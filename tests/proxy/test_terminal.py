"""What the commands share: a bar for people only, a way to the configuration, one line of fault."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from policies.errors import PolicyError
from proxy import terminal
from proxy.terminal import Nearest, bar, die, policy_of, settings_of


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LIKEWISE_CONFIG", "LIKEWISE_UPSTREAM", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_policy_needs_no_upstream() -> None:
    """Where nothing is forwarded; a proxy that serves does need one."""
    Path("likewise.yaml").write_text("policy: {audits: 7%}\n")
    assert policy_of(None).rules.audits == 0.07
    with pytest.raises(PolicyError, match="no upstream"):
        settings_of(None)


def test_a_fault_is_one_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error."""
    with pytest.raises(SystemExit) as leaving:
        die("no [red]luck[/red]")
    assert (leaving.value.code, capsys.readouterr().err) == (1, "likewise: no [red]luck[/red]\n")


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Long work leaves nothing in a log."""
    with bar() as progress:
        progress("working", 0.5)
        progress("working", 1.0)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the work, ends with it, and begins anew with the next."""
    monkeypatch.setattr(terminal.ERR, "_force_terminal", True)
    with terminal.ERR.capture() as caught, bar() as progress:
        for what in ("embedding", "deciding"):
            progress(what, 0.5)
            progress(what, 1.0)
    assert "embedding" in caught.get()
    assert "deciding" in caught.get()


def test_the_nearest_command_is_named() -> None:
    """A typo costs one more attempt, not a look into the manual."""

    @click.group(cls=Nearest)
    def group() -> None:
        """A group."""

    group.command("replay")(lambda: None)
    said = CliRunner().invoke(group, ["reply"]).output
    assert "there is no command 'reply'; did you mean `replay`?" in said
    assert "known: replay" in CliRunner().invoke(group, ["frobnicate"]).output
