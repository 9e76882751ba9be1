"""What is remembered, for people: searched by words or meaning, sorted, amended, removed."""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import TYPE_CHECKING, Any

from admin_ui.console import Selection
from index.rollups import Sums
from proxy.asides import Asides
from proxy.counting import dollars
from proxy.tracing import ANSWER_SHOWN, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from admin_ui.facts import Aside
    from index.catalog import Slot
    from policies.values import Facts
    from proxy.engine import Engine
    from proxy.identity import Identity

# The nearest entries that a search by meaning looks at, whatever else narrows it.
NEAREST = 1_000


class Remembered:
    """Every method raises `StoreError` where the store cannot say."""

    def __init__(self, engine: Engine, identity: Identity) -> None:
        self.asides = Asides(engine.memory)
        self._engine = engine
        self._identity = identity

    async def entries(
        self, wanted: Selection, limit: int, *, sort: str, offset: int, meaning: str | None
    ) -> list[dict[str, Any]]:
        """The entries of a selection in that order; with `meaning` the nearest first."""
        if meaning:
            return await self._near(wanted, meaning, limit, offset)
        slots = await self._engine.memory.every()

        def best() -> list[Slot]:
            # A walk over a million entries takes a while: it must hold up nobody's hit.
            chosen = self.chosen(slots, wanted)
            return heapq.nsmallest(offset + limit, chosen, key=self._key(sort))[offset:]

        return [self.told(slot) for slot in await asyncio.to_thread(best)]

    async def _near(
        self, wanted: Selection, meaning: str, limit: int, offset: int
    ) -> list[dict[str, Any]]:
        memory, fits = self._engine.memory, self.fits(wanted)
        near, _ = await memory.sight.nearest_anywhere(meaning, NEAREST)
        found = [one for one in near if fits(one.facts)][offset : offset + limit]
        slots = [(memory.catalog.slot(one.facts.entry), one.score) for one in found]
        return [
            self.told(slot) | {"similarity": round(score, 4)}
            for slot, score in slots
            if slot is not None
        ]

    def _key(self, sort: str) -> Callable[[Slot], tuple[float, ...]]:
        """What is smallest comes first; of equals, what was stored last."""
        keys: dict[str, Callable[[Slot], float]] = {
            "stored": lambda slot: -slot.facts.stored,
            "age": lambda slot: slot.facts.stored,
            "hits": lambda slot: -slot.hits,
            "saved": lambda slot: -self._saved(slot),
            "size": lambda slot: -slot.facts.size,
        }
        key = keys[sort]
        return lambda slot: (key(slot), -slot.facts.stored)

    async def entry(self, entry: str) -> dict[str, Any] | None:
        """One entry with its answer, its labels and the others of its group."""
        memory = self._engine.memory
        facts = await memory.recall(entry)
        record = None if facts is None else await memory.read(facts)
        slot = memory.catalog.slot(entry)
        if record is None or slot is None:
            return None
        answer = await asyncio.to_thread(spoken, record.facts, record.body)
        return self.told(slot) | {
            "answer": None if answer is None else answer[:ANSWER_SHOWN],
            "cut_short": answer is not None and len(answer) > ANSWER_SHOWN,
            "labels": [{"similarity": score, "same": same} for score, same in slot.facts.labels],
            "twins": await memory.twins(slot.facts),
        }

    async def amend(self, entry: str, *, ttl: float | None, pinned: bool | None) -> bool:
        """Let it live `ttl` seconds from now, or never make room. False where it is not there."""
        expires = None if ttl is None else time.time() + ttl
        return await self._engine.memory.change(entry, expires=expires, pinned=pinned)

    async def names(self, wanted: Selection, limit: int | None) -> list[str]:
        """The names of the selection's entries."""
        return [facts.entry for facts in await self._selected(wanted, limit)]

    async def forget(self, wanted: Selection, limit: int | None) -> list[str]:
        """Remove a selection's entries for good; their names. To be called while purging."""
        chosen = await self.names(wanted, limit)
        await self._engine.memory.forget(chosen)
        self.asides.strike(self.fits(wanted))
        return chosen

    async def set_aside(self, wanted: Selection, limit: int | None) -> Aside:
        async with self._engine.memory.purging():
            return await self.asides.take(await self._selected(wanted, limit))

    async def selected(self, wanted: Selection) -> list[Slot]:
        slots = await self._engine.memory.every()
        return await asyncio.to_thread(self.chosen, slots, wanted)

    async def _selected(self, wanted: Selection, limit: int | None) -> list[Facts]:
        return [slot.facts for slot in (await self.selected(wanted))[:limit]]

    def chosen(self, slots: Iterable[Slot], wanted: Selection) -> list[Slot]:
        fits = self.fits(wanted)
        return [slot for slot in slots if fits(slot.facts)]

    def fits(self, wanted: Selection) -> Callable[[Facts], bool]:
        """Whether an entry is meant, as of now."""
        now, ids = time.time(), frozenset(wanted.ids)
        tenant = self._identity.tenant(wanted.tenant) if wanted.tenant else None
        user = None if wanted.user is None else self._identity.owners(b"", wanted.user).user
        needle = wanted.text.casefold() if wanted.text else None

        def fits(facts: Facts) -> bool:
            return (
                (not ids or facts.entry in ids)
                and (wanted.tag is None or wanted.tag in facts.tags)
                and (wanted.category is None or facts.category == wanted.category)
                and (tenant is None or facts.owner in (tenant, wanted.tenant))
                and (user is None or user in (facts.user, facts.owner.partition(":")[2]))
                and (wanted.model is None or facts.model == wanted.model)
                and (wanted.older_than is None or now - facts.stored > wanted.older_than)
                and (needle is None or needle in facts.text.casefold())
                and wanted.flagged in (None, facts.flagged)
                and wanted.pinned in (None, facts.pinned)
            )

        return fits

    def traced(self, wanted: Selection) -> str:
        """The digest of an end user all of whose traces are meant; empty where a part is."""
        alone = wanted == Selection(user=wanted.user)
        return self._identity.owners(b"", wanted.user).user or "" if alone else ""

    def _saved(self, slot: Slot) -> float:
        """The price of the answers that it spared."""
        facts = slot.facts
        each = Sums(tokens_in=facts.tokens_in, tokens_out=facts.tokens_out)
        return slot.hits * dollars(facts.model, each, self._engine.rules.prices)

    def told(self, slot: Slot) -> dict[str, Any]:
        facts = slot.facts
        return {
            "entry": facts.entry,
            "text": facts.text,
            "category": facts.category,
            "model": facts.model,
            "owner": facts.owner,
            "dialect": facts.dialect,
            "stored": facts.stored,
            "expires": facts.expires,
            "gone": facts.gone,
            "used": slot.used,
            "size": facts.size,
            "flagged": facts.flagged,
            "pinned": facts.pinned,
            "tags": list(facts.tags),
            "hits": slot.hits,
            "tokens_saved": slot.tokens_saved,
            "dollars_saved": self._saved(slot),
        }
