"""The vocabulary of checks: how a wrong value is shown. What is refused stands in golden cases."""

from policies.checked import show


def test_show_is_short() -> None:
    """A wrong value is shown in one short line."""
    assert show("x" * 500) == "'" + "x" * 39 + "..."
    assert show("a\nb") == r"'a\nb'"
    assert [show(v) for v in ([1], {}, None, True, 3)] == [
        "a list", "an empty mapping", "nothing", "true", "3",
    ]  # fmt: skip
