"""The request-directive tests of http-cache-tests, their definitions out of node_modules.

How many are obeyed must be what docs/http.md says, and each that is not must stand there, as a row
of a table with its reason.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conformance.runners import NODE, ROOT, surroundings
from tests.proxy.house import serving

if TYPE_CHECKING:
    from rich.console import Console

PAGE = ROOT / "docs/http.md"
SCRIPT = ROOT / "tests/conformance/directives.mjs"
PATIENCE = 60.0
_ROW = re.compile(r"^\| `(ccreq-[\w-]+)` \|", re.MULTILINE)
_FIGURE = re.compile(r"obeys\s+(\d+)\s+of\s+the\s+(\d+)")


def run(console: Console) -> bool:
    """Print what is obeyed; False where that is not what the page says."""
    why = absent()
    if why:
        console.print(f"skipped: request directives of http-cache-tests: {why}")
        return True
    results = outcomes()
    broken = {name for name, result in results.items() if result is not True}
    kept = len(results) - len(broken)
    console.print(f"request directives of http-cache-tests: {kept} of {len(results)} obeyed")
    for name in sorted(broken):
        console.print(f"  not obeyed: {name}: {results[name]}", markup=False)
    found = disagreements(PAGE.read_text("utf-8"), set(results), broken)
    for line in found:
        console.print(f"  {line}")
    return not found


def absent() -> str:
    if shutil.which("node") is None:
        return "no node on PATH"
    return "" if (NODE / "node_modules/http-cache-tests").is_dir() else "npm install brought none"


def outcomes() -> dict[str, object]:
    """Each test's outcome: true, or what went wrong."""
    process = subprocess.Popen(
        ["node", str(SCRIPT)],
        env=surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        upstream = process.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder, serving(Path(folder), upstream) as house:
            said, _ = process.communicate(f"{house.where.data}\n", timeout=PATIENCE)
    finally:
        process.kill()
    results: dict[str, object] = json.loads(said)
    return results


def disagreements(page: str, known: set[str], broken: set[str]) -> list[str]:
    """How what was found and what the page says differ."""
    documented = set(_ROW.findall(page))
    said = _FIGURE.search(page)
    figure = (str(len(known - broken)), str(len(known)))
    new = [
        f"{name} is not obeyed, and docs/http.md does not say why" for name in broken - documented
    ]
    old = [f"{name} is obeyed; docs/http.md says it is not" for name in documented - broken]
    wrong = [] if said and said.groups() == figure else ["docs/http.md gives another figure"]
    return sorted(new + old + wrong)
