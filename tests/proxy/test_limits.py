"""The one timer of a loop: as seldom as the limits allow, and gone when nobody is there."""

from __future__ import annotations

import asyncio

import pytest

from proxy.limits import Limits, Sweep


def test_sweep_is_seldom() -> None:
    """Once a second for the defaults, more often only where limits are shorter than that."""
    assert Sweep.for_limits(Limits()).period == 1.0
    assert Sweep.for_limits(Limits(), Limits(header_timeout=0.4)).period == pytest.approx(0.1)


class Member:
    """A connection that is stuck or not, and notes what it was told."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck = stuck
        self.heard: list[float] = []
        self.thrice = asyncio.Event()
        self.retired = False

    def check(self, elapsed: float) -> None:
        self.heard.append(elapsed)
        if len(self.heard) == 3:
            self.thrice.set()

    def retire(self) -> None:
        self.retired = True


async def test_members_are_looked_at_until_they_leave() -> None:
    """Each round tells the members how much time has passed; who has left hears no more."""
    sweep, stays, leaves = Sweep(0.01), Member(), Member()
    for member in (stays, leaves):
        sweep.join(member, asyncio.get_running_loop())
    sweep.leave(leaves)
    await stays.thrice.wait()
    assert leaves.heard == []
    assert min(stays.heard) >= 0.01
    assert len(sweep) == 1


async def test_who_retires_tells_everybody() -> None:
    """Connections that are open hear it; those to come find it."""
    sweep, member = Sweep(), Member()
    sweep.join(member, asyncio.get_running_loop())
    sweep.retire()
    assert sweep.retired
    assert member.retired


@pytest.mark.parametrize(("stuck", "crowded"), [(64, False), (65, True)])
async def test_a_crowd_that_takes_nothing_is_one(*, stuck: int, crowded: bool) -> None:
    """So many may be stuck and no more."""
    sweep = Sweep(0.01)
    members = [Member(stuck=True) for _ in range(stuck)]
    for member in members:
        sweep.join(member, asyncio.get_running_loop())
    await members[0].thrice.wait()
    assert sweep.crowded is crowded
