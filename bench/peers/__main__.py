"""Likewise beside its peers: the same upstream, vectors, threshold and questions, one machine.

python -m bench.peers [--quick] [--only NAME,NAME] [--json]
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from rich.console import Console

from bench.peers import prompts, running, table
from bench.peers.environments import Unavailable
from bench.peers.setups import SETUPS, THRESHOLD
from index import build
from policies import text

if TYPE_CHECKING:
    from policies.values import Vector

ERR = Console(stderr=True, highlight=False)
QUICK = 1 / 3
# Variants this much above the threshold are hits for everyone, whichever precision they embed in.
MARGIN = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the work")
    parser.add_argument("--only", default="", help=", ".join(setup.name for setup in SETUPS))
    parser.add_argument("--json", action="store_true", help="all figures instead of the table")
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name]
    if unknown := set(chosen) - {setup.name for setup in SETUPS}:
        parser.error(f"--only: unknown: {', '.join(sorted(unknown))}")
    scale = QUICK if given.quick else 1.0
    course = course_of(scale)
    results = []
    with ERR.status("") as status:
        for setup in SETUPS:
            if not chosen or setup.name in chosen:
                try:
                    results.append(running.run(setup, course, scale=scale, say=status.update))
                except Unavailable as reason:
                    results.append(running.Result(setup.name, skipped=str(reason)))
                ERR.print(table.line(results[-1]))
    if given.json:
        print(json.dumps([result.as_json() for result in results], indent=1))
    else:
        Console(width=160).print(table.table(results), *table.notes(results), sep="\n")


def course_of(scale: float) -> prompts.Course:
    """The questions; of the variants those that the threshold admits with something to spare."""
    embedder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)

    def vector(of: str) -> Vector:
        return embedder.embed(text.normalise(of)).vector

    near = [
        variant
        for variant in prompts.variants()
        if float(vector(variant.text) @ vector(variant.meaning)) >= THRESHOLD + MARGIN
    ]
    step = 1 if scale == 1 else round(1 / scale)
    return prompts.course(fresh=int(400 * scale), variants=near[::step])


if __name__ == "__main__":
    main()
