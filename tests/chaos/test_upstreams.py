"""An upstream that is gone, in short."""

from __future__ import annotations

from tests.chaos import upstreams
from tests.chaos.short import nobody_notices, scenarios_of


@scenarios_of(upstreams)
def test_nobody_notices(name: str) -> None:
    """What is known is served as before, and the rest when it is back."""
    nobody_notices(name)
