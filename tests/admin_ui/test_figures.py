from __future__ import annotations

import pytest

from admin_ui import figures
from admin_ui.facts import Tally
from tests.admin_ui.fake import decision


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(1, 3, "33.3%"), (0, 5, "0%"), (5, 5, "100%"), (1, 10_000, "<0.1%"), (0, 0, figures.NONE)],
)
def test_share(part: int, whole: int, text: str) -> None:
    """Shares are percent, tiny is not nothing, and nothing of nothing is no figure."""
    assert figures.share(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, figures.NONE), (0.94, "0.9 ms"), (412.4, "412 ms"), (1420.0, "1.42 s")],
)
def test_milliseconds(value: float | None, text: str) -> None:
    """Latencies carry their unit."""
    assert figures.milliseconds(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45, "45 s"), (90, "1.5 min"), (7200, "2 h"), (9800, "2.7 h"), (604800, "7 d")],
)
def test_span(seconds: float, text: str) -> None:
    """Durations come in their largest fitting unit."""
    assert figures.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-30, "now"), (12, "12 s ago"), (119, "1 min ago"), (90000, "1 d ago")]
)
def test_ago(seconds: float, text: str) -> None:
    """Ages are coarse, and a clock ahead of ours reads as now."""
    assert figures.ago(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "$0.00"), (0.0012, "$0.0012"), (12.84, "$12.84"), (1234.5, "$1,234.50")]
)
def test_dollars(value: float, text: str) -> None:
    """Money shows cents, and fractions of one cent rather than nothing."""
    assert figures.dollars(value) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 B"), (1843, "1.8 KB"), (15_300_000, "15.3 MB"), (4e9, "4.0 GB")]
)
def test_size(n: float, text: str) -> None:
    """Sizes are decimal units."""
    assert figures.size(n) == text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/likewise/likewise.yaml", "likewise.yaml"),
        ("C:\\likewise\\house.yaml", "house.yaml"),
        ("likewise.yaml", "likewise.yaml"),
        ("/etc/likewise/", "likewise"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_named(path: str, name: str) -> None:
    """A path's last part, whichever way its slashes lean; what has none stays as it is."""
    assert figures.named(path) == name


def test_utc() -> None:
    """The Unix epoch is the start of 1970."""
    assert figures.utc(0) == "1970-01-01 00:00:00 UTC"


def test_segments_fill_the_bar() -> None:
    """Parts lie end to end in percent of all."""
    tally = Tally(requests=8, exact=2, semantic=2, stale=0, collapsed=1, missed=3, bypassed=1)
    parts = figures.segments(tally)
    assert [p.start for p in parts] == [0, 25, 50, 50, 62.5, 87.5]
    assert [p.width for p in parts] == [25, 25, 0, 12.5, 25, 12.5]


def test_segments_of_nothing() -> None:
    """No requests draw an empty bar."""
    assert {p.width for p in figures.segments(Tally())} == {0}


def test_faster() -> None:
    """The ratio of typical times, where both are known."""
    assert figures.faster(Tally(hit_p50_ms=5.0, miss_p50_ms=1000.0)) == 200
    assert figures.faster(Tally(hit_p50_ms=5.0)) is None


def test_compared_marks_what_differs() -> None:
    """Only the words that are not in the other text are marked; case and stops do not count."""
    pieces = figures.compared("Price on 4 March?", "price on 5 March")
    assert pieces == [("Price on", False), ("4", True), ("March?", False)]


def test_compared_leaves_long_texts_whole() -> None:
    """Comparing is bounded, so that a hostile prompt cannot buy seconds of it."""
    text = "a b " * 500
    assert figures.compared(text, "a " * 500) == [(text, False)]


def test_compared_leaves_strangers_unmarked() -> None:
    """Where next to nothing is shared, marking everything would show nothing."""
    assert figures.compared("bake some rye bread", "why is a sky blue") == [
        ("bake some rye bread", False)
    ]


def test_timing_fills_the_bar() -> None:
    """Embedding, search, upstream and what is left of the whole, in percent of it."""
    row = decision(1, ms=100.0, ms_embed=10.0, ms_search=5.0, ms_upstream=80.0)
    assert [(part.label, part.width) for part in figures.timing(row)] == [
        ("Embedding", 10.0), ("Search", 5.0), ("Upstream", 80.0), ("The rest", 5.0),
    ]  # fmt: skip


def test_iso() -> None:
    """A moment with its zone, to the millisecond, as browsers parse it."""
    assert figures.iso(1.5) == "1970-01-01T00:00:01.500+00:00"


def test_clipped() -> None:
    """A page carries at most 4,000 characters of a text and says how many more there are."""
    assert figures.clipped("x" * 4000) == "x" * 4000
    assert figures.clipped("x" * 5000).endswith("… (1,000 more characters)")


def test_flattened() -> None:
    """Nested facts become dotted rows, in order, with nothing lost."""
    facts = {"a": {"b": 1, "c": [{"d": True}]}, "e": ["x", "y"], "f": None, "g": {}}
    assert list(figures.flattened(facts)) == [
        ("a.b", "1"),
        ("a.c[0].d", "yes"),
        ("e", "x, y"),
        ("f", figures.NONE),
        ("g", figures.NONE),
    ]
