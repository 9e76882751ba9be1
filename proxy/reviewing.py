"""What an operator's word helps most: answers that somebody called wrong, and hits that were close
to not being one. What was looked at once is not shown again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from admin_ui.console import Doubt
from index.journal import VERDICTS
from policies.record import Filter
from policies.verdicts import Reason

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from index.journal import Journal
    from index.ledger import Ledger
    from index.memory import Memory
    from policies.record import Decision
    from proxy.feedback import Feedback

# The newest hits by meaning among which the least certain are looked for.
LOOKED_AT = 2_000
SEMANTIC = Filter(reason=Reason.SEMANTIC.value)


class Reviewing:
    """Every method raises `StoreError`."""

    def __init__(
        self, journal: Journal, memory: Memory, ledger: Ledger, feedback: Feedback
    ) -> None:
        self._journal = journal
        self._memory = memory
        self._ledger = ledger
        self._feedback = feedback

    async def doubtful(self, limit: int) -> list[Doubt]:
        seen = await self._ledger.reviews()
        verdicts = await self._journal.verdicts(VERDICTS)
        bad = [v for v in verdicts if not v.good and v.id not in seen][:limit]
        found = [(await self._journal.get(v.id), v.note) for v in bad]
        doubts = [Doubt(row, "bad", note) for row, note in found if row is not None]
        hits = (await self._journal.sift(SEMANTIC, LOOKED_AT)).rows
        known = seen | {verdict.id for verdict in verdicts}
        return doubts + uncertain(hits, known)[: limit - len(doubts)]

    async def settle(self, number: int, *, good: bool, note: str = "") -> str | None:
        row = await self._journal.get(number)
        if row is None:
            return None
        verdict = await self._journal.ruled(number)
        if verdict is None:
            effect = await self._feedback.judge(number, good=good, note=note)
        else:
            effect = await self.review(row.entry, good=good)
        await self._ledger.reviewed(number, time.time(), good=good)
        return effect

    async def review(self, entry: str, *, good: bool) -> str:
        """End what a bad verdict began: serve the entry and its twins again, or remove it."""
        facts = await self._memory.recall(entry)
        if facts is None:
            return "none"
        if not good:
            return "removed" if await self._memory.purge([entry]) else "none"
        again = [entry, *await self._memory.twins(facts)]
        return "restored" if await self._memory.flag(again, flagged=False) else "none"


def uncertain(hits: Iterable[Decision], known: Container[int]) -> list[Doubt]:
    """The riskiest first; of equal risk, the one that was nearest to its cut."""
    open_ = [row for row in hits if row.id not in known]
    open_.sort(key=lambda row: (-(row.risk or 0.0), (row.similarity or 1.0) - (row.cut or 0.0)))
    return [Doubt(row, "uncertain") for row in open_]
