"""Answer groups: by whose name, and who has to be asked."""

from __future__ import annotations

from dataclasses import replace

from policies import groups
from policies.values import Facts

ALONE = Facts("e" * 32, "space", "o", "default", "chat", "m", "", "text", 1.0, 2.0, 3.0, 1)


def test_who_stands_alone_is_its_own_group() -> None:
    """Its name is its entry's, and nobody else has to be asked."""
    assert groups.of(ALONE) == ALONE.entry
    assert groups.founder(ALONE) is None


def test_a_member_bears_its_founder_s_name() -> None:
    """A newcomer is compared with the founder too, unless it is compared with it already."""
    member = replace(ALONE, group="f" * 32)
    assert groups.of(member) == groups.founder(member) == "f" * 32
    assert groups.founder(replace(ALONE, group=ALONE.entry)) is None
