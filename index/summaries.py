"""What a journal's decisions add up to, as replicas tell each other: sums, comparisons, verdicts.

A summary is cut into the stretches of its span, and each stretch is a sheet that stands for itself:
written anew when it changes, and added to the others by whoever asks. Texts and entries are in
none of them.
"""

from __future__ import annotations

import zlib
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from index.rollups import FINE, Key, Rollup, Sums
from policies.record import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a sheet is written in; who finds another leaves it out.
FORM = 1


class Summary(NamedTuple):
    """`said` counts verdicts by the second at which their stretch begins and by whether they were
    good."""

    rollups: list[Rollup]
    labels: list[Comparison]
    said: Counter[tuple[int, bool]]


def merged(parts: Iterable[Summary]) -> Summary:
    """All of them as one. Sums of the same key stand side by side: whoever counts adds them up."""
    held = list(parts)
    said: Counter[tuple[int, bool]] = Counter()
    for part in held:
        said.update(part.said)
    return Summary(
        list(chain.from_iterable(part.rollups for part in held)),
        list(chain.from_iterable(part.labels for part in held)),
        said,
    )


def cut(whole: Summary, span: int) -> dict[int, Summary]:
    """Each stretch of `span` seconds by itself, by the second at which it begins."""
    made: dict[int, Summary] = {}

    def at(second: float) -> Summary:
        start = int(second // span) * span
        return made.setdefault(start, Summary([], [], Counter()))

    for one in whole.rollups:
        at(one.key.at).rollups.append(one)
    for label in whole.labels:
        at(label.at).labels.append(label)
    for (second, good), count in whole.said.items():
        at(second).said[(int(second // span) * span, good)] += count
    return made


# -- as bytes --------------------------------------------------------------------------------------


def pack(stretch: Summary) -> bytes:
    """A stretch as a sheet. Comparisons that count alike are counted together."""
    alike = Counter(map(_kind, stretch.labels))
    sheet = {
        "form": FORM,
        "sums": [_row(one) for one in stretch.rollups],
        "labels": [(*kind, count) for kind, count in alike.items()],
        "said": [
            sum(count for (_, one), count in stretch.said.items() if one == good)
            for good in (True, False)
        ],
    }
    return zlib.compress(orjson.dumps(sheet, option=orjson.OPT_NON_STR_KEYS), 1)


def unpack(sheet: bytes, span: int, at: int) -> Summary | None:
    """The stretch that begins at `at`; None for what cannot be read, as a newer release's."""
    try:
        told = orjson.loads(zlib.decompress(sheet))
        if told["form"] != FORM:
            return None
        good, bad = told["said"]
        return Summary(
            [_rollup(row, span, at) for row in told["sums"]],
            list(chain.from_iterable(_labels(row, at) for row in told["labels"])),
            Counter({(at, True): good, (at, False): bad}),
        )
    except (zlib.error, ValueError, TypeError, KeyError):
        return None


def _row(one: Rollup) -> tuple[Any, ...]:
    key, sums = one
    return (
        key.category, key.reason, key.outcome, key.model, sums.count, sums.collapsed, sums.ms,
        sums.tokens_in, sums.tokens_out, sums.times, sums.near,
    )  # fmt: skip


def _rollup(row: list[Any], span: int, at: int) -> Rollup:
    category, reason, outcome, model, count, collapsed, ms, tokens_in, tokens_out, times, near = row
    return Rollup(
        Key(span, at, category, reason, outcome, model),
        Sums(count, collapsed, ms, tokens_in, tokens_out, _counts(times), _counts(near)),
    )


def _counts(told: dict[str, int]) -> dict[int, int]:
    return {int(place): count for place, count in told.items()}


def _kind(label: Comparison) -> tuple[str, int, float, bool, bool, bool]:
    """What a comparison counts by: its similarity as finely as that of decisions."""
    near = int(label.similarity * FINE)
    return label.category, near, label.propensity, label.would, label.vetoed, label.same


def _labels(row: list[Any], at: int) -> list[Comparison]:
    category, near, propensity, would, vetoed, same, count = row
    similarity = min(1.0, (near + 0.5) / FINE)
    one = Comparison(
        0, float(at), category, "", "", similarity, None, propensity, would, vetoed, same, ""
    )
    return [one] * count
