"""The keys of an encrypted store, as they stand in the environment."""

from __future__ import annotations

import base64
import binascii

SIZE = 32
# Under which name an encrypted store keeps the note by which its key is known.
SEALED = "store-key"


def read(text: str) -> tuple[bytes, ...]:
    """Keys parted by commas, each 32 bytes in base64 or hexadecimal digits.

    Raises ValueError, which never quotes the text.
    """
    keys = tuple(_key(word.strip()) for word in text.split(",") if word.strip())
    if not keys:
        raise ValueError("holds no key")
    if len(set(keys)) < len(keys):
        raise ValueError("holds the same key twice")
    return keys


def _key(word: str) -> bytes:
    try:
        if len(word) == 2 * SIZE:
            return bytes.fromhex(word)
        key = base64.b64decode(word.translate(_URL_SAFE), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != SIZE:
        raise ValueError("must be 32 random bytes in base64: openssl rand -base64 32 makes them")
    return key


_URL_SAFE = str.maketrans("-_", "+/")
