"""The benchmark's other paths are measured on the real thing. How good they are is not tested."""

from __future__ import annotations

import importlib.util
import math
import os
import time
from itertools import repeat

import httpx
import pytest

from index.embedders.hashing import HashingEmbedder
from proxy import paths
from proxy.bench import echo
from proxy.demo.upstream import SampleUpstream
from tests.proxy.house import uvicorn_of
from tests.proxy.wire import listening

BODY = b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "why"}]}'


def test_cpu_of_a_process_is_what_it_computed() -> None:
    """Half a second of work is half a second in /proc, as the process's own clock has it."""
    before, own = paths.cpu_of(os.getpid()), time.process_time()
    while time.process_time() - own < 0.5:
        pass
    assert paths.cpu_of(os.getpid()) - before == pytest.approx(time.process_time() - own, abs=0.1)


def test_a_call_upstream_costs_something() -> None:
    """Hundreds of calls at once are all answered, and each took some of our own CPU."""
    with uvicorn_of(SampleUpstream(latency=0.05, per_token=0)) as upstream:
        cost = paths.client_cpu(httpx.URL(upstream).port or 0, BODY, 1)
    assert 0 < cost < 1


def test_hits_beside_a_crowd_are_timed() -> None:
    """The median is of the hits, and the crowd ends with them."""
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    with listening(echo) as port:
        assert 0 < paths.beside_a_crowd(port, request, repeat(request), 0.2) < math.inf


def test_torch_is_compared_where_it_is_installed() -> None:
    """A figure where sentence-transformers is there, None where it is not."""
    share = paths.against_torch(HashingEmbedder(), repeat("why is the sky blue"), 3)
    assert (share is not None) == (importlib.util.find_spec("sentence_transformers") is not None)
    assert share is None or share > 0
