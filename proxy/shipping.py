"""Entries out of a running memory and into it, and answers that somebody wrote beforehand.

What somebody wrote goes the way of every answer: it is placed by the very `plan` and `find` of
production, judged by its dialect and admitted by the policy.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from admin_ui.console import Taken
from index.errors import StoreError
from policies import decide
from policies.values import Directives, Facts, Owners
from policies.verdicts import Bypass, Reason, Refuse
from proxy import pairs, transfer
from proxy.dialects.canonical import BadBody, has_floats, parse
from proxy.dialects.listing import DIALECTS
from proxy.dialects.ports import Frame
from proxy.exchange import MODEL_KEPT
from proxy.fill import LATER
from proxy.repeats import shape

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from admin_ui.console import Pair, Warming
    from index.catalog import Slot
    from index.ports import Record
    from policies.values import Found, Query, Vector
    from policies.verdicts import Lookup
    from proxy.engine import Engine
    from proxy.identity import Identity

# Bytes that go out at once: few writes, and no request waits long for the next.
PIECE = 65_536
# Entries that are stored at once, so that requests are embedded in between.
BATCH = 16
# A busy machine embeds a text at the second try.
TRIES = 3
# Answers under one name are told apart by when they were made, in seconds. One that was edited
# outside must not be taken for the one that went out, nor for an earlier edit.
INSTANT = 1e-6
CHAT = DIALECTS[0]
NO_OWNER = (
    "would be kept for one caller's key: say which with --key-env, name a tenant under "
    "`share: tenant`, or share with everyone"
)


class Unfit(ValueError):
    """A pair that cannot be remembered, and why."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A question where production would look for its answer."""

    query: Query
    lookup: Lookup
    found: Found


@dataclass(slots=True)
class Arrival:
    """An entry ready to be kept."""

    facts: Facts
    body: bytes
    vector: Vector | None


class Shipping:
    """Moves entries and pairs for the admin port."""

    def __init__(self, engine: Engine, identity: Identity) -> None:
        self._engine = engine
        self._identity = identity
        self._rounds = 0

    @property
    def secret(self) -> str:
        """What tells this house's secret from another's: the digest of who shows no key."""
        return self._identity.owners(b"", None).key

    async def out(self, chosen: Sequence[Slot], *, vectors: bool) -> AsyncIterator[bytes]:
        """The entries' lines and the last one, in pieces. Raises `StoreError`, also half way."""
        memory, count = self._engine.memory, transfer.Count()
        await memory.settled()
        piece: list[bytes] = []
        size = 0
        for slot in sorted(chosen, key=lambda one: one.facts.stored):
            record = await memory.bodies.read(slot.facts.entry)
            if record is None:
                continue  # gone since it was chosen
            line = transfer.write(record, vectors=vectors)
            count.add(line)
            piece.append(line)
            size += len(line)
            if size >= PIECE:
                yield b"".join(piece)
                piece, size = [], 0
                await asyncio.sleep(0)
        yield b"".join((*piece, transfer.close(count, self.secret)))

    async def take(
        self, lines: bytes, *, overwrite: bool, dry_run: bool, secret: str | None
    ) -> Taken:
        """Take exported entries, all or none."""
        foreign = secret not in (None, self.secret)
        self._rounds += 1
        records, refused = await asyncio.to_thread(_records, lines)
        existing = expired = 0
        arrivals: list[Arrival] = []
        now = self._engine.clock()
        for record in records:
            known = await self._engine.memory.recall(record.facts.entry)
            if record.facts.gone <= now:
                expired += 1
            elif known is not None and known.gone > now and not overwrite:
                existing += 1
            else:
                stored = min(record.facts.stored + self._rounds * INSTANT, record.facts.expires)
                facts = replace(record.facts, stored=stored)
                arrivals.append(Arrival(facts, record.body, self._fitting(record)))
        if not dry_run and not refused:
            await self._keep(arrivals)
        taken = 0 if refused else len(arrivals)
        return Taken(taken, existing, expired, tuple(refused), foreign)

    async def warm(self, warming: Warming, *, overwrite: bool, dry_run: bool) -> Taken:
        """Take questions with their answers, all or none."""
        owners = self._owners(warming)
        arrivals: list[Arrival] = []
        refused: list[tuple[int, str]] = []
        existing, now = 0, self._engine.clock()
        for number, pair in enumerate(warming.pairs, 1):
            try:
                placed = await self._placed(pair, warming, owners)
                arrival = self._arrival(pair, placed, strict=CHAT.wants_json(warming.body))
            except Unfit as fault:
                refused.append((number, str(fault)))
                continue
            exact = placed.found.exact
            if exact is not None and exact.gone > now and not overwrite:
                existing += 1
            else:
                arrivals.append(arrival)
        if not dry_run and not refused:
            await self._keep(arrivals)
        return Taken(0 if refused else len(arrivals), existing, refused=tuple(refused))

    # -- placing ---------------------------------------------------------------------------------

    def _owners(self, warming: Warming) -> Owners:
        named = None if warming.tenant is None else self._identity.tenant(warming.tenant)
        if warming.credential is None:
            return Owners("", named)
        return self._identity.owners(warming.credential.encode(), None)

    async def _placed(self, pair: Pair, warming: Warming, owners: Owners) -> Placed:
        """The pair's place. A category that it names must not move it away from where a request
        that names none is looked for."""
        body = pairs.request(pair, warming.model, warming.system, warming.body)
        placed = await self._found(self._query(body, owners, Directives()))
        if pair.category is None:
            return placed
        if self._engine.rules.named(pair.category) is None:
            raise Unfit(f"category: there is no category {pair.category[:60]!r}")
        named = await self._found(self._query(body, owners, Directives(category=pair.category)))
        if named.found.lookup_entry != placed.found.lookup_entry:
            raise Unfit(
                f"category: {pair.category} shares with others than the category does that such a "
                "request falls into by itself; leave it out"
            )
        return named

    def _query(self, body: dict[str, object], owners: Owners, asked: Directives) -> Query:
        """The request as the data port reads it."""
        try:
            raw = orjson.dumps(body)
            read = parse(raw)
        except (BadBody, TypeError) as fault:
            raise Unfit(str(fault)) from None
        model = str(read["model"])
        upstream = self._engine.upstreams.serving(model, CHAT.apis)
        if upstream is None:
            raise Unfit(f"model: no upstream serves {model[:80]!r}")
        around = Frame(
            owners,
            upstream.service,
            headers=shape(b"", []),
            directives=asked,
            floats=has_floats(raw),
        )
        return CHAT.read(read, around)

    async def _found(self, query: Query) -> Placed:
        """Where memory looks for the query. Raises `StoreError`."""
        rules, memory = self._engine.rules, self._engine.memory
        plan = decide.plan(query, rules)
        if isinstance(plan, Bypass):
            raise Unfit(f"such a request is not answered from memory ({plan.reason.value})")
        found = await memory.find(plan, query, rules)
        for _ in range(TRIES - 1):
            if found.fault is not Reason.EMBED_TIMEOUT:
                break
            found = await memory.find(plan, query, rules)
        if found.fault is Reason.STORE_DOWN:
            raise StoreError("the store does not answer; try again")
        return Placed(query, plan, found)

    def _arrival(self, pair: Pair, placed: Placed, *, strict: bool) -> Arrival:
        """The entry that a pair makes, if the policy admits it."""
        query, found, rules = placed.query, placed.found, self._engine.rules
        if query.exact_only is not None:
            # It wants tools, several answers or the like, and would be given a plain one.
            raise Unfit(f"a plain answer does not fit such a request ({query.exact_only.value})")
        category = decide.category_of(found, rules)
        owner = decide.owner_of(query, category.share)
        if not owner:
            raise Unfit(NO_OWNER)
        now = self._engine.clock()
        body = pairs.answer(pair.answer, query.model, found.lookup_entry, now)
        judged = CHAT.judge(body, streamed=False, query=query, strict=strict)
        admitted = decide.admit(query, found, judged, rules)
        if isinstance(admitted, Refuse):
            raise Unfit(f"such an answer is not kept ({admitted.reason.value})")
        facts = Facts(
            entry=found.lookup_entry,
            space=found.lookup_space,
            owner=owner,
            category=category.name,
            dialect=query.dialect,
            model=query.model[:MODEL_KEPT],
            chain=query.chain,
            text=query.text,
            stored=now,
            expires=now + admitted.ttl,
            gone=now + admitted.linger,
            size=judged.size + len(query.text),
            has_usage=judged.has_usage,
            said=judged.said,
            embedding="wanted" if placed.lookup.semantic is None and found.fault in LATER else "",
        )
        return Arrival(facts, body, found.vector)

    # -- keeping ---------------------------------------------------------------------------------

    async def _keep(self, arrivals: list[Arrival]) -> None:
        """Keep them, a few at a time. Raises `StoreError` where the store did not take them all."""
        memory = self._engine.memory
        failed = memory.faults.store_write
        for start in range(0, len(arrivals), BATCH):
            for one in arrivals[start : start + BATCH]:
                meaning = bool(one.facts.embedding)
                vector = one.vector if meaning else None
                await memory.keep(one.facts, one.body, vector, meaning=meaning)
            await memory.settled()
        if memory.faults.store_write != failed:
            raise StoreError("the store did not take everything; import it again")

    def _fitting(self, record: Record) -> Vector | None:
        """The entry's vector where it is of this memory's own embedding; else it is made anew."""
        embedder, vector = self._engine.memory.embedder, record.vector
        if vector is None or record.facts.embedding != embedder.id:
            return None
        return vector if vector.shape == (embedder.dimension,) else None


def _records(lines: bytes) -> tuple[list[Record], list[tuple[int, str]]]:
    """The entries of a chunk, and its bad lines."""
    records: list[Record] = []
    refused: list[tuple[int, str]] = []
    for number, line in enumerate(lines.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(transfer.read(line))
        except transfer.BadLine as fault:
            refused.append((number, str(fault)))
    return records, refused
