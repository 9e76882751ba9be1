"""The admin token: the environment's, else one kept in an owner-only file beside the store."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from index import build
from index.database import unwritable
from index.errors import NoRoomError, SetupError
from index.faults import Told

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.settings import Settings

TOLD = Told(logging.getLogger("likewise.token"))

TOKEN_FILE = "admin-token"  # noqa: S105 - a file's name
AGAIN_SECONDS = 5.0


def token_file(settings: Settings) -> Path:
    """Where the commands of the same user find the token."""
    return build.home(settings.store_url) / TOKEN_FILE


class Token:
    """The token of one process. `kept` says that others find it where they look."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SetupError` where no file can be had, but not for want of room."""
        given = settings.admin_token
        self.kept = given is not None
        self.value = given.reveal() if given is not None else secrets.token_urlsafe(24)
        self._path = token_file(settings)
        if not self.kept:
            # What others know already counts.
            self.value = self._keep() or self.value

    async def run(self) -> None:
        """Try to keep it until it is kept."""
        while not self.kept:
            await asyncio.sleep(AGAIN_SECONDS)
            with suppress(SetupError):
                self._keep()

    def _keep(self) -> str:
        """Write the file, where there is none; what stands in it, empty where it could not be."""
        path = self._path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = _known(path) or _written(path, self.value)
        except OSError as fault:
            if isinstance(unwritable("", fault), NoRoomError):
                TOLD.warn(str(path), f"not written ({fault.strerror}); it is tried again")
                return ""
            said = f"{path}: cannot be written ({fault.strerror}); set LIKEWISE_ADMIN_TOKEN instead"
            raise SetupError(said) from fault
        self.kept = True
        return known


def _known(path: Path) -> str:
    known = path.read_text().strip() if path.exists() else ""
    if not known:
        # Left by a process that was killed, or found no room, before it could write.
        path.unlink(missing_ok=True)
    return known


def _written(path: Path, token: str) -> str:
    """What stands in the file now: another process may have been first."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    try:
        with os.fdopen(handle, "w") as file:
            file.write(token + "\n")
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return token
