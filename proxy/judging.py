"""Fresh answers compared with remembered ones, behind the requests: where labels come from.

Nobody waits for a label. What does not fit into the queue is dropped and counted, and what cannot
be told yields no label.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from index.memory import Memory
    from policies.values import Facts
    from proxy.dialects.ports import Dialect
    from proxy.judges.ports import Judge

LOG = logging.getLogger("likewise.judging")

QUEUE = 256
# Characters of an answer; what is longer is not queued, nor compared.
LONGEST = 64_000
# Reading a body of this many bytes takes long enough to be noticed by everybody else.
SLOW_BYTES = 262_144
# Seconds after which a case is given up, whatever the judge is doing.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """A fresh answer to a question, and the entry whose answer might have stood in for it.

    `study` is handed to `on_label` as it is.
    """

    question: str
    fresh: str
    remembered: Facts
    dialect: Dialect
    study: Any = None


class Judging:
    """A bounded queue and the one task that works through it. Belongs to one event loop.

    `counts` tells what became of the cases: `same`, `different`, `unknown` (no label), `gone` (no
    remembered answer any more), `dropped` (not queued). `judge` may be replaced at any time.
    """

    def __init__(
        self,
        judge: Judge,
        memory: Memory,
        on_label: Callable[[Case, bool], None],
        *,
        bound: int = QUEUE,
    ) -> None:
        self.judge = judge
        self.counts: Counter[str] = Counter()
        self._memory = memory
        self._on_label = on_label
        self._queue: asyncio.Queue[Case] = asyncio.Queue(bound)
        self._closed = False
        self._worker: asyncio.Task[None] | None = None

    def describe(self) -> str:
        return self.judge.describe()

    def submit(self, case: Case) -> bool:
        """Queue a case; never blocks. False where it was dropped."""
        fits = not self._closed and len(case.fresh) <= LONGEST and not self._queue.full()
        if not fits:
            self.counts["dropped"] += 1
            return False
        self._queue.put_nowait(case)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return True

    def adopt(self, judge: Judge) -> None:
        """Let another judge take over from the next case on."""
        self.judge.close()
        self.judge = judge

    async def idle(self) -> None:
        """Wait until all that is queued now has been worked through."""
        await self._queue.join()

    async def close(self) -> None:
        """Give up what is queued, and end the judge."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        self.judge.close()

    async def _work(self) -> None:
        while True:
            case = await self._queue.get()
            try:
                async with asyncio.timeout(PATIENCE):
                    outcome = await self._judged(case)
                self.counts[outcome] += 1
            except TimeoutError:
                self.counts["unknown"] += 1
            except Exception:
                self.counts["unknown"] += 1
                LOG.exception("judging an answer failed")
            finally:
                self._queue.task_done()

    async def _judged(self, case: Case) -> str:
        remembered = await self._remembered(case)
        if remembered is None:
            return "gone"
        same = await self.judge.same(case.question, case.fresh, remembered)
        if same is None:
            return "unknown"
        self._on_label(case, same)
        return "same" if same else "different"

    async def _remembered(self, case: Case) -> str | None:
        """The remembered answer's text; None where it is gone, replaced, or not to be compared."""
        record = await self._memory.read(case.remembered)
        if record is None or record.facts.stored != case.remembered.stored:
            return None
        body, streamed = record.body, record.facts.streamed
        if len(body) > SLOW_BYTES:
            text = await asyncio.to_thread(said, case.dialect, body, streamed=streamed)
        else:
            text = said(case.dialect, body, streamed=streamed)
        return None if text is None or len(text) > LONGEST else text


def said(dialect: Dialect, answer: bytes, *, streamed: bool) -> str | None:
    """A whole answer's text for comparing; None where it has none, whatever it is."""
    try:
        return dialect.said(answer, streamed=streamed)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
