"""What ships: the wheel holds the four rooms whole, their data files too, and nothing else."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"proxy", "index", "policies", "admin_ui"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def info(wheel: zipfile.ZipFile) -> str:
    (folder,) = {n.partition("/")[0] for n in wheel.namelist() if ".dist-info/" in n}
    return folder


def test_top_level_is_the_four_rooms(wheel: zipfile.ZipFile, info: str) -> None:
    """No tests, no benches, no fifth package that could collide with another's."""
    assert {n.partition("/")[0] for n in wheel.namelist()} == {*ROOMS, info}
    assert info.startswith("likewise-")


def test_every_file_of_the_rooms_ships(wheel: zipfile.ZipFile) -> None:
    """A new module, template or data file is never missing from an installation."""
    here = {
        f.relative_to(ROOT).as_posix()
        for room in ROOMS
        for f in (ROOT / room).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    shipped = {n for n in wheel.namelist() if n.partition("/")[0] in ROOMS}
    assert shipped == here


@pytest.mark.parametrize(
    "pattern",
    [
        r"policies/defaults\.yaml",
        r"proxy/demo/prompts\.yaml",
        r"admin_ui/templates/.+\.html",
        r"admin_ui/static/.+\.css",
        r"admin_ui/static/.+\.js",
    ],
)
def test_data_files_are_among_them(wheel: zipfile.ZipFile, pattern: str) -> None:
    """The built-in policy, the demo's prompts and the dashboard work from a wheel."""
    assert any(re.fullmatch(pattern, n) for n in wheel.namelist())


def test_the_command_is_installed(wheel: zipfile.ZipFile, info: str) -> None:
    """`likewise` runs proxy.cli:main."""
    points = configparser.ConfigParser()
    points.read_string(wheel.read(f"{info}/entry_points.txt").decode())
    assert dict(points["console_scripts"]) == {"likewise": "proxy.cli:main"}


def test_the_licence_ships(wheel: zipfile.ZipFile, info: str) -> None:
    """Apache-2.0, its text included."""
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()


def test_a_plain_installation_brings_no_torch(wheel: zipfile.ZipFile, info: str) -> None:
    """Gigabytes come only with the extra that is named for them."""
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    required = metadata.get_all("Requires-Dist", [])
    always = {re.split(r"[\s<>=!~;\[]", r)[0].lower() for r in required if "extra ==" not in r}
    assert not always & {"torch", "sentence-transformers", "transformers", "openai", "pytest"}
    assert {"aiohttp", "fastapi", "onnxruntime", "faiss-cpu"} <= always
    assert any(r.startswith("sentence-transformers") and "models" in r for r in required)
