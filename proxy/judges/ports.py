"""What a judge is. A label is worth more than an answer: who is not sure of it gives none."""

from __future__ import annotations

from typing import Protocol


class Judge(Protocol):
    """Compares two answers to a question, behind the requests and never on their way."""

    async def same(self, question: str, fresh: str, remembered: str) -> bool | None:
        """Whether both say the same.

        None where that cannot be told: an empty text, a failing model, a spent budget.
        """

    def describe(self) -> str:
        """This judge and its measure in a few words, for people."""

    def close(self) -> None: ...
