"""Compressed request bodies: read within bounds, or refused."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.coding import Damaged, TooLarge, UnknownCoding, decode

TEXT = b'{"model": "m"}' * 9
# No time of making in it, so that the tests have the same names in every process.
PACKED = gzip.compress(TEXT, mtime=0)


@given(st.binary(max_size=2000))
def test_every_body_comes_back(body: bytes) -> None:
    """gzip and deflate, as the standard library writes them; identity as it is."""
    assert decode(gzip.compress(body), "gzip", 2000) == body
    assert decode(zlib.compress(body), " Deflate ", 2000) == body
    assert decode(body, "identity", 2000) == body


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip", "compress", "*"])
def test_other_codings_are_not_understood(coding: str) -> None:
    """Refused by name."""
    with pytest.raises(UnknownCoding):
        decode(TEXT, coding, 1000)


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", TEXT, PACKED[:-1], PACKED[:20], PACKED + b"x", PACKED * 2],
)
def test_what_is_no_gzip_is_damaged(body: bytes) -> None:
    """Plain, cut short, or with something behind it."""
    with pytest.raises(Damaged):
        decode(body, "gzip", 1000)


def test_a_bomb_is_only_too_large() -> None:
    """A hundred megabytes of zeros are never made: reading stops one byte past the limit."""
    with pytest.raises(TooLarge):
        decode(gzip.compress(b"\0" * 10_000_000), "gzip", 100_000)
    assert len(decode(gzip.compress(b"\0" * 100_000), "gzip", 100_000)) == 100_000
