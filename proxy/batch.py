"""Requests for many items at once: each item from where it is, upstream asked only for the rest.

An engine that knows one more kind of request. Every item is planned, found and chosen by itself;
what goes upstream is one call, which equal ones share like any other. Imports no web framework.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, assert_never

from policies import decide
from policies.values import Candidate, Found, Snapshot
from policies.verdicts import Bypass, Forward, Lookup, Reason, Serve
from proxy.dialects.canonical import digest
from proxy.dialects.embeddings import Embeddings, apart, itemise, only, together, unpack
from proxy.engine import Engine, failed
from proxy.exchange import Ask, Ready, Trail
from proxy.fill import Errand, Filler, Place
from proxy.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from policies.values import CategoryRules, Rules
    from proxy.dialects.embeddings import Item, Piece
    from proxy.engine import Caller
    from proxy.flights import Flight, Reader
    from proxy.upstream import Headers

# Items that are looked up at the same time, and after which others get their turn.
AT_ONCE = 64
# Reading an answer of this many bytes takes long enough to be noticed by everybody else.
LONG = 262_144
# From good to worse; the worst of its items is what an answer is told as.
_AGEING = (Reason.EXACT, Reason.STALE_WHILE_REVALIDATE, Reason.STALE_IF_ERROR)
# What upstream says of its own body does not hold for one that is put together here.
_OF_THE_BODY = frozenset({
    b"content-length", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"etag",
})  # fmt: skip
_FORWARDED = re.compile(rb"fwd=[a-z]+")


@dataclass(slots=True, kw_only=True)
class Order(Ask):
    """A request as the items it asks for; equal ones stand in it as often as they were sent."""

    fields: dict[str, Any]
    items: tuple[Item, ...]

    def turned_down(self) -> Self:
        whole = super(Order, self).turned_down()
        items = (item._replace(query=replace(item.query, refused=True)) for item in self.items)
        return replace(whole, items=tuple(items))


@dataclass(frozen=True, slots=True)
class Look:
    """What memory said of one item.

    `piece` is there where it may be served; `serve` also where it may be should upstream fail.
    Without `found` the answer may not be kept.
    """

    item: Item
    reason: Reason
    category: CategoryRules
    found: Found | None = None
    serve: Serve | None = None
    forward: Forward | None = None
    piece: Piece | None = None

    @property
    def text(self) -> str:
        return self.item.query.text

    @property
    def fresh(self) -> bool:
        return self.piece is not None and self.reason is Reason.EXACT


@dataclass(slots=True, kw_only=True)
class Load(Ask):
    """A call upstream for one caller: `looks` at all that it wants, `asked` what the call is for.

    `pieces` are those that the call brought, one for each asked.
    """

    order: Order
    looks: list[Look]
    asked: list[Look]
    headers: Headers
    rules: Rules
    generation: int
    pieces: list[Piece] | None = None

    @classmethod
    def of(
        cls,
        order: Order,
        looks: list[Look],
        asked: list[Look],
        headers: Headers,
        rules: Rules,
        generation: int,
    ) -> Load:
        # Distinct items, so as many only where nothing is left out: then the body stays as it came.
        verbatim = len(asked) == len(looks)
        return cls(
            dialect=order.dialect,
            query=order.query,
            form=order.form,
            upstream=order.upstream,
            target=order.target,
            body=order.body if verbatim else only(order.fields, [o.item.value for o in asked]),
            strict=False,
            order=order,
            looks=looks,
            asked=asked,
            headers=headers,
            rules=rules,
            generation=generation,
        )

    @property
    def verbatim(self) -> bool:
        """Whether the caller's own body is sent, so that the answer is the caller's as it is."""
        return len(self.asked) == len(self.looks)

    @property
    def entry(self) -> str:
        """The name under which equal calls find each other."""
        names = (look.found.lookup_entry if look.found else look.text for look in self.asked)
        return digest(b"batch", *(name.encode() for name in names)).hex()[:32]

    def whole(self) -> Load:
        """The same with nothing left out."""
        return Load.of(
            self.order, self.looks, self.looks, self.headers, self.rules, self.generation
        )

    @property
    def place(self) -> Place:
        """Where equal calls meet; what they bring is kept elsewhere, item by item. With an item
        that nobody may share comes its category, which says so."""
        barred = next((look for look in self.asked if look.found is None), self.asked[0])
        found = Found(self.entry, "", None)
        return _place(found, barred.category, self.generation)

    def errand(self, trail: Trail) -> Errand:
        return Errand(trail, self.headers, self.place, self.rules)

    def alone(self, look: Look) -> Ask:
        """A request for this item only."""
        return Ask(
            dialect=self.dialect,
            query=look.item.query,
            form=self.form,
            upstream=self.upstream,
            target=self.target,
            body=b"",
            strict=False,
        )

    @property
    def known(self) -> list[Serve]:
        """What of the answer comes from memory."""
        asked = {look.text for look in self.asked}
        return [
            look.serve for look in self.looks if look.serve is not None and look.text not in asked
        ]

    async def filled(self, body: bytes | None) -> list[Piece] | None:
        """A piece for all that is wanted, out of upstream's answer and memory; None where the
        answer cannot be taken apart, or does not go with what is known."""
        if body is None:
            return None
        brought = self.pieces or await _apart(body, self.asked)
        if isinstance(brought, Reason):
            return None
        made = {look.text: look.piece for look in self.looks if look.piece is not None}
        made |= {look.text: piece for look, piece in zip(self.asked, brought, strict=True)}
        pieces = [made[look.text] for look in self.looks]
        return pieces if _of_one_model(pieces) else None


class BatchFiller(Filler):
    """Fills flights, and keeps what a load brings item by item."""

    async def _keep(
        self, flight: Flight, errand: Errand, place: Place, body: bytes, *, streamed: bool
    ) -> None:
        trail, load = errand.trail, errand.trail.ask
        if not isinstance(load, Load):
            await super()._keep(flight, errand, place, body, streamed=streamed)
            return
        pieces = await _apart(body, load.asked)
        if isinstance(pieces, Reason):
            trail.kept = pieces.value
            self.meters.not_stored[pieces.value] += 1
            flight.shared = False
            return
        load.pieces = pieces
        trail.tokens_in = sum(piece.usage[0] for piece in pieces if piece.usage is not None)
        for at, (look, piece) in enumerate(zip(load.asked, pieces, strict=True), 1):
            if look.found is not None:
                own = _place(look.found, look.category, place.generation)
                await self._keep_item(flight, errand, load.alone(look), own, piece)
            if at % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _keep_item(
        self, flight: Flight, errand: Errand, alone: Ask, place: Place, piece: Piece
    ) -> None:
        """Keep a piece as the answer to a request for its item alone."""
        whole, trail = errand.trail, Trail(alone, errand.trail.id, errand.trail.at)
        trail.began = whole.began
        one = Errand(trail, errand.headers, place, errand.rules)
        await super()._keep(flight, one, place, together([piece]), streamed=False)
        whole.kept = "stored" if flight.kept is not None else trail.kept
        whole.entry = whole.entry or trail.entry


class BatchEngine(Engine):
    """The engine, which also answers orders."""

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.memory, clock=self.clock)
        self._filler = BatchFiller(
            self.memory,
            self.upstreams,
            self.meters,
            self.flights,
            self.response_limit,
            self.clock,
            self.refusals,
        )

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
        if not isinstance(ask, Order):
            await super()._decide(ask, rules, trail, headers, caller, waited=waited)
            return
        generation = self.memory.generation
        looks = await self._look(ask, rules, trail.at)
        if all(look.found is None for look in looks):
            barred = replace(ask, query=replace(ask.query, bypass=looks[0].reason))
            await super()._decide(barred, rules, trail, headers, caller)
            return
        asked = list({look.text: look for look in looks if not look.fresh}.values())
        ready = all(look.piece is not None for look in looks)
        if ready:
            await self._hit(looks, trail, caller)
        if not asked:
            return
        load = Load.of(ask, looks, asked, headers, rules, generation)
        if ready:
            trail.ask = load
            self._refresh(load.errand(trail), load.place)
        else:
            await self._load(load, trail, caller)

    # -- from memory -----------------------------------------------------------------------------

    async def _look(self, order: Order, rules: Rules, at: float) -> list[Look]:
        """What memory says of each item, in the order's order."""
        distinct = list({item.query.text: item for item in order.items}.values())
        seen: dict[str, Look] = {}
        for start in range(0, len(distinct), AT_ONCE):
            some = distinct[start : start + AT_ONCE]
            looks = await asyncio.gather(*(self._look_at(item, rules, at) for item in some))
            seen |= {look.text: look for look in looks}
        looks = [seen[item.query.text] for item in order.items]
        if _of_one_model(look.piece for look in looks):
            return looks
        return [_unread(look, look.serve) if look.piece and look.serve else look for look in looks]

    async def _look_at(self, item: Item, rules: Rules, at: float) -> Look:
        match decide.plan(item.query, rules):
            case Bypass(reason, name, store):
                found = None if store is None else await self.memory.find(store, item.query, rules)
                return Look(item, reason, rules.named(name) or rules.defaults, found)
            case Lookup() as lookup:
                found = await self.memory.find(lookup, item.query, rules)
                verdict = decide.choose(item.query, found, Snapshot(at, rules))
                look = Look(item, verdict.reason, verdict.category, found)
                if isinstance(verdict, Serve):
                    return await self._read(look, verdict)
                return replace(look, serve=verdict.fallback, forward=verdict)
            case never:
                assert_never(never)

    async def _read(self, look: Look, serve: Serve) -> Look:
        """The look with the piece that may be served, unless it is gone by now."""
        stored = await self.memory.read(serve.candidate.facts)
        try:
            piece = None if stored is None else unpack(stored.body)
        except ValueError:
            piece = None
        if piece is None:
            return _unread(look, serve)
        return replace(look, reason=serve.reason, serve=serve, piece=piece)

    async def _hit(self, looks: list[Look], trail: Trail, caller: Caller, failed: int = 0) -> None:
        """Answer from memory alone, with the headers of a hit."""
        serves = [look.serve for look in looks if look.serve is not None]
        pieces = [look.piece for look in looks if look.piece is not None]
        verdict = _verdict(serves)
        facts, at = verdict.candidate.facts, trail.at
        trail.reason, trail.entry, trail.status = verdict.reason, facts.entry, 200
        trail.category, trail.cut, trail.similarity = verdict.category.name, verdict.cut, 1.0
        trail.tokens_in, trail.match = facts.tokens_in, verdict.match.value
        ready = Ready.of(verdict, together(pieces), stream=False)
        own = ready.own(verdict.reason, 1.0, facts, trail.id, at, failed)
        if not caller.at_once(ready, own):
            await caller.serve(ready, own)
        for serve in serves:
            self._count_hit(serve.candidate.facts, at)

    # -- from upstream ---------------------------------------------------------------------------

    async def _load(self, load: Load, trail: Trail, caller: Caller) -> None:
        """Ask upstream for what is missing, on the engine's own ways."""
        if self.flights.held("unshared", load.entry):
            # Its answers could not be read lately, and nothing else can be put together here.
            load = load.whole()
        first = next(look for look in load.asked if look.piece is None)
        trail.ask, trail.reason, trail.category = load, first.reason, first.category.name
        if first.forward is not None:
            trail.refused(first.forward)
            trail.cut = first.forward.cut
        await self._forward(load.errand(trail), first.forward, caller)

    async def _tell(self, flight: Flight, reader: Reader, trail: Trail, caller: Caller) -> None:
        load = trail.ask
        if not isinstance(load, Load) or load.verbatim or flight.status != 200:  # noqa: PLR2004
            await super()._tell(flight, reader, trail, caller)
            return
        pieces = await load.filled(flight.body)
        if pieces is None:
            # Upstream is then asked for everything, and what it says is passed on as it is.
            flight.leave(reader)
            trail.ask, trail.collapsed = load.whole(), False
            await self._lead(load.whole().errand(trail), None, caller, listed=False)
            return
        known = load.known
        body, stored = together(pieces), flight.kept is not None and not trail.collapsed
        lines = [line for line in flight.headers if line[0] not in _OF_THE_BODY]
        lines.append((b"content-length", b"%d" % len(body)))
        own = trail.headers(stored=stored)
        await caller.reply(200, lines + (_partial(own) if known else own), body)
        for serve in known:
            self._count_hit(serve.candidate.facts, trail.at)

    async def _instead(
        self, flight: Flight, errand: Errand, verdict: Forward | None, caller: Caller
    ) -> bool:
        load = errand.trail.ask
        if not isinstance(load, Load):
            return await super()._instead(flight, errand, verdict, caller)
        if not failed(flight):
            return False
        if any(look.serve is None for look in load.looks):
            return False
        looks = [
            await self._read(look, look.serve) if look.piece is None and look.serve else look
            for look in load.looks
        ]
        pieces = [look.piece for look in looks]
        if None in pieces or not _of_one_model(pieces):
            return False
        await self._hit(looks, errand.trail, caller, flight.status)
        return True


def itemised(ask: Ask, body: dict[str, Any]) -> Ask:
    """The request as an order, where its API has items and they are understood."""
    if not isinstance(ask.dialect, Embeddings) or ask.query.bypass is not None:
        return ask
    return Order(
        dialect=ask.dialect,
        query=ask.query,
        form=ask.form,
        upstream=ask.upstream,
        target=ask.target,
        body=ask.body,
        strict=ask.strict,
        fields=body,
        items=itemise(body, ask.query),
    )


async def _apart(body: bytes, asked: list[Look]) -> list[Piece] | Reason:
    lengths = [len(look.item.value) for look in asked]
    if len(body) <= LONG:
        return apart(body, lengths)
    return await asyncio.to_thread(apart, body, lengths)


def _of_one_model(pieces: Iterable[Piece | None]) -> bool:
    """Vectors of two models mean nothing to each other, so no answer may hold both."""
    return len({piece.model for piece in pieces if piece is not None}) <= 1


def _unread(look: Look, serve: Serve) -> Look:
    """An item whose stored answer cannot be used after all."""
    gone = Forward(Reason.BODY_GONE, look.category, serve.cut)
    return replace(look, reason=gone.reason, serve=None, forward=gone, piece=None)


def _verdict(serves: list[Serve]) -> Serve:
    """What the answers of several items amount to: as old as the oldest, good for as long as the
    first to go, under the name of the first."""
    facts = [serve.candidate.facts for serve in serves]
    whole = replace(
        facts[0],
        stored=min(one.stored for one in facts),
        expires=min(one.expires for one in facts),
        tokens_in=sum(one.tokens_in for one in facts),
    )
    worst = max((serve.reason for serve in serves), key=_AGEING.index)
    return Serve(Candidate(whole, 1.0), worst, serves[0].category, serves[0].cut)


def _place(found: Found, category: CategoryRules, generation: int) -> Place:
    """A place for what is matched exactly only."""
    lookup = Lookup(found.lookup_entry, found.lookup_space, found.category, Reason.EMPTY)
    return Place(lookup, found, category, generation)


def _partial(lines: Headers) -> Headers:
    """RFC 9211 §2.2 has a word of its own for this."""
    return [
        (name, _FORWARDED.sub(b"fwd=partial", value) if name == b"cache-status" else value)
        for name, value in lines
    ]
