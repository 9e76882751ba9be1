"""Records under AES-GCM: what is sealed is read in its place, under its key, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from index import codec
from index.cipher import Cipher, Encrypted, protect
from index.errors import SetupError
from index.keys import SEALED
from index.ports import Record, Sealed
from index.stores.memory import MemoryBodies
from tests.contract.test_bodies import name, record

if TYPE_CHECKING:
    from collections.abc import Callable

OLD, NEW = b"o" * 32, b"n" * 32
ENTRY = name(1)
RECORD = record(1, b"the answer")


def of(*keys: bytes) -> Encrypted:
    return Encrypted(Cipher(keys))


def test_nothing_of_a_record_shows() -> None:
    """Neither text, answer nor vector; the owner's digest does, and its length."""
    sealed = of(OLD).seal(RECORD)
    assert RECORD.vector is not None
    written = b"".join(filter(None, sealed))
    for part in (b"question", b"answer", b"default", RECORD.vector.tobytes()):
        assert part not in written
    assert b"owner" in sealed.facts


def test_what_is_written_is_as_documented() -> None:
    """By hand: HKDF-SHA256 of the key and the owner, AES-256-GCM, entry and column as its data."""
    body = of(OLD).seal(RECORD).body
    key = HKDF(SHA256(), 32, salt=None, info=b"likewise\0partition\0owner").derive(OLD)
    opened = AESGCM(key).decrypt(body[4:16], body[16:], f"{ENTRY}/body".encode())
    assert opened == b"the answer"


def test_no_two_boxes_are_alike() -> None:
    """The same record sealed a thousand times has a thousand nonces."""
    boxes = {of(OLD).seal(RECORD).body for _ in range(1_000)}
    assert len({box[4:16] for box in boxes}) == len(boxes) == 1_000


@pytest.mark.parametrize("column", ["facts", "vector", "body"])
def test_every_byte_counts(column: str) -> None:
    """Whatever is changed, the record is no record."""
    sealed = of(OLD).seal(RECORD)
    good = getattr(sealed, column)
    for at in range(len(good)):
        bad = bytes((*good[:at], good[at] ^ 1, *good[at + 1 :]))
        assert of(OLD).unseal(ENTRY, sealed._replace(**{column: bad})) is None
    for short in (b"", good[:1], good[:20], good[:-1]):
        assert of(OLD).unseal(ENTRY, sealed._replace(**{column: short})) is None


SWAPS: dict[str, Callable[[Sealed, Sealed], Sealed]] = {
    "facts": lambda ours, theirs: ours._replace(facts=theirs.facts),
    "vector": lambda ours, theirs: ours._replace(vector=theirs.vector),
    "body": lambda ours, theirs: ours._replace(body=theirs.body),
    "all": lambda _, theirs: theirs,
    "columns": lambda ours, _: Sealed(ours.facts, ours.body, ours.vector or b""),
    "no vector": lambda ours, _: ours._replace(vector=None),
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_columns_cannot_be_swapped(swap: Callable[[Sealed, Sealed], Sealed]) -> None:
    """Between entries of one owner, between columns, or left away."""
    ours, theirs = of(OLD).seal(RECORD), of(OLD).seal(record(2, b"another answer"))
    assert of(OLD).unseal(ENTRY, ours) is not None
    assert of(OLD).unseal(ENTRY, swap(ours, theirs)) is None


def test_an_owner_cannot_be_exchanged() -> None:
    """What one partition sealed is not readable as another's, equal in everything else."""
    other = replace(RECORD, facts=replace(RECORD.facts, owner="other"))
    ours, theirs = of(OLD).seal(RECORD), of(OLD).seal(other)
    relabelled = ours.facts.replace(b"owner", b"other")
    assert of(OLD).unseal(ENTRY, ours._replace(facts=relabelled)) is None
    assert of(OLD).unseal(ENTRY, Sealed(theirs.facts, ours.vector, ours.body)) is None


def test_an_older_body_does_not_go_with_newer_facts() -> None:
    """Replaced answers stay replaced."""
    old = of(OLD).seal(RECORD)
    new = of(OLD).seal(replace(RECORD, body=b"the newer answer"))
    assert of(OLD).unseal(ENTRY, new._replace(body=old.body)) is None


def test_keys_change_one_after_another() -> None:
    """The first key writes, every key reads; a key that is gone reads no more."""
    sealed = of(OLD).seal(RECORD)
    both = of(NEW, OLD)
    assert both.unseal(ENTRY, sealed) is not None
    assert of(NEW).unseal(ENTRY, sealed) is None
    again = both.seal(RECORD)
    assert of(NEW).unseal(ENTRY, again) is not None
    changed = both.revised(ENTRY, sealed.facts, lambda facts: replace(facts, flagged=True))
    assert changed is not None
    mixed = both.unseal(ENTRY, sealed._replace(facts=changed[1]))
    assert mixed is not None
    assert mixed.facts.flagged


def test_clear_text_is_no_record() -> None:
    """Nobody slips an entry in beside the key; and the plain codec reads nothing sealed."""
    assert of(OLD).unseal(ENTRY, codec.seal(RECORD)) is None
    assert of(OLD).unseal_facts(ENTRY, *codec.seal(RECORD)[:2]) is None
    assert codec.unseal(ENTRY, of(OLD).seal(RECORD)) is None


@pytest.mark.parametrize("vector", [None, np.zeros(0, np.float32), np.ones(384, np.float32)])
def test_any_vector_comes_back(vector: np.ndarray | None) -> None:
    """None, empty or large."""
    sealed = of(OLD).seal(Record(RECORD.facts, b"", vector))
    back = of(OLD).unseal_facts(ENTRY, sealed.facts, sealed.vector)
    assert back is not None
    assert (back.vector is None) is (vector is None)
    if vector is not None and back.vector is not None:
        assert back.vector.tolist() == vector.tolist()


# -- a store and its key -------------------------------------------------------------------------


async def test_a_store_knows_its_key() -> None:
    """The right one opens it, also behind a newer one; a wrong one is said to be wrong."""
    bodies = MemoryBodies()
    await protect(bodies, Cipher([OLD]))
    await bodies.write(RECORD)
    with pytest.raises(SetupError, match="not the key of this store"):
        await protect(bodies, Cipher([NEW]))
    assert await bodies.read(ENTRY) is not None
    await protect(bodies, Cipher([NEW, OLD]))
    await protect(bodies, Cipher([NEW]))
    with pytest.raises(SetupError, match="not the key"):
        await protect(bodies, Cipher([OLD]))
    note = await bodies.get(SEALED)
    assert note is not None
    assert b"likewise" not in note


async def test_a_store_with_clear_text_is_not_taken() -> None:
    """What stands there would stay there."""
    bodies = MemoryBodies()
    await bodies.write(RECORD)
    with pytest.raises(SetupError, match="in clear text"):
        await protect(bodies, Cipher([OLD]))
    assert await bodies.get(SEALED) is None
    await bodies.delete([ENTRY])
    await protect(bodies, Cipher([OLD]))


async def test_secrets_of_the_store_are_sealed_too() -> None:
    """The first value stands, is sealed, and goes over to a new key."""
    bodies = MemoryBodies()
    first = await Cipher([OLD]).settle(bodies, "secret", b"first")
    assert first == await Cipher([OLD]).settle(bodies, "secret", b"second") == b"first"
    assert b"first" not in (await bodies.get("secret") or b"first")
    assert await Cipher([NEW, OLD]).settle(bodies, "secret", b"third") == b"first"
    assert await Cipher([NEW]).settle(bodies, "secret", b"fourth") == b"first"
