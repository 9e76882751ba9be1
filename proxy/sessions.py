"""Conversations whose clients send the last turn only (`x-likewise-session`), as this process saw
them.

What came before is what went through here under the session's id. Whether that is all of it, the
store knows: it counts the turns of every session. After a restart, or where another replica took a
turn, the count and what is remembered differ; the conversation then counts as one of its own, which
nothing else is alike to. A session begins, as a standalone question, only where the count is zero.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from index.errors import StoreError
from index.shelf import Shelf
from policies import context
from policies.context import ASSISTANT, USER
from policies.values import Turn
from proxy.dialects.canonical import digest
from proxy.dialects.reading import SESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from index.ports import Bodies
    from policies.values import Query
    from proxy.exchange import Ask

# Seconds that the store goes on counting the turns of a session that rests.
COUNTED = 30 * 86_400.0
# Characters of what is remembered of all sessions; those that rest longest are forgotten first.
MOST = 16_000_000
# Seconds that a request waits for the count of its session's turns.
PATIENCE = 0.1
MARK = Turn(SESSION)
_OVERHEAD = 300


@dataclass(frozen=True, slots=True)
class Seen:
    """What went through here of one session, after which count of turns."""

    count: int
    before: tuple[Turn, ...]


class Sessions:
    """The sessions of one process."""

    def __init__(self, most: int = MOST) -> None:
        self._seen: Shelf[Seen] = Shelf(most, _weight)

    async def joined(self, ask: Ask, bodies: Bodies, now: float) -> Ask:
        """The request as the next turn of its session, if it is one."""
        query = ask.query
        if not (query.before and query.before[0].role == SESSION):
            return ask
        name = _name(query)
        try:
            async with asyncio.timeout(PATIENCE):
                count = await bodies.count(name, now + COUNTED)
        except (StoreError, TimeoutError):
            count = -1
        place = f"{name}:{count if count >= 0 else secrets.token_hex(8)}"
        before = self._before(name, count, place)
        self._seen.put(name, Seen(count + 1 if count >= 0 else -1, _grown(before, query, place)))
        asked = replace(query, chain=_chain(before), before=before, turns=context.users(before))
        return replace(ask, query=asked, turn=place, _rules=None, _plan=None, _repeat=None)

    def told(self, ask: Ask, said: Turn | None, *, taken: bool) -> None:
        """What became of a turn. One that was not `taken` never was; one whose answer is not known
        sets its session apart from all others."""
        name = ask.turn.partition(":")[0]
        seen = self._seen.get(name)
        if seen is None:
            return
        turns = list(seen.before)
        at = next((n for n, turn in enumerate(turns) if turn.rest == ask.turn), 0)
        if at and not taken:
            del turns[at - 1 : at + 1]
            turns = [] if turns == [MARK] else turns
        elif at and said is not None:
            turns[at] = said
        self._seen.put(name, replace(seen, before=tuple(turns)))

    def _before(self, name: str, count: int, place: str) -> tuple[Turn, ...]:
        seen = self._seen.get(name)
        if seen is None:
            return () if count == 0 else (Turn(SESSION, place),)
        return seen.before if seen.count == count else (Turn(SESSION, place),)


def _name(query: Query) -> str:
    owners, asked = query.owners, query.directives
    parts = (owners.key, owners.user, query.upstream, query.dialect, asked.namespace, asked.session)
    return digest(*((part or "").encode("utf-8", "surrogatepass") for part in parts)).hex()[:32]


def _grown(before: tuple[Turn, ...], query: Query, place: str) -> tuple[Turn, ...]:
    """The conversation after this turn, as long as its answer is not known.

    A mark stands first: upstream was told no more than the last turn, so what it answered is of no
    use to who sends the whole conversation.
    """
    withheld = query.directives.no_store
    asked = Turn(USER, query.fingerprint.hex()[:32], query.text)
    turns = (
        *(before or (MARK,)),
        Turn(USER, f"{place}?") if withheld else asked,
        Turn(ASSISTANT, place),
    )
    return turns if context.kept(turns) else (Turn(SESSION, _chain(turns)),)


def _chain(turns: Sequence[Turn]) -> str:
    if not turns:
        return ""
    parts = (part for turn in turns for part in (turn.role, turn.rest, turn.text))
    return digest(*(part.encode("utf-8", "surrogatepass") for part in parts)).hex()[:32]


def _weight(seen: Seen) -> int:
    return sum(len(turn.text) + _OVERHEAD for turn in seen.before)
