"""Purges on one replica while another serves, in short."""

from __future__ import annotations

from tests.chaos import purging
from tests.chaos.short import nobody_notices, scenarios_of


@scenarios_of(purging)
def test_nobody_notices(name: str) -> None:
    """A purged answer is served nowhere."""
    nobody_notices(name)
