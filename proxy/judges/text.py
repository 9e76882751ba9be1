"""Two answers are the same when their words are."""

from __future__ import annotations

from policies import sameness


class TextJudge:
    """For answers that do not vary: case, spacing, list marks and polite phrases do not count."""

    async def same(self, question: str, fresh: str, remembered: str) -> bool | None:  # noqa: ARG002 - the port's shape
        one, other = (sameness.plain(answer) for answer in (fresh, remembered))
        return one == other if one and other else None

    def describe(self) -> str:
        return "judge: text, equal but for spacing, case and marks"

    def close(self) -> None:
        """Nothing is held."""
