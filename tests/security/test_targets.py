"""Every target takes what it is fed, and sees the fault that it is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from proxy import directives, sse
from tests.security import targets
from tests.security.targets import ODD, TARGETS, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":0.5}'


@pytest.mark.parametrize("name", TARGETS)
def test_single_words_pass(name: str) -> None:
    """Each by itself, twice, and before and behind another."""
    for word in WORDS[name]:
        for data in (word, word + word, word + b"=5", b"5" + word):
            TARGETS[name](data)


def test_odd_characters_are_among_the_words() -> None:
    """All controls and what only some readers take for a space; as one byte in a header."""
    assert {bytes([n]) for n in (*range(32), 127)} <= set(ODD)
    assert {"\x85".encode(), "\xa0".encode(), "\u2028".encode()} <= set(ODD)
    assert all(set(ODD) <= set(words) for words in WORDS.values())
    assert {b"\x85", b"\xa0"} <= set(WORDS["cache-control"])


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x07data: a\r\ndata: b\r\n\r\nevent: x\ndata: c", b"\x03\n\n:\n\n"]
)
def test_sound_streams_pass(data: bytes) -> None:
    """None at all, one cut short, and comments alone too."""
    targets.events(data)


def test_an_event_that_is_lost_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that drops names writes another event."""
    whole = sse.frame
    targets.events(b"\x01event: x\ndata: a\n\n")
    monkeypatch.setattr(sse, "frame", lambda data, _name: whole(data, ""))
    with pytest.raises(AssertionError, match="another"):
        targets.events(b"\x01event: x\ndata: a\n\n")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a": NaN}', b'{"a": 1}', CHAT])
def test_sound_bodies_pass(data: bytes) -> None:
    """Refused or read."""
    targets.bodies(data)


def test_a_canonical_form_that_tells_the_order_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys as they came are no canonical form."""
    monkeypatch.setattr(targets, "encode", lambda body, **_: orjson.dumps(body))
    with pytest.raises(AssertionError, match="order"):
        targets.bodies(CHAT)


@pytest.mark.parametrize("data", [b"", b"max-age=5, no-store", b"max-age=-1", b"max-stale"])
def test_sound_headers_pass(data: bytes) -> None:
    """Sense and nonsense."""
    targets.cache_control(data)


@pytest.mark.parametrize(
    ("bent", "words"),
    [({"max_age": -1}, "range"), ({"max_stale": 1e99}, "range"), ({"no_store": False}, "last")],
)
def test_a_directive_out_of_range_is_seen(
    bent: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is overlooked."""
    read: Callable[..., Any] = directives.read
    monkeypatch.setattr(directives, "read", lambda *said: replace(read(*said), **bent))
    with pytest.raises(AssertionError, match=words):
        targets.cache_control(b"max-age=5")
