"""Who may come in: the token, sessions derived from it, CSRF tokens, host names, failure counts.

Knows no HTTP server and no route; `gate` asks it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION_SECONDS: Final = 12 * 3600
_LOOPBACK: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_ADDRESSES_KEPT: Final = 4096


class Role(StrEnum):
    """Who only looks, and who may change things."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Session:
    """One log-in: when it ends (Unix seconds), what it may, and the token its forms must carry."""

    expires: int
    nonce: str
    csrf: str
    role: Role = Role.OPERATOR


class Access:
    """The tokens and everything derived from them.

    A session is a signed expiry, so that replicas with one token share log-ins and a new token
    ends those that it had opened; log-outs are remembered by this process until they would have
    expired.
    """

    def __init__(
        self,
        token: str,
        hosts: frozenset[str] | None,
        clock: Callable[[], float] = time.time,
        *,
        viewer: str | None = None,
    ) -> None:
        if not token:
            raise ValueError("the admin token is empty; set LIKEWISE_ADMIN_TOKEN to a long secret")
        tokens = {Role.OPERATOR: token} | ({Role.VIEWER: viewer} if viewer else {})
        self._tokens = {role: _digest(text) for role, text in tokens.items()}
        self._keys = {role: _session_key(text) for role, text in tokens.items()}
        self._hosts = None if hosts is None else frozenset(_name(host) for host in hosts)
        self._clock = clock
        self._closed: dict[str, int] = {}
        self.logins = Failures(5, 60.0)
        self.bearers = Failures(60, 60.0)

    def role_of(self, token: str) -> Role | None:
        """What a token allows; None where it is none of ours."""
        given = _digest(token)
        fits = [role for role, known in self._tokens.items() if hmac.compare_digest(known, given)]
        return fits[0] if fits else None

    def host_fits(self, host: str) -> bool:
        """Whether a `Host` may be served.

        Addresses always may: only a name can be rebound to this machine by a foreign DNS server.
        """
        name = _name(host)
        if self._hosts is None or name in _LOOPBACK or name in self._hosts:
            return bool(name)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def open(self, role: Role = Role.OPERATOR) -> str:
        """A new session's cookie."""
        claim = f"{int(self._clock()) + SESSION_SECONDS}.{secrets.token_hex(16)}.{role.value}"
        return f"{claim}.{self._sign(role, 'session', claim)}"

    def session(self, cookie: str) -> Session | None:
        """The session of a cookie, None where it is forged, expired or logged out."""
        claim, _, signature = cookie.rpartition(".")
        expires, nonce, named = (*claim.split("."), "", "")[:3]
        role = next((role for role in self._keys if role.value == named), None)
        if role is None:
            return None
        signed = self._sign(role, "session", claim)
        if not hmac.compare_digest(signature.encode(), signed.encode()):
            return None
        if int(expires) <= self._clock() or nonce in self._closed:
            return None
        return Session(int(expires), nonce, self._sign(role, "csrf", nonce), role)

    def close(self, session: Session) -> None:
        """Log out: the session's cookie is worth nothing from here on."""
        now = self._clock()
        self._closed = {n: end for n, end in self._closed.items() if end > now}
        self._closed[session.nonce] = session.expires

    def _sign(self, role: Role, use: str, text: str) -> str:
        return hmac.new(self._keys[role], f"{use}:{text}".encode(), hashlib.sha256).hexdigest()


class Failures:
    """Counts failed attempts per address; `limit` within `window` seconds close the door."""

    def __init__(
        self, limit: int, window: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, address: str) -> None:
        times = self._seen.setdefault(address, deque(maxlen=self._limit))
        times.append(self._clock())
        self._seen.move_to_end(address)
        if len(self._seen) > _ADDRESSES_KEPT:
            self._seen.popitem(last=False)

    def wait(self, address: str) -> float:
        """Seconds until `address` may try again; 0 where it may now."""
        times = self._seen.get(address)
        if times is None or len(times) < self._limit:
            return 0.0
        return max(0.0, times[0] + self._window - self._clock())


def same_origin(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a browser's request comes from our own pages.

    `Sec-Fetch-Site` is sent on loopback and https only, so its absence proves nothing; a request
    with neither header is refused.
    """
    if fetch_site is not None and fetch_site not in {"same-origin", "none"}:
        return False
    if origin is None:
        return fetch_site is not None
    return urlsplit(origin).netloc.lower() == host.lower() != ""


def safe_next(target: str) -> str:
    """A path on this site to go to after log-in; `/` for anything else."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    if not plain or not target.startswith("/") or target.startswith("//"):
        return "/"
    return target


def _digest(token: str) -> bytes:
    # Equal lengths, so that comparing tells nothing about the token's own length.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _session_key(token: str) -> bytes:
    return hmac.digest(token.encode(), b"likewise admin session", "sha256")


def _name(host: str) -> str:
    """The name in a `Host` header, without port and brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name = host if host.count(":") > 1 else host.partition(":")[0]
    return name.removesuffix(".")
