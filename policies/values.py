"""The nouns of a decision: what is asked, what is remembered, by which rules. Frozen, no behaviour.

Scores are cosine similarities in [0, 1], higher is closer. Times are Unix seconds, durations
seconds, sizes bytes, shares fractions of one. Nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.verdicts import Reason
    from policies.verified import Learned

Vector: TypeAlias = NDArray[np.float32]


class Share(StrEnum):
    """Who may be answered from whose entries."""

    USER = "user"
    KEY = "key"
    TENANT = "tenant"
    EVERYONE = "everyone"


class Reach(StrEnum):
    """How far one request may be answered from memory (`x-likewise-mode`)."""

    SEMANTIC = "semantic"
    EXACT = "exact"
    SHADOW = "shadow"
    OFF = "off"


class ContextMode(StrEnum):
    """How the conversation before the last turn is compared."""

    OFF = "off"
    EXACT = "exact"
    MEANING = "meaning"


class Collapse(StrEnum):
    """Which requests wait for an equal one that is under way."""

    OFF = "off"
    EXACT = "exact"
    MEANING = "meaning"


class Replay(StrEnum):
    """At what pace a remembered stream is sent."""

    FAST = "fast"
    ORIGINAL = "original"


class Signal(StrEnum):
    """By what it is judged how loaded upstream is."""

    LATENCY = "upstream_latency_p95"
    IN_FLIGHT = "in_flight"
    REFUSALS = "rate_429"


@dataclass(frozen=True, slots=True)
class Directives:
    """What one caller asked of the cache: Cache-Control, x-likewise-*, LiteLLM's `cache` field."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: float | None = None
    min_fresh: float | None = None
    max_stale: float | None = None
    stale_if_error: float | None = None
    category: str | None = None
    threshold: float | None = None
    ttl: float | None = None
    reach: Reach = Reach.SEMANTIC
    tags: tuple[str, ...] = ()
    session: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Owners:
    """Digests of who asks: the credential, its tenant where one is declared, the end user."""

    key: str
    tenant: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of a conversation.

    What a user said may be compared by meaning (`text`); `rest` digests everything else of the
    turn, and must be equal. `length` counts the characters of what an assistant said.
    """

    role: str
    rest: str = ""
    text: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Query:
    """A request as the core sees it.

    `fingerprint` digests everything that shapes the answer except the conversation and the last
    user text; `chain` digests the earlier turns (empty for a standalone question), and `before`
    are those turns, empty where they are matched exactly only; `text` is the last user text,
    byte-true. `bypass` means never looked up nor stored, `exact_only` never by
    meaning, `stateful` that the vendor will keep the answer under an id, `refused` that upstream
    turned the caller's key down and has not accepted it since.
    """

    dialect: str
    upstream: str
    model: str
    owners: Owners
    fingerprint: bytes
    chain: str
    text: str
    before: tuple[Turn, ...] = ()
    turns: int = 0
    stream: bool = False
    wants_usage: bool = False
    temperature: float | None = None
    bypass: Reason | None = None
    exact_only: Reason | None = None
    stateful: bool = False
    refused: bool = False
    directives: Directives = field(default_factory=Directives)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a stored entry without reading its body.

    `entry` is 32 hex digits, the exact key itself; `space` the group inside which meaning is
    compared. `expires` ends freshness, `gone` ends existence (stale windows included). `pace` are
    the milliseconds after which a stream's events came, where they were taken down. `group` names
    the founder of the entry's answer group (empty: alone); `labels` are its own record, newest
    last: how similar a prompt was, and whether its fresh answer was the same. `before` are the
    earlier turns of the conversation that the entry was kept for, `said` is the answer as the
    turn that clients send back; None where it is more than text. `user` is the digest of the end
    user whose request it answered first, empty where none was named. A `pinned` entry makes room
    for no other.
    """

    entry: str
    space: str
    owner: str
    category: str
    dialect: str
    model: str
    chain: str
    text: str
    stored: float
    expires: float
    gone: float
    size: int
    tokens_in: int = 0
    tokens_out: int = 0
    cost_ms: float = 0.0
    has_usage: bool = True
    streamed: bool = False
    embedding: str = ""
    tags: tuple[str, ...] = ()
    flagged: bool = False
    pace: tuple[int, ...] = ()
    group: str = ""
    labels: tuple[tuple[float, bool], ...] = ()
    before: tuple[Turn, ...] = ()
    said: Turn | None = None
    user: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A remembered entry that may stand in, with its similarity (1.0 for an exact match).

    `turns` are the similarities of the earlier turns, pairwise; empty where they were not compared.
    """

    facts: Facts
    score: float
    turns: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What memory brought back for a lookup.

    `exact` is the entry of equal key, last answered at `used`; `near` the neighbours, best first.
    `vector` is None where nothing was embedded; `fault` says why meaning could not be used after
    all.
    """

    lookup_entry: str
    lookup_space: str
    category: CategoryRules | None
    exact: Facts | None = None
    used: float = 0.0
    near: tuple[Candidate, ...] = ()
    vector: Vector | None = None
    fault: Reason | None = None
    embed_ms: float = 0.0
    search_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What a dialect read out of a finished upstream answer. `refusal` says why not to keep it.

    `said` is the answer as the turn that clients send back; None where it is more than text.
    """

    size: int
    refusal: Reason | None = None
    no_store: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    has_usage: bool = True
    said: Turn | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """A fixed cut; or a bound on false hits, with the cut that rules until labels certify more; or
    vCache's rule with its `delta`. Nothing that lowers the cut goes below `floor`.
    """

    start: float
    max_false_hits: float | None = None
    delta: float | None = None
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class ContextRules:
    """How earlier turns must match."""

    mode: ContextMode = ContextMode.MEANING
    threshold: float = 0.85
    max_turns: int = 6


@dataclass(frozen=True, slots=True)
class CategoryRules:
    """The policy in force for one category, every default filled in."""

    name: str
    threshold: Threshold
    ttl: float
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    context: ContextRules = ContextRules()
    guards: tuple[str, ...] = ()
    cache: bool = True
    quota: float | None = None
    max_temperature: float = 1.0
    share: Share = Share.KEY
    strict: bool = False
    examples: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overrides:
    """Bounds inside which a request's own headers may move threshold and TTL."""

    threshold: tuple[float, float] = (0.85, 1.0)
    ttl: tuple[float, float] = (0.0, 30 * 86400.0)


@dataclass(frozen=True, slots=True)
class LoadRules:
    """What load loosens: nothing at `low` of the signal, everything named at `high`.

    `low` and `high` are seconds, calls or shares, as the signal has it.
    """

    signal: Signal
    low: float
    high: float
    max_threshold_drop: float
    max_ttl_factor: float


class JudgeKind(StrEnum):
    """By what two answers are compared."""

    TEXT = "text"
    EMBEDDING = "embedding"
    LLM = "llm"


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """Who says whether a fresh answer is the same as the remembered one.

    `threshold` belongs to `embedding`. The rest belongs to `llm`: which model of which upstream
    (empty: the first one that has a key and serves it), what share of the cases it is asked, and
    how often at most.
    """

    kind: JudgeKind = JudgeKind.EMBEDDING
    threshold: float = 0.80
    model: str = "gpt-4o-mini"
    upstream: str = ""
    sample: float = 0.2
    per_minute: int = 10
    per_day: int = 1_000


@dataclass(frozen=True, slots=True)
class Rules:
    """One policy, whole. Replaced in one assignment, so a request sees one version.

    `audits` is the share of would-be semantic hits that are forwarded and compared.
    An equal request within `regenerate` seconds of its last answer wants another one. `stateful`
    admits answers that the vendor keeps under an id. `level` says how far, from 0 to 1, load has
    moved these thresholds and lifetimes away from what is written. `languages` are those in which
    the encoder in use may be asked.
    """

    defaults: CategoryRules
    categories: tuple[CategoryRules, ...] = ()
    shadow: bool = False
    audits: float = 0.02
    collapse: Collapse = Collapse.EXACT
    replay: Replay = Replay.FAST
    regenerate: float = 0.0
    stateful: bool = True
    overrides: Overrides = Overrides()
    judge: JudgeRules = JudgeRules()
    load: LoadRules | None = None
    level: float = 0.0
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    languages: frozenset[str] = frozenset({"en"})
    version: str = ""

    def named(self, name: str) -> CategoryRules | None:
        """The category of that name, the defaults under `default`, else None."""
        if name == self.defaults.name:
            return self.defaults
        return next((c for c in self.categories if c.name == name), None)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a decision may look at besides the query: time, rules, dice in [0, 1), and what
    was learned so far.
    """

    now: float
    rules: Rules
    dice: float = 1.0
    learned: Learned | None = None
