"""A stored entry as one line of JSON and back, and the last line that says a file is whole. Pure.

    {"facts": {…}, "body": "the answer's text", "vector": "float32, little endian, base64"}
    {"end": {"entries": 2, "sha256": "…of the lines before", "secret": "…"}}

A body that is not UTF-8 stands under `body_base64` instead. `secret` tells one house's secret from
another's and nothing else of it: who asks is a digest under it, so in a house with another one
nobody is found to have asked.
"""

from __future__ import annotations

import hashlib
import math
import re
from base64 import b64decode, b64encode
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from index.amending import MOST_LABELS
from index.codec import pack_vector, unpack_vector
from index.ports import Record
from policies.values import Facts, Owners, Query
from policies.verdicts import Reason
from proxy.dialects.embeddings import Embeddings, unpack
from proxy.dialects.listing import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from policies.values import Vector
    from proxy.dialects.ports import Dialect

KEYS = frozenset({"facts", "body", "body_base64", "vector"})
LINE = 'a line is {"facts": {…}, "body": text} as `likewise export` writes it'
_FACTS = TypeAdapter(Facts)
_NAMES = frozenset(field.name for field in fields(Facts))
_BY_NAME: dict[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS}
_HEX = "[0-9a-f]{32}"
_MOST = 2.0**53
_ID = re.compile(_HEX)
_OWNER = re.compile(f"everyone|{_HEX}(?::{_HEX})?")
# How far from 1 a vector's length may be: rounding only.
_SLACK = 0.01


class BadLine(ValueError):
    """A line that is no entry: under which key, and what is allowed."""


class Cut(ValueError):
    """A file that lacks its end, or does not hold what its end says."""


class End(NamedTuple):
    """What the last line says of those before it."""

    entries: int
    sha256: str
    secret: str


class Count:
    """Counts and digests lines as they pass, for the last one."""

    def __init__(self) -> None:
        self.entries = 0
        self._state = hashlib.sha256()

    def add(self, line: bytes) -> None:
        self.entries += 1
        self._state.update(line)

    @property
    def sha256(self) -> str:
        return self._state.hexdigest()


def write(record: Record, *, vectors: bool) -> bytes:
    """The entry's line. Raises TypeError for facts that JSON cannot carry (lone surrogates)."""
    line: dict[str, Any] = {"facts": record.facts}
    try:
        line["body"] = record.body.decode()
    except UnicodeDecodeError:
        line["body_base64"] = b64encode(record.body).decode()
    if vectors and record.vector is not None:
        line["vector"] = b64encode(pack_vector(record.vector)).decode()
    return orjson.dumps(line) + b"\n"


def close(count: Count, secret: str) -> bytes:
    """The last line of what was counted."""
    end = End(count.entries, count.sha256, secret)
    return orjson.dumps({"end": end._asdict()}) + b"\n"


def whole(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines as they come. Raises `Cut` after the last, unless that tells of all before it."""
    count, held = Count(), b""
    for line in lines:
        if held:
            count.add(held)
        held = line
        yield line
    end = end_of(held) if held.endswith(b"\n") else None
    if end is None:
        raise Cut("ends without its last line")
    if (end.entries, end.sha256) != (count.entries, count.sha256):
        raise Cut(f"holds other lines than the {end.entries} that its last line tells of")


def end_of(line: bytes) -> End | None:
    """What the line says if it is a last one."""
    if not line.startswith(b'{"end":'):
        return None
    try:
        end = End(**orjson.loads(line)["end"])
    except (ValueError, TypeError):
        return None
    return end if isinstance(end.entries, int) and isinstance(end.secret, str) else None


def read(line: bytes) -> Record:
    """The entry in a line. Raises `BadLine`."""
    row = _object(line)
    if unknown := sorted(row.keys() - KEYS):
        raise BadLine(f"{unknown[0][:40]}: unknown key; {LINE}")
    body = _body(row)
    facts = _facts(row.get("facts"))
    vector = None if row.get("vector") is None else _vector(row["vector"])
    _check_answer(facts, body)
    return Record(replace(facts, size=max(facts.size, len(body))), body, vector)


def _object(line: bytes) -> dict[str, Any]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise BadLine(f"is not JSON; {LINE}") from None
    if not isinstance(row, dict):
        raise BadLine(f"must be an object; {LINE}")
    return row


def _body(row: dict[str, Any]) -> bytes:
    given = [row[key] for key in ("body", "body_base64") if key in row]
    if len(given) != 1 or not isinstance(given[0], str):
        raise BadLine("body: must be the answer's text, or stand under body_base64 instead")
    return given[0].encode() if "body" in row else _bytes(given[0], "body_base64")


def _bytes(text: Any, key: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise BadLine(f"{key}: must be base64") from None


def _vector(text: Any) -> Vector:
    raw = _bytes(text, "vector")
    vector = unpack_vector(raw) if raw and len(raw) % 4 == 0 else None
    # What is no number compares as false.
    if vector is None or not abs(float(np.linalg.norm(vector)) - 1) < _SLACK:
        raise BadLine("vector: must be base64 of float32 numbers, a vector of length 1")
    return vector


def _facts(given: Any) -> Facts:
    if not isinstance(given, dict):
        raise BadLine(f"facts: must be an object; {LINE}")
    if unknown := sorted(given.keys() - _NAMES):
        raise BadLine(f"facts.{unknown[0][:40]}: unknown key; known: {', '.join(sorted(_NAMES))}")
    try:
        facts = _FACTS.validate_json(orjson.dumps(given), strict=True)
    except ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(map(str, ("facts", *first["loc"])))
        raise BadLine(f"{place}: {first['msg']}") from None
    for path, said in _faults(facts):
        raise BadLine(f"facts.{path}: {said}")
    return facts


def _faults(facts: Facts) -> Iterator[tuple[str, str]]:
    """What no type can say of facts: key and what is allowed."""
    ids = "must be 32 hex digits"
    for name, also in (
        ("entry", ""),
        ("space", ""),
        ("group", ", or empty"),
        ("user", ", or empty"),
    ):
        given = getattr(facts, name)
        if not (_ID.fullmatch(given) or (also and not given)):
            yield name, ids + also
    if not _OWNER.fullmatch(facts.owner):
        yield "owner", f"must be everyone, {ids[8:]}, or two of them with a colon between"
    if facts.dialect not in _BY_NAME:
        yield "dialect", f"must be one of {', '.join(_BY_NAME)}"
    if not 0 <= facts.stored <= facts.expires <= facts.gone:
        yield "stored", "stored, expires and gone must be Unix times in this order"
    numbers = (facts.size, facts.tokens_in, facts.tokens_out, facts.cost_ms)
    if min(numbers) < 0 or max(numbers) > _MOST:
        yield "size", "size, tokens_in, tokens_out and cost_ms must be from 0 to 2^53"
    if len(facts.labels) > MOST_LABELS or not all(0 <= score <= 1 for score, _ in facts.labels):
        yield (
            "labels",
            f"must be at most {MOST_LABELS} pairs of a similarity from 0 to 1 and a bool",
        )
    if not all(map(math.isfinite, (facts.gone, facts.cost_ms))):
        yield "gone", "must be finite"


def _check_answer(facts: Facts, body: bytes) -> None:
    """Whether the body is a whole answer, such as could have been kept."""
    dialect = _BY_NAME[facts.dialect]
    # Looser where only equal requests are answered: what was kept once must come back.
    asked = Query(
        facts.dialect, "", facts.model, Owners(""), b"", "", "", exact_only=Reason.UNSUPPORTED
    )
    try:
        if isinstance(dialect, Embeddings):
            unpack(body)
            return
        refusal = dialect.judge(body, streamed=facts.streamed, query=asked, strict=False).refusal
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        refusal = Reason.INVALID_JSON
    if refusal is not None:
        said = "event stream" if facts.streamed else "JSON body"
        raise BadLine(f"body: must be a whole {said} of the {dialect.name} API ({refusal.value})")
