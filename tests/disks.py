"""Disks that tests may fill: small, mounted for the test alone, which takes root."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Disk:
    """A mounted disk of so many bytes."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.place / "ballast").open("ab", buffering=0) as ballast:
            for size in (65_536, 4_096, 1):
                try:
                    while True:
                        ballast.write(b"x" * size)
                except OSError as full:
                    if full.errno != errno.ENOSPC:
                        raise

    def clear(self) -> None:
        """Give back what `fill` took."""
        (self.place / "ballast").unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    mount, place = shutil.which("mount"), tmp_path / "disk"
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small disk takes root")
    place.mkdir()
    words = [mount, "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    yield Disk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=False)
