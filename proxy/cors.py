"""Pages of other sites that may call the data port (`server.cors`): what their browsers must hear.

Follows the Fetch standard's CORS protocol. Pure: header lines in and out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.upstream import Headers

# How long a browser may remember a preflight's answer; Chromium keeps none for more than two hours.
REMEMBERED = b"7200"
EXPOSED = (
    b"age, cache-status, x-cache, x-likewise-category, x-likewise-entry, x-likewise-match, "
    b"x-likewise-reason, x-likewise-request, x-likewise-similarity, x-likewise-tokens-saved, "
    b"x-request-id, request-id, retry-after"
)


class Cors:
    """The origins that are allowed; `*` among them allows every one."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def __bool__(self) -> bool:
        return bool(self._origins)

    def allowed(self, headers: Headers) -> bytes | None:
        """The request's origin, if it has one that is allowed."""
        origin = next((value for name, value in headers if name == b"origin"), None)
        if origin is None or not (b"*" in self._origins or origin in self._origins):
            return None
        return origin

    def preflight(self, origin: bytes, headers: Headers) -> Headers:
        """The header lines that answer a preflight request."""
        wanted = next(
            (value for name, value in headers if name == b"access-control-request-headers"), b""
        )
        lines: Headers = [
            *self._who(origin),
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
            (b"access-control-max-age", REMEMBERED),
            (b"content-length", b"0"),
        ]
        return [*lines, (b"access-control-allow-headers", wanted)] if wanted else lines

    def mark(self, origin: bytes, lines: Headers) -> Headers:
        """An answer's header lines as this origin's page may read them."""
        kept = [line for line in lines if not line[0].startswith(b"access-control-")]
        return [*kept, *self._who(origin), (b"access-control-expose-headers", EXPOSED)]

    def _who(self, origin: bytes) -> Headers:
        """Named rather than `*`, so that pages which send an Authorization header may read too."""
        return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks what a page may do, rather than the page itself."""
    return method == "OPTIONS" and any(n == b"access-control-request-method" for n, _ in headers)
