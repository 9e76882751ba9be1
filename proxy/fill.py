"""What becomes of a call upstream: sent, told to its flight as it arrives, judged, and kept.

Runs as the flight's own task. Knows HTTP only as status, header pairs and bytes; who reads along is
the flight's business.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, assert_never

from policies import context, decide
from policies.values import Facts, Replay
from policies.verdicts import Admit, Reason, Refuse
from proxy.calls import OVERLOADED
from proxy.dialects.ports import Ending
from proxy.exchange import JSON, MODEL_KEPT, SSE
from proxy.flights import Cargo, Kept
from proxy.judging import said
from proxy.learning import Fresh
from proxy.sse import Parser
from proxy.upstream import UpstreamFault
from proxy.visits import step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.memory import Memory
    from policies.values import AnswerFacts, CategoryRules, Found, Rules
    from policies.verdicts import Lookup
    from proxy.dialects.ports import Dialect
    from proxy.exchange import Trail
    from proxy.flights import Flight, Flights
    from proxy.learning import Learner
    from proxy.metrics import Meters
    from proxy.refusals import Refusals
    from proxy.sse import Event
    from proxy.upstream import Answer, Headers, Upstreams

# Without a fault, or with one of the moment, the text can be embedded when its answer is kept.
LATER = (None, Reason.EMBED_TIMEOUT)
# What a stream without its terminal event told its client stands in this many of its last events.
LAST = 4
# Varnish's hit-for-miss: seconds in which nobody waits for an answer of a kind that was not kept.
UNSHARED = 120.0
# Answers that are no answer: whoever waited for one goes and asks for itself.
BROKEN = (Reason.INCOMPLETE, Reason.INVALID_JSON)
# The headers in which OpenAI, Anthropic and Azure name an answer: what their support asks for.
NAMED_BY = ("x-request-id", "request-id", "apim-request-id")
NAME_KEPT = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fresh answer would be kept, and what is already known of its text."""

    lookup: Lookup
    found: Found
    category: CategoryRules
    generation: int


@dataclass(slots=True)
class Errand:
    """One call upstream: for whom, with which headers, and where its answer would be kept.

    `again` is an answer that is only compared with the fresh one, which is then not kept. `age` is
    how old upstream says its answer is, `most` how long it lets one live, in seconds.
    """

    trail: Trail
    headers: Headers
    place: Place | None
    rules: Rules
    pace: list[int] = field(default_factory=list)
    age: float = 0.0
    most: float | None = None
    again: Facts | None = None


class _Held:
    """The bytes of an event that is not complete: half an event would hide the error behind it."""

    def __init__(self, parser: Parser, most: int) -> None:
        self._parser, self._most = parser, most
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, chunk: bytes) -> bytes:
        """What of the stream is complete with this chunk; call it after the parser had it.

        Raises `UpstreamFault` for an event that goes on beyond `most` bytes.
        """
        self._parts.append(chunk)
        self._size += len(chunk)
        pending = self._parser.pending
        if pending > self._most:
            raise UpstreamFault(502, "bad_gateway", "An event of the stream has no end.")
        if pending >= self._size:
            return b""
        whole = b"".join(self._parts)
        cut = len(whole) - pending
        self._parts, self._size = [whole[cut:]], pending
        return whole[:cut]

    @property
    def rest(self) -> bytes:
        return b"".join(self._parts)


@dataclass(slots=True)
class Filler:
    """Fills flights."""

    memory: Memory
    upstreams: Upstreams
    meters: Meters
    flights: Flights
    response_limit: int
    clock: Callable[[], float]
    refusals: Refusals
    learner: Learner | None = None
    # Who has been seen to end its streams by the API's terminal event, and so owes it.
    _owing: set[tuple[str, str]] = field(default_factory=set)

    def cargo(self, errand: Errand) -> Cargo | None:
        """What others may wait for, None where the answer has no place in memory."""
        place = errand.place
        if place is None:
            return None
        now = self.clock()
        facts = _facts(errand, place, now, now + 1, now + 1)
        return Cargo(
            entry=facts.entry,
            space=facts.space,
            generation=place.generation,
            form=errand.trail.ask.form,
            facts=facts,
            vector=place.found.vector,
        )

    async def fill(self, flight: Flight, errand: Errand) -> None:
        """Make the call and tell the flight. Faults of upstream end in the flight."""
        trail, asked = errand.trail, time.perf_counter()
        upstream = trail.ask.upstream
        call = self.meters.calls.open()
        try:
            answer = await self.upstreams.send(
                upstream,
                "POST",
                trail.ask.target,
                errand.headers,
                trail.ask.body,
                identity=True,
                model=trail.ask.query.model,
                caller=trail.ask.query.owners.key,
            )
            trail.upstream = answer.upstream
            trail.status, trail.upstream_id = answer.status, _named(answer)
            self.meters.calls.began(call, answer.status)
            self.refusals.heard(trail.ask.query, answer.status)
            self.meters.upstream[answer.upstream, str(answer.status)] += 1
            try:
                await self._land(flight, errand, answer, asked)
            finally:
                if answer.outing is not None:
                    answer.outing.used(trail.tokens_in, trail.tokens_out)
                answer.close()
        except asyncio.CancelledError:
            flight.break_off()
            raise
        except UpstreamFault as fault:
            flight.fault = fault
            if not trail.status:
                self.meters.upstream[upstream.name, fault.code] += 1
                if fault.status in OVERLOADED:  # it was asked to wait, and still would be
                    self.meters.calls.began(call, fault.status)
        finally:
            self.meters.calls.close(call)
            trail.upstream_ms = (time.perf_counter() - asked) * 1000

    async def _land(self, flight: Flight, errand: Errand, answer: Answer, asked: float) -> None:
        kind = answer.header("Content-Type").partition(";")[0].strip().lower().encode()
        obstacle = _obstacle(answer, kind)
        errand.age, errand.most = aging(answer.header("Age"), answer.header("Cache-Control"))
        if obstacle is not None:
            if errand.place is not None:
                errand.trail.kept = obstacle.value
                self._unshare(errand, obstacle)
            flight.shared, flight.bounded, errand.place = False, True, None
        if kind == SSE and answer.status == 200:  # noqa: PLR2004
            await self._stream(flight, errand, answer, asked)
        elif errand.place is not None:
            await self._whole(flight, errand, answer, errand.place)
        else:
            await self._through(flight, answer)

    async def _whole(self, flight: Flight, errand: Errand, answer: Answer, place: Place) -> None:
        """A JSON answer: read to its end, kept where good, then told."""
        try:
            body, complete = await answer.read(self.response_limit, flight.share)
        except UpstreamFault:
            errand.trail.kept = Reason.INCOMPLETE.value
            raise
        if not complete:
            errand.trail.kept = Reason.TOO_LARGE.value
            self._unshare(errand, Reason.TOO_LARGE)
            flight.shared, flight.bounded = False, True
            flight.share.give_all()
            await self._through(flight, answer, body)
            return
        await self._keep(flight, errand, place, body, streamed=False)
        lines = _without(answer.headers, b"content-length")
        flight.land(answer.status, [*lines, (b"content-length", b"%d" % len(body))], body)

    async def _stream(self, flight: Flight, errand: Errand, answer: Answer, asked: float) -> None:
        """An event stream: each chunk goes on at once, the last one after the answer is kept."""
        dialect, parser = errand.trail.ask.dialect, Parser()
        last: deque[Event] = deque(maxlen=LAST)
        flight.parting = partial(_parting, dialect, last)
        flight.open(answer.status, _without(answer.headers, b"content-length"))
        size, ended, broken, held = 0, False, False, _Held(parser, self.response_limit)
        try:
            async for chunk in answer.chunks():
                size += len(chunk)
                if (size > self.response_limit or flight.share.full) and not flight.bounded:
                    flight.bounded, flight.shared = True, False
                last.extend(events := parser.feed(chunk))
                self._stamp(errand, len(events), asked)
                ready = held.take(chunk)
                if not ended and any(map(dialect.ended, events)):
                    ended = True
                    await self._keep_stream(flight, errand, ready)
                if ready:
                    await flight.publish(ready)
                if flight.bounded and not flight.watched:
                    return
        except UpstreamFault as fault:
            broken = True
            errand.trail.seen = errand.trail.seen or str(fault)
        if not ended and any(map(dialect.ended, parser.close())):
            ended = True
            await self._keep_stream(flight, errand, held.rest)
        upstream = (answer.upstream, dialect.name)
        if ended:
            self._owing.add(upstream)
            await flight.publish(held.rest)
            return
        errand.trail.kept = Reason.INCOMPLETE.value if errand.place is not None else ""
        clean = answer.framed and not broken and upstream not in self._owing
        if _owes_an_error(dialect.concluded(last), clean=clean):
            await flight.publish(dialect.cut_short(last))
        else:
            await flight.publish(held.rest)

    def _stamp(self, errand: Errand, events: int, asked: float) -> None:
        if events and errand.rules.replay is Replay.ORIGINAL:
            now = int((time.perf_counter() - asked) * 1000)
            errand.pace.extend([now] * events)

    async def _through(self, flight: Flight, answer: Answer, already: bytes = b"") -> None:
        """An answer that is not kept: passed on byte for byte as it comes."""
        flight.open(answer.status, answer.headers)
        if already:
            await flight.publish(already)
        async for chunk in answer.chunks():
            await flight.publish(chunk)
            if not flight.watched:
                return

    # -- keeping ---------------------------------------------------------------------------------

    async def _keep_stream(self, flight: Flight, errand: Errand, final: bytes) -> None:
        if errand.place is None:
            return
        if flight.bounded:
            errand.trail.kept = Reason.TOO_LARGE.value
            self._unshare(errand, Reason.TOO_LARGE)
            return
        await self._keep(flight, errand, errand.place, flight.so_far() + final, streamed=True)

    async def _keep(
        self, flight: Flight, errand: Errand, place: Place, body: bytes, *, streamed: bool
    ) -> None:
        """Ask the core whether the answer may be kept, and keep it."""
        trail, ask = errand.trail, errand.trail.ask
        judged = ask.dialect.judge(body, streamed=streamed, query=ask.query, strict=ask.strict)
        trail.tokens_in, trail.tokens_out = judged.tokens_in, judged.tokens_out
        if place.generation != self.memory.generation:
            flight.shared = False
            return  # what a purge was to end may be this very answer
        verdict = decide.admit(ask.query, place.found, judged, errand.rules)
        match verdict:
            case Refuse(reason):
                trail.kept = reason.value
                self.meters.not_stored[reason.value] += 1
                flight.shared = flight.shared and reason not in BROKEN
                self._unshare(errand, reason)
            case Admit() if errand.again is not None:
                if self.learner is not None:
                    text = said(ask.dialect, body, streamed=streamed)
                    self.learner.asked_again(ask.query.text, text, errand.again, ask.dialect)
            case Admit() as admitted:
                facts = self._admitted(errand, place, judged, admitted, streamed=streamed)
                fault = place.found.fault
                meaning = place.lookup.semantic is None and fault in LATER
                with step("store"):
                    await self.memory.keep(facts, body, place.found.vector, meaning=meaning)
                flight.kept = Kept(facts, body)
                trail.kept, trail.entry = "stored", facts.entry
                self.meters.stored += 1
                self._compare(errand, place, body, facts)
            case never:
                assert_never(never)

    def _compare(self, errand: Errand, place: Place, body: bytes, facts: Facts) -> None:
        """Have a fresh answer compared with the one that might have stood in for it."""
        trail, study = errand.trail, errand.trail.study
        if self.learner is None or study is None:
            return
        self.learner.compare(
            Fresh(
                trail.id,
                facts.stored,
                trail.ask.query.text,
                body,
                facts.streamed,
                trail.ask.dialect,
                place.category,
                study,
                facts.entry,
            )
        )

    def _unshare(self, errand: Errand, reason: Reason) -> None:
        """Nobody waits for the next one of these, unless it was a failure of the moment."""
        if errand.place is not None and reason not in (*BROKEN, Reason.STATUS):
            self.flights.hold("unshared", errand.place.found.lookup_entry, UNSHARED)

    def _admitted(
        self, errand: Errand, place: Place, judged: AnswerFacts, admitted: Admit, *, streamed: bool
    ) -> Facts:
        made = self.clock() - errand.age
        ttl = admitted.ttl if errand.most is None else min(admitted.ttl, errand.most)
        gone = made + ttl + admitted.linger - admitted.ttl
        facts = _facts(errand, place, made, made + ttl, gone)
        return replace(
            facts,
            size=judged.size + len(facts.text) + sum(len(turn.text) for turn in facts.before),
            said=judged.said,
            tokens_in=judged.tokens_in,
            tokens_out=judged.tokens_out,
            cost_ms=(time.perf_counter() - errand.trail.began) * 1000,
            has_usage=judged.has_usage,
            streamed=streamed,
            pace=tuple(errand.pace) if streamed else (),
        )


def _owes_an_error(ending: Ending, *, clean: bool) -> bool:
    """Whether a stream that lacks its terminal event has to tell its client so.

    Some servers never send the terminal event: a body that came to its own end (`clean`) and says
    why the model stopped is then all there is.
    """
    return ending is not Ending.FAILED and not (ending is Ending.FINISHED and clean)


def _parting(dialect: Dialect, last: Sequence[Event]) -> bytes:
    """What a stream that is ended here, after `last`, still owes its client."""
    if any(map(dialect.ended, last)) or not _owes_an_error(dialect.concluded(last), clean=False):
        return b""
    return dialect.cut_short(last)


def _facts(errand: Errand, place: Place, now: float, expires: float, gone: float) -> Facts:
    ask = errand.trail.ask
    query = ask.query
    return Facts(
        entry=place.found.lookup_entry,
        space=place.found.lookup_space,
        owner=decide.owner_of(query, place.category.share),
        category=place.category.name,
        dialect=query.dialect,
        model=query.model[:MODEL_KEPT],
        chain=query.chain,
        before=context.kept(query.before),
        text=query.text,
        stored=now,
        expires=expires,
        gone=gone,
        size=0,
        has_usage=ask.form.usage,
        tags=query.directives.tags,
        user=query.owners.user or "",
    )


_AGE = re.compile(r"\s*([0-9]{1,10})\s*(?:,.*)?")
_LIFE = re.compile(r"(?:^|[\s,])(s-maxage|max-age)\s*=\s*\"?([0-9]{1,10})\b", re.IGNORECASE)


def aging(age: str, cache_control: str) -> tuple[float, float | None]:
    """How old an answer says it is, and how long it may live (RFC 9111 §4.2; `s-maxage` first).

    A lifetime of 0 says nothing here: LLM APIs send it by habit.
    """
    old = _AGE.fullmatch(age)
    told = {name.lower(): float(value) for name, value in reversed(_LIFE.findall(cache_control))}
    most = told.get("s-maxage", told.get("max-age"))
    return float(old[1]) if old else 0.0, most or None


def _obstacle(answer: Answer, kind: bytes) -> Reason | None:
    """What of an answer's head forbids keeping it."""
    if answer.status != 200:  # noqa: PLR2004
        return Reason.STATUS
    if "no-store" in answer.header("Cache-Control").lower():
        return Reason.NO_STORE
    if answer.header("Content-Encoding").lower() not in ("", "identity"):
        return Reason.UNSUPPORTED
    return None if kind in (JSON, SSE) else Reason.INVALID_JSON


def _named(answer: Answer) -> str:
    """The name that upstream gave its answer, empty where it gave none."""
    names = (answer.header(header) for header in NAMED_BY)
    return next((name[:NAME_KEPT] for name in names if name), "")


def _without(headers: Headers, name: bytes) -> Headers:
    return [line for line in headers if line[0] != name]
