"""What misses cost under each eviction rule: the table of docs/decisions.md, record 23.

    .venv/bin/python bench/eviction.py [--draws 8] [--rounds 3000]

On the published generator that the tests assert with, so that there is one of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from policies.eviction import Rule
from tests.policies.test_eviction import spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3000)
    asked = parser.parse_args()
    print("popularity  sizes  " + "".join(f"{rule.value:>8}" for rule in Rule))
    for sizes in (False, True):
        for alpha in (0.5, 0.8):
            means = [
                sum(
                    spent(rule, alpha, draw, asked.rounds, sizes=sizes)
                    for draw in range(asked.draws)
                )
                / asked.draws
                / 1000
                for rule in Rule
            ]
            kind = "1-99" if sizes else "equal"
            print(f"Power({alpha})  {kind:<5}  " + "".join(f"{mean:8.1f}" for mean in means))


if __name__ == "__main__":
    main()
