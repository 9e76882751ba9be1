"""The request-directive tests of http-cache-tests, their definitions out of node_modules.

They are run as published, and once more with the policy told the lifetime that upstream states.
What is not obeyed must stand in docs/http.md with its reason, and nothing else may stand there.
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
PUBLISHED, TOLD = "as published", "lifetimes told to the policy"
PATIENCE = 60.0
_ROW = re.compile(r"^\| `(ccreq-[\w-]+)` \| (yes|no) \| (yes|no) \|", re.MULTILINE)


def run(console: Console) -> bool:
    """Print what is obeyed; False where that is not what the page says."""
    why = absent()
    if why:
        console.print(f"skipped: request directives of http-cache-tests: {why}")
        return True
    good = True
    for column, mode in enumerate((PUBLISHED, TOLD)):
        results = outcomes("--told" if mode == TOLD else "")
        kept = sum(result is True for result in results.values())
        console.print(f"request directives of http-cache-tests, {mode}: {kept} of {len(results)}")
        broken = {name for name, result in results.items() if result is not True}
        for name in sorted(broken):
            console.print(f"  not obeyed: {name}: {results[name]}", markup=False)
        for line in disagreements(broken, deviations(PAGE.read_text("utf-8"), column)):
            console.print(f"  {line}")
            good = False
    return good


def absent() -> str:
    if shutil.which("node") is None:
        return "no node on PATH"
    return "" if (NODE / "node_modules/http-cache-tests").is_dir() else "npm install brought none"


def outcomes(mode: str) -> dict[str, object]:
    """Each test's outcome: true, or what went wrong."""
    process = subprocess.Popen(
        ["node", str(SCRIPT), *mode.split()],
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


def deviations(page: str, column: int) -> set[str]:
    """The tests that the page's table says are not obeyed, in one of its two columns."""
    return {row[0] for row in _ROW.findall(page) if row[1 + column] == "no"}


def disagreements(broken: set[str], documented: set[str]) -> list[str]:
    """How what was found and what docs/http.md says differ."""
    new = [
        f"{name} is not obeyed, and docs/http.md does not say why" for name in broken - documented
    ]
    old = [f"{name} is obeyed; docs/http.md says it is not" for name in documented - broken]
    return sorted(new + old)
