"""An upstream that is gone for a while: hits go on, few calls are tried, and then all is well."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from tests.chaos.load import Clients, Ledger, Question, p99
from tests.chaos.outcome import Outcome
from tests.faults import in_front_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.chaos.load import Answer
    from tests.chaos.outcome import Scale
    from tests.chaos.parties import Proxy, Stage
    from tests.faults import FaultProxy

PER_SECOND = 100
KNOWN = 50
RECOVERS_IN = 3.0
# After the first failures it is known that the upstream is gone; then a probe a second.
NOTICED_AFTER = 1.0
UNREACHED = 'likewise_upstream_responses_total{status="upstream_unreachable",upstream="oracle"}'
EXACT = {"x-likewise-mode": "exact"}


async def gone(at: Stage, scale: Scale) -> Outcome:
    """The upstream refuses connections while every second question is a known one."""
    way = at.stack.enter_context(in_front_of(int(at.upstream.rpartition(":")[2])))
    at.upstream = way.url
    proxy = at.proxy(f"sqlite:{at.folder}/likewise.db")
    ledger, away = Ledger(), 2 * scale.seconds
    known = [Question(f"known {number}: what follows?", EXACT) for number in range(KNOWN)]
    asked = _half(known)
    async with Clients(ledger, proxy.url) as clients:
        await asyncio.gather(*(clients.ask(question) for question in known))
        calm = await clients.pace(asked, PER_SECOND, most=scale.calm)
        most = int(PER_SECOND * (away + 2 * RECOVERS_IN))
        rough, (left, back, probes) = await asyncio.gather(
            clients.pace(asked, PER_SECOND, most=most), _outage(way, proxy, away)
        )
    hits = [a for a in rough if a.question in known]
    fresh = [a for a in rough if a.question not in known]
    dark = [a for a in fresh if a.begun > left and a.ended < back]
    again = [a for a in fresh if a.begun > back and a.good]
    took = min((a.ended for a in again), default=back + 60) - back
    settled = [a for a in fresh if a.begun > back + RECOVERS_IN]
    allowed = back - left - NOTICED_AFTER + 1
    ratio = p99([a for a in hits if left < a.begun < back]) / p99(
        [a for a in calm if a.question in known]
    )
    return Outcome(
        requests=len(ledger.answers),
        errors=sum(not a.hit for a in hits) + sum(not a.good for a in settled),
        wrong=len(ledger.wrong()) + sum(not _fair(a) for a in dark),
        recovered=bool(again),
        ratio=ratio,
        notes=() if probes <= allowed else (f"{probes:.0f} probes, {allowed:.0f} allowed",),
        late=() if took <= RECOVERS_IN else (f"recovered after {took:.1f} s",),
        told=(
            f"{probes:.0f} probes in {back - left - NOTICED_AFTER:.0f} s",
            f"an answer {took:.1f} s after its return",
        ),
    )


def _half(known: Sequence[Question]) -> Iterator[Question]:
    for number in itertools.count():
        yield known[number % len(known)]
        yield Question(f"new {number}: what follows?", EXACT)


async def _outage(way: FaultProxy, proxy: Proxy, away: float) -> tuple[float, float, float]:
    """From when until when, and how many calls were tried once it was known."""
    await asyncio.to_thread(way.vanish)
    left = time.monotonic()
    await asyncio.sleep(NOTICED_AFTER)
    before = await asyncio.to_thread(proxy.metric, UNREACHED)
    await asyncio.sleep(away - NOTICED_AFTER)
    tried = await asyncio.to_thread(proxy.metric, UNREACHED) - before
    await asyncio.to_thread(way.listen)
    return left, time.monotonic(), tried


def _fair(answer: Answer) -> bool:
    """Whether a caller who could not be served was told so, and when to come back."""
    spared = answer.status == 503 and answer.headers.get("retry-after") == "1"
    return spared or answer.status == 502
