"""Calls upstream as a trace sees them: at hand where there is a trace, and harmless."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.outings import TRACE, harmless, outing
from proxy.settings import Upstream

TO = Upstream(name="a", api="openai", base_url="http://127.0.0.1:9/v1")


class Trace:
    id = "ab" * 16

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def call(self, to: Upstream) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer, to.name

    def end(self) -> None: ...


async def test_a_call_belongs_to_the_trace_under_way() -> None:
    """Tasks that the request starts see it too; afterwards there is none."""
    assert outing(TO) is None
    token = TRACE.set(Trace("made"))

    async def call() -> Any:
        return outing(TO)

    task = asyncio.create_task(call())
    assert outing(TO) == ("made", "a")
    TRACE.reset(token)
    assert await task == ("made", "a")
    assert outing(TO) is None


def test_a_trace_that_fails_is_no_callers_business(caplog: pytest.LogCaptureFixture) -> None:
    """The call is made without; the log has the traceback."""
    token = TRACE.set(Trace(RuntimeError("planted")))
    assert outing(TO) is None
    TRACE.reset(token)
    assert "planted" in caplog.text


def test_only_faults_are_held_back() -> None:
    """Whoever is told to stop stops."""
    with pytest.raises(asyncio.CancelledError), harmless():
        raise asyncio.CancelledError
