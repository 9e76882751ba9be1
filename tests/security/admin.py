"""Requests without end to the admin port, made up from its own description by schemathesis.

No request may end in a fault, answer in another shape than described, or do without the token.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx

from tests.chaos.parties import Absent
from tests.proxy.house import TOKEN, body
from tests.security.finding import NOUNS, SEED, Finding

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.parties import Proxy, Stage
    from tests.security.finding import Scale

CHECKS = (
    *("not_a_server_error", "content_type_conformance", "response_schema_conformance"),
    "ignored_auth",
)
# It goes on for ten minutes, as it should.
ENDLESS = "/api/decisions/stream"
EXAMPLES = 100_000
# Seconds that it may take beyond what it is told to, which it looks at between two cases only.
LINGERS = 120.0
_MOST_TOLD = 3_000
_CASES = re.compile(r"^\s*([\d,]+) generated", re.MULTILINE)


def check(at: Stage, scale: Scale) -> list[Finding]:
    """A proxy that remembers a few answers, and its admin port. Raises `Absent`."""
    if importlib.util.find_spec("schemathesis") is None:
        raise Absent("schemathesis is not installed (pip install -e '.[fuzz]')")
    proxy = at.proxy(f"sqlite:{at.folder}/likewise.db")
    _fill(proxy)
    ended = _run(proxy, scale.fuzz, at.folder)
    said = ended.stdout + ended.stderr
    # 1 is a failure; anything else that is not 0 says that nothing was tried.
    notes = () if ended.returncode == 0 else (told(said),)
    return [Finding.none_of("admin API, runs that failed", cases(said), len(notes), *notes)]


def cases(said: str) -> int:
    """How many requests were made up, by the engine's own summary."""
    return sum(int(count.replace(",", "")) for count in _CASES.findall(said))


def told(said: str) -> str:
    """From where the engine says what failed; its last words where it says nothing of that."""
    _, heading, failures = said.partition("= FAILURES =")
    return (failures if heading else said[-_MOST_TOLD:])[:_MOST_TOLD]


def _fill(proxy: Proxy) -> None:
    """Something for every list to show."""
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=30.0) as client:
        for noun in NOUNS:
            asked = body(f"What is a {noun}?")
            headers = {"authorization": "Bearer sk-fill"}
            client.post("/v1/chat/completions", json=asked, headers=headers).raise_for_status()


def _run(proxy: Proxy, seconds: float, folder: Path) -> subprocess.CompletedProcess[str]:
    words = {
        "--header": f"Authorization: Bearer {TOKEN}",
        "--checks": ",".join(CHECKS),
        "--max-time": str(max(1, round(seconds))),
        "--max-examples": str(EXAMPLES),
        "--phases": "coverage,fuzzing,stateful",
        "--exclude-path": ENDLESS,
        "--request-timeout": "30",
        "--generation-database": "none",
        "--seed": str(SEED),
    }
    told = [word for pair in words.items() for word in pair]
    engine = [sys.executable, "-m", "schemathesis.cli", "--config-file", os.devnull]
    return subprocess.run(
        [*engine, "run", f"{proxy.admin}/api/openapi.json", "--no-color", *told],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds + LINGERS,
    )
