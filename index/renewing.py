"""Another model: entries get a vector of it behind the requests, so that nothing goes cold.

Until an entry has one it is matched exactly only: vectors of two encoders are never compared. What
was of use last comes first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from index.errors import StoreError
from index.faults import Told

if TYPE_CHECKING:
    from index.memory import Memory

LOG = logging.getLogger("likewise.renewing")
TOLD = Told(LOG)
REST_SECONDS = 5.0


async def renew(memory: Memory, rate: float) -> int:
    """Embed entries that another encoder read, at most `rate` a second; how many were.

    One pass: what others store meanwhile with their encoder stays theirs, or two models that run
    side by side would take the entries from each other for ever.
    """
    entries = await asyncio.to_thread(memory.catalog.foreign) if rate else []
    if entries:
        LOG.info("%d entries are of another model; embedding %g a second", len(entries), rate)
    renewed, due = 0, 0.0
    for entry in entries:
        due = max(due, time.monotonic()) + 1 / rate
        renewed += await _renewed(memory, entry)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
    if entries:
        LOG.info("%d entries of another model were embedded anew", renewed)
    return renewed


async def _renewed(memory: Memory, entry: str) -> bool:
    """Whether it is; tried again for as long as the store does not answer."""
    while True:
        try:
            return await memory.renew(entry)
        except StoreError as fault:
            TOLD.warn("renewing", str(fault))
            await asyncio.sleep(REST_SECONDS)
