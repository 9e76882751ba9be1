"""What one listener takes from its clients, and the one timer that holds connections to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Protocol

from proxy.burden import MOST

if TYPE_CHECKING:
    import asyncio

_CROWD: Final = 64  # clients that take nothing at once are an attack, or as good as one


@dataclass(frozen=True, slots=True)
class Limits:
    """What one listener takes from a client and how long it waits. Bytes and seconds."""

    body: int = 10_000_000
    headers: int = 65_536
    header_count: int = 200
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    send_timeout: float = 60.0
    connections: int = 10_000
    key_calls: int | None = None
    key_misses: int | None = None
    grace: float = 5.0
    drain: float = 600.0
    response: int = 32_000_000
    in_flight: int = MOST


class Member(Protocol):
    """A connection, as the timer knows it."""

    @property
    def stuck(self) -> bool: ...

    def check(self, elapsed: float) -> None: ...

    def retire(self) -> None: ...


class Sweep:
    """The one coarse timer of an event loop. `now` is the loop's time at the latest round.

    Stamps taken from `now` are up to `period` seconds old, so a limit counts as passed only after
    `period` more: nothing is cut early, and at most two periods late.
    """

    def __init__(self, period: float = 1.0) -> None:
        self.period = period
        self.now = 0.0
        self.retired = False
        self.crowded = False
        self._members: set[Member] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._members)

    def retire(self) -> None:
        """Let every connection, open or to come, take one more request at most."""
        self.retired = True
        for member in self._members:
            member.retire()

    @classmethod
    def for_limits(cls, *limits: Limits) -> Sweep:
        """As seldom as these limits allow, and at most once a second."""
        times = [
            getattr(each, field.name)
            for each in limits
            for field in fields(each)
            if field.name.endswith("_timeout")
        ]
        return cls(min([1.0, *(time / 4 for time in times)]))

    def join(self, member: Member, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None:
            self._loop = loop
            self.now = loop.time()
            loop.call_later(self.period, self._round)
        self._members.add(member)

    def leave(self, member: Member) -> None:
        self._members.discard(member)

    def _round(self) -> None:
        loop = self._loop
        if loop is None:
            return
        if not self._members:
            self._loop = None  # the next connection starts it again
            return
        # Armed first, so that a fault below costs one round and not the timer.
        loop.call_later(self.period, self._round)
        elapsed = loop.time() - self.now
        self.now += elapsed
        for member in list(self._members):
            member.check(elapsed)
        stuck = sum(member.stuck for member in self._members)
        # Once it is an attack, it is one until the last of them is gone.
        self.crowded = stuck > (0 if self.crowded else _CROWD)
