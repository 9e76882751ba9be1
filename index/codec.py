"""A record as bytes and back: what every store writes, whatever its engine.

A damaged, foreign or newer record reads as None; no store has to know why. No I/O here.

    facts column   version u8 | crc32 of what follows u32 | crc32 of body u32 | crc32 of vector u32
                   | facts as JSON          (all integers little endian)
    vector column  float32, little endian
    body column    the answer's bytes, untouched
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import orjson

from index.errors import StoreError
from index.ports import Record, Revised, Sealed
from policies.values import Facts, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from policies.values import Vector

VERSION = 1
_HEAD = struct.Struct("<BI")
_PARTS = struct.Struct("<II")
_JSON_AT = _HEAD.size + _PARTS.size


def seal(record: Record) -> Sealed:
    """Raise `StoreError` for facts that JSON cannot carry (lone surrogates, infinite times)."""
    vector = None if record.vector is None else pack_vector(record.vector)
    parts = _PARTS.pack(crc32(record.body), crc32(vector or b""))
    return Sealed(_column(record.facts, parts), vector, record.body)


def _column(facts: Facts, parts: bytes) -> bytes:
    times = (facts.stored, facts.expires, facts.gone, facts.cost_ms)
    if not all(map(math.isfinite, times)):
        raise StoreError(f"entry {facts.entry!a}: a time is not finite; keep it out of the store")
    try:
        json = orjson.dumps(facts)
    except (TypeError, ValueError) as error:
        raise StoreError(
            f"entry {facts.entry!a}: not to be written as JSON ({error}); keep it out of the store"
        ) from error
    rest = parts + json
    return _HEAD.pack(VERSION, crc32(rest)) + rest


def unseal(entry: str, sealed: Sealed) -> Record | None:
    """Return the record, or None unless every byte is what was written under `entry`."""
    record = unseal_facts(entry, sealed.facts, sealed.vector)
    if record is None or crc32(sealed.body) != _PARTS.unpack_from(sealed.facts, _HEAD.size)[0]:
        return None
    return Record(record.facts, sealed.body, record.vector)


def unseal_facts(entry: str, facts: bytes, vector: bytes | None) -> Record | None:
    """Return the record with its body left out (empty), or None as for `unseal`."""
    known = _facts(entry, facts)
    if known is None or crc32(vector or b"") != _PARTS.unpack_from(facts, _HEAD.size)[1]:
        return None
    return Record(known, b"", None if vector is None else unpack_vector(vector))


def revised(
    entry: str, facts: bytes, change: Callable[[Facts], Facts], vector: Vector | None = None
) -> Revised | None:
    """What becomes of a record by a change, beside the same body; `vector` comes with it.

    None where the column is no whole one of `entry`. Raises `StoreError` as `seal` does.
    """
    known = _facts(entry, facts)
    if known is None:
        return None
    new = change(known)
    if new == known:
        return Revised(known, facts)
    parts = facts[_HEAD.size : _JSON_AT]
    if vector is None:
        return Revised(new, _column(new, parts))
    packed = pack_vector(vector)
    body, _ = _PARTS.unpack(parts)
    return Revised(new, _column(new, _PARTS.pack(body, crc32(packed))), packed)


def _facts(entry: str, facts: bytes) -> Facts | None:
    if len(facts) < _JSON_AT:
        return None
    version, crc = _HEAD.unpack_from(facts)
    rest = memoryview(facts)[_HEAD.size :]
    if version != VERSION or crc32(rest) != crc:
        return None
    try:
        fields = orjson.loads(rest[_PARTS.size :])
        fields["tags"] = tuple(fields["tags"])
        fields["pace"] = tuple(fields.get("pace", ()))
        fields["labels"] = tuple((float(s), bool(same)) for s, same in fields.get("labels", ()))
        fields["before"] = tuple(Turn(**turn) for turn in fields.get("before", ()))
        said = fields.get("said")
        fields["said"] = None if said is None else Turn(**said)
        known = Facts(**fields)
    except (TypeError, ValueError, KeyError):
        # Written whole by another release whose facts differ from ours.
        return None
    return known if known.entry == entry else None


def pack_vector(vector: Vector) -> bytes:
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def unpack_vector(data: bytes) -> Vector:
    """View `data` as a read-only array; its length must be a multiple of four."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32, copy=False)
