"""The token's file: made once, taken over, never left half written."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from index.errors import SetupError
from proxy.settings import load
from proxy.token import Token, token_file
from tests.proxy.house import configuration

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return made(tmp_path)


def made(folder: Path, **env: str) -> Settings:
    config = folder / "likewise.yaml"
    config.write_text(configuration(folder, "http://127.0.0.1:1"))
    return load(config, env=env)


def test_it_is_the_owners_alone_and_stays(settings: Settings) -> None:
    """The next process finds the same one; nobody else can read it."""
    token = Token(settings)
    assert (token.kept, Token(settings).value) == (True, token.value)
    file = token_file(settings)
    assert file.read_text() == token.value + "\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_environments_is_written_nowhere(tmp_path: Path) -> None:
    """Whoever chose a token keeps it."""
    given = made(tmp_path, LIKEWISE_ADMIN_TOKEN="chosen-by-an-operator-himself")
    token = Token(given)
    assert (token.value, token.kept) == ("chosen-by-an-operator-himself", True)
    assert not token_file(given).exists()


def test_an_empty_file_is_no_token(settings: Settings) -> None:
    """What a process left that found no room to write must let nobody in."""
    file = token_file(settings)
    file.touch()
    assert len(Token(settings).value) >= 32
    assert file.read_text().strip()


def test_without_room_it_holds_for_this_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves no empty file behind; the file is written at the next try."""
    with monkeypatch.context() as full:
        full.setattr(os, "fdopen", refusing(errno.ENOSPC))
        token = Token(settings)
    assert not token.kept
    assert not token_file(settings).exists()
    token._keep()
    assert token_file(settings).read_text().strip() == token.value


async def test_it_is_tried_until_it_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not once more."""
    monkeypatch.setattr("proxy.token.AGAIN_SECONDS", 0.001)
    with monkeypatch.context() as full:
        full.setattr(os, "fdopen", refusing(errno.EROFS))
        token = Token(settings)
    await token.run()
    assert token.kept
    assert token_file(settings).read_text().strip() == token.value


def test_a_folder_that_is_not_ours_is_a_fault(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has to do something about it, and is told what."""
    monkeypatch.setattr(os, "open", refusing(errno.EACCES))
    with pytest.raises(SetupError, match="set LIKEWISE_ADMIN_TOKEN instead"):
        Token(settings)


def refusing(number: int) -> Any:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse
