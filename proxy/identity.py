"""Who asks, as digests: credentials never leave this file in the clear, nor reach disk or logs."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from typing import TYPE_CHECKING

from policies.values import Owners

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CREDENTIAL_HEADERS = (b"authorization", b"x-api-key", b"api-key")
# Gateways of many makes carry a caller's key in headers of their own.
_SECRETIVE = re.compile(rb"key|token|auth|secret|credential|cookie|session")
_PUBLIC = frozenset({b"idempotency-key", b"x-likewise-session"})
_REMEMBERED = 10_000
_SHORT = 512


class Identity:
    """Turns credentials and user names into partitions by HMAC-SHA256 under the cache's secret."""

    def __init__(self, secret: bytes, tenants: Mapping[str, str]) -> None:
        self._secret = secret
        self._tenants = {digest.rpartition(":")[2]: tenant for digest, tenant in tenants.items()}
        self._known: OrderedDict[tuple[bytes, str | None], Owners] = OrderedDict()

    def adopt(self, secret: bytes) -> None:
        """Use another secret from now on."""
        self._secret = secret
        self._known.clear()

    def owners(self, credential: bytes, user: str | None) -> Owners:
        """The digests for a credential header's value (scheme ignored) and an end user."""
        key = (credential, user)
        known = self._known.get(key)
        if known is not None:
            return known
        made = self._make(credential, user)
        # What a caller can make long is not kept ten thousand times.
        if len(credential) + len(user or "") <= _SHORT:
            self._known[key] = made
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return made

    def _make(self, credential: bytes, user: str | None) -> Owners:
        bare = bare_key(credential)
        tenant = self._tenants.get(hash_key(bare)) if self._tenants else None
        return Owners(
            key=self._digest(b"key", bare),
            tenant=None if tenant is None else self._digest(b"tenant", tenant.encode()),
            user=None
            if user is None
            else self._digest(b"user", user.encode("utf-8", "surrogatepass")),
        )

    def tenant(self, name: str) -> str:
        """The partition of a declared tenant."""
        return self._digest(b"tenant", name.encode())

    def _digest(self, kind: bytes, text: bytes) -> str:
        return hmac.new(self._secret, kind + b"\0" + text, hashlib.sha256).hexdigest()[:32]


def is_credential(name: bytes) -> bool:
    """Whether a header (lower case) may say who asks; when in doubt, it does."""
    return name in CREDENTIAL_HEADERS or (
        _SECRETIVE.search(name) is not None and name not in _PUBLIC
    )


def presented(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """All that a request presents of its caller, as one credential; empty where nothing is."""
    shown = sorted(line for line in headers if is_credential(line[0]))
    if len(shown) == 1 and shown[0][0] in CREDENTIAL_HEADERS:
        return shown[0][1]
    return b"".join(b"%d:%b%d:%b" % (len(n), n, len(v), v) for n, v in shown)


def bare_key(header: bytes) -> bytes:
    """The key of an `Authorization` or `x-api-key` value."""
    scheme, space, rest = header.partition(b" ")
    return rest.strip() if space and scheme.lower() == b"bearer" else header.strip()


def hash_key(key: bytes) -> str:
    """What stands under `tenants:` in the configuration: SHA-256, as API keys are random."""
    return hashlib.sha256(key).hexdigest()
