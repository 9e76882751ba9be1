"""Cache-Status of every kind of answer (RFC 9211), read by a parser of structured fields."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import http_sf
import pytest

from policies.verdicts import Reason
from tests.proxy.house import House, serving, until, uvicorn_of, with_oracle
from tests.proxy.wire import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

KEY = "sk-status"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
# RFC 9211 §2.2, where this cache has a use for them.
FORWARDS = {"bypass", "miss", "request", "stale", "partial"}
TYPES = {"hit": bool, "fwd": http_sf.Token, "fwd-status": int, "ttl": int, "stored": bool,
         "collapsed": bool, "detail": http_sf.Token}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    windows = {"stale_while_revalidate": "1s", "stale_if_error": "1h"}
    policy = {"defaults": windows}
    with with_oracle(tmp_path_factory.mktemp("status"), policy=policy) as running:
        yield running


def status(answer: httpx.Response) -> dict[str, Any]:
    """The members of our one list member, each of the type that the RFC gives it."""
    lines = answer.headers.get_list("cache-status")
    ((name, members),) = http_sf.parse(lines[-1].encode(), tltype="list")[-1:]
    assert str(name) == "likewise"
    assert all(type(value) is TYPES[key] for key, value in members.items())
    assert ("hit" in members) != ("fwd" in members)
    assert str(members["detail"]) in set(Reason)
    assert str(members.get("fwd", "miss")) in FORWARDS
    return {key: str(v) if TYPES[key] is http_sf.Token else v for key, v in members.items()}


@pytest.mark.parametrize("stream", [False, True])
def test_every_kind_of_answer_has_a_sound_status(house: House, stream: bool) -> None:
    """Miss, hits, bypass, write-only, expired, error and stale: parsed, typed, and as meant."""
    key = f"{KEY}-{stream}"

    def ask(prompt: str, headers: dict[str, str] | None = None, **rest: Any) -> dict[str, Any]:
        return status(house.chat(prompt, key, headers, stream=stream, **rest))

    stored = {} if stream else {"stored": True}
    assert ask(SKY) == {"fwd": "miss", "detail": "empty"} | stored
    hit = ask(SKY)
    assert (hit.pop("ttl") > 86_000, hit) == (True, {"hit": True, "detail": "exact"})
    assert ask(SKY_AGAIN)["detail"] == "semantic"
    assert ask(SKY, store=True) == {"fwd": "bypass", "detail": "stateful"}
    again = ask(SKY, {"cache-control": "no-cache"})
    assert again == {"fwd": "request", "detail": "write-only"} | stored
    failed = ask("What is a fjord?", {"x-oracle-mode": "status:500"})
    assert failed == {"fwd": "miss", "detail": "below-threshold"}


def test_stale_answers_have_a_sound_status(house: House) -> None:
    """A negative time to live on a hit; the upstream's status on a stand-in."""
    key = f"{KEY}-stale"
    house.chat(SKY, key, {"x-likewise-ttl": "1s"})
    time.sleep(1.1)
    failing = {"x-oracle-mode": "status:503"}
    stale = status(house.chat(SKY, key, failing))
    assert stale == {"hit": True, "ttl": stale["ttl"], "detail": "stale-while-revalidate"}
    assert stale["ttl"] < 0

    def stands_in() -> bool:
        told = status(house.chat(SKY, key, failing))
        wanted = {"fwd": "stale", "fwd-status": 503, "detail": "stale-if-error"}
        return told == wanted

    until(stands_in)


def test_an_upstreams_own_status_stays_in_front(tmp_path: Path) -> None:
    """Two caches in a row: the nearest to the caller speaks last (RFC 9211 §2)."""

    async def cached(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        head = [(b"content-type", b"application/json"), (b"cache-status", b"edge; hit; ttl=3")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"{}"})

    with uvicorn_of(cached) as upstream, serving(tmp_path, upstream) as behind:
        answer = behind.chat(SKY, KEY)
    listed = http_sf.parse(answer.headers["cache-status"].encode(), tltype="list")
    assert [str(name) for name, _ in listed] == ["edge", "likewise"]
    assert status(answer) == {"fwd": "miss", "detail": "empty"}
