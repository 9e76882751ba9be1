"""What one client goes through with one case: directly, cold, warm, and in the other form."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.conformance.cases import STREAM, WHOLE
from tests.conformance.compare import differences
from tests.conformance.upstream import wants_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.cases import Case
    from tests.conformance.runners import Runner
    from tests.conformance.upstream import Replay

COLD = {STREAM: "cold stream", WHOLE: "cold whole"}
WARM = {STREAM: "warm stream", WHOLE: "warm whole"}
CROSS = {STREAM: "whole to stream", WHOLE: "stream to whole"}
CUT = "cut stream"
REVERSED, MIXED = "other order", "one text more"
COLUMNS = (*COLD.values(), *WARM.values(), *CROSS.values(), CUT, REVERSED, MIXED)
BETWEEN, WITHIN, FIRST, ABRUPT = (
    "between events",
    "within an event",
    "within the first event",
    "of the connection",
)
WAYS = (BETWEEN, WITHIN, FIRST, ABRUPT)
OTHER = {STREAM: WHOLE, WHOLE: STREAM}


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; equal where nothing differs. `passed` where the proxy took no part."""

    column: str
    case: str
    differences: tuple[str, ...] = ()
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Course:
    """One client between an upstream and a proxy in front of it."""

    client: str
    runner: Runner
    replay: Replay
    upstream: str
    proxy: str
    cached: frozenset[str]

    def run(self, case: Case) -> Iterator[Check]:
        """Everything that is checked of a case, each recorded form being the first in turn."""
        for first in case.forms:
            yield from self._from(case, first)

    def _from(self, case: Case, first: str) -> Iterator[Check]:
        key = f"sk-{self.client}-{case.name}-{first}"
        self.replay.table[key] = case.recording
        direct = self._ask(self.upstream, case, key, first)
        if "skip" in direct:
            return
        if not self.replay.seen[key]:
            yield Check(COLD[first], case.name, (f"the client asked nothing: {direct}",))
            return
        cold, calls = self._counted(case, key, first)
        found = differences(direct, cold) + _calls(1, calls) + self._as_asked(key)
        yield Check(COLD[first], case.name, tuple(found))
        if case.api not in self.cached:
            yield Check(WARM[first], case.name, passed=True)
            return
        asked = json.loads(self.replay.seen[key][-1])
        counted = case.counted if not case.recording.bare else wants_usage(asked)
        warm, calls = self._counted(case, key, first)
        expected = 0 if case.stored and (counted or not wants_usage(asked)) else 1
        found = differences(direct, warm) + _calls(expected, calls)
        yield Check(WARM[first], case.name, tuple(found))
        if case.api == "embeddings":
            yield from self._rearranged(case, key)
        else:
            yield from self._crossed(case, key, first, direct, counted)

    def _crossed(
        self, case: Case, key: str, first: str, direct: dict[str, Any], counted: bool
    ) -> Iterator[Check]:
        """Stored in one form, asked for in the other."""
        other = OTHER[first]
        recorded = other in case.forms
        fresh = self._ask(self.upstream, case, key, other) if recorded else direct
        wanted = other == WHOLE or case.usage or case.api in ("responses", "messages")
        if recorded:
            wanted = wants_usage(json.loads(self.replay.seen[key][-1]))
        hit = case.stored and (counted or not wanted)
        if "skip" in fresh or not (recorded or (hit and "answer" in direct)):
            return
        crossed, calls = self._counted(case, key, other)
        if "skip" in crossed:
            return
        found = differences(fresh, crossed, same_form=recorded) + _calls(0 if hit else 1, calls)
        yield Check(CROSS[other], case.name, tuple(found))

    def _rearranged(self, case: Case, key: str) -> Iterator[Check]:
        """A list of texts, kept text by text: in another order, and with one that is new."""
        texts = case.request["input"]
        if not isinstance(texts, list):
            return
        orders = ((REVERSED, texts[::-1], 0), (MIXED, [f"{case.name} new", *texts], 1))
        for column, given, expected in orders:
            other = replace(case, request=case.request | {"input": given})
            direct = self._ask(self.upstream, other, key, WHOLE)
            again, calls = self._counted(other, key, WHOLE)
            found = differences(direct, again) + _calls(expected, calls)
            yield Check(column, case.name, tuple(found))

    def cut(self, case: Case, way: str) -> Iterator[Check]:
        """A stream that breaks off: the client is told, and nothing of it is remembered."""
        key = f"sk-{self.client}-{case.name}-{way.replace(' ', '-')}"
        self.replay.table[key] = case.recording
        direct = self._ask(self.upstream, case, key, STREAM)
        if "skip" in direct:
            return
        if case.api not in self.cached:
            yield Check(CUT, case.name, passed=True)
            return
        self.replay.cut[key] = (_end(b"".join(case.recording.stream), way), way == ABRUPT)
        broken, _ = self._counted(case, key, STREAM)
        found = [] if "fault" in broken else [f"the client was not told of the end {way}"]
        again, calls = self._counted(case, key, STREAM)
        found += differences(direct, again) + _calls(1, calls)
        yield Check(CUT, case.name, tuple(found))

    def _ask(self, url: str, case: Case, key: str, form: str) -> dict[str, Any]:
        return self.runner.ask(
            {
                "url": url,
                "key": key,
                "api": case.api,
                "stream": form == STREAM,
                "usage": case.usage,
                "request": case.request,
                "prompt": case.prompt,
                "choices": case.choices,
                "own": case.request_of_its_own,
                "headers": case.headers,
                "query": case.query,
            }
        )

    def _counted(self, case: Case, key: str, form: str) -> tuple[dict[str, Any], int]:
        """The outcome through the proxy, and how many calls reached upstream."""
        before = len(self.replay.seen[key])
        outcome = self._ask(self.proxy, case, key, form)
        return outcome, len(self.replay.seen[key]) - before

    def _as_asked(self, key: str) -> list[str]:
        """Whether upstream was asked through the proxy as it was asked directly."""
        direct, forwarded = (json.loads(body) for body in self.replay.seen[key][-2:])
        return [f"request: {one}" for one in differences(direct, forwarded)]


def _calls(expected: int, got: int) -> list[str]:
    return [] if expected == got else [f"upstream calls: {expected} expected, {got} got"]


def _end(stream: bytes, way: str) -> int:
    """How many bytes are sent: to the end of an event halfway, into the next one, or hardly any."""
    end = stream.rfind(b"\n\n", 0, len(stream) // 2) + 2
    return {BETWEEN: end, FIRST: stream.index(b"data:") + 20}.get(way, end + 20)
