"""Records under AES-256-GCM: what a store writes where its entries are to be encrypted.

Each partition has a key of its own, derived by HKDF-SHA256 from one of the given keys. What is
sealed is bound to its entry and column, so that nothing can be read in another place.

    facts column          2 u8 | length of owner u8 | owner | box
    vector, body column   box
    box                   which key 4 bytes | nonce 12 bytes | the codec's column sealed | tag
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from index import codec
from index.errors import SetupError
from index.keys import SEALED
from index.ports import Revised, Sealed
from index.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.ports import Bodies, Record
    from policies.values import Facts, Vector

VERSION = 2
_NAME, _NONCE = 4, 12
# Partitions whose keys are at hand.
DERIVED = 4_096
# What is sealed in the note by which a store's key is known.
MARK = b"likewise"


class Cipher:
    """Seals under the first of some keys, and opens what any of them has sealed."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_derive(key, b"name")[:_NAME]: key for key in keys}
        self._first = next(iter(self._keys))
        self._derived: Shelf[AESGCM] = Shelf(DERIVED)

    def seal(self, whose: str, place: str, plain: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        sealed = self._of(self._first, whose).encrypt(nonce, plain, place.encode())
        return self._first + nonce + sealed

    def open(self, whose: str, place: str, box: bytes) -> bytes | None:
        """What was sealed for this partition and place; None for anything else."""
        name, nonce = box[:_NAME], box[_NAME : _NAME + _NONCE]
        if name not in self._keys:
            return None
        try:
            return self._of(name, whose).decrypt(nonce, box[_NAME + _NONCE :], place.encode())
        except (InvalidTag, ValueError):
            return None

    async def settle(self, bodies: Bodies, name: str, value: bytes) -> bytes:
        """`Bodies.settle` for what must not stand there in clear text. Raises `SetupError`."""
        box = await bodies.settle(name, self.seal("", name, value))
        standing = self.open("", name, box)
        if standing is None:
            raise SetupError(
                "LIKEWISE_STORE_KEY: is not the key of this store; give the right one, after a "
                "comma if it is an older one, or name another store"
            )
        if not self.is_newest(box):
            await bodies.put(name, self.seal("", name, standing))
        return standing

    def is_newest(self, box: bytes) -> bool:
        """Whether it was sealed under the first key."""
        return box.startswith(self._first)

    def _of(self, name: bytes, whose: str) -> AESGCM:
        known = self._derived.get((name, whose))
        if known is None:
            known = AESGCM(_derive(self._keys[name], b"partition\0" + whose.encode()))
            self._derived.put((name, whose), known)
        return known


def _derive(key: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"likewise\0" + info).derive(key)


class Encrypted:
    """The codec of `index.codec`, every column sealed."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def seal(self, record: Record) -> Sealed:
        """Raise `StoreError` as the plain codec does."""
        plain, entry, owner = codec.seal(record), record.facts.entry, record.facts.owner
        facts = self._facts(entry, owner, plain.facts)
        vector = None
        if plain.vector is not None:
            vector = self._cipher.seal(owner, f"{entry}/vector", plain.vector)
        return Sealed(facts, vector, self._cipher.seal(owner, f"{entry}/body", plain.body))

    def unseal(self, entry: str, sealed: Sealed) -> Record | None:
        opened = self._opened(entry, sealed)
        if opened is None:
            return None
        owner, facts, vector = opened
        body = self._cipher.open(owner, f"{entry}/body", sealed.body)
        return None if body is None else codec.unseal(entry, Sealed(facts, vector, body))

    def unseal_facts(self, entry: str, facts: bytes, vector: bytes | None) -> Record | None:
        opened = self._opened(entry, Sealed(facts, vector, b""))
        return None if opened is None else codec.unseal_facts(entry, opened[1], opened[2])

    def revised(
        self,
        entry: str,
        facts: bytes,
        change: Callable[[Facts], Facts],
        vector: Vector | None = None,
    ) -> Revised | None:
        opened = self._opened(entry, Sealed(facts, None, b""))
        new = None if opened is None else codec.revised(entry, opened[1], change, vector)
        if opened is None or new is None or new.facts == opened[1]:
            return None if new is None else new._replace(facts=facts)
        owner, beside = new.known.owner, None
        if new.vector is not None:
            beside = self._cipher.seal(owner, f"{entry}/vector", new.vector)
        return Revised(new.known, self._facts(entry, owner, new.facts), beside)

    def _facts(self, entry: str, owner: str, plain: bytes) -> bytes:
        whose = owner.encode()
        box = self._cipher.seal(owner, f"{entry}/facts", plain)
        return bytes((VERSION, len(whose))) + whose + box

    def _opened(self, entry: str, sealed: Sealed) -> tuple[str, bytes, bytes | None] | None:
        """Owner, facts and vector in clear."""
        column = sealed.facts
        if len(column) < 2 or column[0] != VERSION:  # noqa: PLR2004 - version and length
            return None
        end = 2 + column[1]
        owner = column[2:end].decode("utf-8", "replace")
        facts = self._cipher.open(owner, f"{entry}/facts", column[end:])
        vector = None
        if sealed.vector is not None:
            vector = self._cipher.open(owner, f"{entry}/vector", sealed.vector)
        if facts is None or (vector is None and sealed.vector is not None):
            return None
        return owner, facts, vector


async def protect(bodies: Bodies, cipher: Cipher) -> None:
    """Have a store write and read under these keys from now on.

    Raises `SetupError` where none of them is the store's, or where it holds entries in clear text.
    """
    if await bodies.get(SEALED) is None:
        async for _ in bodies.scan():
            raise SetupError(
                "store.encrypt: this store holds entries in clear text, which would stay in it; "
                "name another one (`likewise export` before and `likewise import` after take the "
                "entries along), or set encrypt: off"
            )
    if await cipher.settle(bodies, SEALED, MARK) != MARK:
        raise SetupError("store.encrypt: the store's note of its key is damaged; name another one")
    bodies.codec = Encrypted(cipher)
