"""How far vCache's cut lies from the truth where labels leave a gap, as policies/vcache.py says.

    .venv/bin/python bench/spread.py [--trials 2000]

Simulates entries whose chance of a right answer rises along a logistic curve: its middle and the
similarities seen are even over 0.5 to 1, where neighbours lie, its slope is even in the logarithm
from 3 to 30. Of the label sets that one cut separates it prints the mean squared error of the
fitted cut for each number of observations, and the law through them: the gap closes as 1 / n, so
its square does as 1 / n², and what is left is chance.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from policies.vcache import ENOUGH, SEEDS, Labels, curve

SIZES = (ENOUGH, 8, 10, 15, 20, 30, 40, 48, 66)
SLOPES = (3.0, 30.0)
LOWEST = 0.5
TRIES = 400_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    dice = random.Random(7)  # noqa: S311 - a simulation
    errors = {size: squared_error(size, trials, dice) for size in SIZES}
    gap, rest = np.polyfit([size**-2.0 for size in errors], list(errors.values()), 1)
    print("observations  mean squared error      law")
    for size, error in errors.items():
        print(f"{size:12}  {error:18.4f}  {gap / size**2 + rest:7.4f}")
    print(f"GAP, REST = {gap:.3f}, {rest:.4f}")


def squared_error(size: int, trials: int, dice: random.Random) -> float:
    """Over `trials` label sets that one cut separates."""
    errors: list[float] = []
    for _ in range(TRIES):
        middle = dice.uniform(LOWEST, 1)
        labels = drawn(size - len(SEEDS), middle, dice)
        fit = curve(labels) if separated(labels) else None
        if fit is not None:
            errors.append((fit.cut - middle) ** 2)
        if len(errors) == trials:
            break
    return sum(errors) / len(errors)


def drawn(count: int, middle: float, dice: random.Random) -> Labels:
    slope = math.exp(dice.uniform(*map(math.log, SLOPES)))
    seen = [round(dice.uniform(LOWEST, 1), 3) for _ in range(count)]
    chances = [1 / (1 + math.exp(-slope * (score - middle))) for score in seen]
    return tuple((s, dice.random() < chance) for s, chance in zip(seen, chances, strict=True))


def separated(labels: Labels) -> bool:
    whole = (*SEEDS, *labels)
    return max(s for s, same in whole if not same) <= min(s for s, same in whole if same)


if __name__ == "__main__":
    main()
