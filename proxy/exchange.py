"""One exchange: the request as it was read, what happens to it, and how that is told.

The engine decides and acts; headers and journal rows are made here. Nothing here sends or stores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Self

import orjson

from index.repeats import Again, whole
from policies import decide
from policies.record import Decision
from policies.verdicts import Bypass, Forward, Lookup, Outcome, Reason, Serve, Study, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.memory import Memory
    from policies.values import Candidate, Facts, Query, Rules
    from proxy.dialects.ports import Dialect, Form
    from proxy.flights import Flight
    from proxy.settings import Upstream
    from proxy.upstream import Headers

JSON = b"application/json"
SSE = b"text/event-stream"
PROMPT_KEPT = 4_000
MODEL_KEPT = 200
# Of the candidates that were refused, and of what was seen in one, so much is written down.
REFUSED_KEPT = 8
SEEN_KEPT = 200

_HIT = b"cache-status: likewise; hit; ttl=%d; detail=%b\r\n"
_INSTEAD = b"cache-status: likewise; fwd=stale%b; detail=%b\r\n"
_OWN = b"age: %d\r\nx-likewise-request: %016x\r\nx-likewise-similarity: %.3f\r\n"


@dataclass(slots=True)
class Ask:
    """One request, read: shared by byte-identical repeats, so it holds nothing of one exchange.

    Only a turn of a session is nobody else's; `turn` says which one of which session.
    """

    dialect: Dialect
    query: Query
    form: Form
    upstream: Upstream
    target: str
    body: bytes
    strict: bool
    turn: str = ""
    _rules: Rules | None = None
    _plan: Bypass | Lookup | None = None
    _repeat: Repeat | None = None

    def turned_down(self) -> Self:
        """The same from a caller whose key upstream refused."""
        query = replace(self.query, refused=True)
        return replace(self, query=query, _rules=None, _plan=None, _repeat=None)

    def settled_under(self, rules: Rules) -> bool:
        """Whether this reading of the request still holds under a policy."""
        return self._rules is rules

    def plan(self, rules: Rules) -> Bypass | Lookup:
        """The core's plan, remembered while the policy stays the same."""
        if self._plan is None or self._rules is not rules:
            self._plan, self._rules = decide.plan(self.query, rules), rules
            self._repeat = None
        return self._plan

    def remember(self, verdict: Serve, ready: Ready, row: Decision) -> None:
        """Keep an exact hit for byte-identical repeats, where only time can change the verdict."""
        asked = self.query.directives
        if verdict.reason is Reason.EXACT and asked.max_age is None and asked.min_fresh is None:
            self._repeat = Repeat(verdict.candidate.facts, ready, row)

    def again(self, rules: Rules, memory: Memory, now: float) -> Repeat | None:
        """The remembered hit, while policy and entry are the very same and the entry is fresh."""
        hit = self._repeat
        if hit is None or self._rules is not rules:
            return None
        facts = hit.facts
        same = memory.facts(facts.entry) is facts and facts.stored <= now < facts.expires
        return hit if same else None


@dataclass(frozen=True, slots=True)
class Repeat:
    """An exact hit as it was answered before; only number, time and duration differ."""

    facts: Facts
    ready: Ready
    row: Decision

    def decision(self, number: int, at: float, seconds: float) -> Decision | Again:
        """As the journal takes it; an end user's own row can be found to be erased."""
        again = Again(self.row, number, at, seconds * 1000)
        return whole(again) if self.row.user else again


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer ready to be sent: what is the same for every hit of this entry in this form.

    `head` is the status line and `lines` as they go over the wire.
    """

    lines: tuple[tuple[bytes, bytes], ...]
    head: bytes
    body: bytes

    @classmethod
    def of(cls, verdict: Serve, body: bytes, *, stream: bool) -> Ready:
        facts = verdict.candidate.facts
        stale = outcome(verdict.reason) is Outcome.STALE
        lines = [
            (b"content-type", SSE if stream else JSON),
            (b"content-length", b"%d" % len(body)),
            (b"date", formatdate(facts.stored, usegmt=True).encode()),
            (b"x-cache", b"STALE" if stale else b"HIT"),
            (b"x-likewise-match", verdict.match.encode()),
            (b"x-likewise-reason", verdict.reason.encode()),
            (b"x-likewise-category", verdict.category.name.encode()),
            (b"x-likewise-entry", facts.entry.encode()),
            (b"x-likewise-tokens-saved", b"%d" % (facts.tokens_in + facts.tokens_out)),
        ]
        if stream:
            lines += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % line for line in lines)
        return cls(tuple(lines), head, body)

    def own(
        self, verdict: Reason, score: float, facts: Facts, number: int, at: float, failed: int = 0
    ) -> bytes:
        """The header lines of this one exchange, as they go over the wire.

        `failed` is the upstream's status where the answer stands in for it.
        """
        if verdict is Reason.STALE_IF_ERROR:
            status = b"; fwd-status=%d" % failed if failed else b""
            head = _INSTEAD % (status, verdict.encode())
        else:
            # Rounded down, so that what is stale by less than a second is not 0.
            head = _HIT % ((facts.expires - at) // 1, verdict.encode())
        return head + _OWN % (at - facts.stored, number, score)


class Trail:
    """What happens to one exchange, as headers and the journal will tell it.

    Defaults stand on the class: most fields of most exchanges are never set.
    """

    reason: Reason = Reason.EMPTY
    category: str = ""
    cut: float | None = None
    similarity: float | None = None
    study: Study | None = None
    match: str = ""
    entry: str = ""
    neighbour: str = ""
    matched: str = ""
    seen: str = ""
    would: str = ""
    kept: str = ""
    status: int = 0
    upstream: str = ""
    upstream_ms: float = 0.0
    embed_ms: float = 0.0
    search_ms: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    collapsed: bool = False
    evidence: str = ""
    upstream_id: str = ""
    flight: Flight | None = None

    def __init__(self, ask: Ask, number: int, at: float) -> None:
        self.ask = ask
        self.id = number
        self.at = at
        self.began = time.perf_counter()

    @property
    def request(self) -> bytes:
        return b"%016x" % self.id

    def settled(self, then: Callable[[], None]) -> None:
        """Have `then` called once the exchange's own call, if it made one, has come to its end."""
        flight = self.flight
        if flight is None or flight.task is None or flight.done:
            then()
        else:
            flight.task.add_done_callback(lambda _: then())

    def refused(self, verdict: Forward) -> None:
        """Take over why nothing was served."""
        self.reason, self.study = verdict.reason, verdict.study
        self.evidence = evidence(verdict)
        nearest: Candidate | None = verdict.nearest
        if verdict.would is not None:
            nearest = verdict.would.candidate
            self.would = nearest.facts.entry
        elif verdict.refused:
            self.seen = verdict.refused[0].seen
        if nearest is not None:
            self.similarity = nearest.score
            self.neighbour, self.matched = nearest.facts.entry, nearest.facts.text

    def headers(self, *, stored: bool) -> Headers:
        """The lines of an answer that came from upstream."""
        reason = self.reason
        kind = outcome(reason)
        if reason is Reason.WRITE_ONLY:
            forwarded = "request"
        elif reason is Reason.EXPIRED:
            forwarded = "stale"
        else:
            forwarded = "bypass" if kind is Outcome.BYPASS else "miss"
        kept = ("; stored" if stored else "") + ("; collapsed" if self.collapsed else "")
        lines: Headers = [
            (b"cache-status", f"likewise; fwd={forwarded}{kept}; detail={reason.value}".encode()),
            (b"x-cache", b"BYPASS" if kind is Outcome.BYPASS else b"MISS"),
            (b"x-likewise-category", self.category.encode()),
            (b"x-likewise-reason", reason.value.encode()),
            (b"x-likewise-request", self.request),
        ]
        if self.similarity is not None:
            lines.append((b"x-likewise-similarity", b"%.3f" % self.similarity))
        if self.entry:
            lines.append((b"x-likewise-entry", self.entry.encode()))
        return lines

    def decision(self, seconds: float) -> Decision:
        """The journal's row. A request that must not be stored leaves no text there either."""
        query = self.ask.query
        prompt, matched = query.text[:PROMPT_KEPT], self.matched[:PROMPT_KEPT]
        if query.directives.no_store:
            prompt = matched = ""
        weighed = "" if query.directives.no_store else self.evidence
        result = outcome(self.reason).value
        study = self.study
        return Decision(
            self.id,
            self.at,
            result,
            self.reason.value,
            self.category,
            query.dialect,
            self.upstream or self.ask.upstream.name,
            query.model[:MODEL_KEPT],
            query.owners.key,
            query.stream,
            self.status,
            self.similarity,
            self.cut,
            None if study is None else study.propensity,
            self.entry,
            self.neighbour,
            self.would,
            self.seen,
            self.kept,
            query.turns,
            prompt,
            matched,
            seconds * 1000,
            self.embed_ms,
            self.search_ms,
            self.upstream_ms,
            self.tokens_in,
            self.tokens_out,
            None if study is None else study.risk,
            self.collapsed,
            weighed,
            self.upstream_id,
            query.owners.user or "",
        )


def evidence(verdict: Serve | Forward) -> str:
    """What was refused and why, and how alike the earlier turns were, as the journal keeps it."""
    served = verdict if isinstance(verdict, Serve) else verdict.would
    turns = served.candidate.turns if served is not None else ()
    if not verdict.refused and not turns:
        return ""
    refused = [
        {
            "entry": one.candidate.facts.entry,
            "score": round(one.candidate.score, 4),
            "reason": one.reason.value,
            "seen": one.seen[:SEEN_KEPT],
            "turns": [round(turn, 4) for turn in one.candidate.turns],
        }
        for one in verdict.refused[:REFUSED_KEPT]
    ]
    told = {"turns": [round(turn, 4) for turn in turns], "refused": refused}
    try:
        return orjson.dumps(told).decode()
    except TypeError:  # a lone surrogate in what was seen
        return ""
