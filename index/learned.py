"""What was learned, as bytes and back: kept in the store under a name, so that it survives.

The labels are all of it; the model and what it may serve are made from them anew. A damaged,
foreign or newer state reads as None, and learning starts from the prior.
"""

from __future__ import annotations

import struct
from zlib import crc32

import orjson

from policies import features
from policies.lessons import Label, Noise

VERSION = 1
_HEAD = struct.Struct("<BI")


def name(encoder: str) -> str:
    """Under which name: similarities of two encoders teach nothing about each other."""
    return f"learned:{encoder}"


def note(encoder: str, labels: tuple[Label, ...], noise: Noise) -> bytes:
    """New labels, and what is new of the judge's noise, for other processes."""
    return b"labels " + encoder.encode() + b"\n" + pack(labels, noise)


def forgetting(category: str) -> bytes:
    """Word to other processes that a category's labels are to be forgotten."""
    return b"forget " + category.encode() + b"\n"


def heard(said: bytes, encoder: str) -> tuple[tuple[Label, ...], Noise] | str | None:
    """What a note of another process says: labels, or the category to forget; None where it is of
    another encoder, or unreadable."""
    head, _, data = said.partition(b"\n")
    kind, _, name = head.partition(b" ")
    if kind == b"forget":
        return name.decode("utf-8", "replace")
    return unpack(data) if (kind, name) == (b"labels", encoder.encode()) else None


def pack(labels: tuple[Label, ...], noise: Noise) -> bytes:
    """Features are rounded to three decimals: some hundred bytes a label."""
    rows = [
        [
            round(label.at, 1),
            label.category,
            [round(feature, 3) for feature in label.features],
            round(label.risk, 6),
            round(label.propensity, 4),
            label.would,
            label.same,
            label.bounded,
            label.certifies,
        ]
        for label in labels
    ]
    state = {"features": features.NAMES, "labels": rows, "noise": [noise.asked, noise.differed]}
    json = orjson.dumps(state)
    return _HEAD.pack(VERSION, crc32(json)) + json


def unpack(data: bytes) -> tuple[tuple[Label, ...], Noise] | None:
    """The labels and the judge's noise, or None unless every byte is what was written."""
    if len(data) < _HEAD.size:
        return None
    version, crc = _HEAD.unpack_from(data)
    json = data[_HEAD.size :]
    if version != VERSION or crc32(json) != crc:
        return None
    try:
        state = orjson.loads(json)
        if tuple(state["features"]) != features.NAMES:
            return None
        rows = [Label(row[0], row[1], tuple(row[2]), *row[3:]) for row in state["labels"]]
        return tuple(rows), Noise(*state["noise"])
    except (ValueError, TypeError, KeyError, IndexError):
        return None
