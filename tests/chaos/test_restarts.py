"""A rolling restart, in short."""

from __future__ import annotations

from tests.chaos import restarts
from tests.chaos.short import nobody_notices, scenarios_of


@scenarios_of(restarts)
def test_nobody_notices(name: str) -> None:
    """No request fails and no stream is cut, whoever restarts."""
    nobody_notices(name)
