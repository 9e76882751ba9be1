"""The record of one decision: what later judging, showing, replaying and explaining read.

A row of the journal, column by column; adding a field means a migration in `index.journal`.
"""

from __future__ import annotations

from typing import NamedTuple


class Decision(NamedTuple):
    """One request's decision with its evidence.

    `id` is the request's own id, ordered by time. `owner` is the partition's digest, never a key.
    `similarity`, `cut`, `risk` and `propensity` are those of the moment of decision. `kept` is
    `stored`, or the reason why the answer was not kept, or empty where nothing was to be kept.
    `would` names the entry that would have been served had the request not been forwarded on
    purpose.
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
