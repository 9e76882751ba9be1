"""The show: plays the bundled set through the official OpenAI client and judges what came back.

Talks to a running proxy over HTTP only, as any application would; starting and stopping servers
is the command's business.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from proxy.demo.conversation import Expect, Turn, load
from proxy.demo.upstream import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openai import AsyncOpenAI

PLAIN_WIDTH = 100  # columns where no terminal says how wide it is
SERVED = frozenset({"HIT", "STALE"})
STYLES = {
    "exact": "green",
    "semantic": "bold cyan",
    "stale": "yellow",
    "miss": "",
    "bypass": "dim",
    "error": "bold red",
    "WRONG": "bold white on red",
}


class ShowError(Exception):
    """The show cannot begin; the message says the next step."""


@dataclass(frozen=True, slots=True)
class Row:
    """One turn as it went. `ms` runs to the last byte; `tokens` is the answer's total usage."""

    turn: Turn
    outcome: str
    ms: float
    reason: str = ""
    category: str = ""
    similarity: float | None = None
    served: bool = False
    wrong: bool = False
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What the whole set came to. `hits` were answered from memory, `wrong` of them wrongly."""

    rows: tuple[Row, ...] = field(repr=False)

    @property
    def hits(self) -> int:
        """Served from memory, each one a call that the upstream never saw."""
        return sum(row.served for row in self.rows)

    @property
    def wrong(self) -> int:
        return sum(row.wrong for row in self.rows)

    @property
    def errors(self) -> int:
        return sum(row.outcome == "error" for row in self.rows)

    @property
    def lookalikes(self) -> int:
        return sum(row.turn.expect is Expect.LOOKALIKE for row in self.rows)

    @property
    def lookalikes_served(self) -> int:
        return sum(row.turn.expect is Expect.LOOKALIKE and row.served for row in self.rows)

    @property
    def hit_rate(self) -> float:
        return self.hits / len(self.rows) if self.rows else 0.0

    @property
    def tokens_saved(self) -> int:
        return sum(row.tokens for row in self.rows if row.served)

    @property
    def hit_ms(self) -> float | None:
        """Median milliseconds of the answers from memory."""
        return _median(row.ms for row in self.rows if row.served)

    @property
    def miss_ms(self) -> float | None:
        """Median milliseconds of the answers from the upstream."""
        return _median(row.ms for row in self.rows if not row.served and row.outcome != "error")


def _median(values: Iterator[float]) -> float | None:
    known = list(values)
    return median(known) if known else None


async def run(
    base_url: str,
    admin_url: str,
    *,
    api_key: str = "demo",
    console: Console | None = None,
    turns: Sequence[Turn] | None = None,
) -> Summary:
    """Play the set against the proxy at `base_url` (`…/v1`), print it, and return what it came to.

    Raises `ShowError` where the OpenAI client is missing or the proxy does not answer.
    """
    out = console or _console()
    client = _client(base_url, api_key)
    script = turns if turns is not None else load()
    try:
        rows = await _play(client, script, base_url, out)
    finally:
        await client.close()
    summary = Summary(tuple(rows))
    out.print(table(summary.rows))
    out.print(panel(summary, admin_url))
    return summary


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


def _client(base_url: str, api_key: str) -> AsyncOpenAI:
    try:
        import openai  # noqa: PLC0415 - an extra: only the demo needs it
    except ImportError as error:
        raise ShowError(
            "the demo speaks through the official OpenAI client, which is not installed here: "
            'pip install "likewise[demo]"'
        ) from error
    # Proxy variables of the environment must not stand between the demo and this machine.
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
    )


async def _play(
    client: AsyncOpenAI, turns: Sequence[Turn], base_url: str, console: Console
) -> list[Row]:
    rows: list[Row] = []
    progress = Progress(
        TextColumn("asking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=len(turns))
        for turn in turns:
            progress.update(task, description=_short(turn.ask))
            rows.append(await _ask(client, turn, base_url))
            progress.advance(task)
    return rows


def _short(text: str, limit: int = 48) -> str:
    """The text on one line, for a place of `limit` columns; its brackets are no markup."""
    line = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return line.replace("[", "\\[")


async def _ask(client: AsyncOpenAI, turn: Turn, base_url: str) -> Row:
    import openai  # noqa: PLC0415 - an extra: only the demo needs it

    started = time.perf_counter()
    try:
        headers, text, tokens = await _complete(client, turn)
    except openai.APIConnectionError as error:
        raise ShowError(
            f"{base_url}: no answer ({error.__cause__ or error}): is the proxy running there?"
        ) from error
    except openai.APIError as error:
        ms = (time.perf_counter() - started) * 1000
        return Row(turn, "error", ms, reason=error.message)
    return judge(turn, headers, text, ms=(time.perf_counter() - started) * 1000, tokens=tokens)


async def _complete(client: AsyncOpenAI, turn: Turn) -> tuple[Mapping[str, str], str, int]:
    """The answer's headers, its text, and the tokens that it used."""
    create: Any = client.chat.completions.with_raw_response.create
    asked: dict[str, Any] = {"model": MODEL, "messages": turn.messages}
    if not turn.stream:
        raw = await create(**asked)
        completion = raw.parse()
        said = completion.choices[0].message.content if completion.choices else ""
        return raw.headers, said or "", completion.usage.total_tokens if completion.usage else 0
    raw = await create(**asked, stream=True, stream_options={"include_usage": True})
    parts: list[str] = []
    used = 0
    async for chunk in raw.parse():
        if chunk.usage:
            used = chunk.usage.total_tokens
        parts += [choice.delta.content or "" for choice in chunk.choices]
    return raw.headers, "".join(parts), used


def judge(turn: Turn, headers: Mapping[str, str], text: str, *, ms: float, tokens: int) -> Row:
    """What the proxy did with one turn, and whether an answer from memory was the right one."""
    state = headers.get("x-cache", "").upper()
    served = state in SERVED
    wrong = served and text.strip() != turn.answer.strip()
    match = headers.get("x-likewise-match") or "exact"
    outcome = match if state == "HIT" else state.lower() or "direct"
    return Row(
        turn=turn,
        outcome="WRONG" if wrong else outcome,
        ms=ms,
        reason=headers.get("x-likewise-reason") or _detail(headers.get("cache-status", "")),
        category=headers.get("x-likewise-category", ""),
        similarity=_number(headers.get("x-likewise-similarity")),
        served=served,
        wrong=wrong,
        tokens=tokens,
    )


def _detail(cache_status: str) -> str:
    found = re.search(r"detail=\"?([a-z0-9-]+)", cache_status)
    return found[1] if found else ""


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def table(rows: Sequence[Row]) -> Table:
    """Every turn on a line of its own (long prompts wrap); legible at 100 columns."""
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    grid.add_column("prompt", ratio=1, overflow="fold")
    grid.add_column("outcome", no_wrap=True, min_width=8)
    grid.add_column("category", no_wrap=True, max_width=14)
    grid.add_column("similarity", no_wrap=True, justify="right")
    grid.add_column("ms", no_wrap=True, justify="right")
    grid.add_column("reason", no_wrap=True, max_width=22)
    for row in rows:
        style = STYLES.get(row.outcome, "")
        grid.add_row(
            _prompt(row.turn),
            Text(row.outcome, style=style),
            Text(row.category, style="dim"),
            "" if row.similarity is None else f"{row.similarity:.3f}",
            f"{row.ms:.1f}" if row.served else f"{row.ms:.0f}",
            Text(row.reason, style=style),
        )
    return grid


def _prompt(turn: Turn) -> Text:
    """The question; in dim letters what stands before it, where its sense hangs on that."""
    text = Text()
    if turn.system:
        text.append(f"({turn.system}) ", style="dim italic")
    if turn.history:
        text.append(f"({turn.history[-1][0]}) ", style="dim italic")
    return text.append(turn.ask)


def panel(summary: Summary, admin_url: str) -> Panel:
    """The figures under the table."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, value in _facts(summary):
        facts.add_row(name, value)
    why = Text(f"why each was decided so: {admin_url.rstrip('/')}/decisions", style="dim")
    border = "red" if summary.wrong or summary.errors else "green"
    return Panel(Group(facts, why), title="Likewise", border_style=border)


def _facts(summary: Summary) -> Iterator[tuple[str, Text]]:
    yield "hit rate", Text(f"{summary.hit_rate:.0%} ({summary.hits} of {len(summary.rows)})")
    yield (
        "wrong hits",
        Text(
            f"{summary.wrong} ({summary.lookalikes_served} of {summary.lookalikes} look-alikes "
            "served from memory)",
            style="bold red" if summary.wrong else "green",
        ),
    )
    if summary.hit_ms is not None and summary.miss_ms is not None:
        times = f"{summary.hit_ms:.1f} ms from memory, {summary.miss_ms:.0f} ms from the upstream"
        yield "median", Text(times)
    yield "saved", Text(f"{summary.hits} upstream calls, {summary.tokens_saved} tokens")
    if summary.errors:
        yield "errors", Text(f"{summary.errors} (see the reasons above)", style="bold red")
