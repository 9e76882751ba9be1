"""Request bytes to one canonical form, and digests over it. Strict: what is keyed is what is sent.

Numbers that are equal are written alike (1 and 1.0), object keys are sorted, array order stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import orjson

MAX_DEPTH = 100
_LEAST, _LARGEST = -(2**63), 2**64 - 1
# The last form: a fraction longer than a float's 15 sure digits may round to a whole number.
_FLOATS = re.compile(rb"\d\.0*(?![0-9])|\d\.\d*[eE]|\d[eE][+-]?\d|\d[\d.]{16}")


class BadBody(ValueError):
    """A body that may not be forwarded; `code` is the error code the caller sees."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`.

    Raises `BadBody` for anything that two parsers could read differently: bad JSON, invalid
    UTF-8, lone surrogates, NaN, numbers out of range, duplicate keys, more than 100 levels.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as fault:
        raise BadBody("invalid_json", f"The request body is not valid JSON: {fault}") from None
    if not isinstance(value, dict):
        raise BadBody("invalid_json", "The request body must be a JSON object.")
    try:
        json.loads(raw, object_pairs_hook=_unique, parse_int=_bounded, parse_float=_finite)
    except BadBody:
        raise
    except (RecursionError, ValueError) as fault:
        raise BadBody("invalid_json", f"The request body cannot be read: {fault}") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise BadBody("invalid_json", f"The request body is nested deeper than {MAX_DEPTH}.")
    return value


def encode(value: Any, *, floats: bool = True) -> bytes:
    """Canonical JSON. `floats=False` skips the number rule where no number could need it."""
    return orjson.dumps(_numbers(value) if floats else value, option=orjson.OPT_SORT_KEYS)


def has_floats(raw: bytes) -> bool:
    """Whether some number in `raw` may need the number rule (a cheap over-estimate)."""
    return _FLOATS.search(raw) is not None


def digest(*parts: bytes) -> bytes:
    """SHA-256 over length-prefixed parts."""
    state = hashlib.sha256()
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


def depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, level = 0, [value]
    while level:
        deepest += 1
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below.extend(v for v in one.values() if isinstance(v, dict | list))
            elif isinstance(one, list):
                below.extend(v for v in one if isinstance(v, dict | list))
        level = below
    return deepest


def _numbers(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadBody("duplicate_key", f"The key {twice[:80]!r} appears twice.", twice[:80])
    return made


def _bounded(digits: str) -> int:
    # Beyond 64 bits the fast parser falls back to a float, and two numbers would share a key.
    if len(digits) > len(str(_LARGEST)) or not _LEAST <= (value := int(digits)) <= _LARGEST:
        raise BadBody("invalid_json", "A number in the request body is out of range.")
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise BadBody("invalid_json", "A number in the request body is out of range.")
    return value
