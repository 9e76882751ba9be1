"""What RAM lacks is known to be lacking, and what is past stays past."""

from __future__ import annotations

from index.loading import Loading


def test_nothing_is_awaited_of_a_store_that_is_loaded() -> None:
    """Before loading begins and after it ends, RAM has all there is."""
    loading = Loading()
    assert (loading.under_way, loading.awaits("a")) == (False, False)
    loading.begin()
    loading.count = 1_234
    assert (loading.under_way, loading.awaits("a")) == (True, True)
    assert str(loading) == "loading, 1,234 entries so far"
    loading.end()
    assert (loading.under_way, loading.awaits("a"), loading.count) == (False, False, 1_234)


def test_what_was_forgotten_is_not_awaited() -> None:
    """An entry forgotten meanwhile is past, until it is kept anew; only while loading."""
    loading = Loading()
    loading.forget(["a"])
    loading.begin()
    assert not loading.forgotten("a")
    loading.forget(["a", "b"])
    loading.keep("b")
    loading.keep("c")
    assert [loading.forgotten(entry) for entry in "abc"] == [True, False, False]
    assert [loading.awaits(entry) for entry in "abc"] == [False, True, True]
    loading.end()
    assert not loading.forgotten("a")


def test_a_second_try_counts_anew() -> None:
    """Begun again after a fault, what was forgotten before is still past."""
    loading = Loading()
    loading.begin()
    loading.count = 7
    loading.forget(["a"])
    loading.begin()
    assert (loading.count, loading.forgotten("a")) == (0, True)
