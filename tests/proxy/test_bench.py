"""The benchmark runs, and its figures are figures. How good they are is not tested."""

from __future__ import annotations

import asyncio
import math
from itertools import repeat

from proxy import bench
from proxy.burst import load


def test_the_load_counts_whole_answers() -> None:
    """Every request of a burst is answered in full, on as many connections as asked for."""
    with bench.Bed() as bed:
        request = bed.request("why is the sky blue", seed=0)
        bed.warm(request)
        burst = asyncio.run(load(bed.proxy, repeat(request), 4, 0.3))
        hits, alone = bed.semantic(40, lambda _what, _share: None)
    assert burst.rate > 0
    assert math.isfinite(burst.p50)
    assert min(hits, alone) > 0


def test_the_table_shows_every_figure() -> None:
    """What was measured is shown, with what it is held to."""
    made = bench.table({"exact_hit_vs_raw_echo": 0.8, "hit_p50_ms_c1": 0.1})
    assert made.row_count == 2
