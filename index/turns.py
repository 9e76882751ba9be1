"""How alike the conversations before two last turns are, and the neighbours that follow from it.

What decides is `policies.context`; here are the numbers that it asks for. Earlier turns of a
running conversation were last turns once, so their vectors are mostly at hand; what is not is
embedded, and of that only so much for one request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from policies import context, text
from policies.values import Candidate, ContextMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from index.ports import Embedded, VectorIndex
    from index.texts import Texts
    from policies.values import CategoryRules, Facts, Query, Rules, Turn, Vector

NEIGHBOURS = 16
# One conversation's turns can hide behind many equal ones of others: then look this much further.
NEIGHBOURS_WIDE = 256
# Last turns further apart than this are not worth comparing what came before them.
FLOOR = 0.5


@dataclass(slots=True)
class Means:
    """What one request may compare: whose texts, of which languages, how many more embedded."""

    whose: str
    spoken: frozenset[str]
    left: int


class Turns:
    """Compares conversations, over the texts that were embedded lately and the answers kept."""

    def __init__(
        self,
        texts: Texts,
        facts: Callable[[str], Facts | None],
        saying: Callable[[Turn], Facts | None],
    ) -> None:
        """`saying` finds the entry whose answer is what was said: a client may send it back."""
        self._texts = texts
        self._facts = facts
        self._saying = saying

    def candidates(self, pairs: Sequence[tuple[str, float]]) -> list[Candidate]:
        """The entries of a search that are still there."""
        return [
            Candidate(facts, score)
            for entry, score in pairs
            if (facts := self._facts(entry)) is not None
        ]

    def nearest(
        self,
        query: Query,
        category: CategoryRules,
        rules: Rules,
        vector: Vector,
        space: VectorIndex,
    ) -> tuple[Candidate, ...]:
        """The neighbours in a space, best first; more where the nearest follow on something else.

        Blocks while it embeds.
        """
        means = Means(query.owners.key, rules.languages, category.context.max_turns)

        def search(most: int) -> list[Candidate]:
            return self.candidates(space.search(vector, most))

        near = self._compared(query, category, search(NEIGHBOURS), means)
        if len(near) < NEIGHBOURS or _followed(query, category, near):
            return tuple(near)
        wide = self._compared(query, category, search(NEIGHBOURS_WIDE), means)
        same = _followed(query, category, wide)[:NEIGHBOURS]
        return tuple(sorted([*same, near[0]], key=lambda c: -c.score) if same else near)

    def compared(
        self, query: Query, category: CategoryRules, rules: Rules, near: list[Candidate]
    ) -> list[Candidate]:
        """The candidates with their earlier turns' similarities, where those can matter."""
        means = Means(query.owners.key, rules.languages, category.context.max_turns)
        return self._compared(query, category, near, means)

    def _compared(
        self, query: Query, category: CategoryRules, near: list[Candidate], means: Means
    ) -> list[Candidate]:
        rules = category.context
        if not query.before or rules.mode is not ContextMode.MEANING:
            return near
        return [
            replace(c, turns=self._scores(query.before, c.facts.before, means))
            if c.score >= FLOOR
            and c.facts.chain != query.chain
            and context.alike(query.before, c.facts.before, rules.max_turns)
            else c
            for c in near
        ]

    def _scores(
        self, asked: Sequence[Turn], remembered: Sequence[Turn], means: Means
    ) -> tuple[float, ...]:
        """Pairwise; the users' texts are looked at last, as they may have to be embedded."""
        pairs = list(zip(asked, remembered, strict=True))
        if any(not self._fits(ours, theirs) for ours, theirs in pairs):
            return tuple(float(self._fits(ours, theirs)) for ours, theirs in pairs)
        scores = [
            self._score(ours.text, theirs.text, means) if ours.role == context.USER else 1.0
            for ours, theirs in pairs
        ]
        known = [score for score in scores if score is not None]
        return tuple(known) if len(known) == len(pairs) else ()

    def _fits(self, ours: Turn, theirs: Turn) -> bool:
        """Whether two turns may be alike for all that a digest tells."""
        if ours.rest == theirs.rest:
            return True
        group = self._group(ours) if ours.role == context.ASSISTANT else None
        return group is not None and group == self._group(theirs)

    def _group(self, said: Turn) -> str | None:
        """The group of answers that this one belongs to, where it is one of those kept."""
        facts = self._saying(said)
        return None if facts is None else facts.group or facts.entry

    def _score(self, ours: str, theirs: str, means: Means) -> float | None:
        """Their cosine; None where a vector is not at hand and no more may be made."""
        if text.normalise(ours) == text.normalise(theirs):
            return 1.0
        if any(text.embeddable(said, means.spoken) is not None for said in (ours, theirs)):
            return 0.0
        one, other = self._vector(ours, means), self._vector(theirs, means)
        if one is None or other is None:
            return None
        return 0.0 if _unread(one) or _unread(other) else _cosine(one.vector, other.vector)

    def _vector(self, raw: str, means: Means) -> Embedded | None:
        known = self._texts.known(raw, means.whose)
        if known is None and means.left > 0:
            means.left -= 1
            known = self._texts.embedded(raw, means.whose)
        return known


def _followed(query: Query, category: CategoryRules, near: list[Candidate]) -> list[Candidate]:
    """Those that follow on the same conversation."""
    return [c for c in near if context.difference(query, c, category) is None]


def _unread(embedded: Embedded) -> bool:
    return embedded.truncated or embedded.unknown


def _cosine(one: Vector, other: Vector) -> float:
    return min(1.0, max(0.0, float(one @ other)))
