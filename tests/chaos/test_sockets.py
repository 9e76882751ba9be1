"""A crowd that does not go on, in short."""

from __future__ import annotations

from tests.chaos import sockets
from tests.chaos.short import nobody_notices, scenarios_of


@scenarios_of(sockets)
def test_nobody_notices(name: str) -> None:
    """Others are served as before, and the crowd is sent away."""
    nobody_notices(name)
