"""The one loop that runs verdicts: plan, find, choose, then serve or forward.

Knows HTTP only as status, header pairs and bytes; imports no web framework. A fault of memory ends
here as a forwarded request.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, assert_never

from index.shelf import Shelf
from policies import decide, reading
from policies.values import Candidate, Collapse, Replay, Snapshot
from policies.verdicts import Bypass, Forward, Lookup, Reason, Refusal, Serve, outcome
from proxy.exchange import JSON, SSE, Ask, Ready, Repeat, Trail, evidence
from proxy.fill import Errand, Filler, Place
from proxy.flights import Flight, Flights
from proxy.quotas import Quotas
from proxy.refusals import Refusals
from proxy.sessions import Sessions
from proxy.upstream import UpstreamFault, waiting
from proxy.visits import VISIT, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.journal import Journal
    from index.memory import Memory
    from policies.values import Facts, Found, Query, Rules
    from policies.verified import Learned
    from proxy.flights import Kept, Reader
    from proxy.learning import Learner
    from proxy.metrics import Meters
    from proxy.upstream import Headers, Upstreams

# The status under which nginx logs a client that closed its request.
CLIENT_LEFT = 499
# What an upstream says when it cannot answer just now (RFC 5861 §4).
FAILING = frozenset({500, 502, 503, 504})
# Seconds over which those who waited in vain for another's call spread their own.
JITTER = 0.1
# Seconds between two tries to refresh one entry in the background.
REFRESH_REST = 5.0
# Of exact hits, this part of the share of audits is asked again behind its answer.
ASKED_AGAIN = 0.25


class Caller(Protocol):
    """The client's end of one exchange. Writing to one who left does nothing."""

    def at_once(self, ready: Ready, own: bytes) -> bool:
        """Send a whole 200 out of memory in one write; False when it has to be `serve`d.

        `own` holds this exchange's header lines as they go over the wire.
        """

    async def serve(self, ready: Ready, own: bytes) -> None:
        """The same, message by message."""

    async def pace(self, ready: Ready, own: bytes, times: tuple[int, ...]) -> None:
        """The same, each event when its time (milliseconds from now) has come."""

    async def reply(self, status: int, headers: Headers, body: bytes) -> None: ...

    def expect(self) -> None:
        """From now on notice when the client leaves, and give up then."""

    async def start(self, status: int, headers: Headers) -> None: ...

    async def write(self, chunk: bytes) -> None: ...

    async def end(self) -> None: ...


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
    learner: Learner | None = None
    flights: Flights = field(default_factory=Flights)
    quotas: Quotas = field(default_factory=Quotas)
    sessions: Sessions = field(default_factory=Sessions)
    _ready: Shelf[Ready] = field(default_factory=lambda: Shelf(64_000_000, lambda r: len(r.body)))
    refusals: Refusals = field(init=False)
    _filler: Filler = field(init=False)

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.memory, clock=self.clock)
        self._filler = Filler(
            self.memory,
            self.upstreams,
            self.meters,
            self.flights,
            self.response_limit,
            self.clock,
            self.refusals,
            self.learner,
        )

    def teach(self, learner: Learner) -> None:
        """Take up a learner: what it learned rules the next decision."""
        self.learner = self._filler.learner = learner

    async def answer(self, ask: Ask, headers: Headers, caller: Caller) -> None:
        """Answer one request, from memory or from upstream, and record how."""
        rules, number, at = self.rules, self.ids(), self.clock()
        reading.on_behalf_of(ask.query.owners.key)
        if ask.query.directives.session is not None:
            ask = await self.sessions.joined(ask, self.memory.bodies, at)
        if self.refusals.stands(ask.query):
            ask = ask.turned_down()
        hit = ask.again(rules, self.memory, at)
        if hit is not None:
            await self._repeat(ask, hit, number, at, caller)
            return
        trail = Trail(ask, number, at)
        if (visit := VISIT.get()) is not None:
            visit.trail = trail
        try:
            await self._decide(ask, rules, trail, headers, caller)
        except asyncio.CancelledError:
            trail.status = CLIENT_LEFT
            raise
        finally:
            # Recorded once its own call, if it made one, has come to its end.
            trail.settled(partial(self._record, trail))

    def repeat(self, ask: Ask, send: Callable[[Ready, bytes], bool]) -> bool:
        """Answer a byte-identical repeat without waiting for anything; False when `send` cannot
        take it whole, or when it is no such repeat after all."""
        if ask.query.directives.session is not None or self.refusals.stands(ask.query):
            return False
        at = self.clock()
        hit = ask.again(self.rules, self.memory, at)
        if hit is None:
            return False
        began, number = time.perf_counter(), self.ids()
        if not send(hit.ready, hit.ready.own(Reason.EXACT, 1.0, hit.facts, number, at)):
            return False
        self._repeated(ask, hit, number, at, began)
        return True

    async def _repeat(self, ask: Ask, hit: Repeat, number: int, at: float, caller: Caller) -> None:
        """Answer a byte-identical repeat as it was answered before."""
        began = time.perf_counter()
        own = hit.ready.own(Reason.EXACT, 1.0, hit.facts, number, at)
        if not caller.at_once(hit.ready, own):
            await caller.serve(hit.ready, own)
        self._repeated(ask, hit, number, at, began)

    def _repeated(self, ask: Ask, hit: Repeat, number: int, at: float, began: float) -> None:
        self._count_hit(hit.facts, at)
        seconds = time.perf_counter() - began
        row = hit.row
        if (visit := VISIT.get()) is not None:
            visit.row, visit.number, visit.tenant = row, number, ask.query.owners.tenant
        self.meters.observe(row.outcome, row.reason, row.category, seconds)
        self.journal.record(hit.decision(number, at, seconds))

    def _count_hit(self, facts: Facts, at: float) -> None:
        self.memory.touch(facts.entry, at, facts.tokens_in + facts.tokens_out)
        self.meters.saved(facts, self.rules.prices)

    async def _decide(
        self,
        ask: Ask,
        rules: Rules,
        trail: Trail,
        headers: Headers,
        caller: Caller,
        *,
        waited: bool = False,
    ) -> None:
        match ask.plan(rules):
            case Bypass() as bypass:
                place = await self._place(bypass, ask, rules)
                trail.reason, trail.category = bypass.reason, bypass.category
                await self._forward(Errand(trail, headers, place, rules), None, caller)
            case Lookup() as lookup:
                found = await self.memory.find(lookup, ask.query, rules)
                trail.embed_ms, trail.search_ms = found.embed_ms, found.search_ms
                verdict = decide.choose(ask.query, found, self._snapshot(trail.at, rules))
                trail.category, trail.cut = verdict.category.name, verdict.cut
                place = Place(lookup, found, verdict.category, self.memory.generation)
                errand = Errand(trail, headers, place, rules)
                if isinstance(verdict, Serve):
                    if await self._serve(verdict, trail, rules, caller):
                        if verdict.refresh:
                            self._refresh(errand, place)
                        elif self._doubts(verdict, ask, rules):
                            self._ask_again(errand, verdict.candidate.facts)
                        return
                    verdict = _lost(verdict, self.memory.facts(verdict.candidate.facts.entry))
                trail.refused(verdict)
                near = None if waited else self._near(errand, place, verdict)
                if near is not None and await _landed(near, caller):
                    await self._decide(ask, rules, trail, headers, caller, waited=True)
                else:
                    await self._forward(errand, verdict, caller)
            case never:
                assert_never(never)

    @property
    def learned(self) -> Learned | None:
        return None if self.learner is None else self.learner.learned

    def _snapshot(self, at: float, rules: Rules) -> Snapshot:
        """What a decision may look at, the dice thrown."""
        return Snapshot(at, rules, random.random(), self.learned)  # noqa: S311 - samples, hides nothing

    async def _place(self, bypass: Bypass, ask: Ask, rules: Rules) -> Place | None:
        """Where a request that is not looked up may still leave its answer (`no-cache`)."""
        if bypass.store is None:
            return None
        found = await self.memory.find(bypass.store, ask.query, rules)
        category = decide.category_of(found, rules)
        return Place(bypass.store, found, category, self.memory.generation)

    # -- from memory -----------------------------------------------------------------------------

    async def _serve(
        self, verdict: Serve, trail: Trail, rules: Rules, caller: Caller, failed: int = 0
    ) -> bool:
        ready = await self._made_ready(verdict, trail.ask)
        if ready is None:
            return False
        facts, at = verdict.candidate.facts, trail.at
        trail.reason, trail.entry, trail.status = verdict.reason, facts.entry, 200
        trail.similarity, trail.study = verdict.candidate.score, verdict.study
        trail.match = verdict.match.value
        trail.tokens_in, trail.tokens_out = facts.tokens_in, facts.tokens_out
        if verdict.match is not Reason.EXACT:
            trail.matched, trail.evidence = facts.text, evidence(verdict)
        own = ready.own(verdict.reason, verdict.candidate.score, facts, trail.id, at, failed)
        if rules.replay is Replay.ORIGINAL and trail.ask.form.stream and facts.pace:
            caller.expect()
            await caller.pace(ready, own, facts.pace)
        elif not caller.at_once(ready, own):
            await caller.serve(ready, own)
        self._count_hit(facts, at)
        if self.learner is not None and verdict.study is not None:
            self.learner.served(trail.id, verdict.study, verdict.category.name)
        if not (self.memory.shared or rules.regenerate or facts.pace):
            trail.ask.remember(verdict, ready, trail.decision(0.0))
        return True

    async def _made_ready(self, verdict: Serve, ask: Ask) -> Ready | None:
        """The entry's answer in this caller's form, or None when it cannot be had any more."""
        facts, form = verdict.candidate.facts, ask.form
        if verdict.match is not Reason.EXACT or not _is_own(facts, ask):
            form = replace(form, alias=facts.entry)
        key = (
            facts.entry,
            facts.stored,
            form,
            verdict.reason,
            verdict.match,
            verdict.category.name,
        )
        ready = None if self.memory.shared else self._ready.get(key)
        if ready is None:
            with step("read"):
                stored = await self.memory.read(facts)
            if stored is None or (form.usage and not stored.facts.has_usage):
                return None
            if stored.facts.flagged and verdict.match is not Reason.EXACT:
                return None  # marked bad since it was found, perhaps by way of another replica
            try:
                body = ask.dialect.render(stored.body, streamed=stored.facts.streamed, form=form)
            except (ValueError, KeyError, TypeError):
                return None
            ready = Ready.of(verdict, body, stream=form.stream)
            if stored.facts.stored == facts.stored:
                self._ready.put(key, ready)
        return ready

    def _refresh(self, errand: Errand, place: Place) -> None:
        """Ask upstream behind a stale answer, once for everybody."""
        entry = place.found.lookup_entry
        under_way = self.flights.find(entry, place.generation, usage=False)
        if under_way is not None or self.flights.held("refresh", entry):
            return
        if self.quotas.enter(errand.trail.ask.query.owners.key) is not None:
            return
        self.flights.hold("refresh", entry, REFRESH_REST)
        trail = Trail(errand.trail.ask, errand.trail.id, errand.trail.at)
        behind = Errand(trail, errand.headers, errand.place, errand.rules)
        self._send(Flight(self._filler.cargo(behind)), behind, listed=True)

    def _doubts(self, verdict: Serve, ask: Ask, rules: Rules) -> bool:
        """Whether this exact hit is one of the few that are asked again, to learn how often the
        judge calls two answers to one prompt different."""
        return (
            self.learner is not None
            and verdict.reason is Reason.EXACT
            and verdict.category.threshold.max_false_hits is not None
            and not ask.query.directives.only_if_cached
            and random.random() < rules.audits * ASKED_AGAIN  # noqa: S311 - samples
        )

    def _ask_again(self, errand: Errand, facts: Facts) -> None:
        """Ask upstream once more behind an exact hit; what it says is compared, and not kept."""
        if self.flights.held("again", facts.entry):
            return
        if self.quotas.enter(errand.trail.ask.query.owners.key) is not None:
            return
        self.flights.hold("again", facts.entry, REFRESH_REST)
        trail = Trail(errand.trail.ask, errand.trail.id, errand.trail.at)
        behind = Errand(trail, errand.headers, errand.place, errand.rules, again=facts)
        self._send(Flight(None), behind, listed=False)

    # -- from upstream ---------------------------------------------------------------------------

    async def _forward(self, errand: Errand, verdict: Forward | None, caller: Caller) -> None:
        """Join an equal call that is under way, or make one."""
        trail, place, rules = errand.trail, errand.place, errand.rules
        query = trail.ask.query
        if query.directives.only_if_cached:
            said = "No stored answer fits, and only-if-cached forbids asking upstream."
            await self._fail(trail, caller, 504, "only_if_cached_miss", said, retry=False)
            return
        caller.expect()
        listed = False
        if place is not None and decide.shares(query, place.category, rules):
            entry = place.found.lookup_entry
            listed = not self.flights.held("unshared", entry)
            if listed and verdict is not None and decide.joins(query, verdict, rules):
                usage = trail.ask.form.usage
                flight = self.flights.find(entry, place.generation, usage=usage)
                if flight is not None:
                    if await self._follow(flight, trail, caller):
                        return
                    await self._released(flight, errand, verdict, caller)
                    return
        await self._lead(errand, verdict, caller, listed=listed)

    async def _lead(
        self, errand: Errand, verdict: Forward | None, caller: Caller, *, listed: bool
    ) -> None:
        trail = errand.trail
        exceeded = self.quotas.enter(trail.ask.query.owners.key)
        if exceeded is not None:
            code = "rate_limit_exceeded"
            await self._fail(trail, caller, 429, code, exceeded.said, after=exceeded.after)
            return
        flight = trail.flight = Flight(self._filler.cargo(errand))
        reader = flight.board()
        self._send(flight, errand, listed=listed)
        try:
            await flight.head()
            if not await self._instead(flight, errand, verdict, caller):
                await self._tell(flight, reader, trail, caller)
        finally:
            flight.leave(reader)

    def _send(self, flight: Flight, errand: Errand, *, listed: bool) -> None:
        """Make a call that its key's quota admitted; it counts until its own end."""
        key = errand.trail.ask.query.owners.key
        task = self.flights.open(flight, self._filler.fill(flight, errand), listed=listed)
        task.add_done_callback(lambda _: self.quotas.leave(key))

    async def _follow(self, flight: Flight, trail: Trail, caller: Caller) -> bool:
        """Take another's answer as it comes, or once it is there; False where it is none."""
        reader = flight.board()
        trail.collapsed = True
        try:
            cargo, ask = flight.cargo, trail.ask
            kept_there = ask.query.stateful and cargo and not _is_own(cargo.facts, ask)
            if cargo is not None and cargo.form == ask.form and not kept_there:
                await flight.head()
                if flight.opened and flight.shared:
                    trail.status = flight.status
                    await self._tell(flight, reader, trail, caller)
                    trail.entry = flight.kept.facts.entry if flight.kept else ""
                    return True
            else:
                await flight.end()
                if flight.kept is not None and await _convert(flight.kept, trail, caller):
                    return True
        finally:
            flight.leave(reader)
        trail.collapsed = False
        return False

    async def _released(
        self, flight: Flight, errand: Errand, verdict: Forward, caller: Caller
    ) -> None:
        """Who waited in vain asks for itself, all at once but for a little jitter."""
        if await self._instead(flight, errand, verdict, caller):
            return
        async with self.flights.released:
            await asyncio.sleep(random.random() * JITTER)  # noqa: S311 - spreads load, hides nothing
            await self._lead(errand, verdict, caller, listed=False)

    async def _instead(
        self, flight: Flight, errand: Errand, verdict: Forward | None, caller: Caller
    ) -> bool:
        """A remembered answer for one that upstream cannot give."""
        if not failed(flight) or verdict is None or verdict.fallback is None:
            return False
        return await self._serve(
            verdict.fallback, errand.trail, errand.rules, caller, flight.status
        )

    async def _tell(self, flight: Flight, reader: Reader, trail: Trail, caller: Caller) -> None:
        """Pass on what a flight brings."""
        if not flight.opened:
            fault = flight.fault or UpstreamFault(502, "bad_gateway", "The call upstream ended.")
            await self._fail(trail, caller, fault.status, fault.code, str(fault), after=fault.after)
            return
        # A stream's head never says it: whether it will be kept is known at its end only.
        whole = flight.body is not None
        own = trail.headers(stored=whole and flight.kept is not None and not trail.collapsed)
        if flight.body is not None:
            await caller.reply(flight.status, flight.headers + own, flight.body)
            return
        await caller.start(flight.status, flight.headers + own)
        async for chunk in flight.chunks(reader):
            await caller.write(chunk)
        # Unfinished framing tells the client, as upstream's broken connection told us.
        if flight.fault is None:
            await caller.end()

    def _near(self, errand: Errand, place: Place, verdict: Forward) -> Flight | None:
        """A call under way whose answer would serve this question by meaning."""
        rules, query, found = errand.rules, errand.trail.ask.query, place.found
        if rules.collapse is not Collapse.MEANING or not decide.joins(query, verdict, rules):
            return None
        snap = replace(self._snapshot(errand.trail.at, rules), dice=1.0)
        return _nearest(self.flights, found, query, place, snap)

    async def _fail(
        self,
        trail: Trail,
        caller: Caller,
        status: int,
        code: str,
        said: str,
        *,
        retry: bool = True,
        after: float | None = None,
    ) -> None:
        trail.status = status
        self.meters.errors[code] += 1
        if (visit := VISIT.get()) is not None:
            visit.code = code
        body = trail.ask.dialect.error(status, said, code=code)
        lines: Headers = [
            (b"content-type", JSON),
            (b"content-length", b"%d" % len(body)),
            *(line for line in trail.headers(stored=False) if line[0] != b"cache-status"),
        ]
        if not retry:
            lines.append((b"x-should-retry", b"false"))
        lines += waiting(after)
        await caller.reply(status, lines, body)

    def _go_on(self, trail: Trail) -> None:
        """Tell the session what became of its turn, as far as that is known."""
        facts = self.memory.facts(trail.entry) if trail.status == 200 else None  # noqa: PLR2004
        taken = trail.status < 400 or trail.status == CLIENT_LEFT  # noqa: PLR2004
        self.sessions.told(trail.ask, facts.said if facts else None, taken=taken)

    def _record(self, trail: Trail) -> None:
        """Count and log the decision; costs the request a few microseconds."""
        if trail.ask.turn:
            self._go_on(trail)
        seconds = time.perf_counter() - trail.began
        reason = trail.reason
        self.meters.observe(outcome(reason).value, reason.value, trail.category, seconds)
        self.journal.record(trail.decision(seconds))


def failed(flight: Flight) -> bool:
    """Whether upstream could not answer; one that asks a key to wait could, but would not."""
    if flight.opened:
        return flight.status in FAILING
    return flight.fault is None or flight.fault.status in FAILING


def _lost(verdict: Serve, now: Facts | None) -> Forward:
    """Why a chosen answer could not be served after all; `now` is what is known of it by now."""
    if verdict.match is Reason.EXACT or now is None or not now.flagged:
        return Forward(Reason.BODY_GONE, verdict.category, verdict.cut)
    refusal = Refusal(verdict.candidate, Reason.FLAGGED, decide.MARKED)
    return Forward(Reason.FLAGGED, verdict.category, verdict.cut, (refusal,))


def _is_own(facts: Facts, ask: Ask) -> bool:
    """Whether an answer was made for this caller's key: its id at the vendor's is of use to
    nobody else."""
    return facts.owner.partition(":")[0] == ask.query.owners.key


async def _convert(kept: Kept, trail: Trail, caller: Caller) -> bool:
    """Send another's answer in this caller's form, if it has one."""
    ask, facts = trail.ask, kept.facts
    form = ask.form if _is_own(facts, ask) else replace(ask.form, alias=facts.entry)
    try:
        body = ask.dialect.render(kept.body, streamed=facts.streamed, form=form)
    except (ValueError, KeyError, TypeError):
        return False
    trail.status, trail.entry = 200, facts.entry
    lines = [
        (b"content-type", SSE if ask.form.stream else JSON),
        (b"content-length", b"%d" % len(body)),
    ]
    await caller.reply(200, lines + trail.headers(stored=False), body)
    return True


async def _landed(flight: Flight, caller: Caller) -> bool:
    """Wait for another's call; whether its answer was kept."""
    caller.expect()
    reader = flight.board()
    try:
        await flight.end()
    finally:
        flight.leave(reader)
    return flight.kept is not None


def _nearest(
    flights: Flights, found: Found, query: Query, place: Place, snap: Snapshot
) -> Flight | None:
    """By the very `choose` that weighs what is remembered."""
    vector = found.vector
    if vector is None:
        return None
    by_entry, near = {}, []
    for flight in flights.near(found.lookup_space, place.generation):
        cargo = flight.cargo
        if cargo is not None and cargo.vector is not None and cargo.entry != found.lookup_entry:
            by_entry[cargo.entry] = flight
            near.append(Candidate(cargo.facts, float(cargo.vector @ vector)))
    near.sort(key=lambda candidate: -candidate.score)
    verdict = decide.choose(query, replace(found, exact=None, near=tuple(near)), snap)
    if not isinstance(verdict, Serve):
        return None
    return by_entry[verdict.candidate.facts.entry]
