"""Who asks, as digests: credentials never leave this file in the clear, nor reach disk or logs."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING

from policies.values import Owners

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIAL_HEADERS = (b"authorization", b"x-api-key", b"api-key")
_REMEMBERED = 10_000


class Identity:
    """Turns credentials and user names into partitions by HMAC-SHA256 under the cache's secret."""

    def __init__(self, secret: bytes, tenants: Mapping[str, str]) -> None:
        self._secret = secret
        self._tenants = {digest.rpartition(":")[2]: tenant for digest, tenant in tenants.items()}
        self._known: OrderedDict[tuple[bytes, str | None], Owners] = OrderedDict()

    def owners(self, credential: bytes, user: str | None) -> Owners:
        """The digests for a credential header's value (scheme ignored) and an end user."""
        key = (credential, user)
        known = self._known.get(key)
        if known is not None:
            return known
        bare = bare_key(credential)
        tenant = self._tenants.get(hash_key(bare)) if self._tenants else None
        made = Owners(
            key=self._digest(b"key", bare),
            tenant=None if tenant is None else self._digest(b"tenant", tenant.encode()),
            user=None if user is None else self._digest(b"user", user.encode("utf-8", "replace")),
        )
        self._known[key] = made
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return made

    def tenant(self, name: str) -> str:
        """The partition of a declared tenant."""
        return self._digest(b"tenant", name.encode())

    def _digest(self, kind: bytes, text: bytes) -> str:
        return hmac.new(self._secret, kind + b"\0" + text, hashlib.sha256).hexdigest()[:32]


def bare_key(header: bytes) -> bytes:
    """The key of an `Authorization` or `x-api-key` value."""
    scheme, space, rest = header.partition(b" ")
    return rest.strip() if space and scheme.lower() == b"bearer" else header.strip()


def hash_key(key: bytes) -> str:
    """What stands under `tenants:` in the configuration: SHA-256, as API keys are random."""
    return hashlib.sha256(key).hexdigest()
