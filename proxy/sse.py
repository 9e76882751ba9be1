"""Server-sent events (WHATWG HTML §9.2): bytes to events and back. Pure; knows no API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINES = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its name (empty for the default) and its data, lines joined by a newline."""

    name: bytes
    data: bytes


def events(stream: bytes) -> Iterator[Event]:
    """The complete events of a stream. An unfinished last one is dropped, as the standard says."""
    name, seen = b"", False
    data: list[bytes] = []
    lines = _LINES.split(stream.removeprefix(_BOM))
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


def frame(data: bytes, name: bytes = b"") -> bytes:
    """One event on the wire, a `data` line for each line of its data."""
    head = b"event: " + name + b"\n" if name else b""
    return head + b"data: " + b"\ndata: ".join(_LINES.split(data)) + b"\n\n"
