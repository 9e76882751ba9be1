"""Records survive the way to bytes and back whole, or read as absent."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace

import numpy as np
import orjson
import pytest

from index.codec import revised, seal, unpack_vector, unseal, unseal_facts
from index.errors import StoreError
from index.ports import Record, Sealed
from policies.values import Facts, Turn

ENTRY = "00112233445566778899aabbccddeeff"
FACTS = Facts(
    entry=ENTRY,
    space="space",
    owner="owner",
    category="faq",
    dialect="chat",
    model="gpt-4o-mini",
    chain="chain",
    text="Wie viel kostet\n„das“? \x00 日本 🙂",
    stored=1_700_000_000.125,
    expires=1_700_003_600.25,
    gone=1_700_007_200.5,
    size=5,
    tokens_in=11,
    tokens_out=13,
    cost_ms=812.75,
    has_usage=False,
    streamed=True,
    embedding="model@1/int8/384",
    tags=("a", "b"),
    flagged=True,
    pace=(3, 14, 159),
    group="ffeeddccbbaa99887766554433221100",
    labels=((0.9375, True), (0.5, False)),
    before=(Turn("user", "digest", "Was kostet\n„das“?", 3), Turn("assistant", length=7)),
    said=Turn("assistant", "other", "zwölf", 5),
    user="d" * 32,
    pinned=True,
)
RECORD = Record(FACTS, b"\x00\xffbody", np.array([0.6, -0.8], dtype=np.float32))


def test_the_example_sets_every_field() -> None:
    """A new field of Facts must be given a telling value here, so that its round trip is tested."""
    defaulted = [f for f in fields(Facts) if f.default is not MISSING]
    assert [f.name for f in defaulted if getattr(FACTS, f.name) == f.default] == []


def test_every_field_comes_back() -> None:
    """What was sealed is what is unsealed: facts, body and vector."""
    back = unseal(ENTRY, seal(RECORD))
    assert back is not None
    assert back.facts == FACTS
    assert back.body == b"\x00\xffbody"
    assert back.vector is not None
    assert back.vector.dtype == np.float32
    assert back.vector.tolist() == RECORD.vector.tolist()  # type: ignore[union-attr]


def test_vectors_are_little_endian_float32() -> None:
    """The vector column is four bytes a number, lowest first: 1.0 is 00 00 80 3f."""
    sealed = seal(Record(FACTS, b"", np.array([1.0, -2.0], dtype=np.float32)))
    assert sealed.vector == bytes.fromhex("0000803f000000c0")
    assert unpack_vector(bytes.fromhex("0000803f000000c0")).tolist() == [1.0, -2.0]


def test_an_entry_without_vector() -> None:
    """No vector stays no vector, and is not confused with an empty one that went missing."""
    sealed = seal(Record(FACTS, b"x"))
    assert sealed.vector is None
    back = unseal(ENTRY, sealed)
    assert back is not None
    assert back.vector is None
    assert unseal(ENTRY, seal(RECORD)._replace(vector=None)) is None


def test_facts_alone() -> None:
    """Without the body the facts and the vector are still read and still checked."""
    sealed = seal(RECORD)
    back = unseal_facts(ENTRY, sealed.facts, sealed.vector)
    assert back is not None
    assert (back.facts, back.body) == (FACTS, b"")


@pytest.mark.parametrize("column", ["facts", "vector", "body"])
def test_any_flipped_bit_is_absence(column: str) -> None:
    """Damage anywhere in a record reads as None, never as an exception or another answer."""
    sealed = seal(RECORD)
    data = getattr(sealed, column)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        assert unseal(ENTRY, sealed._replace(**{column: bytes(damaged)})) is None


def test_facts_are_revised_beside_the_same_body() -> None:
    """New facts stand beside the old body and vector, and all three are whole."""
    sealed = seal(RECORD)
    made = revised(ENTRY, sealed.facts, lambda facts: replace(facts, flagged=False, labels=()))
    assert made is not None
    assert made.known == replace(FACTS, flagged=False, labels=())
    assert made.vector is None
    back = unseal(ENTRY, sealed._replace(facts=made.facts))
    assert back is not None
    assert (back.facts, back.body) == (made.known, RECORD.body)


def test_what_is_not_whole_is_not_revised() -> None:
    """Damaged facts, and those of another entry, are not made whole by a change."""
    sealed = seal(RECORD)
    assert revised("f" * 32, sealed.facts, lambda facts: facts) is None
    assert revised(ENTRY, sealed.facts[:-1], lambda facts: facts) is None
    with pytest.raises(StoreError, match="not finite"):
        revised(ENTRY, sealed.facts, lambda facts: replace(facts, gone=float("nan")))


@pytest.mark.parametrize("length", [0, 1, 4, 12, 13, 14, 60])
def test_cut_facts_are_absence(length: int) -> None:
    """A record that ends early reads as None."""
    sealed = seal(RECORD)
    assert unseal(ENTRY, sealed._replace(facts=sealed.facts[:length])) is None


def test_a_newer_version_is_absence() -> None:
    """The first byte is the version; one that this release does not know is not interpreted."""
    sealed = seal(RECORD)
    assert sealed.facts[0] == 1
    assert unseal(ENTRY, sealed._replace(facts=b"\x02" + sealed.facts[1:])) is None


@pytest.mark.parametrize(
    "change", [{"unheard_of": 1}, {"tags": None}, {"entry": "f" * 32}], ids=str
)
def test_whole_but_foreign_facts_are_absence(change: dict[str, object]) -> None:
    """Facts of another shape, or of another entry, are no answer even if their checksum holds."""
    from zlib import crc32  # noqa: PLC0415 - used to forge a record

    sealed = seal(RECORD)
    rest = sealed.facts[5:13] + orjson.dumps(orjson.loads(sealed.facts[13:]) | change)
    forged = sealed.facts[:1] + crc32(rest).to_bytes(4, "little") + rest
    assert unseal(ENTRY, Sealed(forged, sealed.vector, sealed.body)) is None


def test_facts_from_before_a_field_are_read() -> None:
    """An entry that an older release wrote, with fewer things known of it, is still an answer."""
    from zlib import crc32  # noqa: PLC0415 - used to forge a record

    sealed = seal(RECORD)
    older = orjson.loads(sealed.facts[13:])
    for later in ("pace", "group", "labels", "before", "said", "user", "pinned"):
        del older[later]
    rest = sealed.facts[5:13] + orjson.dumps(older)
    facts = sealed.facts[:1] + crc32(rest).to_bytes(4, "little") + rest
    back = unseal(ENTRY, Sealed(facts, sealed.vector, sealed.body))
    assert back is not None
    assert back.facts == replace(
        FACTS, pace=(), group="", labels=(), before=(), said=None, user="", pinned=False
    )


def test_a_record_under_another_name_is_absence() -> None:
    """A body that a store returns for the wrong key is not served."""
    assert unseal("f" * 32, seal(RECORD)) is None


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, gone=float("inf")),
        replace(FACTS, cost_ms=float("nan")),
        replace(FACTS, text="\ud800"),
        replace(FACTS, tokens_in=1 << 70),
    ],
    ids=["infinite", "nan", "surrogate", "huge"],
)
def test_what_json_cannot_carry_is_refused(facts: Facts) -> None:
    """Refused when written, so that nothing is stored that would read back otherwise."""
    with pytest.raises(StoreError, match=ENTRY):
        seal(Record(facts, b""))
