"""Where the learned threshold starts: coefficients from public sets of questions.

    .venv/bin/python bench/prior.py --data FOLDER

Each set of bench/streams.py is played once with nothing served, so that every request with a
neighbour leaves a label; as many labels of each set are fitted together. Prints the line for
policies/prior.py, and how often the riskless are wrong in each set. Numbers only leave here.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import numpy as np
from streams import MODEL, SETS, Stream, load

from policies import lessons
from policies.category import Centroids
from policies.config import read_policy
from policies.document import read
from policies.lessons import Label, Prior
from policies.verified import Learned
from proxy.rehearsal import Asked, Rehearsal

PER_SET = 6_000
RISKS = (0.005, 0.01, 0.02, 0.05)
POLICY = """
policy:
  mode: shadow
  defaults: {threshold: {max_false_hits: 2%}, ttl: 30d}
  categories: {personal: null, time-sensitive: null}
"""


def labels_of(stream: Stream) -> list[Label]:
    """Every label that a stream leaves when nothing is served."""
    rehearsal = Rehearsal(
        read_policy(read(POLICY, "bench")),
        stream.vectors.shape[1],
        lambda one, other: one == other,
        Prior(),
        Centroids((), np.zeros((0, 1), np.float32)),
    )
    order = np.random.default_rng(0).permutation(len(stream.texts))
    found: list[Label] = []
    for number, place in enumerate(order):
        right = stream.answers[place]
        told = rehearsal.ask(Asked(stream.texts[place], right, stream.vectors[place], at=1.0))
        if told.study and told.compared is not None and not told.study.vetoed:
            found.append(lessons.label(told.study, 1.0, "all", same=told.compared))
        if number % 1000 == 0:
            print(f"  {number} of {len(order)}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "likewise" / "bench")
    given = parser.parse_args()
    sets = {name: labels_of(load(name, given.data, given.cache)) for name in SETS}
    dice = random.Random(0)  # noqa: S311 - repeatable on purpose
    some = [dice.choice(found) for found in sets.values() for _ in range(PER_SET)]
    weights: tuple[float, ...] = ()
    for _ in range(10):
        weights, offsets = lessons.fit(some, Prior(), Learned(weights))
    fitted = (weights[0] + offsets["all"], *weights[1:])
    print(f'    "{MODEL}": ({", ".join(f"{weight:.2f}" for weight in fitted)}),')
    model = Learned(fitted)
    for name, found in sets.items():
        told = []
        for limit in RISKS:
            under = [one for one in found if (model.risk(one.features, "") or 0.0) <= limit]
            wrong = sum(not one.same for one in under)
            told.append(f"risk <= {limit:.1%}: {wrong} of {len(under)} wrong")
        print(f"{name:14} {', '.join(told)}")


if __name__ == "__main__":
    main()
