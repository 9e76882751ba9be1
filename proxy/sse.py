"""Server-sent events (WHATWG HTML §9.2): bytes to events and back. Pure; knows no API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINES = re.compile(rb"\r\n|\n|\r")
# Atomic: a carriage return and its line feed are one break, never two.
_BREAK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its name (empty for the default) and its data, lines joined by a newline."""

    name: bytes
    data: bytes


def events(stream: bytes) -> Iterator[Event]:
    """The complete events of a stream. An unfinished last one is dropped, as the standard says."""
    return _parsed(stream.removeprefix(_BOM))


def _parsed(stream: bytes) -> Iterator[Event]:
    name, seen = b"", False
    data: list[bytes] = []
    lines = _LINES.split(stream)
    for line in lines[:-1]:
        if not line:
            if seen:
                yield Event(name, b"\n".join(data))
            name, data, seen = b"", [], False
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
            seen = True
        elif field == b"event":
            name = value


class Parser:
    """Events out of a stream that arrives in pieces, cut anywhere, even inside a line end."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._begun = False

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes."""
        self._held.append(piece)
        if self._begun and b"\n" not in piece and b"\r" not in piece:
            return []  # a long line costs its length, not the square of it
        text = b"".join(self._held)
        if not self._begun:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                return []
            self._begun = True
            text = text.removeprefix(_BOM)
        end = _last_break(text)
        self._held = [text[end:]]
        return list(_parsed(text[:end])) if end else []

    @property
    def pending(self) -> int:
        """How many of the last bytes belong to an event that is not complete."""
        return sum(map(len, self._held))

    def close(self) -> list[Event]:
        """What the end of the stream leaves over, as if its empty line had come.

        The standard drops such an event; a reader may want to see what it was going to be.
        """
        text = b"".join(self._held)
        self._held = []
        return list(_parsed(text + b"\n\n")) if text else []


def _last_break(text: bytes) -> int:
    """Where the last complete event ends: behind its empty line, 0 where none is complete."""
    if b"\r" not in text:
        return text.rfind(b"\n\n") + 2 if b"\n\n" in text else 0
    end = 0
    for found in _BREAK.finditer(text):
        # A line feed that is still to come may belong to this carriage return.
        if found.end() < len(text) or text.endswith(b"\n"):
            end = found.end()
    return end


def frame(data: bytes, name: bytes = b"") -> bytes:
    """One event on the wire, a `data` line for each line of its data."""
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + b"\ndata: ".join(_LINES.split(data)) + b"\n\n"
