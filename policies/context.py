"""The conversation before the last turn: whether two of them may share an answer.

A chain is the digest of the earlier user, assistant and tool turns, in order; the empty chain is a
standalone question. Turning messages into a chain is the dialects' work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies.values import ContextMode

if TYPE_CHECKING:
    from policies.values import ContextRules


def compatible(asked: str, remembered: str, rules: ContextRules) -> bool:
    """Whether an entry of chain `remembered` may answer a query of chain `asked`."""
    return rules.mode is ContextMode.OFF or asked == remembered
