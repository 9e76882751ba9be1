"""What the dictionary store does beyond the contract in tests/contract/test_bodies.py."""

from __future__ import annotations

from index.ports import Bodies, Record
from index.stores.memory import MemoryBodies
from policies.values import Facts


def record(entry: str, gone: float) -> Record:
    facts = Facts(
        entry, "s", "o", "default", "chat", "m", "", "text", stored=0, expires=1, gone=gone, size=1
    )
    return Record(facts, b"x")


async def test_it_is_a_store_of_one_process() -> None:
    """It fits the port, and nothing else writes to it."""
    bodies: Bodies = MemoryBodies()
    assert bodies.shared is False


async def test_sweep_deletes_what_is_gone() -> None:
    """At its `gone` time an entry is swept, before it is not."""
    bodies = MemoryBodies(clock=lambda: 0.0)
    await bodies.write(record("a", 10.0))
    await bodies.write(record("b", 11.0))
    assert await bodies.sweep(10.0) == 1
    assert await bodies.read("a") is None
    assert await bodies.read("b") is not None
