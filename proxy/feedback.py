"""What callers say of answers: who may, what a bad verdict ends, and that it is said only once.

A request is known by the journal of the replica that answered it, and on a shared store for an hour
also by a note there. A good verdict changes nothing that is served.
"""

from __future__ import annotations

import asyncio
import logging
import re
import struct
import time
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import orjson

from index.errors import StoreError
from index.faults import Told
from index.journal import Verdict
from policies.record import Decision
from policies.verdicts import Outcome, Reason
from proxy.dialects.canonical import BadBody, parse
from proxy.dialects.envelope import openai_error, openai_kind
from proxy.quotas import Buckets
from proxy.upstream import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.journal import Journal
    from index.memory import Memory
    from index.ports import Notes

LOG = logging.getLogger("likewise.feedback")
TOLD = Told(LOG)

PATH = "/v1/likewise/feedback"
MOST_BYTES = 16_384
NOTE_KEPT = 2_000
# Verdicts that a key may send at once, and how many a second after that.
BURST, RATE = 60, 1.0
# How long a shared store knows who made a request, and how long after it its note is there.
NOTED = 3_700.0
FLUSH = 0.2
UNWRITTEN = 20_000
# An id this young may not have been written down yet: it is looked for once more.
YOUNG, AGAIN = 2.0, 0.3
# By so much a fresh answer may have been stored after its request was counted as done.
SETTLING = 1.0
VERDICTS = {"good": True, "bad": False}


class Was(IntEnum):
    """What a request's answer was, as far as a verdict can change anything."""

    PASSING = 0
    """Neither stored nor from memory."""
    EXACT = 1
    SEMANTIC = 2
    STORED = 3
    """Fresh, and kept under `entry`."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of a request when its verdict comes.

    `until` bounds when the answer was stored: a later one under the same entry is another answer.
    """

    id: int
    owner: str
    entry: str
    was: Was
    until: float
    category: str
    similarity: float | None


class Reply(NamedTuple):
    """What the caller is told."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def served(row: Decision) -> Served:
    """What of a decision matters for its verdict."""
    was, until = Was.PASSING, row.at
    if row.entry and row.outcome in (Outcome.HIT, Outcome.STALE):
        near = row.reason == Reason.SEMANTIC or (row.outcome == Outcome.STALE and row.matched)
        was = Was.SEMANTIC if near else Was.EXACT
    elif row.entry:
        was, until = Was.STORED, row.at + row.ms / 1000 + SETTLING
    return Served(row.id, row.owner, row.entry, was, until, row.category, row.similarity)


_NOTE = struct.Struct("<B16s16sdf")


def pack(known: Served) -> bytes:
    """A note for the other replicas; `similarity` keeps three decimals' worth."""
    similarity = -1.0 if known.similarity is None else known.similarity
    digests = (bytes.fromhex(known.owner), bytes.fromhex(known.entry))
    return _NOTE.pack(known.was, *digests, known.until, similarity) + known.category.encode()


def unpack(number: int, note: bytes) -> Served | None:
    """What a note says; None where it is none of ours."""
    try:
        was, owner, entry, until, similarity = _NOTE.unpack_from(note)
        category = note[_NOTE.size :].decode()
        return Served(
            number,
            owner.hex(),
            entry.hex() if was != Was.PASSING else "",
            Was(was),
            until,
            category,
            None if similarity < 0 else similarity,
        )
    except (struct.error, ValueError):
        return None


def decided(known: Served) -> Decision:
    """A decision as far as a note tells it; texts and figures are left out."""
    outcome = {Was.EXACT: Outcome.HIT, Was.SEMANTIC: Outcome.HIT}.get(known.was, Outcome.MISS)
    reason = {Was.EXACT: Reason.EXACT, Was.SEMANTIC: Reason.SEMANTIC}.get(known.was)
    stored = known.was is Was.STORED
    at = (known.id >> 22) / 1000 if stored else known.until
    return Decision(
        id=known.id, at=at, outcome=outcome.value, reason=reason or "",
        category=known.category, dialect="", upstream="", model="", owner=known.owner,
        stream=False, status=200, similarity=known.similarity, cut=None, propensity=None,
        entry=known.entry, neighbour="", would="", seen="",
        kept="stored" if stored else "", turns=0, prompt="", matched="",
        ms=(known.until - SETTLING - at) * 1000 if stored else 0.0,
        ms_embed=0.0, ms_search=0.0, ms_upstream=0.0, tokens_in=0, tokens_out=0,
    )  # fmt: skip


class Feedback:
    """Takes verdicts. `counts` are those that were taken, by word."""

    def __init__(
        self,
        memory: Memory,
        journal: Journal,
        *,
        notes: Notes | None = None,
        on_verdict: Callable[[Decision, bool], None] = lambda *_: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._memory = memory
        self._journal = journal
        self._notes = notes
        self._on_verdict = on_verdict
        self._clock = clock
        self._limits = Buckets(BURST, RATE, clock)
        self._unwritten: dict[int, Decision] = {}
        # One verdict at a time for each request, without a lock for every request.
        self._turns = [asyncio.Lock() for _ in range(16)]
        if notes is not None:
            journal.listen(self.saw)

    # -- what was answered -----------------------------------------------------------------------

    def saw(self, row: Decision) -> None:
        """Remember a decision for the other replicas; costs the request one dictionary entry."""
        if len(self._unwritten) < UNWRITTEN:
            self._unwritten[row.id] = row

    async def run(self) -> None:
        """Write notes until cancelled. A failing store loses those of that moment."""
        try:
            while self._notes is not None:
                await asyncio.sleep(FLUSH)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        if self._notes is None or not self._unwritten:
            return
        rows, self._unwritten = self._unwritten, {}
        try:
            await self._notes.note({n: pack(served(row)) for n, row in rows.items()}, NOTED)
        except StoreError as fault:
            TOLD.warn("feedback", str(fault))

    async def _known(self, number: int) -> Decision | None:
        """The request's decision: of this replica's journal, else of the shared note."""
        row = await self._journal.get(number)
        if row is None and self._notes is not None:
            note = await self._notes.noted(number)
            known = None if note is None else unpack(number, note)
            row = None if known is None else decided(known)
        return row

    # -- what is said of it ----------------------------------------------------------------------

    async def take(self, owner: str, raw: bytes) -> Reply:
        """Answer one request; `owner` is the digest of the credential that it came with."""
        wait = self._limits.wait(owner)
        if wait:
            return _limited(wait)
        try:
            said = read(raw)
        except BadBody as fault:
            return _refused(400, fault.code, str(fault), fault.param)
        try:
            row = await self._find(said.number)
            # Another key's request is as unknown as one that never was.
            if row is None or row.owner != owner:
                return _unknown(said.request)
            async with self._turns[said.number % len(self._turns)]:
                return await self._settle(row, said)
        except StoreError as fault:
            TOLD.warn("feedback", str(fault))
            told = "The store does not answer, so the verdict was not taken; send it again."
            return _refused(503, "store_down", told, None, (b"retry-after", b"1"))

    async def _find(self, number: int) -> Decision | None:
        if number < 0:
            return None
        row = await self._known(number)
        if row is None and abs(self._clock() - (number >> 22) / 1000) < YOUNG:
            await asyncio.sleep(AGAIN)
            row = await self._known(number)
        return row

    async def judge(self, number: int, *, good: bool, note: str = "") -> str | None:
        """Take an operator's verdict: what it ended, or `stands` where another one was first.

        None where there is no such request. Raises `StoreError`.
        """
        row = await self._find(number)
        if row is None:
            return None
        said = Said(f"{number:016x}", number, good, note[:NOTE_KEPT])
        async with self._turns[number % len(self._turns)]:
            stands, effect = await self._settled(row, said)
        return effect if stands == good else "stands"

    async def _settle(self, row: Decision, said: Said) -> Reply:
        stands, effect = await self._settled(row, said)
        if stands != said.good:
            told = "There is another verdict on this request already; the first one stands."
            return _refused(409, "verdict_exists", told, "verdict")
        word = "good" if said.good else "bad"
        return _reply(200, {"request": said.request, "verdict": word, "effect": effect})

    async def _settled(self, row: Decision, said: Said) -> tuple[bool, str]:
        """The verdict that stands, and what this one ended."""
        stands = await self._ruled(row.id)
        if stands is not None:
            return stands, "none"
        # First what it changes: told twice this does no harm, forgotten it would.
        effect = "none" if said.good else await self._end(served(row))
        stands = await self._rule(row, said)
        self._tell(row, good=said.good)
        return stands, effect

    async def _end(self, known: Served) -> str:
        """End the service of a bad answer, and that of its near twins."""
        if known.was is Was.PASSING:
            return "none"
        facts = await self._memory.recall(known.entry)
        if facts is not None and facts.stored > known.until:
            return "none"  # replaced meanwhile: nobody has said anything of the new one
        twins = [] if facts is None else await self._memory.twins(facts)
        if known.was is Was.SEMANTIC:
            marked = await self._memory.flag([known.entry, *twins], flagged=True)
            return "flagged" if marked else "none"
        removed = await self._memory.forget([known.entry])
        await self._memory.flag(twins, flagged=True)
        return "removed" if removed else "none"

    async def _ruled(self, number: int) -> bool | None:
        """The verdict that stands, whichever replica took it."""
        shared = None if self._notes is None else await self._notes.ruled(number)
        if shared is not None:
            return shared == b"good"
        own = await self._journal.ruled(number)
        return None if own is None else own.good

    async def _rule(self, row: Decision, said: Said) -> bool:
        stands = said.good
        if self._notes is not None:
            first = await self._notes.ruled(row.id, b"good" if said.good else b"bad")
            stands = said.good if first is None else first == b"good"
        verdict = Verdict(row.id, self._clock(), stands, row.entry, said.note)
        return (await self._journal.rule(verdict)).good

    def _tell(self, row: Decision, *, good: bool) -> None:
        self.counts["good" if good else "bad"] += 1
        try:
            self._on_verdict(row, good)
        except Exception:
            LOG.exception("learning from a verdict failed")


class Said(NamedTuple):
    """A verdict as it was sent. `number` is below 0 where `request` is no id of ours."""

    request: str
    number: int
    good: bool
    note: str


_ID = re.compile(r"[0-9a-fA-F]{16}")


def read(raw: bytes) -> Said:
    """The request's body. Raises `BadBody`."""
    body = parse(raw)
    request, verdict, note = (body.get(name) for name in ("request", "verdict", "note"))
    if not isinstance(request, str) or not request:
        raise BadBody("invalid_value", "`request` must be an x-likewise-request id.", "request")
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        raise BadBody("invalid_value", "`verdict` must be `good` or `bad`.", "verdict")
    if note is not None and not isinstance(note, str):
        raise BadBody("invalid_value", "`note` must be text.", "note")
    number = int(request, 16) if _ID.fullmatch(request) else -1
    number = number if number < 1 << 63 else -1
    return Said(request, number, VERDICTS[verdict], (note or "")[:NOTE_KEPT])


def _unknown(request: str) -> Reply:
    told = f"No request {request[:40]!r} of this key is known; ids are kept for an hour at least."
    return _refused(404, "request_not_found", told, "request")


def _limited(wait: float) -> Reply:
    told = "Too many verdicts from this key."
    return _refused(429, "rate_limit_exceeded", told, None, *waiting(wait))


_JSON = ((b"content-type", b"application/json"),)


def _refused(
    status: int, code: str, told: str, param: str | None = None, *more: tuple[bytes, bytes]
) -> Reply:
    body = openai_error(told, kind=openai_kind(status), code=code, param=param)
    return Reply(status, body, (*_JSON, *more))


def _reply(status: int, body: dict[str, str]) -> Reply:
    return Reply(status, orjson.dumps(body), _JSON)
