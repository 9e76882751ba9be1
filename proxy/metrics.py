"""Counting by outcome, reason and category; rendered for Prometheus when asked.

Plain dictionaries on the request path, because a label look-up in a client library costs as much
as the whole decision. Labels are bounded: reasons are a fixed list, categories the policy's own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

from proxy.calls import Calls
from proxy.counting import rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric

    from policies.values import Facts

# Models whose rate is at hand; callers name as many as they like.
RATES = 1_000
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Meters:
    """The process's counters. Not thread-safe: only the event loop writes."""

    def __init__(self, gauges: Callable[[], Mapping[str, float]]) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.not_stored: Counter[str] = Counter()
        self.upstream: Counter[tuple[str, str]] = Counter()
        self.calls = Calls()
        self.stored = 0
        # Named in advance, so that the first of its kind is a rise that an alert can see.
        self.errors: Counter[str] = Counter({"internal_error": 0, "overloaded": 0})
        self.evicted = 0
        self.tokens_saved = 0
        self.dollars_saved = 0.0
        self._prices: Mapping[str, tuple[float, float]] = {}
        self._rates: dict[str, tuple[float, float]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._gauges = [gauges]
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collector(self))
        ProcessCollector(registry=self._registry)

    def also(self, gauges: Callable[[], Mapping[str, float]]) -> None:
        """Ask one more part for its figures; those that end in `_total` are counters."""
        self._gauges.append(gauges)

    def saved(self, facts: Facts, prices: Mapping[str, tuple[float, float]]) -> None:
        """Count the tokens of an answer that was not asked for again, and what they cost."""
        if prices is not self._prices or len(self._rates) > RATES:
            self._prices, self._rates = prices, {}
        known = self._rates.get(facts.model)
        if known is None:
            known = self._rates[facts.model] = rate(facts.model, prices)
        self.tokens_saved += facts.tokens_in + facts.tokens_out
        self.dollars_saved += (facts.tokens_in * known[0] + facts.tokens_out * known[1]) / 1e6

    def observe(self, outcome: str, reason: str, category: str, seconds: float) -> None:
        self.requests[outcome, reason, category] += 1
        row = self._seconds.get(outcome)
        if row is None:
            row = self._seconds[outcome] = [0.0] * (len(BUCKETS) + 2)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[-1] += seconds

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every family, for the registry."""
        yield InfoMetricFamily("likewise_build", "This version.", {"version": version("likewise")})
        requests = CounterMetricFamily(
            "likewise_requests",
            "Requests by outcome, reason and category.",
            labels=["outcome", "reason", "category"],
        )
        for labels, count in self.requests.items():
            requests.add_metric(list(labels), count)
        yield requests
        refused = CounterMetricFamily(
            "likewise_not_stored", "Answers that were not kept, by reason.", labels=["reason"]
        )
        for reason, count in self.not_stored.items():
            refused.add_metric([reason], count)
        yield refused
        upstream = CounterMetricFamily(
            "likewise_upstream_responses",
            "Answers of upstreams by status, or by the fault that stood for one.",
            labels=["upstream", "status"],
        )
        for (name, status), count in self.upstream.items():
            upstream.add_metric([name, status], count)
        yield upstream
        errors = CounterMetricFamily(
            "likewise_errors", "Errors that Likewise itself answered, by code.", labels=["code"]
        )
        for code, count in self.errors.items():
            errors.add_metric([code], count)
        yield errors
        yield CounterMetricFamily("likewise_stored", "Answers kept.", value=self.stored)
        yield CounterMetricFamily(
            "likewise_evicted", "Entries that made room for others.", value=self.evicted
        )
        yield CounterMetricFamily(
            "likewise_tokens_saved", "Tokens that hits did not ask for again.", self.tokens_saved
        )
        yield CounterMetricFamily(
            "likewise_dollars_saved", "Their price in US dollars.", self.dollars_saved
        )
        yield self._durations()
        for name, value in chain.from_iterable(asked().items() for asked in self._gauges):
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield kind(f"likewise_{name.removesuffix('_total')}", name.replace("_", " "), value)

    def _durations(self) -> Metric:
        family = HistogramMetricFamily(
            "likewise_request_seconds",
            "From a request's body to its last byte.",
            labels=["outcome"],
        )
        for outcome, row in self._seconds.items():
            total, buckets = 0.0, []
            for bound, count in zip([*map(str, BUCKETS), "+Inf"], row[:-1], strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric([outcome], buckets, row[-1])
        return family


class _Collector:
    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collect(self) -> Iterator[Metric]:
        return self._meters.collect()
