"""An environment of its own for every peer: pinned versions in a folder of the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

_SECONDS = 900


class Unavailable(Exception):
    """A peer cannot be had here; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A name, and what pip puts there in one command."""

    name: str
    requirements: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Another set of versions gets another place."""
        told = hashlib.sha256("\n".join(self.requirements).encode()).hexdigest()[:8]
        return _cache() / "peers" / f"{self.name}-{told}"

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Where its libraries lie."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    def make(self) -> None:
        """Make it where it is not there yet. Raise `Unavailable` when the index has it not."""
        done = self.folder / ".installed"
        if done.is_file():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(self.folder)])
        pip = [str(self.python), "-m", "pip", "install", "--quiet"]
        _run([*pip, "--disable-pip-version-check", *self.requirements])
        done.touch()


def _cache() -> Path:
    return Path(os.environ.get("LIKEWISE_CACHE") or platformdirs.user_cache_dir("likewise"))


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Unavailable(f"not installed within {_SECONDS} s") from late
    if done.returncode:
        raise Unavailable(f"not installed: {last_error(done.stderr)}")


def last_error(said: str) -> str:
    """What pip complained of at the end, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return ([*lines, *errors] or ["no reason given"])[-1][:200]
