"""What went wrong in memory: counted, and told in a log that a lasting fault does not fill."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

AGAIN_SECONDS = 60.0
# Kinds that are told apart; what comes after so many is one kind.
KINDS = 200

# Messages that differ in names, numbers and quoted words alone are of one kind.
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{8,}\b|\d+")


class Told:
    """A log that has one line for each kind of fault, and after a minute another one that says how
    many more there were."""

    def __init__(
        self, log: logging.Logger, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._monotonic = monotonic
        # By kind: when there may be a line again, and how many were left out since the last.
        self._kinds: dict[str, tuple[float, int]] = {}

    def warn(self, part: str, message: str) -> None:
        """Say what failed in which part, if it is time."""
        kind = f"{part}: {_PARTICULAR.sub('#', message)}"
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            kind = ""
        now = self._monotonic()
        due, more = self._kinds.get(kind, (now, 0))
        if now < due:
            self._kinds[kind] = due, more + 1
            return
        self._kinds[kind] = now + AGAIN_SECONDS, 0
        self._log.warning("%s: %s%s", part, message, f" ({more} more like it)" if more else "")


@dataclass
class Faults:
    """Counted failures of memory's parts, for metrics and health. `last` is what each part said
    last."""

    told: Told
    embed: int = 0
    embed_timeout: int = 0
    store_read: int = 0
    store_write: int = 0
    fleet: int = 0
    last: dict[str, str] = field(default_factory=dict)

    def note(self, part: str, message: str) -> None:
        """Count a failure of the part of that name."""
        setattr(self, part, getattr(self, part) + 1)
        self.last[part] = message
        self.told.warn(part.replace("_", " "), message)
