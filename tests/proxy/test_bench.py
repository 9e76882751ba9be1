"""The benchmark runs, and its figures are figures. How good they are is not tested."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from policies import text
from proxy import bench

if TYPE_CHECKING:
    import pytest

DOCUMENTED = {
    "exact_hit_vs_raw_echo", "semantic_hit_vs_embedding", "embedding_vs_torch",
    "miss_client_cpu_vs_echo", "exact_p50_under_load_vs_unloaded", "stream_chunk_us",
    "hit_p50_ms_c1",
}  # fmt: skip


def test_every_path_gives_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is documented is there, and each figure is a number."""
    monkeypatch.setattr(bench, "QUICK", (1, 0.2, 80))
    figures = bench.measure(quick=True, progress=lambda _what, _share: None)
    assert {*figures} >= DOCUMENTED
    for name, value in figures.items():
        assert value is None or math.isfinite(value), name


def test_what_is_timed_was_not_embedded_before() -> None:
    """The crowd leaves no vector behind that a timed hit by meaning would find."""
    timed = [text.normalise(prompt) for prompt in bench.variants()]
    assert len({*timed}) == len(timed) > bench.FULL[-1]
    assert not {*timed} & {text.normalise(prompt) for prompt in bench.crowd()}


def test_the_table_shows_every_figure() -> None:
    """What was measured is shown, with what it is held to, and what could not be measured too."""
    made = bench.table({"exact_hit_vs_raw_echo": 0.8, "embedding_vs_torch": None})
    assert made.row_count == 2
    assert "not installed" in list(made.columns[1].cells)
