"""What the admin pages and the command line ask of a running proxy. Implements `Console`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, astuple, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from admin_ui.console import Found, Selection
from admin_ui.facts import Act, Estimate, Replica
from index.errors import StoreError
from index.ledger import Act as Entered
from policies import lessons
from policies.errors import PolicyError
from policies.evidence import Share
from proxy import counting
from proxy.condition import condition
from proxy.drafting import Drafts, faults_of
from proxy.explaining import Explainer
from proxy.fleet import SILENT
from proxy.foreseeing import foreseen
from proxy.remembered import Remembered
from proxy.reporting import standing, told
from proxy.reviewing import Reviewing
from proxy.shipping import Shipping
from proxy.tracing import trace
from proxy.watching import Watching
from proxy.whatif import WhatIf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from admin_ui.console import Doubt, Question, Taken, Warming
    from admin_ui.facts import (
        Applied,
        Aside,
        Edition,
        Evidence,
        Fault,
        Overview,
        Similarities,
        Trial,
        Undo,
        Written,
    )
    from index.ledger import Ledger
    from policies.record import Comparison, Decision, Filter
    from policies.values import CategoryRules
    from policies.verified import Learned
    from proxy.engine import Engine
    from proxy.feedback import Feedback
    from proxy.fleet import Fleet, Member
    from proxy.identity import Identity
    from proxy.learning import Learner
    from proxy.settings import Settings
    from proxy.upkeep import Upkeep

# What no selection by end user reaches: nothing there says whose it is.
UNTOLD = (
    "requests that named no end user cannot be told from one another's",
    "other replicas' journals: ask each of them",
    "sessions count their turns for 30 days under digests that name nobody, in RAM with texts",
)


NOTHING = Share(0.0, 0.0, 1.0, 0)


class HouseConsole:
    """Asks the engine, the memory and the journal; reads only, except what says otherwise."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        identity: Identity,
        upkeep: Upkeep,
        learner: Learner,
        feedback: Feedback,
        ledger: Ledger,
        fleet: Fleet,
    ) -> None:
        self._fleet = fleet
        self._learner = learner
        self._engine = engine
        self._identity = identity
        self._upkeep = upkeep
        self._explainer = Explainer(settings, engine, identity)
        self._shipping = Shipping(engine, identity)
        self._watching = Watching(engine.journal)
        self._feedback = feedback
        self._ledger = ledger
        self._drafts = Drafts(upkeep, ledger)
        self._remembered = Remembered(engine, identity)
        self._reviewing = Reviewing(engine.journal, engine.memory, ledger, feedback)
        self._what_if = WhatIf(engine, learner)

    async def begin(self) -> None:
        """Write down which policy the process starts with."""
        await self._drafts.begin()

    @property
    def _settings(self) -> Settings:
        """Those in force."""
        return self._upkeep.settings

    async def overview(self, seconds: float, replica: str = "") -> Overview | None:
        rules, now = self._engine.rules, time.time()
        span, since, step = counting.stepped(seconds, now)
        view = await self._fleet.view(span, since, now, replica)
        if view is None:
            return None
        rollups, labels, verdicts = view.summary
        wrong = counting.wrongs(labels)
        counted = await asyncio.to_thread(counting.counted, rollups, since, now, step, rules.prices)
        return replace(
            counted,
            seconds=seconds,
            false_hits=wrong.pop("", Estimate()),
            false_hits_by_category=wrong,
            good_verdicts=sum(count for (_, good), count in verdicts.items() if good),
            bad_verdicts=sum(count for (_, good), count in verdicts.items() if not good),
            entries=len(self._engine.memory),
            entry_bytes=self._engine.memory.size,
            policy_mode="shadow" if rules.shadow else "serve",
            version=version("likewise"),
            replica=replica,
            replicas=[self._replica(one) for one in view.members],
            alone=view.alone,
        )

    def _replica(self, one: Member) -> Replica:
        return Replica(one.id, one.name, one.here, one.at, time.time() - one.at < SILENT)

    async def replicas(self) -> Sequence[Replica]:
        return [self._replica(one) for one in await self._fleet.reached()]

    async def decisions(
        self, limit: int, before: int | None = None, chosen: Filter | None = None
    ) -> Found:
        journal = self._engine.journal
        if chosen is not None:
            return Found(*await journal.sift(chosen, limit, before))
        rows = await journal.recent(limit, before)
        return Found(rows, rows[-1].id if rows and len(rows) == limit else None)

    async def evidence(self, decision: int) -> tuple[Decision, Evidence] | None:
        row = await self._engine.journal.get(decision)
        return None if row is None else (row, await trace(row, self._engine))

    def watch(
        self, chosen: Filter | None = None, after: int | None = None
    ) -> AsyncIterator[Decision | int]:
        return self._watching.watch(chosen, after)

    async def judge(self, decision: int, *, good: bool, note: str = "") -> str | None:
        return await self._feedback.judge(decision, good=good, note=note)

    async def entries(
        self,
        selection: Selection,
        limit: int,
        *,
        sort: str = "stored",
        offset: int = 0,
        meaning: str | None = None,
    ) -> list[dict[str, Any]]:
        return await self._remembered.entries(
            selection, limit, sort=sort, offset=offset, meaning=meaning
        )

    async def entry(self, entry: str) -> dict[str, Any] | None:
        return await self._remembered.entry(entry)

    async def amend(
        self, entry: str, *, ttl: float | None = None, pinned: bool | None = None
    ) -> bool:
        return await self._remembered.amend(entry, ttl=ttl, pinned=pinned)

    async def purge(self, selection: Selection, *, dry_run: bool, limit: int | None = None) -> int:
        if dry_run:
            return len(await self._remembered.names(selection, limit))
        async with self._engine.memory.purging():
            # Chosen now that nothing older is stored any more.
            chosen = await self._remembered.forget(selection, limit)
            if selection.user is not None:
                await self._engine.journal.erase(self._remembered.traced(selection), chosen)
                self._what_if.forget()
        return len(chosen)

    async def set_aside(self, selection: Selection, limit: int | None = None) -> Aside:
        return await self._remembered.set_aside(selection, limit)

    async def asides(self) -> Sequence[Aside]:
        return self._remembered.asides.held()

    async def undo(self, aside: str) -> Undo | None:
        return await self._remembered.asides.undo(aside)

    async def let_go(self, aside: str) -> bool:
        return self._remembered.asides.let_go(aside)

    async def traces(self, selection: Selection) -> int:
        user = self._remembered.traced(selection)
        return await self._engine.journal.of_user(user) if user else 0

    def untold(self, selection: Selection) -> tuple[str, ...]:
        return UNTOLD if selection.user is not None else ()

    async def export(
        self, selection: Selection, *, vectors: bool
    ) -> tuple[int, AsyncIterator[bytes]]:
        chosen = await self._remembered.selected(selection)
        return len(chosen), self._shipping.out(chosen, vectors=vectors)

    async def take(
        self, lines: bytes, *, overwrite: bool, dry_run: bool, secret: str | None = None
    ) -> Taken:
        return await self._shipping.take(lines, overwrite=overwrite, dry_run=dry_run, secret=secret)

    async def warm(self, warming: Warming, *, overwrite: bool, dry_run: bool) -> Taken:
        return await self._shipping.warm(warming, overwrite=overwrite, dry_run=dry_run)

    async def verdicts(self, limit: int) -> list[dict[str, Any]]:
        return [verdict._asdict() for verdict in await self._engine.journal.verdicts(limit)]

    async def learned(self) -> dict[str, Any]:
        return told(self._learner.lessons, self._learner.judging.describe())

    async def comparisons(self, limit: int) -> Sequence[Comparison]:
        return await self._engine.journal.labels(limit)

    async def unlearn(self, category: str) -> bool:
        known = self._engine.rules.named(category) is not None
        if known:
            await self._learner.forget(category)
        return known

    async def review(self, entry: str, *, good: bool) -> bool:
        return await self._reviewing.review(entry, good=good) != "none"

    async def doubtful(self, limit: int) -> Sequence[Doubt]:
        return await self._reviewing.doubtful(limit)

    async def settle(self, decision: int, *, good: bool, note: str = "") -> str | None:
        return await self._reviewing.settle(decision, good=good, note=note)

    async def categories(self) -> list[dict[str, Any]]:
        rules, memory = self._engine.rules, self._engine.memory
        most, learned = self._settings.index.max_entries, self._engine.learned
        wrong = lessons.account(self._learner.lessons.labels).by_category
        return [
            _category(category)
            | {
                "entries": memory.counts[category.name],
                "quota_entries": None if category.quota is None else int(category.quota * most),
                "learned": _learned(category, learned, rules.audits),
                "false_hits": counting.estimate(wrong.get(category.name, NOTHING)),
            }
            for category in (*rules.categories, rules.defaults)
        ]

    async def similarities(
        self, category: str, seconds: float, replica: str = ""
    ) -> Similarities | None:
        rule = self._engine.rules.named(category)
        if rule is None:
            return None
        now = time.time()
        span, since, _ = counting.stepped(seconds, now)
        view = await self._fleet.view(span, since, now, replica)
        if view is None:
            return None
        rollups, labels, _ = view.summary
        return await asyncio.to_thread(foreseen, rule, rollups, labels, seconds)

    async def retune(self, category: str, threshold: float, revision: str, who: str) -> Applied:
        return await self._drafts.retune(category, threshold, revision, who)

    async def written(self) -> Written:
        return await self._drafts.written()

    async def check(self, text: str) -> tuple[Fault, ...]:
        return await self._drafts.check(text)

    async def diff(self, text: str) -> str:
        return await self._drafts.diff(text)

    async def trial(self, text: str, requests: int) -> Trial | tuple[Fault, ...]:
        try:
            draft = await self._drafts.draft(text)
        except PolicyError as error:
            return faults_of(error)
        return await self._what_if.trial(self._settings.rules, draft.rules, requests)

    async def apply(self, text: str, revision: str, who: str) -> Applied:
        return await self._drafts.apply(text, revision, who)

    async def editions(self, limit: int) -> Sequence[Edition]:
        return await self._drafts.editions(limit)

    async def edition(self, number: int) -> str | None:
        return await self._drafts.edition(number)

    async def roll_back(self, number: int, revision: str, who: str) -> Applied | None:
        return await self._drafts.roll_back(number, revision, who)

    async def policy(self) -> dict[str, Any]:
        return {
            "source": str(self._settings.source or "built in"),
            "version": self._engine.rules.version,
            "mode": "shadow" if self._engine.rules.shadow else "serve",
            "load": self._engine.rules.level,
            "refused_edit": self._upkeep.refused_edit,
            "notices": list(self._upkeep.notices),
            "categories": await self.categories(),
        }

    async def health(self, replica: str = "") -> dict[str, Any] | None:
        own = await condition(self._engine, self._settings, self._upkeep)
        known = {one.id: one for one in await self._fleet.reached()}
        told = {id_: own if one.here else one.health for id_, one in known.items()}
        shown = own if not replica else told.get(replica)
        if shown is None:
            return None
        if shown["version"] != own["version"]:
            raise StoreError(
                f"replica {known[replica].name}: is Likewise {shown['version']}, this one "
                f"{own['version']}; ask it itself"
            )
        fleet = [asdict(self._replica(one)) | _stand(told[one.id]) for one in known.values()]
        return shown | {"fleet": fleet}

    async def acted(self, act: Act) -> None:
        await self._ledger.acted(Entered(*astuple(act)))

    async def acts(self, limit: int, before: int | None = None) -> Sequence[tuple[int, Act]]:
        rows = await self._ledger.acts(limit, before)
        return [(number, Act(*row)) for number, row in rows]

    def metrics(self) -> bytes:
        return self._engine.meters.render()

    async def explain(self, question: Question) -> dict[str, Any]:
        return await self._explainer.explain(question)


def _stand(health: dict[str, Any]) -> dict[str, Any]:
    """What a list of replicas says of each."""
    stand = {name: health[name] for name in ("version", "uptime", "ready", "state")}
    return stand | {"policy": health.get("policy", "")}  # a replica of before does not tell


def _learned(
    category: CategoryRules, learned: Learned | None, audits: float
) -> dict[str, Any] | None:
    """What labels allow here by now; None where they rule nothing."""
    bound = category.threshold.max_false_hits
    if bound is None or learned is None:
        return None
    return standing(learned.standing(bound, audits))


def _category(category: CategoryRules) -> dict[str, Any]:
    return {
        "name": category.name,
        "cache": category.cache,
        "threshold": category.threshold.start,
        "max_false_hits": category.threshold.max_false_hits,
        "vcache": category.threshold.delta,
        "floor": category.threshold.floor,
        "ttl": category.ttl,
        "quota": category.quota,
        "share": category.share.value,
        "strict": category.strict,
        "guards": list(category.guards),
        "max_temperature": category.max_temperature,
    }
