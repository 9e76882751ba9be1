"""How people write amounts: durations `90s 5m 24h 30d`, sizes `512MB 1GiB`, shares `40%`.

Each reader returns a number or raises `ValueError` that says what is allowed; whoever calls adds
the place and the value that was found.
"""

from __future__ import annotations

import re
from typing import Any

DURATION = r"[0-9]+(\.[0-9]+)?[smhd]?"
SIZE = r"[0-9]+(\.[0-9]+)?([KMGT]i?)?B?"
SHARE = r"[0-9]+(\.[0-9]+)?%"

LONGEST = 36_500 * 86_400.0
LARGEST = 2**60

_NUMBER = r"(?P<number>[0-9]{1,20}(?:\.[0-9]{1,20})?) ?"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_DURATION = re.compile(_NUMBER + "(?P<unit>[smhd]?)")
_SIZE = re.compile(_NUMBER + "(?:(?P<unit>[KMGT])(?P<binary>i?))?B?", re.IGNORECASE)
_SHARE = re.compile(_NUMBER + "%")


def duration(value: Any) -> float:
    """Seconds, from 0 to 100 years."""
    seconds: float | None = None
    if _is_number(value):
        seconds = float(value)
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found["number"]) * _SECONDS[found["unit"]]
    if seconds is None:
        raise ValueError("must be a duration such as 90s, 5m, 24h or 30d, or a number of seconds")
    if not 0 <= seconds <= LONGEST:
        raise ValueError("must be a duration from 0s to 36500d")
    return seconds


def size(value: Any) -> int:
    """Bytes. `MB` is a million, `MiB` 2**20."""
    amount: float | None = None
    if _is_number(value):
        amount = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        step = 1024 if found["binary"] else 1000
        amount = float(found["number"]) * step ** _POWERS[(found["unit"] or "").upper()]
    if amount is None:
        raise ValueError("must be a size such as 512MB or 4GiB, or a number of bytes")
    if not 0 <= amount <= LARGEST:
        raise ValueError("must be a size from 0B to 1048576TiB")
    return int(amount)


def share(value: Any) -> float:
    """A fraction from 0 to 1."""
    fraction: float | None = None
    if _is_number(value):
        fraction = float(value)
    elif isinstance(value, str) and (found := _SHARE.fullmatch(value.strip())):
        fraction = float(found["number"]) / 100
    if fraction is None or not 0 <= fraction <= 1:
        raise ValueError("must be a share from 0% to 100%, or a number from 0 to 1")
    return fraction


def unit(value: Any) -> float:
    """A number from 0 to 1: the scale of similarities."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
