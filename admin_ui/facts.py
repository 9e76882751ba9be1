"""What the pages are told: plain values, each the shape of a JSON answer as well.

Times are Unix seconds, durations seconds unless a name says ms, sizes bytes, shares fractions of
one, money US dollars. What was measured on nothing is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# -- overview --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts and latencies of some decisions. `collapsed` are misses that waited for another's
    call."""

    requests: int = 0
    exact: int = 0
    semantic: int = 0
    stale: int = 0
    collapsed: int = 0
    missed: int = 0
    bypassed: int = 0
    hit_p50_ms: float | None = None
    hit_p95_ms: float | None = None
    miss_p50_ms: float | None = None
    miss_p95_ms: float | None = None
    tokens_saved: int = 0
    dollars_saved: float = 0.0
    seconds_saved: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share known from samples. Each bound holds with `confidence`; without samples `estimate`
    is None and anything is possible."""

    estimate: float | None = None
    low: float = 0.0
    high: float = 1.0
    samples: int = 0
    confidence: float = 0.9


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened from `at` until the next moment."""

    at: float
    tally: Tally


@dataclass(frozen=True, slots=True)
class Line:
    """A category's requests and hits, moment by moment, for a sparkline."""

    requests: tuple[int, ...] = ()
    hits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the processes on a store. `id` is that of its journal, by which it is asked for, and
    outlives the process, `name`; `here`: the one that answers. It was last `heard` of then, and is
    not `live` where that is too long ago."""

    id: str
    name: str
    here: bool
    heard: float
    live: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page's facts over the last `seconds`.

    Added up over `replicas`, those that were heard of meanwhile, or of `replica` alone. `alone`:
    the others could not be asked, and are not in it.

    Counting starts at `since`, a whole minute or hour, and goes on in steps of `step` seconds.
    `false_hits` are wrong answers per hit by meaning, from audits; `bad_verdicts` is what callers
    and operators called wrong.
    """

    seconds: float
    total: Tally
    categories: dict[str, Tally] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    since: float = 0.0
    step: float = 60.0
    moments: list[Moment] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    false_hits: Estimate = Estimate()
    false_hits_by_category: dict[str, Estimate] = field(default_factory=dict)
    good_verdicts: int = 0
    bad_verdicts: int = 0
    entries: int = 0
    entry_bytes: int = 0
    policy_mode: str = "serve"
    version: str = ""
    replica: str = ""
    replicas: list[Replica] = field(default_factory=list)
    alone: bool = False


# -- decisions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refused:
    """A remembered prompt that was not good enough. `text` is empty where it is gone by now."""

    entry: str
    score: float
    reason: str
    seen: str = ""
    turns: tuple[float, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it stands now, with its answer's text.

    `state`: `stored`, `replaced` (another answer stands there by now), `gone`. `answer` is None
    where it is no text.
    """

    entry: str
    state: str
    text: str = ""
    answer: str | None = None
    cut_short: bool = False
    flagged: bool = False
    stored: float | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One comparison of a fresh answer with a remembered one, by a judge or an operator."""

    at: float
    neighbour: str
    similarity: float
    same: bool
    judge: str


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict on a request."""

    at: float
    good: bool
    note: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one decision besides its row.

    `served` is what was answered from memory or kept, `nearest` the neighbour that was not served.
    `turns` are the similarities of the earlier turns of the conversation with the match's.
    `guards` are those in force now for the category.
    """

    request: str
    refused: tuple[Refused, ...] = ()
    turns: tuple[float, ...] = ()
    served: Kept | None = None
    nearest: Kept | None = None
    verdict: Said | None = None
    judged: tuple[Judged, ...] = ()
    guards: tuple[str, ...] = ()
    context: str = ""


# -- categories ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bin:
    """Would-be hits whose similarity lies from `low` to under `high`, by what is known of them."""

    low: float
    high: float
    correct: int = 0
    wrong: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a fixed cut would do: the share of requests answered from memory, by meaning or at all,
    and wrong answers per hit by meaning."""

    cut: float
    semantic: float
    hit_rate: float
    false_hits: Estimate = Estimate()


@dataclass(frozen=True, slots=True)
class Similarities:
    """A category's would-be hits over the last `seconds`, and what each cut would do with them.

    `cut` is the policy's own; `learned` says that it only rules until labels certify more.
    """

    category: str
    seconds: float
    requests: int
    exact: int
    labels: int
    cut: float
    learned: bool
    bins: list[Bin] = field(default_factory=list)
    predicted: list[Predicted] = field(default_factory=list)


# -- policy ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a policy; `line` counts from 1, 0 where it is of no line."""

    line: int
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Written:
    """The configuration's text. `revision` names it; an edit says which one it started from.

    `faults` say why the text is not in force; `file` is empty where there is none.
    """

    file: str
    text: str
    revision: str
    in_force: bool = True
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an edit. `faults` say why it was not taken, `conflict` that somebody else
    edited meanwhile; `revision` is the one that stands."""

    applied: bool
    revision: str
    faults: tuple[Fault, ...] = ()
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Edition:
    """One text that was in force: since when, by whose hand (`file`: edited there)."""

    id: int
    at: float
    who: str
    how: str
    revision: str


@dataclass(frozen=True, slots=True)
class Change:
    """A request that a policy would treat otherwise: `kind` is `gained` or `lost` (a hit), or
    `other` (another answer). `right` is None where nobody knows."""

    id: str
    kind: str
    category: str
    prompt: str
    before: str
    after: str
    matched: str = ""
    similarity: float | None = None
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """The last requests under the policy in force and under another, side by side.

    Both start from an empty memory. `predicted_wrong` counts, of the hits gained, those known to
    be wrong and what labels of that similarity say of the others; `left_out` requests could not be
    asked again.
    """

    asked: int
    left_out: int
    hits_before: int
    hits_after: int
    gained: int
    lost: int
    known_wrong: int
    predicted_wrong: float | None
    wrong_low: float | None
    wrong_high: float | None
    labels: int
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)


# -- entries ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Aside:
    """Purged entries that can still be had back, until `until`."""

    id: str
    entries: int
    at: float
    until: float


@dataclass(frozen=True, slots=True)
class Undo:
    """How many entries came back, and how many had been answered anew meanwhile."""

    restored: int
    renewed: int


# -- audit -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Act:
    """One change that somebody made: who (role and session), what, and how it ended."""

    at: float
    who: str
    role: str
    address: str
    what: str
    detail: str
    outcome: str
