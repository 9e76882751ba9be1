"""All replicas' figures together: each writes its own into the shared store, and reads theirs.

A replica is known by its journal, so that a process that starts anew goes on under the old name,
and figures of one that is gone still count until they are too old for anybody to ask. Nothing of
this is on a request's way, and a store that fails costs the others' figures only.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from index import summaries
from index.errors import StoreError
from index.rollups import HOUR, MINUTE, QUARTER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from index.faults import Faults
    from index.journal import Journal
    from index.ports import Board
    from index.summaries import Summary

# From one telling to the next, and the age of the last one from which on a replica counts as gone.
BEAT, SILENT = 5.0, 20.0
# How long sheets stay: longer by a stretch or more than the windows that are counted by them.
KEPT = {MINUTE: 7 * 3_600.0, HOUR: 8 * 86_400.0, QUARTER: 32 * 86_400.0}
LIST, CARD = "fleet", "card"
# The replicas that were heard of last, gone ones included.
MOST = 256
# Sheets written in one call.
SOME = 64


class Member(NamedTuple):
    """A replica by its journal. `name` is its process, `at` when it last told of itself, `health`
    how it was then; of this one it is not told."""

    id: str
    name: str
    at: float
    here: bool
    health: dict[str, Any]


class View(NamedTuple):
    """What was added up, of whom, and whether the others could not be asked."""

    summary: Summary
    members: tuple[Member, ...]
    alone: bool


class Fleet:
    """This replica among the others. Without a board there are none. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        board: Board | None,
        name: str,
        health: Callable[[], Awaitable[dict[str, Any]]],
        *,
        faults: Faults,
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._board = board
        self._name = name
        self._health = health
        self._clock = clock
        self._faults = faults
        # Sheets by span and start that the store does not have as they are; None: all of them.
        self._due: set[tuple[int, int]] | None = None

    async def run(self) -> None:
        """Tell of this replica until cancelled, and a last time then."""
        try:
            while True:
                await self._guarded()
                await asyncio.sleep(BEAT)
        finally:
            with suppress(asyncio.CancelledError):
                await self._guarded()

    @property
    def _own(self) -> Member:
        return Member(self._journal.name, self._name, self._clock(), True, {})

    async def members(self) -> list[Member]:
        """This replica first, then the others by name, gone ones too. Raises `StoreError`."""
        own = self._own
        if self._board is None:
            return [own]
        known = await self._board.marked(LIST)
        least = self._clock() - max(KEPT.values())
        others = [one for one, at in known.items() if at >= least and one != own.id]
        found = await asyncio.gather(*(self._board.posted(one, [CARD]) for one in others))
        told = zip(others, (card for (card,) in found), strict=True)
        cards = [_member(one, card) for one, card in told if card is not None]
        return [own, *sorted(card for card in cards if card is not None)]

    async def reached(self) -> list[Member]:
        """The members; this one alone where the store does not say."""
        try:
            return await self.members()
        except StoreError as fault:
            self._failed(fault)
            return [self._own]

    async def view(self, span: int, since: int, until: float, replica: str = "") -> View | None:
        """What adds up from `since` on, over all replicas or for one; None where it is unknown.

        Raises `StoreError` where the journal or the replica that was asked for cannot be read.
        """
        others: list[Summary] = []
        try:
            members, alone = await self.members(), False
            chosen = [one for one in members if replica in ("", one.id)]
            others = [await self._theirs(one, span, since, until) for one in chosen if not one.here]
        except StoreError as fault:
            self._failed(fault)
            if replica not in ("", self._journal.name):
                raise
            members, alone = [self._own], True
            chosen = members
        if not chosen:
            return None
        own = [await self._journal.summary(span, since) for one in chosen if one.here]
        shown = tuple(one for one in members if one.here or one.at >= since)
        return View(summaries.merged([*own, *others]), shown, alone)

    async def _theirs(self, member: Member, span: int, since: int, until: float) -> Summary:
        if self._board is None:
            return summaries.merged([])
        least = int(max(since, self._clock() - KEPT[span]) // span) * span
        starts = range(least, int(min(until, member.at)) + 1, span)
        sheets = await self._board.posted(member.id, [_sheet(span, at) for at in starts])
        return await asyncio.to_thread(_read, sheets, span, starts)

    async def _guarded(self) -> None:
        try:
            await self._tell()
        except Exception as fault:  # noqa: BLE001 - the next time may do better
            self._failed(fault)

    def _failed(self, fault: Exception) -> None:
        known = isinstance(fault, StoreError)
        self._faults.note("fleet", str(fault) if known else f"{type(fault).__name__}: {fault}")

    async def _tell(self) -> None:
        """Write what changed since the last time; all of it where the store has lost it."""
        board, own = self._board, self._journal.name
        if board is None or not own:
            return
        (card,) = await board.posted(own, [CARD])
        if card is None:
            self._due = None
        await self._take_changed()
        await self._write(board, own)
        told = {"name": self._name, "at": self._clock(), "health": await self._health()}
        await board.post(own, {CARD: orjson.dumps(told)}, max(KEPT.values()))
        await board.mark(LIST, {own: self._clock()}, MOST)

    async def _take_changed(self) -> None:
        changed = await self._journal.changed()
        if self._due is not None:
            self._due |= {(span, at // span * span) for at in changed for span in KEPT}

    async def _write(self, board: Board, own: str) -> None:
        due, now = self._due, self._clock()
        for span, seconds in KEPT.items():
            least = now - seconds
            starts = None if due is None else {at for one, at in due if one == span and at > least}
            if starts is not None and not starts:
                continue
            since = int(least // span + 1) * span if starts is None else min(starts)
            whole = await self._journal.summary(span, since)
            sheets = await asyncio.to_thread(_sheets, whole, span, starts)
            for start in range(0, len(sheets), SOME):
                await board.post(own, dict(sheets[start : start + SOME]), seconds)
        self._due = set()


def _sheets(whole: Summary, span: int, starts: set[int] | None) -> list[tuple[str, bytes]]:
    return [
        (_sheet(span, at), summaries.pack(part))
        for at, part in summaries.cut(whole, span).items()
        if starts is None or at in starts
    ]


def _sheet(span: int, at: int) -> str:
    return f"{span}:{at}"


def _read(sheets: Iterable[bytes | None], span: int, starts: Iterable[int]) -> Summary:
    read = (
        summaries.unpack(sheet, span, at)
        for sheet, at in zip(sheets, starts, strict=True)
        if sheet is not None
    )
    return summaries.merged(part for part in read if part is not None)


def _member(id_: str, card: bytes) -> Member | None:
    """What a replica told of itself; None for what cannot be read, as a newer release's."""
    try:
        told = orjson.loads(card)
        return Member(id_, str(told["name"]), float(told["at"]), False, dict(told["health"]))
    except (ValueError, TypeError, KeyError):
        return None
