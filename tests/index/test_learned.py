"""What was learned survives as bytes, and bytes that are not ours teach nothing."""

from __future__ import annotations

import struct
from zlib import crc32

import orjson
import pytest

from index import learned
from policies import features
from policies.lessons import Label, Noise

WIDTH = len(features.NAMES)
LABELS = (
    Label(
        1764000000.5, "faq", tuple(0.125 * n for n in range(WIDTH)), 0.034125, 0.2, would=True,
        same=False,
    ),
    Label(
        1764000001.0, "größer 日本", (-3.0,) * WIDTH, -1.0, 1.0, would=False, same=True,
        bounded=False, certifies=False,
    ),
)  # fmt: skip
PACKED = learned.pack(LABELS, Noise(40, 3))


def sealed(state: object, version: int = learned.VERSION) -> bytes:
    """Bytes with a right checksum, whatever they hold."""
    data = state if isinstance(state, bytes) else orjson.dumps(state)
    return struct.pack("<BI", version, crc32(data)) + data


def changed(**parts: object) -> bytes:
    return sealed(orjson.loads(PACKED[5:]) | parts)


@pytest.mark.parametrize("labels", [LABELS, ()])
def test_what_is_packed_comes_back(labels: tuple[Label, ...]) -> None:
    """Every field, types included."""
    read = learned.unpack(learned.pack(labels, Noise(40, 3)))
    assert read == (labels, Noise(40, 3))
    assert all(isinstance(label, Label) for label in read[0])


def test_rounding_is_small() -> None:
    """Three decimals of a feature, six of a risk, four of a chance."""
    fine = LABELS[0]._replace(features=(1 / 3,) * WIDTH, risk=1 / 3, propensity=1 / 3)
    read = learned.unpack(learned.pack((fine,), Noise()))
    assert read is not None
    (label,) = read[0]
    assert label.features == pytest.approx(fine.features, abs=0.0005)
    assert label.risk == pytest.approx(1 / 3, abs=5e-7)
    assert label.propensity == pytest.approx(1 / 3, abs=5e-5)


def test_any_damaged_byte_is_noticed() -> None:
    """One bit anywhere, an end cut off, or something added: nothing is believed."""
    for place in range(len(PACKED)):
        assert learned.unpack(PACKED[:place]) is None
        broken = bytes([*PACKED[:place], PACKED[place] ^ 1, *PACKED[place + 1 :]])
        assert learned.unpack(broken) is None
    assert learned.unpack(PACKED + b" ") is None


@pytest.mark.parametrize(
    "data",
    [
        changed(features=["always", "something else"]),
        changed(features=[*features.NAMES[1:], features.NAMES[0]]),
        changed(labels=None),
        changed(labels=[[]]),
        changed(labels=[[1.0, "faq", [0.0], 0.1]]),
        changed(noise=[1, 2, 3]),
        sealed({"labels": []}),
        sealed(b"{not json"),
        sealed([]),
        sealed(orjson.loads(PACKED[5:]), version=learned.VERSION + 1),
    ],
)
def test_what_is_not_ours_is_none(data: bytes) -> None:
    """Features of another version, or another shape under a right checksum."""
    assert learned.unpack(data) is None


def test_encoders_are_kept_apart() -> None:
    """What one encoder's similarities teach is not found under another one's name."""
    assert learned.name("a/onnx-int8/1") != learned.name("a/onnx-fp32/1")


@pytest.mark.parametrize(
    ("said", "means"),
    [
        (learned.note("model/1", LABELS, Noise(4, 1)), (LABELS, Noise(4, 1))),
        (learned.note("model/2", LABELS, Noise(4, 1)), None),
        (learned.note("model/1", LABELS, Noise(4, 1))[:-1], None),
        (learned.forgetting("größer poem"), "größer poem"),
        (b"", None),
        (b"labels model/1", None),
        (b"novel model/1\n" + PACKED, None),
    ],
)
def test_a_note_means_what_was_said(said: bytes, means: object) -> None:
    """Labels of the same encoder, whole, or a category to forget; anything else is nothing."""
    assert learned.heard(said, "model/1") == means
