"""The show: tells hits, misses and wrong answers apart, and prints what it saw."""

import io
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from rich.console import Console

from proxy.demo.conversation import Turn, load, parse
from proxy.demo.show import Row, ShowError, Summary, judge, run, table
from proxy.demo.upstream import SampleUpstream

ADMIN = "http://127.0.0.1:8081"
SET = parse("""
- {id: a, ask: "What is the capital of France?", expect: fresh, answer: Paris is the capital of France.}
- {id: b, ask: what is the capital of france, expect: paraphrase, of: a, stream: true}
- {id: c, ask: "What is the capital of Germany?", expect: lookalike, of: a, answer: Berlin is the capital of Germany.}
""")  # noqa: E501 - a table
FRESH, PARAPHRASE, LOOKALIKE = SET
SEMANTIC = {
    "x-cache": "HIT",
    "x-likewise-match": "semantic",
    "x-likewise-reason": "semantic",
    "x-likewise-category": "default",
    "x-likewise-similarity": "0.971",
}


class Labelled:
    """A server that answers as the sample upstream does and adds the given header fields."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._upstream = SampleUpstream(latency=0, per_token=0)
        self._headers = [(k.encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def labelled(event: Any) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event["headers"], *self._headers]
            await send(event)

        await self._upstream(scope, receive, labelled)


def _page() -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=False)


def _printed(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize(
    ("turn", "headers", "text", "outcome", "served", "wrong"),
    [
        (PARAPHRASE, SEMANTIC, FRESH.answer, "semantic", True, False),
        (
            FRESH,
            {"x-cache": "HIT", "x-likewise-match": "exact"},
            FRESH.answer,
            "exact",
            True,
            False,
        ),
        (FRESH, {"x-cache": "STALE"}, FRESH.answer, "stale", True, False),
        (FRESH, {"x-cache": "MISS"}, "anything else", "miss", False, False),
        (FRESH, {"x-cache": "BYPASS"}, "anything else", "bypass", False, False),
        (FRESH, {}, FRESH.answer, "direct", False, False),
        (LOOKALIKE, SEMANTIC, FRESH.answer, "WRONG", True, True),
        (LOOKALIKE, SEMANTIC, LOOKALIKE.answer, "semantic", True, False),
    ],
)
def test_judge(
    turn: Turn, headers: dict[str, str], text: str, outcome: str, *, served: bool, wrong: bool
) -> None:
    """A hit is wrong exactly when memory gave another answer than the prompt's own."""
    row = judge(turn, headers, text, ms=1.0, tokens=9)
    assert (row.outcome, row.served, row.wrong) == (outcome, served, wrong)


def test_judge_reads_the_evidence() -> None:
    """Category, similarity and reason come from the response's headers."""
    row = judge(PARAPHRASE, SEMANTIC, FRESH.answer, ms=1.0, tokens=9)
    assert (row.category, row.similarity, row.reason) == ("default", 0.971, "semantic")


@pytest.mark.parametrize(
    ("headers", "reason", "similarity"),
    [
        ({"cache-status": "likewise; fwd=miss; stored; detail=guard-units"}, "guard-units", None),
        ({"cache-status": "likewise; fwd=miss"}, "", None),
        ({"x-likewise-similarity": "close"}, "", None),
        ({"x-likewise-similarity": "0"}, "", 0.0),
    ],
)
def test_judge_makes_do_with_less(
    headers: dict[str, str], reason: str, similarity: float | None
) -> None:
    """The standard header serves where the plain one is absent; zero is a similarity."""
    row = judge(FRESH, headers, "", ms=1.0, tokens=0)
    assert (row.reason, row.similarity) == (reason, similarity)


def test_summary_counts() -> None:
    """Rates over all turns, medians apart, tokens of hits only."""
    summary = Summary((
        Row(FRESH, "miss", 300.0, tokens=10),
        Row(FRESH, "miss", 500.0, tokens=10),
        Row(PARAPHRASE, "semantic", 8.0, served=True, tokens=12),
        Row(LOOKALIKE, "WRONG", 4.0, served=True, wrong=True, tokens=7),
        Row(FRESH, "error", 9000.0),
    ))  # fmt: skip
    assert (summary.hits, summary.wrong, summary.errors) == (2, 1, 1)
    assert (summary.lookalikes, summary.lookalikes_served) == (1, 1)
    assert summary.hit_rate == pytest.approx(0.4)
    assert (summary.hit_ms, summary.miss_ms) == (6.0, 400.0)
    assert summary.tokens_saved == 19


def test_an_empty_show_has_no_rates() -> None:
    """Nothing divides by zero."""
    summary = Summary(())
    assert (summary.hit_rate, summary.hit_ms, summary.miss_ms) == (0.0, None, None)


async def test_run_plays_and_prints(serve: Callable[[Any], Awaitable[str]]) -> None:
    """Whole and streamed turns through the official client: table, figures, no animation."""
    console = _page()
    address = await serve(Labelled(SEMANTIC))
    summary = await run(f"{address}/v1", ADMIN, console=console, turns=SET)
    assert [row.outcome for row in summary.rows] == ["semantic"] * 3
    assert all(row.tokens > 0 for row in summary.rows)
    printed = _printed(console)
    for word in ("prompt", "similarity", "0.971", "100% (3 of 3)", "1 of 1 look-alikes", ADMIN):
        assert word in printed
    assert "\x1b" not in printed
    assert "asking" not in printed
    assert max(len(line) for line in printed.splitlines()) <= 100


async def test_a_wrong_hit_shows(serve: Callable[[Any], Awaitable[str]]) -> None:
    """A look-alike that gets its original's answer from memory is counted and named."""
    console = _page()
    address = await serve(Labelled(SEMANTIC))
    mixed_up = LOOKALIKE.model_copy(update={"ask": FRESH.ask})
    summary = await run(f"{address}/v1", ADMIN, console=console, turns=[mixed_up])
    assert summary.wrong == 1
    assert "WRONG" in _printed(console)


async def test_an_error_is_a_row(serve: Callable[[Any], Awaitable[str]]) -> None:
    """One failed answer does not end the show."""
    console = _page()
    address = await serve(Labelled({}))
    summary = await run(f"{address}/nothing-here", ADMIN, console=console, turns=SET[:1])
    assert summary.errors == 1
    assert "error" in _printed(console)


async def test_no_proxy_is_said_in_one_line() -> None:
    """The message names the address and asks the likely question."""
    with pytest.raises(ShowError, match=r"http://127\.0\.0\.1:1/v1: no answer .* running there"):
        await run("http://127.0.0.1:1/v1", ADMIN, console=_page(), turns=SET)


async def test_a_missing_client_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra to install is named."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ShowError, match=r'pip install "likewise\[demo\]"'):
        await run("http://127.0.0.1:1/v1", ADMIN, console=_page(), turns=SET)


def test_the_whole_set_fits_100_columns() -> None:
    """With the longest words that a proxy may say, and brackets in prompts left as they are."""
    console = _page()
    odd = FRESH.model_copy(update={"ask": "What is a[0] [bold]?"})
    console.print(
        table(
            [
                Row(turn, "semantic", 12345.6, "stale-while-revalidate", "time-sensitive", 0.123)
                for turn in (*load(), odd)
            ]
        )
    )
    printed = _printed(console)
    assert max(len(line) for line in printed.splitlines()) <= 100
    for word in ("stale-while-revalidate", "time-sensitive", "a[0] [bold]"):
        assert word in printed
