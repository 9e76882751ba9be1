"""What breaks under the memory, in short."""

from __future__ import annotations

from tests.chaos import scenarios
from tests.chaos.short import nobody_notices, scenarios_of


@scenarios_of(scenarios)
def test_nobody_notices(name: str) -> None:
    """No client gets an error or a wrong answer, and the cache recovers, when its store fails."""
    nobody_notices(name)
