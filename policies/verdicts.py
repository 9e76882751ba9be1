"""What the core can decide, and the one list of reasons.

Headers, log fields, metric labels, dashboard and docs all show `Reason`; nothing else
names an outcome. A verdict is what the engine must do; it carries its evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import Candidate, CategoryRules, Facts


class Outcome(StrEnum):
    """What became of a request, as counted and shown."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    BYPASS = "bypass"


class Reason(StrEnum):
    """Why. The values are the contract's words."""

    EXACT = "exact"
    SEMANTIC = "semantic"
    STALE_WHILE_REVALIDATE = "stale-while-revalidate"
    STALE_IF_ERROR = "stale-if-error"

    EMPTY = "empty"
    BELOW_THRESHOLD = "below-threshold"
    OTHER_CONTEXT = "other-context"
    GUARD_NUMBERS = "guard-numbers"
    GUARD_NEGATION = "guard-negation"
    GUARD_ENTITIES = "guard-entities"
    GUARD_UNITS = "guard-units"
    GUARD_ORDER = "guard-order"
    EXPIRED = "expired"
    AUDIT = "audit"
    UNVERIFIED = "unverified"
    FLAGGED = "flagged"
    TRUNCATED = "truncated"
    LANGUAGE = "language"
    BODY_GONE = "body-gone"
    EMBED_TIMEOUT = "embed-timeout"
    STORE_DOWN = "store-down"

    TOOLS = "tools"
    MULTIMODAL = "multimodal"
    SAMPLING = "sampling"
    N = "n"
    LOGPROBS = "logprobs"
    STATEFUL = "stateful"
    CATEGORY_OFF = "category-off"
    NO_STORE = "no-store"
    MODE_OFF = "mode-off"
    TOO_LONG = "too-long"
    UNSUPPORTED = "unsupported"
    WRITE_ONLY = "write-only"
    KEY_REFUSED = "key-refused"

    STATUS = "status"
    INCOMPLETE = "incomplete"
    FINISH_REASON = "finish-reason"
    TOO_LARGE = "too-large"
    INVALID_JSON = "invalid-json"
    QUOTA = "quota"


HITS = frozenset({Reason.EXACT, Reason.SEMANTIC})
STALES = frozenset({Reason.STALE_WHILE_REVALIDATE, Reason.STALE_IF_ERROR})
BYPASSES = frozenset({
    Reason.TOOLS, Reason.MULTIMODAL, Reason.SAMPLING, Reason.N, Reason.LOGPROBS, Reason.STATEFUL,
    Reason.CATEGORY_OFF, Reason.NO_STORE, Reason.MODE_OFF, Reason.TOO_LONG, Reason.UNSUPPORTED,
    Reason.WRITE_ONLY, Reason.KEY_REFUSED,
})  # fmt: skip
NOT_STORED = frozenset({
    Reason.STATUS, Reason.INCOMPLETE, Reason.FINISH_REASON, Reason.TOO_LARGE, Reason.INVALID_JSON,
    Reason.QUOTA,
})  # fmt: skip


def outcome(reason: Reason) -> Outcome:
    """The outcome a reason belongs to; `not stored` reasons describe a fill, not a request."""
    if reason in HITS:
        return Outcome.HIT
    if reason in STALES:
        return Outcome.STALE
    if reason in BYPASSES:
        return Outcome.BYPASS
    return Outcome.MISS


@dataclass(frozen=True, slots=True)
class Bypass:
    """Forward without looking up; `store` says whether the answer may be kept all the same."""

    reason: Reason
    category: str
    store: Lookup | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Look in memory. `semantic` is None where meaning may be used, else why it may not."""

    entry: str
    space: str
    category: CategoryRules | None
    semantic: Reason | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One candidate that was not good enough, and what was seen."""

    candidate: Candidate
    reason: Reason
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Study:
    """A would-be hit as the model of its moment saw it: what a later label is filed under.

    `risk` is the chance that the answer is wrong, None where no model knows; `bound` the false
    hits per hit that its category allows, None under another rule. `propensity` is the chance
    that upstream was asked, 1 where it would not have been served. `rivals` are the nearest
    entries that hold other answers. `vetoed`: a guard refused it, so no model weighed it.
    """

    candidate: Candidate
    features: tuple[float, ...]
    risk: float | None
    bound: float | None
    would: bool
    propensity: float
    reason: Reason
    seen: str = ""
    rivals: tuple[Facts, ...] = ()
    vetoed: bool = False


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer from memory. `match` says how it was found, `reason` also that it is stale."""

    candidate: Candidate
    reason: Reason
    category: CategoryRules
    cut: float
    refused: tuple[Refusal, ...] = ()
    match: Reason = Reason.EXACT
    study: Study | None = None

    @property
    def refresh(self) -> bool:
        """Whether upstream is to be asked again behind this answer."""
        return self.reason is Reason.STALE_WHILE_REVALIDATE


@dataclass(frozen=True, slots=True)
class Forward:
    """Ask upstream. `nearest` is the best refused neighbour, `would` a hit withheld on purpose.

    `fallback` may be served should upstream fail (RFC 5861 §4). `study` is the neighbour whose
    answer the fresh one is worth comparing with.
    """

    reason: Reason
    category: CategoryRules
    cut: float
    refused: tuple[Refusal, ...] = ()
    would: Serve | None = None
    fallback: Serve | None = None
    study: Study | None = None

    @property
    def nearest(self) -> Candidate | None:
        return self.refused[0].candidate if self.refused else None


@dataclass(frozen=True, slots=True)
class Admit:
    """Keep the answer for `ttl` seconds, until `gone` seconds at the latest when stale."""

    ttl: float
    linger: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """Do not keep the answer."""

    reason: Reason
