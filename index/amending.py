"""What may change of an entry's facts while its answer stands: group, labels, verdicts, and
whether it is searched by meaning. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from policies.values import Facts

MOST_LABELS = 64
# What may change while the answer stands.
AMENDED = ("group", "labels", "flagged", "embedding", "expires", "gone", "pinned")


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the answer stored at `until` or before; a later one under the same name is
    another answer and stays as it is. `exact`: from now on it is matched exactly only. `encoder`
    has read what another one had; what was labelled of that one's similarities goes. `expires`:
    from now on it is fresh until then, and may be served stale for as long after it as before."""

    until: float = math.inf
    group: str | None = None
    label: tuple[float, bool] | None = None
    flagged: bool | None = None
    exact: bool = False
    encoder: str = ""
    expires: float | None = None
    pinned: bool | None = None

    def onto(self, facts: Facts) -> Facts:
        if facts.stored > self.until:
            return facts
        labels, embedding = facts.labels, "" if self.exact else facts.embedding
        if self.encoder and embedding not in ("", self.encoder):
            labels, embedding = (), self.encoder
        if self.label is not None and math.isfinite(self.label[0]):
            labels = (*labels, self.label)[-MOST_LABELS:]
        expires = facts.expires if self.expires is None else self.expires
        return replace(
            facts,
            expires=expires,
            gone=facts.gone - facts.expires + expires,
            pinned=facts.pinned if self.pinned is None else self.pinned,
            group=facts.group if self.group is None else self.group,
            labels=labels,
            flagged=facts.flagged if self.flagged is None else self.flagged,
            embedding=embedding,
        )


def alike(a: Facts | None, b: Facts) -> bool:
    """Whether two facts are of one answer, whatever was amended since it was stored."""
    if a is None or a.stored != b.stored:
        return False
    return replace(a, **{name: getattr(b, name) for name in AMENDED}) == b
