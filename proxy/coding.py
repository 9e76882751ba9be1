"""Request bodies that arrive compressed: read within bounds, so that a bomb is only a large body.

Pure. What cannot be read is refused, never passed on: what is keyed is what is sent.
"""

from __future__ import annotations

import zlib

ACCEPTED = b"gzip, deflate, identity"
# zlib's own mark for a gzip or zlib header, whichever comes.
_EITHER = zlib.MAX_WBITS | 32


class UnknownCoding(ValueError):
    """A content coding that is not understood here."""


class TooLarge(ValueError):
    """A body that does not fit once it is read."""


class Damaged(ValueError):
    """A body that is not what its coding says."""


def decode(body: bytes, coding: str, most: int) -> bytes:
    """The plain body. Raises the three faults above; never makes more than `most` bytes."""
    name = coding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnknownCoding(name[:40])
    reader = zlib.decompressobj(_EITHER)
    try:
        plain = reader.decompress(body, most + 1)
    except zlib.error as fault:
        raise Damaged(str(fault)) from None
    if len(plain) > most:
        raise TooLarge
    if not reader.eof or reader.unused_data:
        raise Damaged("the compressed body ends early, or something follows it")
    return plain
