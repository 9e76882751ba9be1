"""The door in front of every route: host names, log-in, forged requests, security headers.

Plain ASGI, so that no route can be reached around it. What a token or session is, `access` knows.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response

from admin_ui.access import Access, Role, Session, same_origin
from admin_ui.acts import act
from admin_ui.render import is_api, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from admin_ui.facts import Act

COOKIE: Final = "likewise_admin"
CSRF_HEADER: Final = "x-csrf-token"
_BODY_BYTES: Final = 1_000_000
_BODY_SECONDS: Final = 10.0
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# What changes nothing although it is sent like a form, because it is too long for an address.
_QUESTIONS: Final = frozenset(
    {
        *("/explain", "/policy/check", "/policy/trial"),
        *("/api/explain", "/api/policy/check", "/api/policy/trial"),
    }
)
_CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: under it browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_log = logging.getLogger("likewise.admin")


class Gate:
    """Lets in who has a token or a session, and seals every answer with `HEADERS`.

    A viewer only looks. Whatever is changed is told to `acted`.
    """

    def __init__(
        self, app: ASGIApp, access: Access, acted: Callable[[Act], Awaitable[None]]
    ) -> None:
        self._app = app
        self._access = access
        self._acted = acted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        seal = _Seal(scope, send)
        try:
            await self._serve(scope, receive, seal)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"])
            if seal.started:
                raise
            message = "Likewise could not answer this; its log says why. Try again in a moment."
            await refusal(scope, 500, message)(scope, receive, seal)

    async def _serve(self, scope: Scope, receive: Receive, seal: _Seal) -> None:
        refused = self._refused(scope)
        if refused is not None or scope["method"] in _READING:
            await (refused or self._app)(scope, receive, seal)
            return
        body: bytes | None = b""
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            refused = refusal(scope, 408, "The request's body did not arrive in time.")
        else:
            refused = self._unsound(scope, body) or _not_for_viewers(scope)
        try:
            await (refused or self._app)(scope, _replay(body or b"", receive), seal)
        finally:
            await self._write_down(scope, body or b"", seal.status)

    async def _write_down(self, scope: Scope, body: bytes, status: int) -> None:
        """Tell of a change, or of a try, by somebody who is known."""
        if "who" not in scope.get("state", {}) or scope["path"] in _QUESTIONS:
            return
        try:
            await self._acted(act(scope, client(scope), body, status))
        except Exception:  # noqa: BLE001 - what was changed stays changed
            _log.exception("a change could not be written down: %s", scope["path"])

    def _refused(self, scope: Scope) -> Response | None:
        """What to answer instead, judged by the head of the request alone."""
        path: str = scope["path"]
        if path == "/healthz":
            return None
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.host_fits(hosts[0]):
            message = (
                "This address is not served here. "
                "Use the configured admin host, an IP address or localhost."
            )
            return refusal(scope, 421, message)
        if path == "/login" or path.startswith("/static/"):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(scope, token.strip())
        session = self._access.session(_cookie(headers))
        if session is not None:
            know(scope, session.role, session)
            return None
        return _unknown(scope)

    def _bearer(self, scope: Scope, token: str) -> Response | None:
        address = client(scope)
        if wait := self._access.bearers.wait(address):
            return slow_down(scope, wait)
        role = self._access.role_of(token)
        if role is not None:
            know(scope, role, None)
            return None
        self._access.bearers.count(address)
        return _unauthorized(scope, "The token is wrong. It is printed when Likewise starts.")

    def _unsound(self, scope: Scope, body: bytes | None) -> Response | None:
        """Refuses a body that is too large, and a cookie's request that our pages did not send."""
        if body is None:
            return refusal(scope, 413, "The body is larger than 1 MB. Send less.")
        headers = Headers(scope=scope)
        session: Session | None = scope.get("state", {}).get("session")
        if session is None and scope["path"] != "/login":
            return None  # came with the token itself, which no foreign page can send
        own = same_origin(
            headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")
        )
        if own and (session is None or _carries(headers, body, session.csrf)):
            return None
        message = "This did not come from a page of this dashboard. Reload the page and try again."
        return refusal(scope, 403, message)


class _Seal:
    """Sends on, with the security headers set on the head of the answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._lasting = scope["path"].startswith("/static/")
        self.started = False
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers["cache-control"] = "no-cache" if self._lasting else "no-store"
        await self._send(message)


def know(scope: Scope, role: Role, session: Session | None) -> None:
    """Let the routes know who asks: a role, and which log-in of it."""
    which = "token" if session is None else session.nonce[:8]
    known = {"session": session, "role": role.value, "who": f"{role.value} {which}"}
    scope.setdefault("state", {}).update(known)


def _not_for_viewers(scope: Scope) -> Response | None:
    role = scope.get("state", {}).get("role")
    if role != Role.VIEWER or scope["path"] in _QUESTIONS or scope["path"] == "/logout":
        return None
    message = "A viewer changes nothing. Log in with the operator's token."
    return refusal(scope, 403, message)


def client(scope: Scope) -> str:
    """The peer's address; what a proxy in front claims is not believed."""
    peer = scope.get("client")
    return str(peer[0]) if peer else "unknown"


def slow_down(scope: Scope, wait: float) -> Response:
    message = f"Too many wrong tokens. Try again in {math.ceil(wait)} s."
    return refusal(scope, 429, message, {"retry-after": str(math.ceil(wait))})


def _unknown(scope: Scope) -> Response:
    if is_api(scope) or scope["method"] not in _READING:
        return _unauthorized(scope, "Send the admin token as `Authorization: Bearer <token>`.")
    target = scope["path"]
    if query := scope["query_string"].decode("latin-1"):
        target = f"{target}?{query}"
    return RedirectResponse(f"/login?next={quote(target, safe='/')}", status_code=303)


def _unauthorized(scope: Scope, message: str) -> Response:
    return refusal(scope, 401, message, {"www-authenticate": 'Bearer realm="likewise"'})


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _carries(headers: Headers, body: bytes, csrf: str) -> bool:
    given = headers.get(CSRF_HEADER, "")
    if not given and headers.get("content-type", "").startswith("application/x-www-form"):
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=100)
        given = fields.get("csrf", [""])[0]
    return hmac.compare_digest(given.encode(), csrf.encode())


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than this port takes."""
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > _BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
