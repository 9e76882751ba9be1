"""The paths' ratios to their floors, with wrk where it is installed: what the README's table shows.

    .venv/bin/python bench/ratios.py [--quick]

Server processes share one core, the load runs on another; every figure is a ratio against
something measured in the same run. CPU figures come from /proc and are quieter than rates.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from proxy import bench, paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds, seconds = (3, 2) if quick else (7, 4)
    figures = bench.measure(quick=quick, progress=lambda _what, _share: None)
    rows = [
        ("exact hit p50 at c=1 / raw echo's", figures["exact_p50_c1_vs_raw_echo"], "≤ 2"),
        (
            "semantic hit p50 at c=1 / the embedding alone",
            figures["semantic_hit_vs_embedding"],
            "≤ 1.3",
        ),
    ]
    if shutil.which("wrk"):
        rate, cpu = with_wrk(rounds, seconds)
        rows.insert(0, ("CPU per request, raw echo / exact hit, wrk c=32", cpu, ""))
        rows.insert(0, ("exact hits per second / raw echo's, wrk c=32, same core", rate, "≥ 0.6"))
    else:
        rows.insert(
            0,
            ("exact hits per second / raw echo's, c=32", figures["exact_hit_vs_raw_echo"], "≥ 0.6"),
        )
    with tempfile.TemporaryDirectory() as folder:
        rows.append(("seconds from start to ready, model built", start_seconds(folder), "≤ 5"))
    print("| what | measured | held to |\n|---|---|---|")
    for what, value, held in rows:
        print(f"| {what} | {value:.2f} | {held} |")
    print(
        f"\nexact hit {figures['hit_p50_ms_c1']:.3f} ms, "
        f"raw echo {figures['echo_p50_ms_c1']:.3f} ms, "
        f"semantic hit {figures['semantic_hit_p50_ms_c1']:.2f} ms, "
        f"embedding {figures['embedding_p50_ms']:.2f} ms (p50, c=1)"
    )


def with_wrk(rounds: int, seconds: int) -> tuple[float, float]:
    """Medians of (rate ratio, CPU ratio), exact hit against echo, turn by turn."""
    with bench.Bed() as bed, tempfile.TemporaryDirectory() as folder:
        request = bed.request("why is the sky blue", seed=0)
        bed.warm(request)
        script = Path(folder) / "post.lua"
        script.write_text(lua(request))
        rates, cpus = [], []
        for _ in range(rounds):
            (echo, echo_cpu), (hit, hit_cpu) = (
                burst(port, bed.pids[port], script, seconds) for port in (bed.echo, bed.proxy)
            )
            rates.append(hit / echo)
            cpus.append(echo_cpu / hit_cpu)
    return median(rates), median(cpus)


def burst(port: int, pid: int, script: Path, seconds: int) -> tuple[float, float]:
    """Requests per second, and the server's CPU seconds per request."""
    before = paths.cpu_of(pid)
    said = subprocess.run(
        [
            "wrk",
            "-t1",
            "-c32",
            f"-d{seconds}",
            "-s",
            str(script),
            f"http://127.0.0.1:{port}/v1/chat/completions",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)s", said)
    if found is None or "Non-2xx" in said:
        raise SystemExit(f"wrk said: {said}")
    count = int(found[1])
    return count / float(found[2]), (paths.cpu_of(pid) - before) / count


def lua(request: bytes) -> str:
    head, _, body = request.decode().partition("\r\n\r\n")
    pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:]]
    headers = "".join(
        f"wrk.headers[{name!r}] = {value!r}\n"
        for name, value in pairs
        if name not in ("Host", "Content-Length")
    )
    return f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\n{headers}"


def start_seconds(folder: str) -> float:
    """From exec to a ready proxy, an empty store and the model already built."""
    started = time.perf_counter()
    child = subprocess.Popen(
        [
            sys.executable, "-m", "proxy.cli", "serve", "--port", "0", "--admin-port", "0",
            "--upstream", "http://127.0.0.1:9/v1",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    child.stderr.readline()
    took = time.perf_counter() - started
    child.terminate()
    child.communicate()
    return took


if __name__ == "__main__":
    main()
