"""The facts of an entry as a few hundred bytes and back, for RAM: no I/O, no versions.

    entry 16 bytes | times, sizes, counts, flags, the number of its kind | chain | text | said
    | the rest as JSON, where there is any

What many entries share (space, owner, category and the like) is their kind, kept once.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from index.finder import WIDTH, key_of
from policies.context import ASSISTANT
from policies.values import Facts, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# stored, expires, gone, cost_ms | size, tokens in and out | kind, flags, length of chain and text
_HEAD = struct.Struct(f"<{WIDTH}s dddd qqq IBII")
_SAID = struct.Struct(f"<{WIDTH}sI")
_FLAGS_AT = struct.calcsize(f"<{WIDTH}s dddd qqq I")
_KIND_AT = struct.calcsize(f"<{WIDTH}s dddd qqq")
_LENGTH_MOST = 2**32 - 1

USAGE, STREAMED, FLAGGED, SAID, GROUPED, REST, PINNED = (1 << bit for bit in range(7))


class Kind(NamedTuple):
    """What many entries have alike."""

    space: str
    owner: str
    category: str
    dialect: str
    model: str
    embedding: str

    @classmethod
    def of(cls, facts: Facts) -> Kind:
        return cls(
            *(facts.space, facts.owner, facts.category),
            *(facts.dialect, facts.model, facts.embedding),
        )


def pack(facts: Facts, kind: int) -> bytes:
    """Raise `ValueError` where the entry's name is not 32 hex digits."""
    entry = key_of(facts.entry)
    if entry is None:
        raise ValueError(f"{facts.entry!a} is not the name of an entry")
    chain, text = _utf8(facts.chain), _utf8(facts.text)
    said, rest = _said(facts.said), _rest(facts)
    flags = (
        facts.has_usage * USAGE
        | facts.streamed * STREAMED
        | facts.flagged * FLAGGED
        | bool(said) * SAID
        | bool(facts.group) * GROUPED
        | bool(rest) * REST
        | facts.pinned * PINNED
    )
    head = _HEAD.pack(
        *(entry, facts.stored, facts.expires, facts.gone, facts.cost_ms),
        *(facts.size, facts.tokens_in, facts.tokens_out),
        *(kind, flags, len(chain), len(text)),
    )
    return b"".join((head, chain, text, said, rest))


def unpack(packed: bytes, kinds: Callable[[int], Kind | None]) -> Facts | None:
    """The facts; None where their kind is gone, as they are then."""
    (
        entry,
        stored,
        expires,
        gone,
        cost_ms,
        size,
        tokens_in,
        tokens_out,
        kind_number,
        flags,
        chain_length,
        text_length,
    ) = _HEAD.unpack_from(packed)
    kind = kinds(kind_number)
    if kind is None:
        return None
    text_at = _HEAD.size + chain_length
    rest_at = said_at = text_at + text_length
    said = None
    if flags & SAID:
        digest, length = _SAID.unpack_from(packed, said_at)
        rest_at, said = said_at + _SAID.size, Turn(ASSISTANT, digest.hex(), length=length)
    rest = _read(packed[rest_at:]) if flags & REST else {}
    rest.setdefault("said", said)
    return Facts(
        entry.hex(),
        kind.space,
        kind.owner,
        kind.category,
        kind.dialect,
        kind.model,
        _text(packed[_HEAD.size : text_at]),
        _text(packed[text_at:said_at]),
        stored,
        expires,
        gone,
        size,
        tokens_in,
        tokens_out,
        cost_ms,
        bool(flags & USAGE),
        bool(flags & STREAMED),
        kind.embedding,
        flagged=bool(flags & FLAGGED),
        pinned=bool(flags & PINNED),
        **rest,
    )


def grouped(packed: bytes) -> bool:
    """Whether these facts name a group."""
    return bool(packed[_FLAGS_AT] & GROUPED)


def kinds(packed: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.int32]:
    """The kind of each of many that lie one after the other."""
    places = starts[:, None] + np.arange(_KIND_AT, _KIND_AT + 4)
    found: NDArray[np.int32] = np.ascontiguousarray(packed[places]).view("<i4").reshape(-1)
    return found


def entries(packed: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The key of each of many that lie one after the other."""
    found: NDArray[np.uint8] = packed[starts[:, None] + np.arange(WIDTH)]
    return found


def said_key(said: Turn | None) -> bytes | None:
    """The key of an answer that is text alone."""
    return None if said is None else key_of(said.rest)


def _said(said: Turn | None) -> bytes:
    """The usual turn of an assistant; nothing for any other, which goes with the rest."""
    key = said_key(said)
    if said is None or key is None or said != Turn(ASSISTANT, said.rest, length=said.length):
        return b""
    return _SAID.pack(key, said.length) if 0 <= said.length <= _LENGTH_MOST else b""


def _rest(facts: Facts) -> bytes:
    """What few entries have."""
    rest: dict[str, Any] = {
        "tags": facts.tags,
        "pace": facts.pace,
        "group": facts.group,
        "user": facts.user,
        "labels": facts.labels,
        "before": [_turn(turn) for turn in facts.before],
        "said": _turn(facts.said) if facts.said is not None and not _said(facts.said) else None,
    }
    some = {name: value for name, value in rest.items() if value}
    return json.dumps(some, separators=(",", ":")).encode() if some else b""


def _read(packed: bytes) -> dict[str, Any]:
    rest: dict[str, Any] = json.loads(packed)
    for name in ("tags", "pace"):
        if name in rest:
            rest[name] = tuple(rest[name])
    if "labels" in rest:
        rest["labels"] = tuple((score, same) for score, same in rest["labels"])
    if "before" in rest:
        rest["before"] = tuple(Turn(*turn) for turn in rest["before"])
    if "said" in rest:
        rest["said"] = Turn(*rest["said"])
    return rest


def _turn(turn: Turn) -> list[Any]:
    return [turn.role, turn.rest, turn.text, turn.length]


def _utf8(text: str) -> bytes:
    """Half a surrogate pair has no UTF-8, and comes in prompts all the same."""
    return text.encode("utf-8", "surrogatepass")


def _text(utf8: bytes) -> str:
    return utf8.decode("utf-8", "surrogatepass")
