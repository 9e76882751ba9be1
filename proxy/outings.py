"""Calls upstream, as a trace of the request behind them sees them.

A trace is at hand by the context in which a request is answered, tasks that it starts included.
Nothing here knows how traces are made or sent, and what goes wrong with one harms no caller.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.settings import Upstream

LOG = logging.getLogger("likewise.outings")


class Outing(Protocol):
    """One call, from its request to the end of its answer."""

    def onward(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The headers with which it goes out: they say which trace it belongs to."""

    def answered(self, status: int) -> None: ...

    def used(self, asked: int, answered: int) -> None:
        """The tokens of the answer, where it says them."""

    def failed(self, kind: str) -> None:
        """No answer came; the call is over."""

    def end(self) -> None: ...


class Trace(Protocol):
    """The trace of one request."""

    id: str

    def call(self, to: Upstream) -> Outing:
        """A call upstream that begins now."""

    def end(self) -> None: ...


TRACE: ContextVar[Trace | None] = ContextVar("likewise_trace", default=None)


def outing(to: Upstream) -> Outing | None:
    """A call that begins now, where a trace is made of the request behind it."""
    trace = TRACE.get()
    if trace is not None:
        with harmless():
            return trace.call(to)
    return None


@contextmanager
def harmless() -> Iterator[None]:
    """What goes wrong with a trace is the log's business, and no caller's."""
    try:
        yield
    except Exception:
        LOG.exception("tracing a request failed")
