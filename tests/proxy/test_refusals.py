"""A key that upstream turned down gets nothing from memory until upstream takes it again."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import StoreError
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies.values import Owners, Query
from proxy.demo.oracle import OracleUpstream
from proxy.identity import hash_key
from proxy.refusals import KNOWN, STRANGERS, Refusals, name
from tests.contract.test_bodies import record
from tests.proxy.house import House, serving, until, uvicorn_of, with_oracle
from tests.proxy.test_batch import Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.servers import RedisServer

SKY, SKY_AGAIN, TIDES = "Why is the sky blue?", "why is the sky blue", "How do tides work?"
ONLY_CACHED = {"cache-control": "only-if-cached"}
QUERY = Query("chat", "u http://u", "m", Owners("k"), b"f", "", SKY)


def answering(status: int) -> dict[str, str]:
    """How the oracle is told to answer with a status."""
    return {"x-oracle-mode": f"status:{status}"}


def reason(answer: httpx.Response) -> str:
    return answer.headers["x-likewise-reason"]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("refusals")) as running:
        yield running


# -- in front of an upstream ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_key_gets_no_hits(house: House, status: int, *, stream: bool) -> None:
    """Neither exact nor by meaning, whole or streamed; upstream's word is passed on instead."""
    key = f"sk-{status}-{stream}"
    house.chat(SKY, key)
    assert house.chat(SKY, key).headers["x-cache"] == "HIT"
    assert house.chat(TIDES, key, answering(status)).status_code == status
    for prompt in (SKY, SKY_AGAIN):
        answer = house.chat(prompt, key, answering(status), stream=stream)
        assert (answer.status_code, reason(answer)) == (status, "key-refused")
        assert "fwd=bypass" in answer.headers["cache-status"]
        assert house.chat(prompt, key, ONLY_CACHED, stream=stream).status_code == 504
    assert house.calls(key) == 4


def test_accepted_again_it_has_what_it_had(house: House) -> None:
    """One success brings every hit back, the answer that came with it included."""
    key = "sk-again"
    house.chat(SKY, key)
    house.chat(TIDES, key, answering(401))
    fresh = house.chat(TIDES, key)
    assert (fresh.status_code, reason(fresh)) == (200, "key-refused")
    for prompt in (SKY, SKY_AGAIN, TIDES):
        assert house.chat(prompt, key).headers["x-cache"] == "HIT"


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_other_errors_are_no_word_on_the_key(house: House, status: int) -> None:
    """An upstream that is down, or dislikes a request, neither takes hits away nor gives them."""
    good, bad = f"sk-good-{status}", f"sk-bad-{status}"
    for key in (good, bad):
        house.chat(SKY, key)
    house.chat(TIDES, bad, answering(401))
    for key in (good, bad):
        house.chat(TIDES, key, answering(status))
    assert house.chat(SKY, good).headers["x-cache"] == "HIT"
    assert house.chat(SKY, bad, ONLY_CACHED).status_code == 504


def test_an_outage_serves_no_stale_answer_to_a_refused_key(tmp_path: Path) -> None:
    """What stands in for an upstream that is down is not for those whom it turned away."""
    defaults = {"ttl": "1s", "stale_while_revalidate": "0s", "stale_if_error": "1h"}
    with with_oracle(tmp_path, policy={"defaults": defaults}) as house:
        for key in ("sk-good", "sk-bad"):
            house.chat(SKY, key)
        house.chat(TIDES, "sk-bad", answering(401))
        until(lambda: house.chat(SKY, "sk-good", ONLY_CACHED).status_code == 504)
        down = answering(503)
        assert house.chat(SKY, "sk-good", down).headers["x-cache"] == "STALE"
        assert house.chat(SKY, "sk-bad", down).status_code == 503


def test_nobody_else_is_refused_with_it(house: House) -> None:
    """One key's refusal is no other key's."""
    for key in ("sk-one", "sk-two"):
        house.chat(SKY, key)
    house.chat(TIDES, "sk-one", answering(401))
    assert house.chat(SKY, "sk-two").headers["x-cache"] == "HIT"


def test_a_refused_key_waits_for_nobodys_answer(tmp_path: Path) -> None:
    """Keys of one tenant share calls under way; one that is turned down makes its own."""
    keys = ["sk-in", "sk-out"]
    tenants = {"acme": [hash_key(key.encode()) for key in keys]}
    with with_oracle(tmp_path, tenants=tenants, policy={"share": "tenant"}) as house:
        house.chat(SKY, "sk-in")
        assert house.chat(SKY, "sk-out").headers["x-cache"] == "HIT"
        house.chat(TIDES, "sk-out", answering(401))
        slow = {"x-oracle-mode": "slow:1"}
        other = threading.Thread(target=house.chat, args=("Why do cats purr?", "sk-in", slow))
        other.start()
        until(lambda: house.calls("sk-in") == 2)
        answer = house.chat("Why do cats purr?", "sk-out", answering(401))
        other.join()
        assert answer.status_code == 401
        assert "collapsed" not in answer.headers["cache-status"]


def test_items_of_a_batch_are_no_exception(tmp_path: Path) -> None:
    """Embeddings are remembered item by item, and none of them for a refused key."""
    vectors = Vectors()
    with uvicorn_of(vectors) as upstream, serving(tmp_path, upstream) as house:

        def ask(item: str, how: str = "") -> httpx.Response:
            return house.client.post(
                f"{house.where.data}/v1/embeddings",
                json={"model": "text-embedding-3-small", "input": [item]},
                headers={"authorization": "Bearer sk-x", "x-upstream": how},
            )

        assert ask("one").status_code == 200
        assert ask("one").headers["x-cache"] == "HIT"
        assert ask("two", "status:401").status_code == 401
        assert reason(ask("one", "status:401")) == "key-refused"
        assert ask("one").status_code == 200
        assert ask("one").headers["x-cache"] == "HIT"


def test_a_restart_forgets_no_refusal(tmp_path: Path) -> None:
    """What upstream said is kept beside the answers."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream:
        with serving(tmp_path, upstream, oracle) as house:
            house.chat(SKY, "sk-x")
            house.chat(TIDES, "sk-x", answering(401))
        with serving(tmp_path, upstream, oracle) as house:
            assert house.chat(SKY, "sk-x", ONLY_CACHED).status_code == 504
            assert "likewise_refused_keys 1.0" in house.api("/metrics")
            house.chat(TIDES, "sk-x")
        with serving(tmp_path, upstream, oracle) as house:
            assert house.chat(SKY, "sk-x").headers["x-cache"] == "HIT"


@pytest.mark.redis
def test_every_replica_hears_of_it(tmp_path: Path, own_redis: RedisServer) -> None:
    """Refused by way of one replica, a key gets nothing from another; accepted there, it does."""
    oracle, store = OracleUpstream(), {"url": own_redis.url}
    with ExitStack() as stack:
        upstream = stack.enter_context(uvicorn_of(oracle))
        houses = []
        for replica in ("a", "b"):
            (tmp_path / replica).mkdir()
            running = serving(tmp_path / replica, upstream, oracle, store=store)
            houses.append(stack.enter_context(running))
        one, other = houses
        one.chat(SKY, "sk-x")
        until(lambda: other.chat(SKY, "sk-x", ONLY_CACHED).status_code == 200)
        one.chat(TIDES, "sk-x", answering(401))
        until(lambda: other.chat(SKY, "sk-x", ONLY_CACHED).status_code == 504)
        other.chat(TIDES, "sk-x")
        until(lambda: one.chat(SKY, "sk-x", ONLY_CACHED).status_code == 200)
    with own_redis.client() as client:
        assert client.zrange("likewise:l:refused", 0, -1) == []


# -- the lists -----------------------------------------------------------------------------------


class Failing(MemoryBodies):
    """A store that can be made to fail."""

    down = False

    async def mark(self, *given: Any) -> None:
        if self.down:
            raise StoreError("down")
        await super().mark(*given)


@pytest.fixture
def bodies() -> Failing:
    return Failing()


@pytest.fixture
def memory(bodies: Failing) -> Memory:
    return Memory(HashingEmbedder(), bodies)


def of(key: str, upstream: str = QUERY.upstream, tenant: str | None = None) -> Query:
    return replace(QUERY, owners=Owners(key, tenant), upstream=upstream)


async def test_the_store_holds_digests_and_no_more(bodies: Failing, memory: Memory) -> None:
    """What is written tells neither key nor upstream."""
    refusals = Refusals(memory, clock=lambda: 7.0)
    refusals.heard(of("k"), 401)
    await refusals.flush()
    assert await bodies.marked(STRANGERS) == {name(of("k")): 7.0}
    assert len(name(of("k"))) == 32


async def test_upstreams_speak_for_themselves(memory: Memory) -> None:
    """A key that one upstream does not take may be good at another."""
    refusals = Refusals(memory)
    refusals.heard(of("k"), 401)
    assert refusals.stands(of("k"))
    assert not refusals.stands(of("k", "other http://o"))
    refusals.heard(of("k", "other http://o"), 200)
    assert refusals.stands(of("k"))


async def test_made_up_keys_push_nobody_out(bodies: Failing, memory: Memory) -> None:
    """Each list is bounded; keys that own answers, or belong to a tenant, stand on another."""
    refusals = Refusals(memory, most=3)
    kept = record(1)
    facts = replace(kept.facts, owner="k:user")
    await memory.keep(facts, b"{}", None, meaning=False)
    refusals.heard(of("k"), 401)
    refusals.heard(of("t", tenant="acme"), 403)
    for number in range(10):
        refusals.heard(of(f"made up {number}"), 401)
    await refusals.flush()
    assert refusals.stands(of("k"))
    assert refusals.stands(of("t"))
    assert [refusals.stands(of(f"made up {n}")) for n in (6, 7, 8, 9)] == [False, True, True, True]
    assert set(await bodies.marked(KNOWN)) == {name(of("k")), name(of("t"))}
    assert len(await bodies.marked(STRANGERS)) == 3
    await memory.purge([facts.entry])
    assert refusals.stands(of("k"))


async def test_what_the_store_could_not_take_it_is_told_later(
    bodies: Failing, memory: Memory
) -> None:
    """A store that fails costs no refusal, and what was heard meanwhile outlives a look at it."""
    refusals = Refusals(memory)
    bodies.down = True
    refusals.heard(of("k"), 401)
    with pytest.raises(StoreError):
        await refusals.flush()
    await refusals.load()
    assert refusals.stands(of("k"))
    bodies.down = False
    await refusals.flush()
    again = Refusals(memory)
    await again.load()
    assert again.stands(of("k"))
    again.heard(of("k"), 200)
    await again.load()
    assert not again.stands(of("k"))
    await again.flush()
    await refusals.load()
    assert not refusals.stands(of("k"))
