"""A verdict is its caller's alone, counts once, and a bad one ends what it is about everywhere."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import StoreError
from index.journal import Journal
from index.memory import Memory
from index.stores.memory import MemoryBodies
from index.stores.redis import RedisBodies
from policies.record import Decision
from policies.values import Facts
from proxy import feedback
from proxy.demo.oracle import OracleUpstream
from proxy.dialects.canonical import BadBody
from proxy.feedback import Feedback, Served, Was, decided, pack, read, served, unpack
from tests.proxy.house import House, serving, until, uvicorn_of, with_oracle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

    from tests.servers import RedisServer

OWNER, OTHER = "a" * 32, "b" * 32
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"


def facts(number: int, **changes: Any) -> Facts:
    name = f"{number:032x}"
    made = Facts(name, "s", OWNER, "faq", "chat", "m", "", f"text {number}", 100.0, 1e12, 1e12, 1)
    return replace(made, **changes)


def row(number: int, entry: str = f"{1:032x}", **changes: Any) -> Decision:
    """A semantic hit, unless told otherwise, at the time that its number says."""
    plain = Decision(
        id=number, at=(number >> 22) / 1000, outcome="hit", reason="semantic", category="faq",
        dialect="chat", upstream="u", model="m", owner=OWNER, stream=False, status=200,
        similarity=0.97, cut=0.95, propensity=None, entry=entry, neighbour="", would="", seen="",
        kept="", turns=0, prompt="p", matched="m", ms=20.0, ms_embed=0.0, ms_search=0.0,
        ms_upstream=0.0, tokens_in=1, tokens_out=1,
    )  # fmt: skip
    return plain._replace(**changes)


EXACT = {"reason": "exact", "matched": ""}
FRESH = {"outcome": "miss", "reason": "empty", "matched": "", "kept": "stored"}


class Bed:
    """One replica's feedback, its memory and journal, and what was learned."""

    def __init__(self, memory: Memory, journal: Journal, notes: Any = None) -> None:
        self.now = 1_000.0
        self.memory, self.journal = memory, journal
        self.learned: list[tuple[int, bool]] = []
        self.feedback = Feedback(
            memory, journal, notes=notes, clock=lambda: self.now,
            on_verdict=lambda row, good: self.learned.append((row.id, good)),
        )  # fmt: skip
        self._next = 0

    def ask(self, **changes: Any) -> int:
        """A request that was answered just now; its number."""
        self._next += 1
        number = (int(self.now * 1000) << 22) + self._next
        self.journal.record(row(number, **changes))
        return number

    async def rate(
        self, number: int | str, verdict: str = "bad", owner: str = OWNER, **more: Any
    ) -> tuple[int, dict[str, Any]]:
        request = number if isinstance(number, str) else f"{number:016x}"
        body = json.dumps({"request": request, "verdict": verdict} | more)
        reply = await self.feedback.take(owner, body.encode())
        return reply.status, json.loads(reply.body)

    async def keep(self, *kept: Facts) -> None:
        for one in kept:
            await self.memory.keep(one, b"{}", None, meaning=False)
        await self.memory.settled()

    def flagged(self) -> list[str]:
        return sorted(s.facts.text for s in self.memory.catalog.slots() if s.facts.flagged)

    def held(self) -> list[str]:
        return sorted(slot.facts.text for slot in self.memory.catalog.slots())


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    memory = Memory(HashingEmbedder(), MemoryBodies())
    journal = Journal.open(tmp_path / "journal.db")
    yield Bed(memory, journal)
    await journal.close()
    await memory.close()


@pytest.fixture
async def replicas(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[tuple[Bed, Bed]]:
    """Two processes on one Redis, each with a journal of its own."""
    beds = []
    for name in ("here", "there"):
        store = RedisBodies.open(redis_server.url, namespace=f"feedback-{tmp_path.name}")
        memory = Memory(HashingEmbedder(), store)
        beds.append(Bed(memory, Journal.open(tmp_path / f"{name}.db"), store))
    here, there = beds
    there.now = here.now
    yield here, there
    for one in beds:
        await one.journal.close()
        await one.memory.close()


# -- what a verdict changes ----------------------------------------------------------------------


async def test_bad_on_a_semantic_hit_ends_meaning_for_its_group(bed: Bed) -> None:
    """The entry and its near twins are marked, in RAM and in the store; others stay as they are."""
    founder, twin = facts(1), facts(2, group=f"{1:032x}")
    await bed.keep(founder, twin, facts(3), facts(4, group=f"{3:032x}"))
    number = bed.ask(entry=twin.entry)
    assert await bed.rate(number) == (
        200,
        {"request": f"{number:016x}", "verdict": "bad", "effect": "flagged"},
    )
    assert bed.flagged() == ["text 1", "text 2"]
    assert {r.facts.text async for r in bed.memory.bodies.scan() if r.facts.flagged} == {
        "text 1",
        "text 2",
    }
    assert bed.learned == [(number, False)]


@pytest.mark.parametrize("how", [EXACT, FRESH, FRESH | {"kept": ""}])
async def test_bad_on_an_exact_hit_removes_the_entry(bed: Bed, how: dict[str, Any]) -> None:
    """Also when the answer was fresh and kept, or waited for with another; twins are marked."""
    await bed.keep(facts(1), facts(2, group=f"{1:032x}"), facts(3))
    _, told = await bed.rate(bed.ask(**how))
    assert told["effect"] == "removed"
    assert bed.held() == ["text 2", "text 3"]
    assert bed.flagged() == ["text 2"]
    assert await bed.memory.bodies.read(f"{1:032x}") is None


@pytest.mark.parametrize("how", [{}, EXACT, FRESH])
async def test_a_good_verdict_changes_nothing_that_is_served(bed: Bed, how: dict[str, Any]) -> None:
    """Not even what was flagged before: it is only told to whoever learns."""
    await bed.keep(facts(1, flagged=True))
    number = bed.ask(**how)
    assert (await bed.rate(number, "good"))[1]["effect"] == "none"
    assert bed.flagged() == ["text 1"]
    assert bed.learned == [(number, True)]


@pytest.mark.parametrize(
    ("how", "stored"),
    [
        ({}, 1_000.001),
        (EXACT, 1_000.001),
        (FRESH, 1_001.1),
        ({"entry": ""}, 100.0),
        ({"outcome": "bypass", "reason": "tools", "entry": ""}, 100.0),
        ({"entry": f"{9:032x}"}, 100.0),
    ],
)
async def test_what_was_not_said_of_it_stays(bed: Bed, how: dict[str, Any], stored: float) -> None:
    """An answer that replaced the bad one, and entries of other requests, go on as before."""
    await bed.keep(facts(1, stored=stored))
    status, told = await bed.rate(bed.ask(**how))
    assert (status, told["effect"]) == (200, "none")
    assert (bed.held(), bed.flagged()) == (["text 1"], [])


@pytest.mark.parametrize(
    ("decision", "was", "until"),
    [
        (row(1 << 22), Was.SEMANTIC, 0.001),
        (row(1 << 22, outcome="stale", reason="stale-if-error"), Was.SEMANTIC, 0.001),
        (row(1 << 22, outcome="stale", reason="stale-if-error", matched=""), Was.EXACT, 0.001),
        (row(1 << 22, **EXACT), Was.EXACT, 0.001),
        (row(1 << 22, **FRESH), Was.STORED, 1.021),
        (row(1 << 22, **(FRESH | {"matched": "a neighbour's"})), Was.STORED, 1.021),
        (row(1 << 22, entry="", **FRESH), Was.PASSING, 0.001),
    ],
)
def test_what_a_decision_was(decision: Decision, was: Was, until: float) -> None:
    """How the answer was found, and how late it can have been stored."""
    known = served(decision)
    assert known.was is was
    assert known.until == pytest.approx(until)


# -- who may say it, and how often ---------------------------------------------------------------


async def test_only_who_asked_may_say(bed: Bed) -> None:
    """Another key's request is as unknown as one that never was, and nothing changes."""
    await bed.keep(facts(1))
    number = bed.ask()
    bed.now += 10
    status, told = await bed.rate(number, owner=OTHER)
    unknown = await bed.rate(number + 5)
    assert (status, told["error"]["code"]) == (404, "request_not_found")
    assert unknown[0] == 404
    assert unknown[1]["error"]["type"] == "invalid_request_error"
    assert (bed.flagged(), bed.learned) == ([], [])


@pytest.mark.parametrize(
    "request_id", ["x", "0" * 15, "0" * 17, "f" * 16, "-" + "0" * 15, "ü" * 16]
)
async def test_what_is_no_id_is_unknown(bed: Bed, request_id: str) -> None:
    """Found out without a look at the journal."""
    assert (await bed.rate(request_id))[0] == 404


async def test_one_verdict_a_request(bed: Bed) -> None:
    """The same again has no effect, the opposite is a conflict, and the first one stands."""
    await bed.keep(facts(1))
    number = bed.ask()
    await bed.rate(number)
    await bed.memory.flag([f"{1:032x}"], flagged=False)
    assert await bed.rate(number) == (
        200,
        {"request": f"{number:016x}", "verdict": "bad", "effect": "none"},
    )
    status, told = await bed.rate(number, "good")
    assert (status, told["error"]["code"]) == (409, "verdict_exists")
    assert (bed.flagged(), bed.learned) == ([], [(number, False)])


async def test_at_the_same_time_one_verdict_wins(bed: Bed) -> None:
    """However many arrive at once, one is taken and learned from."""
    await bed.keep(facts(1))
    number = bed.ask()
    done = await asyncio.gather(*(bed.rate(number, ("good", "bad")[n % 2]) for n in range(10)))
    assert sorted(status for status, _ in done) == [200] * 5 + [409] * 5
    assert bed.learned == [(number, True)]
    assert bed.flagged() == []


async def test_a_flood_is_refused(bed: Bed) -> None:
    """So many at once and no more, with the time to wait; other keys are not held up by it."""
    await bed.keep(facts(1))
    number = bed.ask()
    for _ in range(feedback.BURST):
        assert (await bed.rate(f"{7:016x}", owner=OTHER))[0] == 404
    body = json.dumps({"request": f"{number:016x}", "verdict": "bad"}).encode()
    reply = await bed.feedback.take(OTHER, body)
    assert reply.status == 429
    assert dict(reply.headers)[b"retry-after"] == b"1"
    assert json.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"
    assert (await bed.rate(number))[0] == 200


# -- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ("", None), ("[]", None), ("{", None), ({"request": "\ud800"}, None),
        ({}, "request"),
        ({"request": 7, "verdict": "bad"}, "request"),
        ({"request": "", "verdict": "bad"}, "request"),
        ({"request": "x"}, "verdict"),
        ({"request": "x", "verdict": True}, "verdict"),
        ({"request": "x", "verdict": ["bad"]}, "verdict"),
        ({"request": "x", "verdict": "Bad"}, "verdict"),
        ({"request": "x", "verdict": "bad", "note": 7}, "note"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_the_senders_error(bed: Bed, body: Any, param: str | None) -> None:
    """In OpenAI's envelope, naming the member."""
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    with pytest.raises(BadBody):
        read(raw)
    reply = await bed.feedback.take(OWNER, raw)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["param"]) == (400, param)
    assert set(error) == {"message", "type", "param", "code"}


async def test_the_note_is_kept(bed: Bed) -> None:
    """In the journal, up to a bound, whatever characters it holds."""
    number = bed.ask()
    await bed.rate(number, note="wrong \x00 year ü " + "x" * 5_000)
    (kept,) = await bed.journal.verdicts(5)
    assert (kept.id, kept.good, kept.entry) == (number, False, f"{1:032x}")
    assert kept.note.startswith("wrong \x00 year ü xxx")
    assert len(kept.note) == feedback.NOTE_KEPT


async def test_an_id_may_be_sent_before_it_is_written_down(bed: Bed) -> None:
    """A client that is quicker than the end of its own exchange is waited for a moment."""
    number = (int(bed.now * 1000) << 22) + 7
    rating = asyncio.create_task(bed.rate(number, "good"))
    await asyncio.sleep(0.05)
    bed.journal.record(row(number))
    assert (await rating)[0] == 200


async def test_a_failing_learner_fails_nobody(bed: Bed) -> None:
    """The verdict counts all the same."""

    def broken(row: Decision, good: bool) -> None:
        raise RuntimeError("the learner failed")

    bed.feedback._on_verdict = broken
    await bed.keep(facts(1))
    assert (await bed.rate(bed.ask()))[0] == 200
    assert bed.flagged() == ["text 1"]
    assert bed.feedback.counts == {"bad": 1}


async def test_a_failing_store_takes_no_verdict(bed: Bed) -> None:
    """It is said so, and sending it again later works."""
    await bed.keep(facts(1))
    number = bed.ask()
    amend = bed.memory.bodies.amend

    async def down(*_: Any) -> None:
        raise StoreError("down")

    bed.memory.bodies.amend = down  # type: ignore[method-assign]
    status, told = await bed.rate(number)
    assert (status, told["error"]["code"], bed.learned) == (503, "store_down", [])
    bed.memory.bodies.amend = amend  # type: ignore[method-assign]
    assert (await bed.rate(number))[1]["effect"] == "flagged"
    record = await bed.memory.bodies.read(f"{1:032x}")
    assert record is not None
    assert record.facts.flagged


# -- across replicas -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "known",
    [
        Served(7 << 22, OWNER, f"{1:032x}", Was.SEMANTIC, 12.5, "faq", 0.96875),
        Served(7 << 22, OWNER, f"{1:032x}", Was.STORED, 12.5, "", None),
        Served(7 << 22, OWNER, "", Was.PASSING, 12.5, "ü", 0.0),
    ],
)
def test_a_note_says_what_matters(known: Served) -> None:
    """What is packed is unpacked, and makes a decision that means the same."""
    assert unpack(known.id, pack(known)) == known
    again = served(decided(known))
    assert again == replace(known, until=pytest.approx(known.until))


@pytest.mark.parametrize("note", [b"", b"\x01", b"\x09" + b"x" * 60, b"\x01" + b"\xff" * 60])
def test_a_strange_note_is_none(note: bytes) -> None:
    """What another release, or another program, wrote is not guessed at."""
    assert unpack(7, note) is None


@pytest.mark.redis
@pytest.mark.parametrize(("how", "effect"), [({}, "flagged"), (EXACT, "removed")])
async def test_any_replica_takes_any_replicas_id(
    replicas: tuple[Bed, Bed], how: dict[str, Any], effect: str
) -> None:
    """Told there, it ends here within a second, and here it is known to have been told."""
    here, there = replicas
    await here.keep(facts(1), facts(2, group=f"{1:032x}"))
    number = here.ask(**how)
    await here.feedback.flush()
    began = time.monotonic()
    status, told = await there.rate(number)
    assert (status, told["effect"]) == (200, effect)
    assert there.learned == [(number, False)]
    record = await here.memory.read(facts(1))
    assert record is None if effect == "removed" else record and record.facts.flagged
    twin = await here.memory.read(facts(2))
    assert twin is not None
    assert twin.facts.flagged
    assert time.monotonic() - began < 1
    assert (await here.rate(number, "good"))[0] == 409
    assert (await there.rate(number, owner=OTHER))[0] == 404


@pytest.mark.redis
async def test_notes_are_written_by_themselves(replicas: tuple[Bed, Bed]) -> None:
    """In the background, at the end too, and no more than fit."""
    here, there = replicas
    running = asyncio.create_task(here.feedback.run())
    number = here.ask(**EXACT)
    for _ in range(200):
        if (await there.rate(number, "good"))[0] == 200:
            break
        await asyncio.sleep(0.05)
    last = here.ask()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await there.rate(last, "good"))[0] == 200


# -- through the door ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    parts = {"server": {"cors": ["https://mine.example"]}}
    with with_oracle(tmp_path_factory.mktemp("house"), **parts) as running:
        yield running


def send(house: House, key: str | None, content: Any, **more: Any) -> httpx.Response:
    head = {"authorization": f"Bearer {key}"} if key else {}
    where = house.where.data + feedback.PATH
    return house.client.post(where, json=content, headers=head | more.pop("headers", {}), **more)


def verdict(answer: httpx.Response, word: str = "bad") -> dict[str, str]:
    return {"request": answer.headers["x-likewise-request"], "verdict": word}


def test_a_byte_identical_repeat_ends_too(house: House) -> None:
    """What is answered without a second look is gone as soon as its entry is."""
    key = "sk-repeat"
    for _ in range(3):
        answer = house.chat(SKY, key)
    assert answer.headers["x-cache"] == "HIT"
    assert send(house, key, verdict(answer)).json()["effect"] == "removed"
    assert house.chat(SKY, key).headers["x-cache"] == "MISS"


def test_a_fresh_answer_can_be_bad(house: House) -> None:
    """Streamed or whole, it is not served again."""
    for stream in (False, True):
        key = f"sk-fresh-{stream}"
        answer = house.chat(SKY, key, stream=stream)
        assert send(house, key, verdict(answer)).json()["effect"] == "removed"
        assert house.chat(SKY, key, stream=stream).headers["x-cache"] == "MISS"


@pytest.mark.redis
def test_every_replica_honours_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_redis: RedisServer
) -> None:
    """An answer that one replica served, told bad at another, is refused by the first."""
    monkeypatch.chdir(tmp_path)
    store, oracle = {"url": own_redis.url}, OracleUpstream()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with (
        uvicorn_of(oracle) as upstream,
        serving(tmp_path / "one", upstream, oracle, store=store) as one,
    ):
        one.chat(SKY, "sk-1")
        with serving(tmp_path / "other", upstream, oracle, store=store) as other:
            near = other.chat(SKY_AGAIN, "sk-1")
            assert near.headers["x-likewise-match"] == "semantic"
            assert send(one, "sk-2", verdict(near)).status_code == 404
            assert send(one, "sk-1", verdict(near)).json()["effect"] == "flagged"
            for house in (other, one):
                again = house.chat(SKY_AGAIN, "sk-1", {"cache-control": "only-if-cached"})
                assert again.headers["x-likewise-reason"] == "flagged"
            exact = other.chat(SKY, "sk-1")
            assert exact.headers["x-likewise-match"] == "exact"
            assert send(one, "sk-1", verdict(exact)).json()["effect"] == "removed"
            only = other.chat(SKY, "sk-1", {"cache-control": "only-if-cached"})
            assert only.status_code == 504


def test_it_is_reviewed_by_an_operator(house: House) -> None:
    """What is marked is listed with the note; found good it serves again, found bad it goes."""
    for found in ("good", "bad"):
        key = f"sk-review-{found}"
        house.chat(SKY, key)
        near = house.chat(SKY_AGAIN, key)
        send(house, key, verdict(near) | {"note": f"not {found}"})
        entry = near.headers["x-likewise-entry"]
        marked = house.api("/api/entries?flagged=true")["entries"]
        assert [one["entry"] for one in marked] == [entry]
        said = house.api("/api/labels")["verdicts"][0]
        assert (said["entry"], said["good"], said["note"]) == (entry, False, f"not {found}")
        assert house.api("/api/labels", {"entry": entry, "verdict": found})["reviewed"]
        assert house.api("/api/entries?flagged=true")["entries"] == []
        exact = {"cache-control": "only-if-cached"}
        served_again = house.chat(SKY, key, exact).status_code
        assert served_again == (200 if found == "good" else 504)


def test_it_stays_here(house: House) -> None:
    """Upstream never hears of it, whatever is sent."""
    before = len(house.oracle.log)
    assert send(house, "sk-1", {"request": "0" * 16, "verdict": "bad"}).status_code == 404
    for method in ("GET", "PUT", "DELETE"):
        answer = house.client.request(method, house.where.data + feedback.PATH)
        assert answer.status_code == 405
    assert len(house.oracle.log) == before


def test_a_large_body_is_refused(house: House) -> None:
    """Long before it is read whole."""
    answer = send(house, "sk-1", {"request": "0" * 16, "verdict": "bad", "note": "x" * 20_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_pages_of_other_sites_need_a_key_of_their_own(house: House) -> None:
    """Without one a page may rate answers where it is allowed to ask, and nowhere else."""
    answer = house.client.post(
        f"{house.where.data}/v1/chat/completions",
        json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "A page asks?"}]},
    )
    told = verdict(answer)
    foreign = send(house, None, told, headers={"origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "foreign_origin")
    mine = send(house, None, told, headers={"origin": "https://mine.example"})
    assert mine.status_code == 200
    assert mine.headers["access-control-allow-origin"] == "https://mine.example"


def test_it_reaches_the_journal(house: House) -> None:
    """A decision's verdict is on disk beside it."""
    answer = house.chat("Is this kept?", "sk-journal")
    send(house, "sk-journal", verdict(answer, "good"))
    number = str(int(answer.headers["x-likewise-request"], 16))
    until(lambda: any(v["id"] == number for v in house.api("/api/labels")["verdicts"]))
