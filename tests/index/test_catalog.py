"""What is held of the entries adds up, whatever comes, changes and goes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from index.catalog import Catalog
from index.embedders.hashing import HashingEmbedder
from policies.values import Facts

if TYPE_CHECKING:
    from policies.values import Vector

MODEL = HashingEmbedder(64)
# Facts, a row of 96 bytes with factor, home and mark, and 32 bytes with a name in the lists.
EXACT, SEARCHED = 2_048, 2_048 + 112 + 40


def made(entry: str, **changes: object) -> Facts:
    facts = Facts(
        *(entry, "one", "owner", "default", "openai", "m", "", "How are you?"),
        *(100.0, 200.0, 300.0, 10),
        embedding=MODEL.id,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]


def vector(text: str = "how are you") -> Vector:
    return MODEL.embed(text).vector


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(MODEL, storage="int8", reserve=16)


def found(catalog: Catalog, space: str = "one") -> set[str]:
    within = catalog.spaces.within(space)
    return set() if within is None else {entry for entry, _ in within.search(vector(), 10)}


def test_sums_follow_what_is_held(catalog: Catalog) -> None:
    """Bytes, categories and groups count each entry once, as it is now."""
    a, b = made("a"), made("b", category="code", embedding="", group="a")
    catalog.hold(a)
    catalog.hold(b)
    assert (len(catalog), catalog.size) == (2, 20 + EXACT + SEARCHED)
    assert (catalog.counts, catalog.groups) == ({"default": 1, "code": 1}, {})
    changed = replace(b, category="default", embedding=MODEL.id, size=30)
    catalog.hold(changed)
    assert (catalog.size, catalog.counts["default"]) == (40 + 2 * SEARCHED, 2)
    assert (catalog.counts["code"], catalog.groups) == (0, {"a": 1})
    assert catalog.drop(["a", "b", "unknown"]) == [a, changed]
    assert (len(catalog), catalog.size, +catalog.counts, catalog.groups) == (0, 0, {}, {})


def test_use_outlives_a_change_of_facts(catalog: Catalog) -> None:
    """Hits stay with an entry whose facts change; the later of use and storing counts."""
    catalog.hold(made("a"))
    catalog.touch("a", 150.0, 7)
    catalog.touch("a", 160.0, 7)
    catalog.touch("unknown", 160.0, 7)
    catalog.hold(made("a", flagged=True))
    slot = catalog.slot("a")
    assert slot is not None
    assert (slot.used, slot.hits, slot.tokens_saved) == (160.0, 2, 14)
    assert slot.facts.flagged
    catalog.hold(made("a", stored=170.0))
    assert slot.used == 170.0
    assert (catalog.slot("unknown"), catalog.facts("unknown")) == (None, None)


def test_only_vectors_of_this_encoder_are_placed(catalog: Catalog) -> None:
    """An entry of another model, or matched exactly only, is found by no search."""
    entries = [made("a"), made("b", embedding="other/1"), made("c", embedding="")]
    for facts in entries:
        catalog.hold(facts)
    catalog.place(entries, [vector()] * 3)
    assert found(catalog) == {"a"}


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ({"flagged": True}, {"a"}),
        ({"embedding": ""}, set()),
        ({"space": "two"}, set()),
    ],
)
def test_what_changes_is_searched_accordingly(
    catalog: Catalog, change: dict[str, object], still: set[str]
) -> None:
    """An entry that may be matched exactly only from now on, or moved, is found no longer."""
    facts = made("a")
    catalog.hold(facts)
    catalog.place([facts], [vector()])
    catalog.hold(replace(facts, **change))  # type: ignore[arg-type]
    assert found(catalog) == still
    assert found(catalog, "two") == set()
    assert len(catalog) == 1


def test_dropped_is_found_no_longer(catalog: Catalog) -> None:
    """What was dropped is found neither by name nor by meaning, and its number serves another."""
    for entry in "abc":
        catalog.hold(made(entry))
    catalog.place([made(entry) for entry in "abc"], [vector()] * 3)
    catalog.drop(["b"])
    assert (found(catalog), catalog.facts("b")) == ({"a", "c"}, None)
    catalog.hold(made("d"))
    catalog.place([made("d")], [vector()])
    assert found(catalog) == {"a", "c", "d"}


def test_what_eviction_weighs(catalog: Catalog) -> None:
    """For each entry its category, what it costs, and how it was used."""
    catalog.hold(made("a"))
    catalog.hold(made("b", category="code", embedding="", cost_ms=40.0))
    catalog.touch("b", 400.0, 1)
    weighed = [(h.entry, h.category, h.size, h.used, h.hits, h.cost) for h in catalog.held()]
    assert weighed == [
        ("a", "default", 10 + SEARCHED, 100.0, 0, 0.0),
        ("b", "code", 10 + EXACT, 400.0, 1, 40.0),
    ]
