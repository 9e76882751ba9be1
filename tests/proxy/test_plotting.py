"""The picture: every curve is in it, whatever its points are, and a missing extra is said."""

from __future__ import annotations

import importlib.util
import struct
from typing import TYPE_CHECKING

import pytest

from index.errors import SetupError
from proxy import plotting
from proxy.replaying import Curve, Point

if TYPE_CHECKING:
    from pathlib import Path

CURVES = [
    Curve("fixed", (Point("1.00", 0.1, 1.0), Point("0.80", 0.4, 0.9), Point("0.60", 0.5, 0.7))),
    Curve("max_false_hits", (Point("2%", 0.3, 0.99), Point("5%", 0.301, 0.99))),
    Curve("vcache", (Point("2%", 0.2, 0.97),)),
]
installed = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs the plot extra"
)


def size(path: Path) -> tuple[int, int]:
    """Width and height from a PNG's own header."""
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", raw[16:24])
    return width, height


@installed
@pytest.mark.parametrize(
    ("curves", "chosen"),
    [
        (CURVES, Point("likewise.yaml", 0.3, 0.99)),
        (CURVES, None),
        ([], None),
        ([Curve("fixed", ())], Point("a", 0.0, 0.0)),
        ([Curve("fixed", (Point("1.00", 0.0, 1.0),) * 3)], Point("$x_{1$", 1.0, 1.0)),
    ],
    ids=["usual", "nothing chosen", "empty", "no points", "one place, odd name"],
)
def test_a_picture_is_drawn(tmp_path: Path, curves: list[Curve], chosen: Point | None) -> None:
    """At twice the usual size; odd values and names stop nothing."""
    plotting.draw(curves, chosen, tmp_path / "out.png", "Policies over a$b_{.jsonl")
    assert size(tmp_path / "out.png") == (1600, 1000)


@installed
def test_labels_that_would_cover_each_other_are_left_out() -> None:
    """The last of those at one place keeps its name; of fixed cuts only some have one."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an extra

    axes = Figure().add_subplot()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    near = [Point("1%", 0.30, 0.99), Point("2%", 0.31, 0.99), Point("5%", 0.5, 0.9)]
    assert [p.label for p in plotting._apart(axes, near, fixed=False)] == ["5%", "2%"]
    cuts = [Point("0.90", 0.1, 0.9), Point("0.88", 0.3, 0.8), Point("0.80", 0.5, 0.7)]
    assert [p.label for p in plotting._apart(axes, cuts, fixed=True)] == ["0.80", "0.90"]


@installed
def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(SetupError, match=r"out\.png: cannot be written"):
        plotting.draw(CURVES, None, tmp_path / "none" / "out.png", "x")


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setattr(plotting, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"needs matplotlib; install .* `plot` extra"):
        plotting.needed()
