"""Bytes without end into the readers of `targets`: does any of them fail, or say two things?

`python -m tests.security.fuzzing bodies --seconds 600` plays one target. With atheris (the `fuzz`
extra; x86-64 Linux) new bytes follow the branches that earlier ones took; without it Hypothesis
puts words together. Exit 0 where nothing was found.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.security.finding import SEED, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.chaos.parties import Stage
    from tests.security.finding import Scale

LONGEST = 4_096
# One run of a target that takes longer (seconds) or a process that grows beyond (MB) has failed.
PATIENCE, MEMORY = 10, 2_048
STARTS_IN = 120.0
EXAMPLES = 50
_RUNS = re.compile(r"(?:stat::number_of_executed_units|runs): *(\d+)")


def words(told: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Words of a target and a few bytes of no meaning, in any order."""
    return st.lists(st.sampled_from(told) | st.binary(max_size=3), max_size=24).map(b"".join)


def put(
    target: Callable[[bytes], None], told: Sequence[bytes], examples: int, begin: int = SEED
) -> None:
    """Hypothesis's way, so many inputs, others for each `begin`. Raises what the target raises, for
    the shortest input."""

    @seed(begin)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(words(told))
    def holds(data: bytes) -> None:
        target(data)

    holds()


def check(at: Stage, scale: Scale) -> list[Finding]:
    """Every target for a while, each in a process of its own."""
    targets = importlib.import_module("tests.security.targets")
    return [_played(name, scale.fuzz) for name in targets.TARGETS]


def _played(name: str, seconds: float) -> Finding:
    words = [sys.executable, "-m", "tests.security.fuzzing", name, "--seconds", str(seconds)]
    with tempfile.TemporaryDirectory(prefix="likewise-fuzz-") as folder:
        try:
            ended = subprocess.run(
                [*words, "--folder", folder],
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds + STARTS_IN,
            )
        except subprocess.TimeoutExpired:
            return counted(name, 1, f"it did not end within {STARTS_IN:.0f} s of its time")
    return counted(name, ended.returncode, ended.stdout + ended.stderr)


def counted(name: str, code: int, said: str) -> Finding:
    """What became of one target, by its process's exit status and words."""
    runs = sum(map(int, _RUNS.findall(said)))
    notes = ("atheris",) if guided() else ("hypothesis; for atheris pip install -e '.[fuzz]'",)
    notes += () if code == 0 else (said[-2_000:],)
    return Finding.none_of(f"fuzz: {name}, crashes", runs, int(code != 0), *notes)


def guided() -> bool:
    """Whether new bytes follow the branches that earlier ones took."""
    return importlib.util.find_spec("atheris") is not None


@click.command()
@click.argument("name")
@click.option("--seconds", default=200.0, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where inputs of interest go.")
def main(name: str, seconds: float, folder: Path | None) -> None:
    """Put bytes into one target for a while."""
    if not guided():
        _by_words(name, seconds)
        return
    with tempfile.TemporaryDirectory(prefix="likewise-fuzz-") as spare:
        _by_branches(name, seconds, folder or Path(spare))


def _by_words(name: str, seconds: float) -> None:
    targets = importlib.import_module("tests.security.targets")
    until, runs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        put(targets.TARGETS[name], targets.WORDS[name], EXAMPLES, SEED + runs)
        runs += EXAMPLES
    sys.stdout.write(f"runs: {runs}\n")


def _by_branches(name: str, seconds: float, folder: Path) -> None:
    """libFuzzer's way; it ends the process, with a trace and the input where a target raised."""
    atheris = importlib.import_module("atheris")
    # Only what is imported in here is watched, so nothing of it may be imported above.
    with atheris.instrument_imports(include=["proxy.sse", "proxy.directives", "proxy.dialects"]):
        targets = importlib.import_module("tests.security.targets")
    told: Mapping[str, tuple[bytes, ...]] = targets.WORDS
    seeds = folder / "seeds"
    seeds.mkdir()
    for number, word in enumerate(told[name]):
        (seeds / str(number)).write_bytes(word)
    dictionary = folder / "words"
    dictionary.write_text("".join(f'"{_quoted(word)}"\n' for word in told[name]))
    limits = {
        "max_total_time": max(1, round(seconds)),
        "max_len": LONGEST,
        "timeout": PATIENCE,
        "rss_limit_mb": MEMORY,
        "seed": SEED,
    }
    options = [f"-{option}={value}" for option, value in limits.items()]
    options += [f"-dict={dictionary}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    atheris.Setup(["fuzzing", *options, str(seeds)], targets.TARGETS[name])
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
