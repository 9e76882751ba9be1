"""`likewise tune`: which fixed cut would keep a wanted rate of false hits, category by category.

A label says how similar a neighbour was that nothing else spoke against, and whether its
answer was the same; it counts for all those that had the same chance of being compared.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from policies import evidence, verified
from policies.config import DEFAULT, NAME, builtin, read_policy
from policies.document import read
from policies.lessons import DOUBT, FEWEST
from policies.verdicts import Reason
from proxy.comparing import interval
from proxy.editing import changed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from policies.document import Document
    from policies.evidence import Share
    from policies.values import CategoryRules, Rules
    from proxy.replaying import Outcome

STEP = 0.005
# More labels than this are not asked for: then the cut is not what is wrong.
MOST_NEEDED = 100_000
GROWTH = 1.05
SHIPPED = (
    "comes with Likewise, so it is not in the file; write it there whole to change its threshold"
)


class Label(NamedTuple):
    """One request: its best neighbour's similarity and whether the answers were the same; None
    where there was no neighbour, or none that a threshold would have decided on.

    `propensity` is the chance with which the request was compared at all.
    """

    category: str
    similarity: float | None
    same: bool = False
    propensity: float = 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut would do: the share of requests answered by meaning, and how many of those
    wrongly."""

    at: float
    hit_rate: float
    false_hits: Share


@dataclass(frozen=True, slots=True)
class Advice:
    """For one category. `cut` is None where nothing can be said: `missing` more labels are needed
    for that, or `said` tells why no number of them would do.
    """

    category: str
    labels: int
    wanted: float
    present: Cut
    cut: Cut | None = None
    missing: int = 0
    said: str = ""


def labels(outcomes: Iterable[Outcome]) -> list[Label]:
    """What a replay in which nothing was served says, one for each request."""
    made = []
    for category, told, _, _ in outcomes:
        study = told.study
        if study is not None and not study.vetoed and told.compared is not None:
            made.append(Label(category, study.candidate.score, told.compared))
        elif study is not None or told.reason is not Reason.AUDIT:  # that is an exact hit
            made.append(Label(category, None))
    return made


def told(rows: Iterable[Mapping[str, Any]]) -> list[Label]:
    """The labels that a running proxy tells; what a guard refused is no matter of a cut."""
    return [
        Label(row["category"], row["similarity"], row["same"], row["propensity"])
        for row in rows
        if row["propensity"] > 0 and not row["vetoed"]
    ]


def advise(known: Sequence[Label], rules: Rules, wanted: float | None) -> list[Advice]:
    """Advice for each category of which anything was compared.

    `wanted` are false hits per hit; None: what each category's own bound allows, else 2%.
    """
    names = sorted({label.category for label in known if label.similarity is not None})
    return [
        _advice(
            name,
            [label for label in known if label.category == name],
            rules.named(name) or rules.defaults,
            wanted,
        )
        for name in names
    ]


def _advice(name: str, known: list[Label], category: CategoryRules, wanted: float | None) -> Advice:
    threshold = category.threshold
    bound = wanted or threshold.max_false_hits or threshold.delta or 0.02
    columns = Columns.of(known)
    present = columns.cut(threshold.start)
    count = int((columns.scores >= 0).sum())
    said = _untouchable(name, category)
    if said:
        return Advice(name, count, bound, present, said=said)
    least = verified.FLOOR if threshold.floor is None else threshold.floor
    best = None
    for at in _grid(least):
        cut = columns.cut(at)
        if cut.false_hits.samples >= FEWEST and cut.false_hits.high <= bound:
            best = cut
    if best is not None:
        return Advice(name, count, bound, present, best)
    missing = columns.missing(bound, least)
    if missing is None:
        said = "no cut keeps this: the errors are among the most similar"
    return Advice(name, count, bound, present, missing=missing or 0, said=said)


def _untouchable(name: str, category: CategoryRules) -> str:
    if not re.fullmatch(NAME, name):
        return "no category can have this name"
    if category.threshold.delta is not None:
        return "vCache's rule learns each entry's own cut: there is none to write"
    return "" if category.cache else "is never answered from memory (`cache: false`)"


def _grid(least: float) -> list[float]:
    """The cuts that are tried, the strictest first."""
    steps = round((1 - least) / STEP + 0.499)
    return [max(least, round(1 - STEP * step, 4)) for step in range(steps + 1)]


@dataclass(frozen=True, slots=True)
class Columns:
    """Labels as columns; a score of -1 is a request without a neighbour."""

    scores: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, known: Sequence[Label]) -> Columns:
        return cls(
            np.array([-1.0 if x.similarity is None else x.similarity for x in known], np.float64),
            np.array([x.similarity is not None and not x.same for x in known], bool),
            np.array([1 / x.propensity for x in known], np.float64),
        )

    def cut(self, at: float) -> Cut:
        over = self.scores >= at
        share = evidence.share(self.wrong[over], self.weights[over], doubt=DOUBT)
        return Cut(at, float(self.weights[over].sum() / self.weights.sum()), share)

    def missing(self, bound: float, least: float) -> int | None:
        """How many more labels the easiest cut needs if they go on as those at hand; None where
        those show that no number would do."""
        whole = int((self.scores >= 0).sum())
        shares = [self.cut(at).false_hits for at in _grid(least)]
        shares = [share for share in shares if share.samples]
        if not shares:
            return _needed(0.0, bound)
        needed = [(share.samples, _needed(_likely(share, bound), bound)) for share in shares]
        # Of new labels, too, only a part will lie at the cut or above.
        found = [max(1, n - have) * whole / have for have, n in needed if n is not None]
        return math.ceil(min(found)) if found else None


def _likely(share: Share, bound: float) -> float:
    """The rate of errors that more labels may show: where those at hand are too many for the
    bound and too few to tell, half of it."""
    return bound / 2 if share.low <= bound <= share.estimate else share.estimate


def _needed(rate: float, bound: float) -> int | None:
    """The labels with which a rate of errors is shown to be under a bound."""
    if rate >= bound:
        return None
    count = FEWEST
    while count <= MOST_NEEDED:
        wrong = np.arange(count) < round(rate * count)
        if evidence.share(wrong, doubt=DOUBT).high <= bound:
            return count
        count = math.ceil(count * GROWTH)
    return None


# -- as a change of the configuration --------------------------------------------------------------


def edited(document: Document, rules: Rules, advice: Iterable[Advice], wanted: float | None) -> str:
    """The configuration's text with every suggested cut; raises `PolicyError` where the whole
    would not be a policy.

    Under `max_false_hits` the cut is its `start`. Shipped categories are left alone: one that is
    written anew replaces the shipped one whole.
    """
    text = document.text
    for one in advice:
        if one.cut is not None and not shipped(one.category, document):
            text = _written(text, document.file, one.category, one.cut.at, rules, wanted)
    read_policy(read(text, document.file))
    return text


def rewritten(document: Document, rules: Rules, name: str, at: float) -> str:
    """The configuration's text with another cut for one category, unchecked.

    Raises ValueError, saying why, where there is none to write.
    """
    said = _untouchable(name, rules.named(name) or rules.defaults)
    if not said and shipped(name, document):
        said = SHIPPED
    if said:
        raise ValueError(f"{name}: {said}")
    return _written(document.text, document.file, name, at, rules, None)


def shipped(name: str, document: Document) -> bool:
    """Whether a category is there only because Likewise brings it along."""
    own = document.at(("policy", "categories", name)) is not None
    return not own and builtin().at(("policy", "categories", name)) is not None


def _written(text: str, file: str, name: str, at: float, rules: Rules, wanted: float | None) -> str:
    threshold = (rules.named(name) or rules.defaults).threshold
    part = ("defaults",) if name == DEFAULT else ("categories", name)
    path = ("policy", *part, "threshold")
    if threshold.max_false_hits is None:
        if at == threshold.start and rules.named(name) is not None:
            return text
        if isinstance(read(text, file).at(path), dict):
            path = (*path, "start")
        return changed(text, path, f"{at:g}")
    values = {"start": f"{at:g}"} if at != threshold.start else {}
    if wanted is not None and wanted != threshold.max_false_hits:
        values["max_false_hits"] = f"{wanted * 100:g}%"
    if not isinstance(read(text, file).at(path), dict) and values:
        inside = ", ".join(f"{key}: {value}" for key, value in values.items())
        return changed(text, path, f"{{{inside}}}")
    for key, value in values.items():
        text = changed(text, (*path, key), value)
    return text


# -- for a terminal --------------------------------------------------------------------------------


def shown(advice: Iterable[Advice]) -> Table:
    table = Table(box=None)
    for head, side in (("category", "left"), ("labels", "right"), ("cut", "left")):
        table.add_column(head, justify=side)  # type: ignore[arg-type]
    for head in ("at", "hit rate", "false hits per hit"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in advice:
        table.add_row(Text(one.category), str(one.labels), "present", *_cells(one.present))
        if one.cut is not None:
            table.add_row("", "", "suggested", *_cells(one.cut))
    return table


def _cells(cut: Cut) -> tuple[str, str, str]:
    return f"{cut.at:.3f}", f"{cut.hit_rate:.1%}", interval(cut.false_hits)


def remarks(advice: Iterable[Advice], document: Document) -> Iterator[str]:
    """A line for each category that no change is suggested for, with the reason."""
    for one in advice:
        if one.said:
            yield f"{one.category}: {one.said}"
        elif one.missing:
            what = "label" if one.missing == 1 else "labels"
            yield (
                f"{one.category}: about {one.missing:,} more {what} are needed before a cut can be "
                f"shown to stay under {one.wanted * 100:g}% false hits"
            )
        elif shipped(one.category, document):
            yield f"{one.category}: {SHIPPED}"
