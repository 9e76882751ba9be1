"""A short version of the scenarios of one module, for its test file.

Times are not looked at here: other tests may run beside these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.outcome import Scale
from tests.chaos.parties import Absent
from tests.chaos.scenarios import SCENARIOS, play
from tests.servers import redis_binary

if TYPE_CHECKING:
    from types import ModuleType

SHORT = Scale(kills=2, calm=50, requests=250, seconds=1.0, purges=3)


def scenarios_of(module: ModuleType) -> pytest.MarkDecorator:
    """Runs a test with the name of each scenario that is written there."""
    names = [name for name, one in SCENARIOS.items() if one.__module__ == module.__name__]
    assert names
    return pytest.mark.parametrize("name", names)


def nobody_notices(name: str) -> None:
    """Play it; fails where a client got an error or a wrong answer, or the cache did not recover,
    and skips where what it is about cannot be had here."""
    if any(word in name for word in ("redis", "purges", "rolling")):
        redis_binary()
    try:
        outcome = play(SCENARIOS[name], SHORT)
    except Absent as absent:
        pytest.skip(str(absent))
    assert outcome.requests > 50
    assert outcome.broken(timed=False) == []
