"""Requests that were read before, so that a byte-identical one is not read again, and what in a
request's head makes it another.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias

from proxy.dialects.canonical import digest
from proxy.identity import CREDENTIAL_HEADERS, is_credential

if TYPE_CHECKING:
    from starlette.types import Scope

    from policies.values import Rules
    from proxy.exchange import Ask
    from proxy.upstream import Headers

# Path, query, header lines and body.
Key: TypeAlias = tuple[Any, ...]
# Headers that shape an answer join the fingerprint; those that steer the cache are read.
SHAPING = frozenset({
    b"anthropic-version", b"anthropic-beta", b"openai-beta", b"openai-organization",
    b"openai-project",
})  # fmt: skip
_READ = SHAPING | {b"cache-control", b"content-encoding", b"via", b"origin"}
_KNOWN = _READ | {*CREDENTIAL_HEADERS}
# What nearly every request carries and nobody here reads.
_PLAIN = frozenset({
    b"host", b"user-agent", b"accept", b"content-type", b"content-length", b"accept-encoding",
    b"connection", b"x-stainless-lang", b"x-stainless-package-version", b"x-stainless-os",
    b"x-stainless-arch", b"x-stainless-runtime", b"x-stainless-runtime-version",
    b"x-stainless-async", b"x-stainless-retry-count", b"x-stainless-read-timeout",
})  # fmt: skip
OURS = b"x-likewise-"
# Longer bodies are read again.
_BODY = 16_384
_ITEMS = 4_096


class Repeats:
    """The latest requests as the engine takes them."""

    def __init__(self) -> None:
        self._asks: OrderedDict[Key, Ask] = OrderedDict()

    def read_before(self, key: Key, rules: Rules) -> Ask | None:
        """What this very request said, unless other rules read it otherwise."""
        ask = self._asks.get(key)
        if ask is None or not ask.settled_under(rules):
            return None
        self._asks.move_to_end(key)
        return ask

    def keep(self, key: Key, ask: Ask) -> None:
        if len(key[-1]) > _BODY:
            return
        self._asks[key] = ask
        if len(self._asks) > _ITEMS:
            self._asks.popitem(last=False)


def lines_of(scope: Scope) -> Headers:
    """The header lines that may matter to anybody."""
    return [
        line
        for line in scope["headers"]
        if (name := line[0]) not in _PLAIN and (name in _KNOWN or _matters(name))
    ]


def key_of(scope: Scope, lines: Headers, body: bytes) -> Key:
    """All of a request that its reading depends on."""
    return (scope["path"], scope["query_string"], *lines, body)


def _matters(name: bytes) -> bool:
    return name.startswith(OURS) or is_credential(name)


def shape(query: bytes, seen: Headers) -> bytes:
    """What outside the body shapes an answer, as one unambiguous byte string."""
    lines = sorted(line for line in seen if line[0] in SHAPING)
    return digest(query, *(part for line in lines for part in line))
