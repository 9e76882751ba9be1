"""What each part of a policy may say and the whole cannot mean: floors that contradict, twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policies import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from policies.document import Document, Path
    from policies.errors import Problem
    from policies.values import CategoryRules, Rules

# How each sign is compared: as it is when requests are told apart by it.
WAYS_IN: dict[str, Callable[[str], str]] = {
    "patterns": str,
    "keywords": str.casefold,
    "models": str,
    "examples": text.normalise,
}


def conflicts(rules: Rules, document: Document) -> Iterator[Problem]:
    """Every contradiction in what `document` says, with its place."""
    written = document.at(("policy", "categories"))
    names = written if isinstance(written, dict) else {}
    own = [category for category in rules.categories if category.name in names]
    yield from _floors(rules.defaults, ("policy", "defaults"), rules, document)
    for category in own:
        path = ("policy", "categories", category.name)
        if category.threshold != rules.defaults.threshold:
            yield from _floors(category, path, rules, document)
    yield from _twins(own, document)


def _floors(
    category: CategoryRules, path: Path, rules: Rules, document: Document
) -> Iterator[Problem]:
    """A floor under which the cut already is, or above all that a request may ask for."""
    threshold = category.threshold
    floor, highest = threshold.floor, rules.overrides.threshold[1]
    if floor is None:
        return
    if threshold.delta is None and floor > threshold.start:
        said = f"the floor {floor:g} is above the threshold {threshold.start:g}; lower the floor"
        yield document.problem((*path, "threshold"), said)
    if floor > highest:
        said = (
            f"the floor {floor:g} is above {highest:g}, where `policy.overrides.threshold` ends: "
            "no request could ask for a threshold; raise that end, or lower the floor"
        )
        yield document.problem((*path, "threshold"), said)


def _twins(categories: list[CategoryRules], document: Document) -> Iterator[Problem]:
    """Categories that one and the same sign leads to: the later ones are never reached by it."""
    for way, read in WAYS_IN.items():
        first: dict[frozenset[str], str] = {}
        for category in categories:
            signs = frozenset(map(read, getattr(category, way)))
            known = first.setdefault(signs, category.name)
            if signs and known != category.name:
                said = (
                    f"the very {way} of `{known}`, so nothing tells `{category.name}` from it; "
                    "change one of them, or make the two one category"
                )
                yield document.problem(("policy", "categories", category.name, way), said)
