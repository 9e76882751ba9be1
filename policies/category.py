"""Which category a query belongs to, and so which policy rules it.

Order, first match wins: the request's header, patterns, keywords, model names, then the nearest
centroid of examples with a margin. What fits nowhere falls to the defaults.

How good examples are as a sign, with MiniLM and eight domains of CLINC150 as categories (15 intents
each): 5 examples of each bring 40% of the other questions to their own category and 4% to another,
10 examples 50% and 3%; the rest falls to the defaults. Of questions out of every domain 7% and 9%
are taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import re2

if TYPE_CHECKING:
    from policies.values import CategoryRules, Query, Rules, Vector

# Chosen there, so that nine guesses in ten are right: a floor of 0.25 takes 11% of what belongs
# nowhere, one of 0.4 lets 70% of all questions go; half the margin makes twice the wrong guesses.
FLOOR = 0.3
MARGIN = 0.1
_LETTER = r"\pL\pM\pN_"
# Scripts that put no space between words: a keyword stands inside a run of letters there.
_UNSPACED = re2.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")


@dataclass(frozen=True, slots=True)
class Centroids:
    """Unit vectors of the categories that have examples, one row each, in policy order."""

    names: tuple[str, ...]
    rows: Vector


@dataclass(frozen=True, slots=True)
class Guess:
    """The nearest centroid and the next; scores are cosines. `name` is None under the margin."""

    name: str | None
    best: str
    score: float
    runner_up: str = ""
    runner_up_score: float = 0.0

    @property
    def doubt(self) -> str:
        """Why the nearest is not taken; empty where it is."""
        if self.name is not None:
            return ""
        return f"below {FLOOR:g}" if self.score < FLOOR else f"less than {MARGIN:g} apart"


def declared(query: Query, rules: Rules) -> CategoryRules | None:
    """The category that can be told without an embedding, if any."""
    if query.directives.category is not None:
        return rules.named(query.directives.category)
    text = query.text
    for category in rules.categories:
        if category.patterns and any(_compiled(p).search(text) for p in category.patterns):
            return category
    for category in rules.categories:
        if category.keywords and _words(category.keywords).search(text):
            return category
    for category in rules.categories:
        if any(fnmatchcase(query.model, glob) for glob in category.models):
            return category
    return None


def nearest(vector: Vector, centroids: Centroids) -> Guess | None:
    """The category whose examples lie nearest; None when no category has examples."""
    if not centroids.names:
        return None
    scores = centroids.rows @ vector
    order = np.argsort(-scores, kind="stable")
    best, score = centroids.names[order[0]], float(scores[order[0]])
    second, second_score = "", 0.0
    if len(order) > 1:
        second, second_score = centroids.names[order[1]], float(scores[order[1]])
    clear = score >= FLOOR and (not second or score - second_score >= MARGIN)
    return Guess(best if clear else None, best, score, second, second_score)


def centroids(vectors: dict[str, list[Vector]]) -> Centroids:
    """Mean of each category's example vectors, brought back to unit length."""
    names = tuple(vectors)
    if not names:
        return Centroids((), np.zeros((0, 1), np.float32))
    rows = np.stack([np.mean(np.stack(vectors[name]), axis=0) for name in names])
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return Centroids(names, rows.astype(np.float32))


def twins(centroids: Centroids) -> list[tuple[str, str, float]]:
    """Pairs of categories so near that hardly a question can be told to be of one of them."""
    scores = centroids.rows @ centroids.rows.T
    pairs = np.argwhere(np.triu(scores > 1 - MARGIN, k=1))
    names = centroids.names
    return [(names[a], names[b], float(scores[a, b])) for a, b in pairs]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return re2.compile("(?i)" + pattern)


@lru_cache(maxsize=256)
def _words(keywords: tuple[str, ...]) -> Any:
    """Any of the keywords, as whole words where the script has such."""
    inside = [re2.escape(word) for word in keywords if _UNSPACED.search(word)]
    apart = "|".join(re2.escape(word) for word in keywords if not _UNSPACED.search(word))
    bounded = [rf"(?:^|[^{_LETTER}])(?:{apart})(?:$|[^{_LETTER}])"] if apart else []
    return re2.compile("(?i)" + "|".join(bounded + inside))
