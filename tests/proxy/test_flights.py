"""One call upstream for many callers: joined from the start, left at will, never a herd."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from policies.values import Facts
from proxy.demo.oracle import verify
from proxy.dialects.ports import Form
from proxy.flights import Cargo, Flight, Flights
from tests.proxy.house import House, body, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS = Facts("e", "s", "o", "c", "chat", "m", "", "text", 0.0, 1.0, 1.0, 0)
SKY = "Why is the sky blue?"


def cargo(generation: int = 0, *, usage: bool = True, space: str = "s") -> Cargo:
    return Cargo("e", space, generation, Form(stream=True, usage=usage), FACTS)


async def read(flight: Flight) -> bytes:
    reader = flight.board()
    try:
        return b"".join([chunk async for chunk in flight.chunks(reader)])
    finally:
        flight.leave(reader)


# -- one flight ----------------------------------------------------------------------------------


async def test_every_reader_gets_the_whole_from_its_start() -> None:
    """Whoever boards early, in the middle or after the end reads the same bytes."""
    flight = Flight(cargo())
    flight.open(200, [])
    early = asyncio.create_task(read(flight))
    await flight.publish(b"one ")
    await asyncio.sleep(0)
    middle = asyncio.create_task(read(flight))
    await flight.publish(b"two ")
    await flight.publish(b"three")
    flight.close()
    assert [await early, await middle, await read(flight)] == [b"one two three"] * 3


async def test_a_slow_reader_holds_up_only_what_will_not_be_kept() -> None:
    """What may be kept runs ahead of its readers; what will not waits for the slowest."""
    free, bounded = Flight(cargo()), Flight(None)
    for flight in (free, bounded):
        flight.open(200, [])
        flight.board()  # one who never reads
    await asyncio.wait_for(free.publish(b"x"), 1)
    waiting = asyncio.create_task(bounded.publish(b"x"))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_a_bounded_flight_keeps_nothing_that_was_read() -> None:
    """Memory stays flat, however long the answer that is passed on."""
    flight = Flight(None)
    flight.open(200, [])
    reading = asyncio.create_task(read(flight))
    await asyncio.sleep(0)
    for _ in range(100):
        await flight.publish(b"0123456789")
    assert len(flight.so_far()) <= 10
    flight.close()
    assert len(await reading) == 1000


async def test_the_last_to_leave_ends_what_cannot_be_kept() -> None:
    """A call for nobody goes on only while its answer may still serve somebody."""
    flights = Flights()
    kept, lost = Flight(cargo()), Flight(None)
    readers = [flight.board() for flight in (kept, lost)]
    tasks = [flights.open(flight, asyncio.sleep(5), listed=True) for flight in (kept, lost)]
    kept.leave(readers[0])
    lost.leave(readers[1])
    await asyncio.wait([tasks[1]], timeout=1)
    assert (tasks[0].done(), tasks[1].cancelled(), lost.done) == (False, True, True)
    await flights.close()
    assert tasks[0].cancelled()
    assert len(flights) == 0


# -- finding one ---------------------------------------------------------------------------------


async def test_a_flight_is_found_until_it_has_landed() -> None:
    """By entry and by space, of the same generation, with token counts where they are asked for."""
    flights = Flights()
    flight = Flight(cargo(generation=3, usage=False))
    gate = asyncio.Event()
    task = flights.open(flight, _until(gate), listed=True)
    assert flights.find("e", 3, usage=False) is flight
    assert flights.find("e", 3, usage=True) is None
    assert flights.find("e", 4, usage=False) is None
    assert flights.find("f", 3, usage=False) is None
    assert flights.near("s", 3) == [flight]
    flight.shared = False
    assert flights.find("e", 3, usage=False) is None
    gate.set()
    await task
    await asyncio.sleep(0)
    assert flights.near("s", 3) == []


async def test_an_unlisted_flight_is_found_by_nobody() -> None:
    """Who was released asks for itself alone."""
    flights = Flights()
    flights.open(Flight(cargo()), asyncio.sleep(0), listed=False)
    assert flights.find("e", 0, usage=False) is None
    await flights.close()


def test_what_is_held_is_held_for_its_time_only() -> None:
    """A marker ends by itself, and one kind says nothing of another."""
    now = [0.0]
    flights = Flights(clock=lambda: now[0])
    flights.hold("unshared", "e", 120)
    assert flights.held("unshared", "e")
    assert not flights.held("refresh", "e")
    now[0] = 120.0
    assert not flights.held("unshared", "e")


async def _until(gate: asyncio.Event) -> None:
    await gate.wait()


# -- through the house ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"sk-{request.node.name.encode().hex()}"


async def crowd(
    house: House, key: str, mode: str, bodies: list[dict[str, Any]]
) -> list[httpx.Response]:
    """All at once, each on a connection of its own."""
    limits = httpx.Limits(max_connections=len(bodies))
    sent = {"authorization": f"Bearer {key}", "x-oracle-mode": mode}
    async with httpx.AsyncClient(trust_env=False, timeout=30, limits=limits) as client:
        url = f"{house.where.data}/v1/chat/completions"
        return await asyncio.gather(*(client.post(url, json=one, headers=sent) for one in bodies))


def content(answer: httpx.Response) -> str:
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return str(answer.json()["choices"][0]["message"]["content"])
    chunks = [
        httpx.Response(200, text=line[6:]).json()
        for line in answer.text.splitlines()
        if line.startswith("data: {")
    ]
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


def collapsed(answers: list[httpx.Response]) -> int:
    return sum("; collapsed;" in a.headers.get("cache-status", "") for a in answers)


@pytest.mark.parametrize("form", ["whole", "stream", "mixed"])
async def test_equal_misses_cost_one_call(house: House, key: str, form: str) -> None:
    """Forty at once, whole, streamed or both: one upstream call, and everybody the same answer."""
    counted = {"stream": True, "stream_options": {"include_usage": True}}
    forms: dict[str, list[dict[str, Any]]] = {
        "whole": [{}],
        "stream": [{"stream": True}],
        "mixed": [{}, counted],
    }
    bodies = [body(SKY, **forms[form][n % len(forms[form])]) for n in range(40)]
    answers = await crowd(house, key, "slow:0.5", bodies)
    assert {a.status_code for a in answers} == {200}
    assert all(verify(content(a), credential=key, prompt=SKY) for a in answers)
    assert len({content(a) for a in answers}) == 1
    assert house.calls(key) == 1
    assert collapsed(answers) == 39
    assert {a.headers["x-cache"] for a in answers} == {"MISS"}


async def test_other_keys_and_other_questions_never_wait_for_each_other(
    house: House, key: str
) -> None:
    """What would not share an answer does not share a call."""
    keys = [f"{key}-{n}" for n in range(4)]
    answers = await asyncio.gather(
        *(crowd(house, k, "slow:0.3", [body(SKY), body(SKY, seed=1)]) for k in keys)
    )
    for k, pair in zip(keys, answers, strict=True):
        assert all(verify(content(a), credential=k, prompt=SKY) for a in pair)
        assert house.calls(k) == 2


@pytest.mark.parametrize("mode", ["status:500", "status:402", "html", "nostore", "error:2"])
async def test_who_waited_in_vain_asks_all_at_once(house: House, key: str, mode: str) -> None:
    """A leader without a usable answer releases the others together, not one after the other."""
    streamed = mode.startswith("error")
    answers = await crowd(house, key, f"slow:0.3,{mode}", [body(SKY, stream=streamed)] * 20)
    if streamed:  # its stream was shared before it broke, so its error is everybody's
        assert all("server_error" in a.text for a in answers)
        assert house.calls(key) == 1
        return
    assert house.calls(key) == 20
    assert max(a.elapsed.total_seconds() for a in answers) < 5


async def test_who_was_told_to_wait_with_others_waits_with_them(house: House, key: str) -> None:
    """A 429 that says when to come back is the answer of all who waited for it."""
    answers = await crowd(house, key, "slow:0.3,status:429", [body(SKY)] * 20)
    assert {a.status_code for a in answers} == {429}
    assert {a.headers["retry-after"] for a in answers} == {"1"}
    assert house.calls(key) == 1


async def test_nobody_waits_for_what_was_not_kept_the_last_time(house: House, key: str) -> None:
    """After an answer that may not be kept, equal requests go side by side (hit-for-miss)."""
    await crowd(house, key, "length", [body(SKY)])
    answers = await crowd(house, key, "slow:0.2,length", [body(SKY)] * 5)
    assert house.calls(key) == 6
    assert collapsed(answers) == 0


async def test_the_others_never_notice_that_the_leader_left(house: House, key: str) -> None:
    """Whoever opened the call may go: the rest read on, and the answer is kept."""
    url = f"{house.where.data}/v1/chat/completions"
    sent = {"authorization": f"Bearer {key}", "x-oracle-mode": "slow:0.5"}
    asked = body(SKY, stream=True)
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        leader = asyncio.create_task(client.post(url, json=asked, headers=sent))
        await asyncio.to_thread(until, lambda: house.calls(key) == 1)
        others = [asyncio.create_task(client.post(url, json=asked, headers=sent)) for _ in range(5)]
        await asyncio.sleep(0.1)
        leader.cancel()
        answers = await asyncio.gather(*others)
    assert all(verify(content(a), credential=key, prompt=SKY) for a in answers)
    assert house.calls(key) == 1
    assert house.chat(SKY, key, stream=True).headers["x-cache"] == "HIT"


async def test_a_purge_ends_the_waiting_for_older_answers(house: House, key: str) -> None:
    """Who asks after a purge does not get an answer that was under way before it."""
    early = asyncio.create_task(crowd(house, key, "slow:0.6", [body(SKY)]))
    await asyncio.to_thread(until, lambda: house.calls(key) == 1)
    nothing = {"selection": {"model": "no-such-model"}, "dry_run": False}
    await asyncio.to_thread(house.api, "/api/entries/purge", nothing)
    late = await crowd(house, key, "ok", [body(SKY)])
    await early
    assert collapsed(late) == 0
    assert house.calls(key) == 2


async def test_collapsing_by_meaning(tmp_path: Any) -> None:
    """`collapse: meaning`: a rephrased question waits, and is then a hit; a look-alike is not."""
    key = "sk-1"
    with with_oracle(tmp_path, policy={"collapse": "meaning"}) as house:
        early = asyncio.create_task(crowd(house, key, "slow:1", [body("What is 2+2 apples?")]))
        await asyncio.to_thread(until, lambda: house.calls(key) == 1)
        near, other = await crowd(
            house, key, "ok", [body("what is 2+2 apples"), body("What is 2+3 apples?")]
        )
        await early
        assert house.calls(key) == 2
    assert near.headers["x-likewise-match"] == "semantic"
    assert other.headers["x-cache"] == "MISS"


async def test_collapsing_can_be_switched_off(tmp_path: Any) -> None:
    """`collapse: off`: each goes upstream."""
    with with_oracle(tmp_path, policy={"collapse": "off"}) as house:
        answers = await crowd(house, "sk-1", "slow:0.3", [body(SKY)] * 5)
        assert house.calls("sk-1") == 5
    assert collapsed(answers) == 0
