"""Can a caller tell by the clock what another one has asked?

The protocol of "Auditing Prompt Caching in Language Model APIs" (2025): a victim asks, then the
attacker times the same prompt and one that nobody asked, and a Kolmogorov-Smirnov test compares the
two samples. Which of the two comes first is drawn, so that a busy machine is no signal.
"""

from __future__ import annotations

import http.client
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
from scipy.stats import ks_2samp

from tests.proxy.house import body
from tests.security.finding import NOUNS, SEED, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.chaos.parties import Stage
    from tests.security.finding import Scale

PATH = "/v1/chat/completions"
PATIENCE = 30.0
UNSEEN, SEEN = 1e-3, 1e-8
# How the attacker asks: so that upstream's own time adds no noise, and as everybody does.
WAYS: Mapping[str, Mapping[str, str]] = {
    "only-if-cached": {"cache-control": "only-if-cached"},
    "plain": {},
    "exact": {"cache-control": "only-if-cached", "x-likewise-mode": "exact"},
}
# A hit by the letter takes no longer than a miss by the letter: there is nothing to see in time.
UNTOLD = frozenset({"exact"})


class Line:
    """A caller's kept-alive connection."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    def ask(self, prompt: str, headers: Mapping[str, str]) -> float:
        """Seconds until the whole answer was there."""
        sent = orjson.dumps(body(prompt))
        begun = time.perf_counter()
        self._connection.request("POST", PATH, sent, self._headers | dict(headers))
        self._connection.getresponse().read()
        return time.perf_counter() - begun

    def close(self) -> None:
        self._connection.close()


Times = tuple[list[float], list[float]]


def prompts(dice: random.Random) -> Iterator[str]:
    """Without end, never the same twice, all of the same form and length in words."""
    while True:
        yield f"How does a {' '.join(dice.sample(NOUNS, 6))} look from {dice.getrandbits(40)}?"


@contextmanager
def lines(url: str, *keys: str) -> Iterator[list[Line]]:
    opened = [Line(url, key) for key in keys]
    try:
        yield opened
    finally:
        for line in opened:
            line.close()


def timed(url: str, dice: random.Random, keys: tuple[str, str], way: str, samples: int) -> Times:
    """The attacker's times for what the victim had asked, and for what nobody had."""
    asked, seen, unseen = prompts(dice), [], []
    headers = WAYS[way]
    plain = {k: v for k, v in headers.items() if k != "cache-control"}
    with lines(url, *keys) as (victim, attacker):
        for _ in range(samples):
            known, other, fresh = (next(asked) for _ in range(3))
            victim.ask(known, plain)
            victim.ask(other, plain)
            tries: list[tuple[list[float], str]] = [(seen, known), (unseen, fresh)]
            dice.shuffle(tries)
            for times, prompt in tries:
                times.append(attacker.ask(prompt, headers))
    return seen, unseen


def p_value(times: Times) -> float:
    """The chance that two samples of one distribution differ by so much."""
    return float(ks_2samp(*times).pvalue)


def runs(url: str, keys: tuple[str, str], way: str, scale: Scale) -> Times:
    """The times of all runs, pooled."""
    seen, unseen = [], []
    for run in range(scale.runs):
        dice = random.Random(f"{SEED} {keys} {way} {run}")  # noqa: S311 - repeatable
        some, others = timed(url, dice, keys, way, scale.samples)
        seen += some
        unseen += others
    return seen, unseen


def check(at: Stage, scale: Scale) -> list[Finding]:
    """Under different keys nothing shows; under the same key, hits show, so the test can see."""
    url = at.proxy(f"sqlite:{at.folder}/likewise.db").url
    findings = []
    for way in WAYS:
        strangers = runs(url, (f"sk-victim-{way}", f"sk-attacker-{way}"), way, scale)
        findings.append(found(f"timing, {way}, two keys", strangers, hidden=True))
        if way not in UNTOLD:
            peers = runs(url, (f"sk-peer-{way}", f"sk-peer-{way}"), way, scale)
            findings.append(found(f"timing, {way}, one key (control)", peers, hidden=False))
    return findings


def found(what: str, times: Times, *, hidden: bool) -> Finding:
    p = p_value(times)
    bound = f"> {UNSEEN:g}" if hidden else f"< {SEEN:g}"
    holds = p > UNSEEN if hidden else p < SEEN
    return Finding(what, sum(map(len, times)), f"p = {p:.2g}", bound, holds)
