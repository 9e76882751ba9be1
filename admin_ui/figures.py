"""Numbers as people read them, and the few shapes drawn from them. Pure: no clock, no markup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from admin_ui.facts import Tally
    from policies.record import Decision

NONE: Final = "–"  # noqa: RUF001 - an en dash is what people read as "no figure"
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_COMPARED_WORDS: Final = 120
_SHOWN_CHARS: Final = 4000
_ALIKE: Final = 0.2


def named(path: str) -> str:
    """The last part of a path, of either kind: its file's name."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def count(n: float) -> str:
    return f"{n:,.0f}"


def share(part: float, whole: float) -> str:
    """`part` of `whole` in percent, with a decimal below ten; a dash where there is no whole."""
    if whole <= 0:
        return NONE
    percent = 100.0 * part / whole
    if 0 < percent < 0.1:  # noqa: PLR2004 - less than the last digit shown
        return "<0.1%"
    return f"{percent:.0f}%" if percent in (0.0, 100.0) else f"{percent:.1f}%"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NONE
    if value < 10:  # noqa: PLR2004 - two digits are what people take in
        return f"{value:.1f} ms"
    return f"{value:,.0f} ms" if value < 1000 else f"{value / 1000:,.2f} s"  # noqa: PLR2004


def span(seconds: float) -> str:
    """A duration in its largest fitting unit."""
    for unit, name in ((_DAY * 2, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            value = seconds / (_DAY if name == "d" else unit)
            return f"{value:.0f} {name}" if value == int(value) else f"{value:,.1f} {name}"
    return f"{seconds:.0f} s"


def ago(seconds: float) -> str:
    """How long since, coarse; the future (clocks differ) reads as now."""
    if seconds < 1:
        return "now"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} ago"
    return f"{seconds:.0f} s ago"


def dollars(value: float) -> str:
    if 0 < value < 0.01:  # noqa: PLR2004 - less than a cent
        return f"${value:.4f}"
    return f"${value:,.2f}"


def size(n: float) -> str:
    for unit in ("B", "KB", "MB"):
        if n < 1000:  # noqa: PLR2004 - decimal units
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"


def score(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def iso(at: float) -> str:
    """A moment as machines read it, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def served(tally: Tally) -> int:
    """Requests answered from memory, stale ones among them."""
    return tally.exact + tally.semantic + tally.stale


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a share bar: where it starts and how wide it is, in percent."""

    name: str
    label: str
    amount: float
    start: float
    width: float


def segments(tally: Tally) -> list[Segment]:
    """The outcomes of `tally` side by side, in percent of their sum."""
    return _side_by_side(
        ("exact", "Exact", tally.exact),
        ("semantic", "Semantic", tally.semantic),
        ("stale", "Stale", tally.stale),
        ("collapsed", "Collapsed", tally.collapsed),
        ("miss", "Missed", tally.missed - tally.collapsed),
        ("bypass", "Bypassed", tally.bypassed),
    )


def timing(decision: Decision) -> list[Segment]:
    """Where a request's time went, in percent of the whole."""
    spent = decision.ms_embed + decision.ms_search + decision.ms_upstream
    return _side_by_side(
        ("semantic", "Embedding", decision.ms_embed),
        ("exact", "Search", decision.ms_search),
        ("miss", "Upstream", decision.ms_upstream),
        ("bypass", "The rest", max(0.0, decision.ms - spent)),
    )


def _side_by_side(*parts: tuple[str, str, float]) -> list[Segment]:
    whole = sum(amount for _, _, amount in parts) or 1
    drawn, start = [], 0.0
    for name, label, amount in parts:
        width = 100.0 * amount / whole
        drawn.append(Segment(name, label, amount, round(start, 3), round(width, 3)))
        start += width
    return drawn


def faster(tally: Tally) -> float | None:
    """How many times quicker a typical hit is than a typical miss."""
    if not tally.hit_p50_ms or not tally.miss_p50_ms:
        return None
    return tally.miss_p50_ms / tally.hit_p50_ms


def clipped(text: str) -> str:
    """At most as much of a text as a page should carry."""
    if len(text) <= _SHOWN_CHARS:
        return text
    return f"{text[:_SHOWN_CHARS]}… ({len(text) - _SHOWN_CHARS:,} more characters)"


def compared(text: str, other: str) -> list[tuple[str, bool]]:
    """`text` in pieces, each with whether its words are missing from `other` at that place.

    Long texts come back whole, since comparing costs the square of their length; so do texts that
    have next to nothing in common, where marking everything would show nothing.
    """
    words, others = clipped(text).split(), clipped(other).split()
    if not others or max(len(words), len(others)) > _COMPARED_WORDS:
        return [(clipped(text), False)]
    matcher = SequenceMatcher(None, [_bare(w) for w in words], [_bare(w) for w in others], False)
    if matcher.ratio() < _ALIKE:
        return [(clipped(text), False)]
    return [
        (" ".join(words[start:end]), tag != "equal")
        for tag, start, end, _, _ in matcher.get_opcodes()
        if end > start
    ]


def _bare(word: str) -> str:
    return word.strip(".,;:!?\"'()").casefold()


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as `dotted.path, text` rows, in their own order."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flattened(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple) and any(isinstance(v, dict | list) for v in value):
        for number, inner in enumerate(value):
            yield from flattened(inner, f"{path}[{number}]")
    else:
        yield path, _plain(value)


def _plain(value: Any) -> str:
    if value is None or value in ({}, [], ()):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:,.0f}"  # noqa: PLR2004
    if isinstance(value, list | tuple | set | frozenset):
        return _joined(value)
    return clipped(str(value))


def _joined(values: Iterable[Any]) -> str:
    return clipped(", ".join(str(v) for v in values))
