"""The record of one decision: what later judging, showing, replaying and explaining read.

A row of the journal, column by column; adding a field means a migration in `index.journal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Decision(NamedTuple):
    """One request's decision with its evidence.

    `id` is the request's own id, ordered by time. `owner` is the partition's digest, never a key.
    `similarity`, `cut`, `risk` and `propensity` are those of the moment of decision. `kept` is
    `stored`, or the reason why the answer was not kept, or empty where nothing was to be kept.
    `would` names the entry that would have been served had the request not been forwarded on
    purpose. `collapsed`: the answer is that of another request's call. `evidence` is JSON: the
    candidates that were refused, and how alike earlier turns were. `upstream_id` is the name that
    upstream gave its own answer. `user` is the end user's digest, where the request named one.
    """

    id: int
    at: float
    outcome: str
    reason: str
    category: str
    dialect: str
    upstream: str
    model: str
    owner: str
    stream: bool
    status: int
    similarity: float | None
    cut: float | None
    propensity: float | None
    entry: str
    neighbour: str
    would: str
    seen: str
    kept: str
    turns: int
    prompt: str
    matched: str
    ms: float
    ms_embed: float
    ms_search: float
    ms_upstream: float
    tokens_in: int
    tokens_out: int
    risk: float | None = None
    collapsed: bool = False
    evidence: str = ""
    upstream_id: str = ""
    user: str = ""


def wordless(row: Decision) -> Decision:
    """The row without what callers said, and without what is quoted of it."""
    return row._replace(prompt="", matched="", seen="", evidence="")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which decisions. Every field given narrows it: `owner` is the digest of who asked, `least`
    and `most` bound the similarity, `text` is part of the prompt or of the matched prompt, `entry`
    was served, kept, near or withheld."""

    category: str | None = None
    outcome: str | None = None
    reason: str | None = None
    owner: str | None = None
    model: str | None = None
    least: float | None = None
    most: float | None = None
    text: str | None = None
    entry: str | None = None

    def fits(self, row: Decision) -> bool:
        return (
            self.category in (None, row.category)
            and self.outcome in (None, row.outcome)
            and self.reason in (None, row.reason)
            and self.owner in (None, row.owner)
            and self.model in (None, row.model)
            and (self.entry is None or self.entry in (row.entry, row.neighbour, row.would))
            and _within(row.similarity, self.least, self.most)
            and (self.text is None or holds(row.prompt, row.matched, self.text))
        )


def _within(similarity: float | None, least: float | None, most: float | None) -> bool:
    if least is None and most is None:
        return True
    if similarity is None:
        return False
    return (least is None or similarity >= least) and (most is None or similarity <= most)


def holds(prompt: str, matched: str, wanted: str) -> bool:
    """Whether either text holds the wanted one, upper and lower case alike."""
    needle = wanted.casefold()
    return needle in prompt.casefold() or needle in matched.casefold()


class Comparison(NamedTuple):
    """One label as it is written down: a fresh answer against the remembered one of `neighbour`.

    `id` is the request's; `risk` and `propensity` are those of the moment of decision. `vetoed`
    says that a guard had refused the neighbour, `would` that it would have been served.
    """

    id: int
    at: float
    category: str
    entry: str
    neighbour: str
    similarity: float
    risk: float | None
    propensity: float
    would: bool
    vetoed: bool
    same: bool
    judge: str
