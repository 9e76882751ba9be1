"""The stand-in for a store raises why there is none, whatever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from index.errors import NoRoomError
from index.ports import Revision
from index.stores.absent import AbsentBodies
from tests.index.stores.test_sqlite import name, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from index.ports import Bodies


async def every(bodies: Bodies) -> list[object]:
    return [one async for one in bodies.scan()]


WHY = "store likewise.db: the disk is full; free some space"
CALLS: tuple[Callable[[Bodies], Awaitable[object]], ...] = (
    lambda bodies: bodies.read(name(1)),
    lambda bodies: bodies.write(record(1)),
    lambda bodies: bodies.amend(name(1), lambda facts: facts),
    lambda bodies: bodies.members(name(1)),
    lambda bodies: bodies.delete([name(1)]),
    every,
    lambda bodies: bodies.settle("a", b"b"),
    lambda bodies: bodies.put("a", b"b"),
    lambda bodies: bodies.get("a"),
    lambda bodies: bodies.count("a", 1.0),
    lambda bodies: bodies.mark("a", {"b": 1.0}, 5),
    lambda bodies: bodies.unmark("a", ["b"]),
    lambda bodies: bodies.marked("a"),
    lambda bodies: bodies.revision(),
    lambda bodies: bodies.changed(Revision("a", 1)),
    lambda bodies: bodies.forget_changes(Revision("a", 1)),
    lambda bodies: bodies.sweep(1.0),
    lambda bodies: bodies.check(),
)


@pytest.mark.parametrize("call", CALLS)
async def test_it_says_why_it_is_not_there(call: Callable[[Bodies], Awaitable[object]]) -> None:
    """No call does half of something; closing what is not open is no fault."""
    bodies = AbsentBodies(WHY)
    with pytest.raises(NoRoomError, match="the disk is full"):
        await call(bodies)
    await bodies.close()
