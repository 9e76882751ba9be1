"""A console with made-up facts, for the pages to show. It answers; it decides nothing."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, TypeVar

from admin_ui.console import Crowded, Doubt, Found, Selection, Taken
from admin_ui.facts import (
    Act,
    Applied,
    Aside,
    Edition,
    Estimate,
    Evidence,
    Fault,
    Overview,
    Replica,
    Similarities,
    Tally,
    Trial,
    Undo,
    Written,
)
from policies.record import Comparison, Decision, Filter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from admin_ui.console import Question, Warming

T = TypeVar("T")

TOKEN = "a-long-admin-token"
VIEWER = "a-token-for-looking"
ENTRY = "00112233445566778899aabbccddeeff"

_BLANK = Decision(
    id=0, at=0.0, outcome="miss", reason="empty", category="default", dialect="openai",
    upstream="openai", model="gpt-4o-mini", owner="o1", stream=False, status=200, similarity=None,
    cut=None, propensity=None, entry="", neighbour="", would="", seen="", kept="stored", turns=0,
    prompt="", matched="", ms=412.0, ms_embed=3.1, ms_search=0.2, ms_upstream=405.0, tokens_in=14,
    tokens_out=120,
)  # fmt: skip


def decision(number: int, **fields: Any) -> Decision:
    return _BLANK._replace(id=number, at=time.time() - 7.0 * (9 - number % 10), **fields)


class FakeConsole:
    """Facts set by the test; what it was asked is kept in `asked`."""

    def __init__(self) -> None:
        self.facts = Overview(seconds=3600.0, total=Tally())
        self.rows: list[Decision] = []
        self.kept: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        self.taught: dict[str, Any] = {"labels": 0, "bounds": []}
        self.compared: list[Comparison] = []
        self.story: dict[str, Any] = {"outcome": "miss", "reason": "empty", "category": "default"}
        self.rules: dict[str, Any] = {"version": "1", "defaults": {"ttl": 86400}}
        self.told = Evidence("0")
        self.cards = [card("code", 0.93)]
        self.alike = Similarities("code", 60.0, 9, 3, 2, 0.93, learned=False)
        self.text = Written("likewise.yaml", "policy: {}", "r1")
        self.applied = Applied(True, "r2")
        self.doubts: list[Doubt] = []
        self.acts_done: list[Act] = []
        self.aside: Aside | None = None
        self.order: tuple[str, int, str | None] = ("", 0, None)
        self.effects: dict[int, str] = {}
        self.crowded = False
        self.asked: list[Any] = []
        self.fleet: list[Replica] = []

    async def overview(self, seconds: float, replica: str = "") -> Overview | None:
        self.asked.append((seconds, replica) if replica else seconds)
        return dataclasses.replace(self.facts, replica=replica) if self._knows(replica) else None

    async def replicas(self) -> list[Replica]:
        return self.fleet

    def _knows(self, replica: str) -> bool:
        return not replica or replica in {one.id for one in self.fleet}

    async def decisions(
        self, limit: int, before: int | None = None, chosen: Filter | None = None
    ) -> Found:
        self.asked.append((limit, before) if chosen is None else (limit, before, chosen))
        rows = [
            row
            for row in sorted(self.rows, key=lambda row: -row.id)
            if (before is None or row.id < before) and (chosen is None or chosen.fits(row))
        ][:limit]
        return Found(rows, rows[-1].id if rows and len(rows) == limit else None)

    async def evidence(self, decision: int) -> tuple[Decision, Evidence] | None:
        row = next((row for row in self.rows if row.id == decision), None)
        return None if row is None else (row, self.told)

    def watch(
        self, chosen: Filter | None = None, after: int | None = None
    ) -> AsyncIterator[Decision | int]:
        self.asked.append((chosen, after))
        if self.crowded:
            raise Crowded("32 are watching already; close one of them")
        return _pieces(0, *self.rows, 7)

    async def judge(self, decision: int, *, good: bool, note: str = "") -> str | None:
        self.asked.append((decision, good, note))
        return self.effects.get(decision)

    async def entries(
        self,
        selection: Selection,
        limit: int,
        *,
        sort: str = "stored",
        offset: int = 0,
        meaning: str | None = None,
    ) -> list[dict[str, Any]]:
        self.asked.append(selection)
        self.order = (sort, offset, meaning)
        return self._matching(selection)[offset : offset + limit]

    async def entry(self, entry: str) -> dict[str, Any] | None:
        found = self._matching(Selection(ids=(entry,)))
        whole = {"answer": "Because.", "cut_short": False, "labels": [], "twins": []}
        return found[0] | whole if found else None

    async def amend(
        self, entry: str, *, ttl: float | None = None, pinned: bool | None = None
    ) -> bool:
        self.asked.append((entry, ttl, pinned))
        return bool(self._matching(Selection(ids=(entry,))))

    async def set_aside(self, selection: Selection, limit: int | None = None) -> Aside:
        self.asked.append((selection, limit))
        if self.crowded:
            raise ValueError("more than 256 MB cannot be held aside")
        found = self._matching(selection)[:limit]
        self.kept = [entry for entry in self.kept if entry not in found]
        self.aside = Aside("0" * 16, len(found), 5.0, 65.0)
        return self.aside

    async def asides(self) -> list[Aside]:
        return [] if self.aside is None else [self.aside]

    async def undo(self, aside: str) -> Undo | None:
        return None if self.aside is None or self.aside.id != aside else Undo(2, 1)

    async def let_go(self, aside: str) -> bool:
        return self.aside is not None and self.aside.id == aside

    async def purge(self, selection: Selection, *, dry_run: bool, limit: int | None = None) -> int:
        self.asked.append((selection, dry_run))
        found = self._matching(selection)[:limit]
        if not dry_run:
            self.kept = [entry for entry in self.kept if entry not in found]
        return len(found)

    async def traces(self, selection: Selection) -> int:
        return 0 if selection.user is None else 3

    def untold(self, selection: Selection) -> tuple[str, ...]:
        return () if selection.user is None else ("what the journal holds",)

    async def export(
        self, selection: Selection, *, vectors: bool
    ) -> tuple[int, AsyncIterator[bytes]]:
        self.asked.append((selection, vectors))
        return len(self.kept), _pieces(b"one\n", b"two\n")

    async def take(
        self, lines: bytes, *, overwrite: bool, dry_run: bool, secret: str | None = None
    ) -> Taken:
        self.asked.append((lines, overwrite, dry_run, secret))
        return Taken(taken=2, existing=1, expired=3, foreign=True)

    async def warm(self, warming: Warming, *, overwrite: bool, dry_run: bool) -> Taken:
        self.asked.append((warming, overwrite, dry_run))
        return Taken(refused=((1, "is empty"),))

    async def learned(self) -> dict[str, Any]:
        return self.taught

    async def comparisons(self, limit: int) -> list[Comparison]:
        return self.compared[:limit]

    async def unlearn(self, category: str) -> bool:
        self.asked.append(category)
        return category == "code"

    async def verdicts(self, limit: int) -> list[dict[str, Any]]:
        self.asked.append(limit)
        return self.said[:limit]

    async def review(self, entry: str, *, good: bool) -> bool:
        self.asked.append((entry, good))
        return any(one["entry"] == entry for one in self.kept)

    async def explain(self, question: Question) -> dict[str, Any]:
        self.asked.append(question)
        if question.category == "nowhere":
            raise ValueError("category: there is no `nowhere`; use one of: default, code")
        return self.story

    async def categories(self) -> list[dict[str, Any]]:
        return self.cards

    async def similarities(
        self, category: str, seconds: float, replica: str = ""
    ) -> Similarities | None:
        self.asked.append((category, seconds, replica) if replica else (category, seconds))
        return self.alike if category == "code" and self._knows(replica) else None

    async def retune(self, category: str, threshold: float, revision: str, who: str) -> Applied:
        self.asked.append((category, threshold, revision, who))
        return self.applied

    async def written(self) -> Written:
        return self.text

    async def check(self, text: str) -> tuple[Fault, ...]:
        return () if text == "sound" else (Fault(2, "policy.mode", "must be serve or shadow"),)

    async def diff(self, text: str) -> str:
        return f"+{text}"

    async def trial(self, text: str, requests: int) -> Trial | tuple[Fault, ...]:
        self.asked.append((text, requests))
        return await self.check(text) or Trial(5, 1, 2, 3, 2, 1, 0, 0.5, 0.1, 1.5, 40)

    async def apply(self, text: str, revision: str, who: str) -> Applied:
        self.asked.append((text, revision, who))
        return self.applied

    async def editions(self, limit: int) -> list[Edition]:
        return [Edition(1, 5.0, "operator 0a", "edited", "r1")][:limit]

    async def edition(self, number: int) -> str | None:
        return "policy: {}" if number == 1 else None

    async def roll_back(self, number: int, revision: str, who: str) -> Applied | None:
        self.asked.append((number, revision, who))
        return self.applied if number == 1 else None

    async def doubtful(self, limit: int) -> list[Doubt]:
        return self.doubts[:limit]

    async def settle(self, decision: int, *, good: bool, note: str = "") -> str | None:
        self.asked.append((decision, good, note))
        return self.effects.get(decision)

    async def acted(self, act: Act) -> None:
        self.acts_done.append(act)

    async def acts(self, limit: int, before: int | None = None) -> list[tuple[int, Act]]:
        known = [one for one in enumerate(self.acts_done, 1) if before is None or one[0] < before]
        return known[::-1][:limit]

    async def policy(self) -> dict[str, Any]:
        return self.rules

    async def health(self, replica: str = "") -> dict[str, Any] | None:
        if not self._knows(replica):
            return None
        return self.condition | ({"store": f"that of {replica}"} if replica else {})

    @property
    def condition(self) -> dict[str, Any]:
        stand = {"version": "1", "uptime": 60.0, "ready": True, "state": "ready", "policy": "p1"}
        return {
            "version": "1", "uptime": 60.0, "ready": True, "state": "ready", "policy": "p1",
            "entries": 7, "entry_bytes": 2048, "entries_to_renew": 0,
            "store": "sqlite:./likewise.db", "store_missing": "",
            "store_faults": {"read": 0, "write": 0},
            "index": {"vectors": 7, "spaces": 1, "dead": 0, "bytes": 4096, "reserved": 8192},
            "embedder": "all-MiniLM-L6-v2", "embedder_faults": {"failed": 0, "late": 1},
            "embedder_queue": 0, "embedder_stalled": False, "embedder_ms": 3.1, "last_faults": {},
            "journal": {"dropped": 0, "faults": 0, "missing": ""}, "upstreams": ["openai"],
            "upstreams_failing": [], "disk": {"free": 10, "total": 20}, "replicas": [],
            "fleet": [dataclasses.asdict(one) | stand for one in self.fleet],
        }  # fmt: skip

    def metrics(self) -> bytes:
        return b'# TYPE likewise_requests_total counter\nlikewise_requests_total{outcome="hit"} 3\n'

    def _matching(self, selection: Selection) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.kept
            if (not selection.ids or entry["entry"] in selection.ids)
            and selection.category in (None, entry["category"])
            and (selection.text or "") in entry["text"]
        ]


def card(name: str, threshold: float) -> dict[str, Any]:
    return {
        "name": name, "cache": True, "threshold": threshold, "max_false_hits": None,
        "vcache": None, "floor": None, "ttl": 60.0, "quota": 0.4, "share": "key", "strict": False,
        "guards": ["numbers"], "max_temperature": 1.0, "entries": 7, "quota_entries": 40,
        "learned": None, "false_hits": Estimate(),
    }  # fmt: skip


async def _pieces(*pieces: T) -> AsyncIterator[T]:
    for piece in pieces:
        yield piece


def entry(number: int, text: str, **fields: Any) -> dict[str, Any]:
    return {
        "entry": f"{number:032x}", "category": "default", "model": "gpt-4o-mini", "text": text,
        "stored": time.time() - 600, "expires": time.time() + 80000, "size": 1843,
        "flagged": False, "tags": (), "owner": "o1", "dialect": "chat", "pinned": False,
        "gone": time.time() + 90000, "used": time.time(), "hits": 2, "tokens_saved": 30,
        "dollars_saved": 0.01, **fields,
    }  # fmt: skip
