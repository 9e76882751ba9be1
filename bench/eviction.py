"""What misses cost under each eviction rule: the table of docs/decisions.md, record 23.

    .venv/bin/python bench/eviction.py [--draws 16] [--rounds 10000]

On the generator that the tests assert with, so that there is one of it. Costs in thousands, means.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.eviction import Rule
from tests.policies.test_eviction import spent

KINDS = {
    "one model": {"models": 1},
    "two models": {"models": 2},
    "two models, sizes": {"models": 2, "sizes": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10_000)
    asked = parser.parse_args()
    print(f"{'':30}" + "".join(f"{rule.value:>8}" for rule in Rule))
    for name, kind in KINDS.items():
        for alpha in (0.5, 0.8):
            totals = [
                sum(spent(rule, alpha, draw, asked.rounds, **kind) for draw in range(asked.draws))
                for rule in Rule
            ]
            means = "".join(f"{total / asked.draws / 1000:8.1f}" for total in totals)
            print(f"{f'Power({alpha}), {name}':30}{means}")


if __name__ == "__main__":
    main()
