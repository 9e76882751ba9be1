"""What is fuzzed: the readers that take bytes from strangers, each with what must be true of it.

A target takes any bytes and raises only where the reader is at fault. How the bytes are made is
`fuzzing`'s business.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from policies.values import Owners
from proxy import directives, sse
from proxy.dialects.canonical import MAX_DEPTH, BadBody, depth, encode, has_floats, parse
from proxy.dialects.listing import DIALECTS
from proxy.dialects.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from policies.values import Directives

NOBODY = Owners("a key")
LONGEST = 2**31
OURS = ("mode", "category", "threshold", "ttl", "tags", "session")


def events(data: bytes) -> None:
    """A stream says the same in pieces as whole, and its events written anew are the same ones.

    The first byte says how long the pieces are.
    """
    size, stream = 1 + data[:1][0] % 16 if data else 1, data[1:]
    whole = list(sse.events(stream))
    parser = sse.Parser()
    told = [e for at in range(0, len(stream), size) for e in parser.feed(stream[at : at + size])]
    assert parser.pending <= len(stream), "more is held than came"
    assert told == whole[: len(told)], "pieces say something else"
    told += parser.close()
    assert told[: len(whole)] == whole, "the end says something else"
    assert len(told) <= len(whole) + 1, "the end says more than was left over"
    for event in whole:
        written = sse.frame(event.data, event.name)
        assert list(sse.events(written)) == [event], "written anew it is another"


def bodies(data: bytes) -> None:
    """A body is refused or read; in another order and spacing it has the same bytes and keys."""
    try:
        body = parse(data)
    except BadBody:
        return
    assert depth(body) <= MAX_DEPTH
    assert json.loads(data) == body, "two parsers differ"
    floats = has_floats(data)
    written = encode(body)
    assert encode(body, floats=floats) == written, "a number that needed the rule was missed"
    assert encode(parse(written)) == written, "the canonical form is not its own"
    other = json.dumps(_reversed(body), ensure_ascii=False, indent=1).encode()
    assert encode(parse(other)) == written, "order or spacing tells"
    for dialect in DIALECTS:
        dialect.end_user(body), dialect.wants_json(body), dialect.form(body)
        assert _key(dialect, data) == _key(dialect, other), f"{dialect.name}: another key"


def cache_control(data: bytes) -> None:
    """Any header value is read without fault, and says nothing that is out of range."""
    value = data.decode("latin-1")
    asked = directives.read(value, {})
    for seconds in (asked.max_age, asked.min_fresh, asked.stale_if_error):
        assert seconds is None or 0 <= seconds <= LONGEST, "out of range"
    stale = asked.max_stale
    assert stale is None or stale == math.inf or 0 <= stale <= LONGEST, "out of range"
    assert directives.read(f"{value}, no-store", {}).no_store, "the last word was not heard"
    for name in OURS:
        _ours(f"x-likewise-{name}", value)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "events": events,
    "bodies": bodies,
    "cache-control": cache_control,
}

# What some readers take for a space or a line's end, and others do not: every control character,
# and U+0085, U+00A0, U+2028.
ODD = (
    *(bytes([number]) for number in range(0x20)),
    *(b"\x7f", b"\xc2\x85", b"\xc2\xa0", b"\xe2\x80\xa8"),
)

# What the engines begin with and build on, since chance alone writes no JSON.
WORDS: Mapping[str, tuple[bytes, ...]] = {
    "events": (
        *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\xef\xbb\xbf", b":", b": ", b" "),
        *(b"data", b"data: ", b"data:{}", b"event: ", b"event:ping", b"id: 1", b"retry: 5"),
        *(b"data: [DONE]\n\n", b"event: error\ndata: {}\n\n"),
        *ODD,
    ),
    "bodies": (
        *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"{}", b"[]", b"null", b"true", b" ", b"\n"),
        *(b"0", b"-0.0", b"1.0", b"1e2", b"1E400", b"18446744073709551616", b"9007199254740993"),
        *(b"0.1000000000000000055", b"NaN", b'"\\ud800"', b'"\\u0000"', b'"\xf0\x9f\x98\x80"'),
        *(b'"model":"m"', b'"messages":', b'"role":"user"', b'"content":"hi"', b'"content":['),
        *(b'"input":', b'"prompt":', b'"tools":[{"type":"function"}]', b'"stream":true', b'"n":2'),
        *(b'"max_tokens":5', b'"system":', b'"type":"text"', b'"text":"hi"', b'"user":"u"'),
        *(b'"metadata":{"user_id":"u"}', b'"temperature":0.5', b'"dimensions":3', b'"a":1'),
        b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}',
        b'{"model":"m","input":[{"role":"user","content":"hi"}],"store":false}',
        b'{"model":"m","prompt":["a",[1,2]],"suffix":null,"logprobs":1.0}',
        *ODD,
    ),
    "cache-control": (
        *(b"no-cache", b"no-store", b"max-age", b"max-stale", b"min-fresh", b"only-if-cached"),
        *(b"stale-if-error", b"=", b",", b", ", b'"', b" ", b"\t", b";", b"0", b"-1", b"1e9"),
        *(b"99999999999999999999", b"max-age=5", b'max-age="5"', b"inf", b"nan", b"5s", b"1h30m"),
        *(b"\xb2", b"\xff", b"exact", b"auto", b"0.5", b"a:b", b"private"),
        *ODD,
        *(b"\x85", b"\xa0"),
    ),
}


def _key(dialect: Any, raw: bytes) -> object:
    """All that a request is looked up by, or that it was refused."""
    try:
        return dialect.read(parse(raw), Frame(NOBODY, "u", floats=has_floats(raw)))
    except BadBody as fault:
        return fault.code


def _reversed(value: Any) -> Any:
    """The same value with the keys of its objects backwards."""
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(one) for one in value] if isinstance(value, list) else value


def _ours(name: str, value: str) -> Directives | None:
    try:
        return directives.read("", {name: value})
    except directives.BadDirective:
        return None
