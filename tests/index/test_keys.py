"""The keys of a store: how they may be written, and that a wrong one is never quoted."""

from __future__ import annotations

import base64

import pytest

from index import keys

ONE, TWO = bytes(range(32)), b"\xff\xfb" * 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (base64.b64encode(ONE).decode(), (ONE,)),
        (base64.urlsafe_b64encode(TWO).decode(), (TWO,)),
        (ONE.hex(), (ONE,)),
        (ONE.hex().upper(), (ONE,)),
        (f" {ONE.hex()} ,\n{base64.b64encode(TWO).decode()},", (ONE, TWO)),
    ],
    ids=["base64", "url-safe", "hex", "large hex", "several"],
)
def test_keys_are_read(text: str, expected: tuple[bytes, ...]) -> None:
    """As openssl prints them, one or more, the order kept."""
    assert keys.read(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no key"),
        (" , ", "no key"),
        ("secretpassword", "32 random bytes"),
        (base64.b64encode(ONE[:31]).decode(), "32 random bytes"),
        (base64.b64encode(ONE + b"x").decode(), "32 random bytes"),
        ("zz" * 32, "32 random bytes"),
        ("é" * 44, "32 random bytes"),
        (f"{ONE.hex()},{base64.b64encode(ONE).decode()}", "twice"),
    ],
)
def test_bad_keys_are_refused_unseen(text: str, said: str) -> None:
    """A password, a short key, no key, one key in two spellings."""
    with pytest.raises(ValueError, match=said) as refused:
        keys.read(text)
    assert text.strip(" ,") == "" or text not in str(refused.value)
