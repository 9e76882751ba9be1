"""Precision against hit rate, drawn: the one place that knows matplotlib, which is an extra."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from index.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proxy.replaying import Curve, Point

WIDTH, HEIGHT, DOTS = 8.0, 5.0, 200
INK, PALE = "#1f2933", "#7b8794"
STYLES = {
    "fixed": ("#3e6fb0", "fixed threshold"),
    "max_false_hits": ("#c2571a", "max_false_hits"),
    "vcache": ("#4c8a4a", "vCache's rule"),
}
# Of the fixed cuts only some are named.
NAMED = frozenset({"0.95", "0.90", "0.85", "0.80", "0.70", "0.60"})
# How far apart two points of a curve must lie to be named both, as a share of the picture's width.
APART = 0.04


def needed() -> None:
    """Raise `SetupError` with the next step where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise SetupError("--plot needs matplotlib; install Likewise with its `plot` extra: .[plot]")


def draw(curves: Sequence[Curve], chosen: Point | None, path: Path, title: str) -> None:
    """Write the picture; raises `SetupError` where the file cannot be written."""
    needed()
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = [point for curve in curves for point in curve.points]
    points += [] if chosen is None else [chosen]
    _frame(axes, title, points)
    for curve in curves:
        _line(axes, curve)
    if chosen is not None:
        _mark(axes, chosen)
    try:
        figure.savefig(path, format="png")
    except OSError as fault:
        raise SetupError(f"{path}: cannot be written ({fault.strerror})") from fault


def _frame(axes: Any, title: str, points: Sequence[Point]) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=11, pad=14, parse_math=False)
    axes.set_xlabel("hit rate: requests answered from memory", color=PALE)
    axes.set_ylabel("precision: right answers per hit by meaning", color=PALE)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#cbd2d9")
    axes.tick_params(colors=PALE, length=0)
    axes.grid(axis="y", color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda share, _: f"{share * 100:.4g}%")
    # Room on the right for the curves' names, and above for the best points'.
    widest = max((point.hit_rate for point in points), default=1.0) or 1.0
    lowest = min((point.precision for point in points), default=0.0)
    high = max(1 - lowest, 0.02)
    axes.set_xlim(-0.02 * widest, 1.22 * widest)
    axes.set_ylim(max(1 - 1.12 * high, -0.02), 1 + 0.07 * high)


def _line(axes: Any, curve: Curve) -> None:
    points = curve.points
    if not points:
        return
    colour, name = STYLES[curve.name]
    across, up = [p.hit_rate for p in points], [p.precision for p in points]
    axes.plot(across, up, color=colour, linewidth=1.6, marker="o", markersize=3.5)
    fixed = curve.name == "fixed"
    offset, side = ((-4, -10), "right") if fixed else ((3, 6), "left")
    for point in _apart(axes, points, fixed=fixed):
        _label(axes, point, point.label, colour, offset, 7.5, side=side)
    _label(axes, points[-1], name, colour, (9, -4), 9.5)


def _apart(axes: Any, points: Sequence[Point], *, fixed: bool) -> list[Point]:
    """The points whose labels do not cover each other, from the last on."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    kept: list[Point] = []
    for point in reversed(points):
        near = any(
            abs(point.hit_rate - one.hit_rate) < APART * (right - left)
            and abs(point.precision - one.precision) < APART * (high - low)
            for one in kept
        )
        if not near and (not fixed or point.label in NAMED):
            kept.append(point)
    return kept


def _mark(axes: Any, chosen: Point) -> None:
    """A ring around where the policy in force stands, and its name."""
    at = ([chosen.hit_rate], [chosen.precision])
    axes.plot(*at, "o", color=INK, markersize=3.5)
    axes.plot(*at, "o", color="none", markeredgecolor=INK, markersize=12, markeredgewidth=1.6)
    _label(axes, chosen, chosen.label, INK, (0, -24), 9.5, side="center")


def _label(
    axes: Any,
    point: Point,
    said: str,
    colour: str,
    offset: tuple[float, float],
    size: float,
    *,
    side: str = "left",
) -> None:
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 - an extra

    axes.annotate(
        said,
        (point.hit_rate, point.precision),
        xytext=offset,
        textcoords="offset points",
        color=colour,
        fontsize=size,
        ha=side,
        parse_math=False,  # a file's name may hold a dollar sign
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
