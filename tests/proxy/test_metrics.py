"""The metrics page, read by Prometheus's own parser."""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.metrics import BUCKETS, Meters

if TYPE_CHECKING:
    from policies.values import Facts

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _scrape(meters: Meters) -> Samples:
    """Every sample by name and labels, as Prometheus would take it in."""
    text = meters.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _requests(outcome: str, reason: str, category: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    labels = (("category", category), ("outcome", outcome), ("reason", reason))
    return "likewise_requests_total", labels


@pytest.fixture
def meters() -> Meters:
    return Meters(dict)


def test_requests_are_counted_by_outcome_reason_and_category(meters: Meters) -> None:
    """Each combination has its own count."""
    for _ in range(3):
        meters.observe("hit", "exact", "code", 0.001)
    meters.observe("hit", "semantic", "code", 0.001)
    meters.observe("miss", "empty", "default", 2.0)
    samples = _scrape(meters)
    assert samples[_requests("hit", "exact", "code")] == 3
    assert samples[_requests("hit", "semantic", "code")] == 1
    assert samples[_requests("miss", "empty", "default")] == 1


def test_the_other_counters_have_their_names(meters: Meters) -> None:
    """What is stored, refused, saved and answered by upstreams is all on the page."""
    meters.stored = 7
    meters.tokens_saved = 1_234
    meters.evicted = 6
    meters.errors["overloaded"] += 3
    meters.not_stored["incomplete"] = 2
    meters.upstream["openai", "429"] = 5
    samples = _scrape(meters)
    assert samples["likewise_stored_total", ()] == 7
    assert samples["likewise_tokens_saved_total", ()] == 1_234
    assert samples["likewise_not_stored_total", (("reason", "incomplete"),)] == 2
    assert samples["likewise_evicted_total", ()] == 6
    assert samples["likewise_errors_total", (("code", "overloaded"),)] == 3
    labels = (("status", "429"), ("upstream", "openai"))
    assert samples["likewise_upstream_responses_total", labels] == 5


def test_buckets_are_cumulative_and_end_with_everything(meters: Meters) -> None:
    """A time counts in its own bucket (the bound included) and in every larger one."""
    times = [0.0, 0.0005, 0.0006, 0.01, 59.0, 60.0, 61.0]
    for seconds in times:
        meters.observe("hit", "exact", "code", seconds)
    samples = _scrape(meters)

    def upto(bound: str) -> float:
        name = "likewise_request_seconds_bucket"
        found = [v for (n, at), v in samples.items() if n == name and ("le", bound) in at]
        assert len(found) == 1
        return found[0]

    for bound in BUCKETS:
        assert upto(str(bound)) == sum(seconds <= bound for seconds in times)
    outcome = (("outcome", "hit"),)
    assert upto("+Inf") == samples["likewise_request_seconds_count", outcome] == len(times)
    assert samples["likewise_request_seconds_sum", outcome] == pytest.approx(sum(times))


def test_outcomes_have_separate_times(meters: Meters) -> None:
    """A slow miss does not show among the hits."""
    meters.observe("hit", "exact", "code", 0.001)
    meters.observe("miss", "empty", "code", 9.0)
    samples = _scrape(meters)
    assert samples["likewise_request_seconds_sum", (("outcome", "hit"),)] == pytest.approx(0.001)
    assert samples["likewise_request_seconds_sum", (("outcome", "miss"),)] == pytest.approx(9.0)


@pytest.mark.parametrize(
    "category",
    ['a"b', "a\\", "a\nb", 'x"} 99\nlikewise_stored_total 5', "{}", "", "ü 中", "\\n", "# HELP x"],
)
def test_a_hostile_category_name_stays_a_label(meters: Meters, category: str) -> None:
    """No name can forge a sample or break the page."""
    meters.observe("hit", "exact", category, 0.001)
    samples = _scrape(meters)
    assert samples[_requests("hit", "exact", category)] == 1
    assert samples["likewise_stored_total", ()] == 0


def test_gauges_are_asked_at_the_scrape() -> None:
    """Values that others hold are read when rendered; `_total` ones are counters."""
    state = {"entries": 3.0, "evictions_total": 5.0}
    meters = Meters(lambda: state)
    before = _scrape(meters)
    state["entries"] = 4.0
    assert before["likewise_entries", ()] == 3
    assert _scrape(meters)["likewise_entries", ()] == 4
    types = {
        family.name: family.type
        for family in text_string_to_metric_families(meters.render().decode())
    }
    assert types["likewise_entries"] == "gauge"
    assert types["likewise_evictions"] == "counter"


def test_parts_that_come_later_are_asked_as_well() -> None:
    """One more source of figures stands beside the first."""
    meters = Meters(lambda: {"entries": 3.0})
    meters.also(lambda: {"lines_total": 2.0})
    samples = _scrape(meters)
    assert samples["likewise_entries", ()] == 3
    assert samples["likewise_lines_total", ()] == 2


def test_an_idle_process_has_a_page(meters: Meters) -> None:
    """Nothing has happened yet: the plain counters stand at zero, and so do the errors whose first
    is news: a counter that begins at 1 never rose."""
    samples = _scrape(meters)
    info = {at: v for (name, at), v in samples.items() if name == "likewise_build_info"}
    assert info == {(("version", version("likewise")),): 1}
    assert samples["process_resident_memory_bytes", ()] > 1_000_000
    others = {
        key: value
        for key, value in samples.items()
        if not key[0].startswith(("process_", "likewise_build"))
    }
    assert others == {
        ("likewise_stored_total", ()): 0,
        ("likewise_evicted_total", ()): 0,
        ("likewise_tokens_saved_total", ()): 0,
        ("likewise_dollars_saved_total", ()): 0,
        ("likewise_errors_total", (("code", "internal_error"),)): 0,
        ("likewise_errors_total", (("code", "overloaded"),)): 0,
    }


def _facts(model: str) -> Facts:
    return cast("Facts", SimpleNamespace(model=model, tokens_in=1_000, tokens_out=500))


def test_what_is_saved_is_priced_as_it_happens(meters: Meters) -> None:
    """At the prices of the moment, dated names at their family's; other models cost nothing."""
    prices = {"gpt-4o-mini": (0.15, 0.60), "gpt-4o": (2.5, 10.0)}
    meters.saved(_facts("gpt-4o-mini-2024-07-18"), prices)
    assert meters.dollars_saved == pytest.approx(0.00045)
    meters.saved(_facts("of-nobody"), prices)
    assert meters.dollars_saved == pytest.approx(0.00045)
    meters.saved(_facts("gpt-4o"), {"gpt-4o": (1.0, 1.0)})
    assert meters.dollars_saved == pytest.approx(0.00045 + 0.0015)
    assert meters.tokens_saved == 4_500
