"""What is kept at hand, and what goes first."""

from __future__ import annotations

import pytest

from index.shelf import Shelf


def test_the_least_recently_used_goes_first() -> None:
    """Reading counts as use, and one too many pushes out the one longest unused."""
    shelf: Shelf[str] = Shelf(2)
    shelf.put("a", "1")
    shelf.put("b", "2")
    assert shelf.get("a") == "1"
    shelf.put("c", "3")
    assert [shelf.get(key) for key in "abc"] == ["1", None, "3"]


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [([4, 4, 2], [4, 4, 2]), ([4, 4, 4], [None, 4, 4]), ([11], [None]), ([9, 11], [9, None])],
)
def test_weight_is_bounded(sizes: list[int], kept: list[int | None]) -> None:
    """Together never over ten; what alone is heavier is not kept and pushes nothing out."""
    shelf: Shelf[bytes] = Shelf(10, len)
    for key, size in enumerate(sizes):
        shelf.put(key, bytes(size))
    found = [shelf.get(key) for key in range(len(sizes))]
    assert [None if one is None else len(one) for one in found] == kept


def test_a_replaced_or_removed_value_gives_its_room_back() -> None:
    """Weights are those of what is there now."""
    shelf: Shelf[bytes] = Shelf(10, len)
    shelf.put("a", bytes(9))
    shelf.put("a", bytes(2))
    shelf.put("b", bytes(8))
    assert len(shelf) == 2
    shelf.pop("a")
    shelf.pop("never there")
    shelf.put("c", bytes(2))
    assert [shelf.get(key) is not None for key in "abc"] == [False, True, True]
