"""What is held of the entries adds up, whatever comes, changes and goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from index.catalog import Catalog, Slot
from index.embedders.hashing import HashingEmbedder
from policies.context import answered
from policies.eviction import Bounds, Rule
from policies.values import Facts, Turn

if TYPE_CHECKING:
    from policies.values import Vector

MODEL = HashingEmbedder(64)
# A row and 85 bytes of facts with the text; a row of 96 bytes with factor, home and mark, and 32
# bytes with a name in the lists.
EXACT = 144 + 85 + len("How are you?")
SEARCHED = EXACT + 112 + 40
GROUP = len('{"group":""}') + 32
A, B, C, D, UNKNOWN = (letter * 32 for letter in "abcd0")


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
    a, b = made(A), made(B, category="code", embedding="", group=A)
    catalog.hold(a)
    catalog.hold(b)
    assert (len(catalog), catalog.size) == (2, 20 + EXACT + SEARCHED + GROUP)
    assert (catalog.counts, catalog.groups) == ({"default": 1, "code": 1}, {})
    changed = replace(b, category="default", embedding=MODEL.id, size=30)
    catalog.hold(changed)
    assert (catalog.size, catalog.counts["default"]) == (40 + 2 * SEARCHED + GROUP, 2)
    assert (catalog.counts["code"], catalog.groups) == (0, {A: 1})
    assert catalog.drop([A, B, UNKNOWN, A]) == 2
    assert (len(catalog), catalog.size, +catalog.counts, catalog.groups) == (0, 0, {}, {})


def test_use_outlives_a_change_of_facts(catalog: Catalog) -> None:
    """Hits stay with an entry whose facts change; the later of use and storing counts."""
    catalog.hold(made(A))
    catalog.touch(A, 150.0, 7)
    catalog.touch(A, 160.0, 7)
    catalog.touch(UNKNOWN, 160.0, 7)
    catalog.hold(made(A, flagged=True))
    assert catalog.slot(A) == Slot(made(A, flagged=True), 160.0, 2, 14)
    catalog.hold(made(A, stored=170.0))
    assert catalog.slot(A) == Slot(made(A, stored=170.0), 170.0, 2, 14)
    assert (catalog.slot(UNKNOWN), catalog.facts(UNKNOWN)) == (None, None)


def test_only_vectors_of_this_encoder_are_placed(catalog: Catalog) -> None:
    """An entry of another model, or matched exactly only, is found by no search."""
    entries = [made(A), made(B, embedding="other/1"), made(C, embedding="")]
    for facts in entries:
        catalog.hold(facts)
    catalog.place(entries, [vector()] * 3)
    assert found(catalog) == {A}


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ({"flagged": True}, {A}),
        ({"embedding": ""}, set()),
        ({"space": "two"}, set()),
    ],
)
def test_what_changes_is_searched_accordingly(
    catalog: Catalog, change: dict[str, object], still: set[str]
) -> None:
    """An entry that may be matched exactly only from now on, or moved, is found no longer."""
    facts = made(A)
    catalog.hold(facts)
    catalog.place([facts], [vector()])
    catalog.hold(replace(facts, **change))  # type: ignore[arg-type]
    assert found(catalog) == still
    assert found(catalog, "two") == set()
    assert len(catalog) == 1


def test_dropped_is_found_no_longer(catalog: Catalog) -> None:
    """What was dropped is found neither by name nor by meaning, and its number serves another."""
    for entry in (A, B, C):
        catalog.hold(made(entry))
    catalog.place([made(entry) for entry in (A, B, C)], [vector()] * 3)
    catalog.drop([B])
    assert (found(catalog), catalog.facts(B)) == ({A, C}, None)
    catalog.hold(made(D))
    catalog.place([made(D)], [vector()])
    assert found(catalog) == {A, C, D}


def test_what_eviction_weighs(catalog: Catalog) -> None:
    """For each entry its category, what it costs, and how it was used."""
    catalog.hold(made(A))
    catalog.hold(made(B, category="code", embedding="", cost_ms=40.0))
    catalog.touch(B, 400.0, 1)
    numbers, held = catalog.held()
    columns = (numbers, held.size, held.used, held.hits, held.cost)
    assert [tuple(row) for row in zip(*(column.tolist() for column in columns), strict=True)] == [
        (0, 10 + SEARCHED, 100.0, 0, 0.0),
        (1, 10 + EXACT, 400.0, 1, 40.0),
    ]
    assert [held.categories[place] for place in held.category] == ["default", "code"]
    assert catalog.worst(Bounds(1, 10**9, {}), Rule.LRU) == [(A, 100.0)]


def test_eviction_knows_what_is_pinned(catalog: Catalog) -> None:
    """And no longer once it is not."""
    catalog.hold(made(A, pinned=True))
    catalog.hold(made(B))
    assert catalog.held()[1].pinned.tolist() == [True, False]
    catalog.hold(made(A))
    assert catalog.held()[1].pinned.tolist() == [False, False]


def test_facts_at_hand_are_those_held(catalog: Catalog) -> None:
    """Read again, facts are the very same object until they change."""
    catalog.hold(made(A))
    facts = catalog.facts(A)
    assert catalog.facts(A) is facts == made(A)
    catalog.hold(made(A, flagged=True))
    assert catalog.facts(A) == made(A, flagged=True)
    catalog.drop([A])
    catalog.hold(made(B))
    assert (catalog.facts(A), catalog.facts(B)) == (None, made(B))


def test_who_said_so(catalog: Catalog) -> None:
    """An answer leads to the entry that holds it, the last of several, and to none when it went."""
    yes, no = answered("Yes."), answered("No.")
    catalog.hold(made(A, said=yes))
    catalog.hold(made(B, said=yes))
    catalog.hold(made(C, said=no))
    assert (catalog.saying(yes), catalog.saying(no)) == (made(B, said=yes), made(C, said=no))
    catalog.hold(made(C, said=answered("Perhaps.")))
    catalog.drop([A])
    assert (catalog.saying(yes), catalog.saying(no)) == (made(B, said=yes), None)
    catalog.drop([B])
    assert catalog.saying(yes) is None
    assert catalog.saying(Turn("assistant", "no digest")) is None


def test_members_of_a_group(catalog: Catalog) -> None:
    """Those that name the group, wherever they are."""
    for entry, group in ((A, ""), (B, A), (C, A), (D, B)):
        catalog.hold(made(entry, group=group))
    assert (catalog.members(A), catalog.members(C)) == ([B, C], [])


def test_what_is_past_its_last_use(catalog: Catalog) -> None:
    """Entries go at their `gone` time."""
    catalog.hold(made(A, gone=300.0))
    catalog.hold(made(B, gone=400.0))
    assert [catalog.gone(now) for now in (299.0, 300.0, 400.0)] == [[], [A], [A, B]]
    catalog.drop([A])
    assert catalog.gone(400.0) == [B]


def test_all_entries_are_walked_while_some_go(catalog: Catalog) -> None:
    """A walk goes over what is there when it gets there."""
    for entry in (A, B, C):
        catalog.hold(made(entry))
    walk = catalog.slots()
    assert next(walk) == Slot(made(A), 100.0)
    catalog.drop([B])
    assert [slot.facts.entry for slot in walk] == [C]


def test_no_facts_are_told_of_another_entry(catalog: Catalog) -> None:
    """While entries come and go under the same numbers, each name has its own facts or none."""
    names = [f"{n:032x}" for n in range(400)]
    over = threading.Event()

    def read() -> int:
        seen = 0
        for turn in range(1, 1_000_000):
            facts = catalog.facts(names[turn % 400])
            assert facts is None or (facts.entry, facts.size) == (names[turn % 400], turn % 400)
            seen += facts is not None
            if over.is_set():
                return seen
        return 0

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(read) for _ in range(2)]
        for turn in range(40):
            for n in range(400):
                catalog.hold(made(names[n], size=n))
                catalog.drop([names[(n * 7 + turn) % 400]])
        over.set()
        assert all(job.result(60) > 0 for job in jobs)
