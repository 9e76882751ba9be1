"""What the pages may ask. The shell implements it; nothing here knows index, store or upstream.

One protocol for each page; `Console` is all of them. What they are told stands in `facts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from admin_ui.facts import (
        Act,
        Applied,
        Aside,
        Edition,
        Evidence,
        Fault,
        Overview,
        Replica,
        Similarities,
        Trial,
        Undo,
        Written,
    )
    from policies.record import Comparison, Decision, Filter


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries a purge, an export or a search means. Empty fields select everything."""

    ids: tuple[str, ...] = ()
    tag: str | None = None
    category: str | None = None
    tenant: str | None = None
    model: str | None = None
    older_than: float | None = None
    text: str | None = None
    flagged: bool | None = None
    user: str | None = None
    pinned: bool | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with the answer that is to be given, in this category and for this model."""

    question: str
    answer: str
    category: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Warming:
    """Pairs to remember, and how an application will ask: its key or tenant, its model and system
    prompt, and more fields of its requests (`body`)."""

    pairs: tuple[Pair, ...]
    model: str
    system: str | None = None
    credential: str | None = None
    tenant: str | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of entries that came in. One that is refused, by its place from 1 on, lets none
    be taken; `foreign`: they come from a house with another secret."""

    taken: int = 0
    existing: int = 0
    expired: int = 0
    refused: tuple[tuple[int, str], ...] = ()
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt to explain, as a client would send it."""

    prompt: str
    model: str = "gpt-4o-mini"
    system: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    credential: str | None = None
    category: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Some decisions, newest first. `next` leads to older ones, None at the end.

    `searched` is how far back was looked: a rare thing may need several steps.
    """

    rows: Sequence[Decision]
    next: int | None = None
    searched: float | None = None


class Counts(Protocol):
    async def overview(self, seconds: float, replica: str = "") -> Overview | None:
        """The figures of all replicas, or of one; None without such a replica."""

    async def health(self, replica: str = "") -> dict[str, Any] | None:
        """How the parts of this replica are, or how another's were when it last told; `fleet` are
        all of them. None without such a replica."""

    async def replicas(self) -> Sequence[Replica]:
        """The processes on this store, the asked one first; it alone where the others cannot be
        asked."""

    def metrics(self) -> bytes:
        """Prometheus text."""


class Decisions(Protocol):
    async def decisions(
        self, limit: int, before: int | None = None, chosen: Filter | None = None
    ) -> Found:
        """The newest decisions first, older than id `before` where given."""

    async def evidence(self, decision: int) -> tuple[Decision, Evidence] | None:
        """One decision with all that is known of it; None where there is none."""

    def watch(
        self, chosen: Filter | None = None, after: int | None = None
    ) -> AsyncIterator[Decision | int]:
        """New decisions as they come, from behind `after` where given; a number says how many were
        left out. Ends by itself after a while. Raises `Crowded` where too many watch."""

    async def judge(self, decision: int, *, good: bool, note: str = "") -> str | None:
        """An operator's verdict on a request: what it ended (`flagged`, `removed`, `none`), or
        `stands` where another verdict was there first; None without such a decision."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A hit that somebody should look at: `kind` is `bad` (somebody called it wrong) or `uncertain`
    (served by meaning, and close to not being so)."""

    decision: Decision
    kind: str
    note: str = ""


class Crowded(Exception):
    """Too many are watching already."""


class Categories(Protocol):
    async def categories(self) -> list[dict[str, Any]]:
        """Each category's policy in force, what was learned, and usage against its quota."""

    async def similarities(
        self, category: str, seconds: float, replica: str = ""
    ) -> Similarities | None:
        """How similar would-be hits were, and what each cut would do, over all replicas or for
        one; None without such a category or replica."""

    async def retune(self, category: str, threshold: float, revision: str, who: str) -> Applied:
        """Write another threshold into the configuration and put it in force."""

    async def learned(self) -> dict[str, Any]:
        """The learned state whole: the model, what it may serve, how often it was wrong."""

    async def comparisons(self, limit: int) -> Sequence[Comparison]:
        """What judges said of fresh answers, newest first."""

    async def unlearn(self, category: str) -> bool:
        """Forget what a category taught. False where there is no such category."""


class Policies(Protocol):
    async def policy(self) -> dict[str, Any]:
        """The policy in force, where it came from, and the last refused edit if there is one."""

    async def written(self) -> Written:
        """The configuration as its file has it now."""

    async def check(self, text: str) -> tuple[Fault, ...]:
        """Everything that is wrong with a text."""

    async def diff(self, text: str) -> str:
        """What a text changes, as `diff -u` shows it."""

    async def trial(self, text: str, requests: int) -> Trial | tuple[Fault, ...]:
        """What a text would have made of the last requests, or what is wrong with it."""

    async def apply(self, text: str, revision: str, who: str) -> Applied:
        """Write a text that was edited from `revision` and put it in force."""

    async def editions(self, limit: int) -> Sequence[Edition]:
        """What was in force, newest first."""

    async def edition(self, number: int) -> str | None:
        """The text of an edition."""

    async def roll_back(self, number: int, revision: str, who: str) -> Applied | None:
        """Put an edition's policy in force again; None where there is no such edition."""


class Entries(Protocol):
    async def entries(
        self,
        selection: Selection,
        limit: int,
        *,
        sort: str = "stored",
        offset: int = 0,
        meaning: str | None = None,
    ) -> list[dict[str, Any]]:
        """What is remembered, by `stored`, `hits`, `saved`, `age`, `size` or, with `meaning`, by
        how close a prompt is to that text."""

    async def entry(self, entry: str) -> dict[str, Any] | None:
        """One entry with its answer and its labels."""

    async def amend(
        self, entry: str, *, ttl: float | None = None, pinned: bool | None = None
    ) -> bool:
        """Let an entry live `ttl` seconds from now, or keep it from eviction. False without it."""

    async def purge(self, selection: Selection, *, dry_run: bool, limit: int | None = None) -> int:
        """How many entries are (or would be) removed, at most `limit` of them."""

    async def set_aside(self, selection: Selection, limit: int | None = None) -> Aside:
        """Remove entries so that `undo` brings them back for a minute. Raises ValueError where
        they are too many for that."""

    async def asides(self) -> Sequence[Aside]:
        """What can still be had back."""

    async def undo(self, aside: str) -> Undo | None:
        """Bring entries back; None where it is too late."""

    async def let_go(self, aside: str) -> bool:
        """Forget what was set aside now. False where it is gone already."""

    async def traces(self, selection: Selection) -> int:
        """How many requests of an end user are written down, which go with a purge of theirs."""

    def untold(self, selection: Selection) -> tuple[str, ...]:
        """What may be left of whom a selection means after its purge, in plain words."""

    async def export(
        self, selection: Selection, *, vectors: bool
    ) -> tuple[int, AsyncIterator[bytes]]:
        """How many entries there are, and each as a line of JSON; the last line tells of all."""

    async def take(
        self, lines: bytes, *, overwrite: bool, dry_run: bool, secret: str | None = None
    ) -> Taken:
        """Remember exported entries, or only say what would become of them."""

    async def warm(self, warming: Warming, *, overwrite: bool, dry_run: bool) -> Taken:
        """Remember pairs as if they had been asked and answered, or only say what would be."""


class Reviews(Protocol):
    async def verdicts(self, limit: int) -> list[dict[str, Any]]:
        """What callers said of answers, newest first."""

    async def review(self, entry: str, *, good: bool) -> bool:
        """End what a bad verdict began: serve the entry again, or remove it. False without one."""

    async def doubtful(self, limit: int) -> Sequence[Doubt]:
        """What an operator's word helps most: bad verdicts first, then the least certain hits."""

    async def settle(self, decision: int, *, good: bool, note: str = "") -> str | None:
        """An operator's word on one of these; what it changed: `restored`, `removed`, `flagged` or
        `none`. None without such a decision."""


class Playground(Protocol):
    async def explain(self, question: Question) -> dict[str, Any]:
        """Why this prompt would hit or miss, step by step, with nothing sent upstream."""


class Audit(Protocol):
    async def acted(self, act: Act) -> None:
        """Write down a change that somebody made."""

    async def acts(self, limit: int, before: int | None = None) -> Sequence[tuple[int, Act]]:
        """Who changed what, newest first, each with its number; those below `before` if given."""


class Console(
    Counts, Decisions, Categories, Policies, Entries, Reviews, Playground, Audit, Protocol
):
    """Answers for people. Every method may be slow and runs off the request path."""
