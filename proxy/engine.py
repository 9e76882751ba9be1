"""The one loop that runs verdicts: plan, find, choose, then serve or forward and keep.

Knows HTTP only as status, header pairs and bytes; imports no web framework. A fault of memory ends
here as a forwarded request.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, assert_never

from index.shelf import Shelf
from policies import decide
from policies.values import AnswerFacts, Facts, Snapshot
from policies.verdicts import (
    Admit,
    Bypass,
    Forward,
    Lookup,
    Reason,
    Refuse,
    Serve,
    outcome,
)
from proxy.dialects.ports import Ending
from proxy.exchange import JSON, MODEL_KEPT, SSE, Ask, Ready, Repeat, Trail
from proxy.sse import Parser
from proxy.upstream import Answer, UpstreamFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.journal import Journal
    from index.memory import Memory
    from policies.values import CategoryRules, Found, Rules
    from proxy.metrics import Meters
    from proxy.sse import Event
    from proxy.upstream import Headers, Upstreams

# Seconds that an answer may still take when its client has left and it can be kept.
FINISH = 120.0
# The status under which nginx logs a client that closed its request.
CLIENT_LEFT = 499
# Without a fault, or with one of the moment, the text can be embedded when its answer is kept.
LATER = (None, Reason.EMBED_TIMEOUT)
# What a stream without its terminal event told its client stands in this many of its last events.
LAST = 4


class Caller(Protocol):
    """The client's end of one exchange. Writing to one who left does nothing."""

    def at_once(self, ready: Ready, own: bytes) -> bool:
        """Send a whole 200 out of memory in one write; False when it has to be `serve`d.

        `own` holds this exchange's header lines as they go over the wire.
        """

    async def serve(self, ready: Ready, own: bytes) -> None:
        """The same, message by message."""

    async def reply(self, status: int, headers: Headers, body: bytes) -> None: ...

    def expect(self, patience: float) -> None:
        """From now on notice when the client leaves, and then give up after `patience` seconds."""

    async def start(self, status: int, headers: Headers) -> None: ...

    async def write(self, chunk: bytes) -> None: ...

    async def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fresh answer would be kept, and what is already known of its text."""

    lookup: Lookup
    found: Found
    category: CategoryRules
    generation: int


@dataclass(slots=True)
class Engine:
    """Decides and acts for every request of the cached routes."""

    memory: Memory
    upstreams: Upstreams
    rules: Rules
    journal: Journal
    meters: Meters
    ids: Callable[[], int]
    response_limit: int = 32_000_000
    clock: Callable[[], float] = time.time
    _ready: Shelf[Ready] = field(default_factory=lambda: Shelf(64_000_000, lambda r: len(r.body)))

    async def answer(self, ask: Ask, headers: Headers, caller: Caller) -> None:
        """Answer one request, from memory or from upstream, and record how."""
        rules, number, at = self.rules, self.ids(), self.clock()
        hit = ask.again(rules, self.memory, at)
        if hit is not None:
            await self._repeat(hit, number, at, caller)
            return
        trail = Trail(ask, number, at)
        try:
            await self._decide(ask, rules, trail, headers, caller)
        except asyncio.CancelledError:
            trail.status = CLIENT_LEFT
            raise
        finally:
            self._record(trail)

    async def _repeat(self, hit: Repeat, number: int, at: float, caller: Caller) -> None:
        """Answer a byte-identical repeat as it was answered before."""
        began = time.perf_counter()
        facts, ready = hit.facts, hit.ready
        own = ready.own(Reason.EXACT, 1.0, facts, number, at)
        if not caller.at_once(ready, own):
            await caller.serve(ready, own)
        self._count_hit(facts, at)
        seconds = time.perf_counter() - began
        row = hit.decision(number, at, seconds)
        self.meters.observe(row.outcome, row.reason, row.category, seconds)
        self.journal.record(row)

    def _count_hit(self, facts: Facts, at: float) -> None:
        tokens = facts.tokens_in + facts.tokens_out
        self.memory.touch(facts.entry, at, tokens)
        self.meters.tokens_saved += tokens

    async def _decide(
        self, ask: Ask, rules: Rules, trail: Trail, headers: Headers, caller: Caller
    ) -> None:
        match ask.plan(rules):
            case Bypass() as bypass:
                place = await self._place(bypass, ask, rules)
                trail.reason, trail.category = bypass.reason, bypass.category
                await self._forward(trail, headers, caller, place, rules)
            case Lookup() as lookup:
                found = await self.memory.find(lookup, ask.query, rules)
                trail.embed_ms, trail.search_ms = found.embed_ms, found.search_ms
                verdict = decide.choose(ask.query, found, Snapshot(trail.at, rules))
                trail.category, trail.cut = verdict.category.name, verdict.cut
                if isinstance(verdict, Serve) and not await self._serve(verdict, trail, caller):
                    verdict = Forward(Reason.BODY_GONE, verdict.category, verdict.cut)
                if isinstance(verdict, Forward):
                    trail.refused(verdict)
                    place = Place(lookup, found, verdict.category, self.memory.generation)
                    await self._forward(trail, headers, caller, place, rules)
            case never:
                assert_never(never)

    async def _place(self, bypass: Bypass, ask: Ask, rules: Rules) -> Place | None:
        """Where a request that is not looked up may still leave its answer (`no-cache`)."""
        if bypass.store is None:
            return None
        found = await self.memory.find(bypass.store, ask.query, rules)
        category = decide.category_of(found, rules)
        return Place(bypass.store, found, category, self.memory.generation)

    # -- from memory -----------------------------------------------------------------------------

    async def _serve(self, verdict: Serve, trail: Trail, caller: Caller) -> bool:
        ready = await self._made_ready(verdict, trail.ask)
        if ready is None:
            return False
        facts, at = verdict.candidate.facts, trail.at
        trail.reason, trail.entry, trail.status = verdict.reason, facts.entry, 200
        trail.similarity = verdict.candidate.score
        trail.tokens_in, trail.tokens_out = facts.tokens_in, facts.tokens_out
        if verdict.reason is not Reason.EXACT:
            trail.matched = facts.text
        own = ready.own(verdict.reason, verdict.candidate.score, facts, trail.id, at)
        if not caller.at_once(ready, own):
            await caller.serve(ready, own)
        self._count_hit(facts, at)
        if not self.memory.shared:
            trail.ask.remember(verdict, ready, trail.decision(0.0))
        return True

    async def _made_ready(self, verdict: Serve, ask: Ask) -> Ready | None:
        """The entry's answer in this caller's form, or None when it cannot be had any more."""
        facts, form = verdict.candidate.facts, ask.form
        key = (facts.entry, facts.stored, form, verdict.reason, verdict.category.name)
        ready = None if self.memory.shared else self._ready.get(key)
        if ready is None:
            stored = await self.memory.read(facts)
            if stored is None or (form.usage and not stored.facts.has_usage):
                return None
            try:
                body = ask.dialect.render(stored.body, streamed=stored.facts.streamed, form=form)
            except (ValueError, KeyError, TypeError):
                return None
            ready = Ready.of(verdict, body, stream=form.stream)
            if stored.facts.stored == facts.stored:
                self._ready.put(key, ready)
        return ready

    # -- from upstream ---------------------------------------------------------------------------

    async def _forward(
        self, trail: Trail, headers: Headers, caller: Caller, place: Place | None, rules: Rules
    ) -> None:
        ask = trail.ask
        # An answer that can be kept is worth finishing for the next who asks.
        caller.expect(FINISH if place is not None else 0.0)
        if ask.query.directives.only_if_cached:
            said = "No stored answer fits, and only-if-cached forbids asking upstream."
            await self._fail(trail, caller, 504, "only_if_cached_miss", said, retry=False)
            return
        asked = time.perf_counter()
        try:
            answer = await self.upstreams.send(
                ask.upstream, "POST", ask.target, headers, ask.body, identity=True
            )
        except UpstreamFault as fault:
            trail.upstream_ms = (time.perf_counter() - asked) * 1000
            self.meters.upstream[ask.upstream.name, fault.code] += 1
            await self._fail(trail, caller, fault.status, fault.code, str(fault))
            return
        trail.status = answer.status
        self.meters.upstream[ask.upstream.name, str(answer.status)] += 1
        try:
            await self._pass_on(trail, answer, caller, place, rules)
        finally:
            answer.close()
            trail.upstream_ms = (time.perf_counter() - asked) * 1000

    async def _pass_on(
        self, trail: Trail, answer: Answer, caller: Caller, place: Place | None, rules: Rules
    ) -> None:
        kind = answer.header("Content-Type").partition(";")[0].strip().lower().encode()
        obstacle = _obstacle(answer, kind)
        if obstacle is not None:
            trail.kept = obstacle.value if place is not None else ""
            place = None
        if kind == SSE and answer.status == 200:  # noqa: PLR2004
            await self._stream(trail, answer, caller, place, rules)
        elif place is not None:
            await self._whole(trail, answer, caller, place, rules)
        else:
            await self._through(trail, answer, caller)

    async def _whole(
        self, trail: Trail, answer: Answer, caller: Caller, place: Place, rules: Rules
    ) -> None:
        """A JSON answer: read to its end, kept where good, then sent."""
        try:
            body, complete = await answer.read(self.response_limit)
        except UpstreamFault as fault:
            trail.kept = Reason.INCOMPLETE.value
            await self._fail(trail, caller, fault.status, fault.code, str(fault))
            return
        if not complete:
            trail.kept = Reason.TOO_LARGE.value
            await self._through(trail, answer, caller, body)
            return
        stored = await self._keep(trail, place, body, streamed=False, rules=rules)
        lines = _without(answer.headers, b"content-length")
        lines.append((b"content-length", b"%d" % len(body)))
        await caller.reply(answer.status, lines + trail.headers(stored=stored), body)

    async def _stream(
        self, trail: Trail, answer: Answer, caller: Caller, place: Place | None, rules: Rules
    ) -> None:
        """An event stream: each chunk goes on at once, the last one after the answer is kept."""
        ask = trail.ask
        await caller.start(answer.status, answer.headers + trail.headers(stored=False))
        parts: list[bytes] = []
        size, ended, parser = 0, False, Parser()
        last: deque[Event] = deque(maxlen=LAST)
        try:
            async for chunk in answer.chunks():
                size += len(chunk)
                if place is not None and size <= self.response_limit:
                    parts.append(chunk)
                last.extend(events := parser.feed(chunk))
                if not ended and any(map(ask.dialect.ended, events)):
                    ended = True
                    if place is not None:
                        await self._keep_stream(trail, place, parts, size, rules)
                await caller.write(chunk)
        except UpstreamFault as fault:
            trail.seen = trail.seen or str(fault)
        if not ended and any(map(ask.dialect.ended, parser.close())):
            ended = True
            if place is not None:
                await self._keep_stream(trail, place, parts, size, rules)
        if not ended:
            trail.kept = Reason.INCOMPLETE.value if place is not None else ""
            if ask.dialect.concluded(last) is Ending.SILENT:
                await caller.write(ask.dialect.cut_short(last))
        await caller.end()

    async def _keep_stream(
        self, trail: Trail, place: Place, parts: list[bytes], size: int, rules: Rules
    ) -> None:
        if size > self.response_limit:
            trail.kept = Reason.TOO_LARGE.value
            return
        await self._keep(trail, place, b"".join(parts), streamed=True, rules=rules)

    async def _through(
        self, trail: Trail, answer: Answer, caller: Caller, already: bytes = b""
    ) -> None:
        """An answer that is not kept: passed on byte for byte as it comes."""
        await caller.start(answer.status, answer.headers + trail.headers(stored=False))
        try:
            if already:
                await caller.write(already)
            async for chunk in answer.chunks():
                await caller.write(chunk)
        except UpstreamFault as fault:
            trail.seen = str(fault)
            return  # unfinished framing tells the client, as upstream's broken connection told us
        await caller.end()

    async def _keep(
        self, trail: Trail, place: Place, body: bytes, *, streamed: bool, rules: Rules
    ) -> bool:
        """Ask the core whether the answer may be kept, and keep it. Never raises."""
        ask = trail.ask
        if place.generation != self.memory.generation:
            return False  # what a purge was to end may be this very answer
        judged = ask.dialect.judge(body, streamed=streamed, query=ask.query, strict=ask.strict)
        trail.tokens_in, trail.tokens_out = judged.tokens_in, judged.tokens_out
        verdict = decide.admit(ask.query, place.found, judged, rules)
        match verdict:
            case Refuse(reason):
                trail.kept = reason.value
                self.meters.not_stored[reason.value] += 1
                return False
            case Admit() as admitted:
                facts = self._facts(trail, place, judged, admitted, streamed=streamed)
                fault = place.found.fault
                meaning = place.lookup.semantic is None and fault in LATER
                await self.memory.keep(facts, body, place.found.vector, meaning=meaning)
                trail.kept, trail.entry = "stored", facts.entry
                self.meters.stored += 1
                return True
            case never:
                assert_never(never)

    def _facts(
        self, trail: Trail, place: Place, judged: AnswerFacts, admitted: Admit, *, streamed: bool
    ) -> Facts:
        query, now = trail.ask.query, self.clock()
        return Facts(
            entry=place.found.lookup_entry,
            space=place.found.lookup_space,
            owner=decide.owner_of(query, place.category.share),
            category=place.category.name,
            dialect=query.dialect,
            model=query.model[:MODEL_KEPT],
            chain=query.chain,
            text=query.text,
            stored=now,
            expires=now + admitted.ttl,
            gone=now + admitted.linger,
            size=judged.size + len(query.text),
            tokens_in=judged.tokens_in,
            tokens_out=judged.tokens_out,
            cost_ms=(time.perf_counter() - trail.began) * 1000,
            has_usage=judged.has_usage,
            streamed=streamed,
            tags=query.directives.tags,
        )

    async def _fail(
        self, trail: Trail, caller: Caller, status: int, code: str, said: str, *, retry: bool = True
    ) -> None:
        trail.status = status
        body = trail.ask.dialect.error(status, said, code=code)
        lines: Headers = [
            (b"content-type", JSON),
            (b"content-length", b"%d" % len(body)),
            *_without(trail.headers(stored=False), b"cache-status"),
        ]
        if not retry:
            lines.append((b"x-should-retry", b"false"))
        await caller.reply(status, lines, body)

    def _record(self, trail: Trail) -> None:
        """Count and log the decision; costs the request a few microseconds."""
        seconds = time.perf_counter() - trail.began
        reason = trail.reason
        self.meters.observe(outcome(reason).value, reason.value, trail.category, seconds)
        self.journal.record(trail.decision(seconds))


def _obstacle(answer: Answer, kind: bytes) -> Reason | None:
    """What of an answer's head forbids keeping it."""
    if answer.status != 200:  # noqa: PLR2004
        return Reason.STATUS
    if "no-store" in answer.header("Cache-Control").lower():
        return Reason.NO_STORE
    if answer.header("Content-Encoding").lower() not in ("", "identity"):
        return Reason.UNSUPPORTED
    return None if kind in (JSON, SSE) else Reason.INVALID_JSON


def _without(headers: Headers, name: bytes) -> Headers:
    return [line for line in headers if line[0] != name]
