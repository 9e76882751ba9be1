"""Memory remembers, finds, forgets, and turns every failure of a part into a miss."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index import loading, pool, spaces, turns
from index.amending import Change
from index.embedders.hashing import HashingEmbedder
from index.errors import EmbedderError, StoreError
from index.memory import Memory
from index.ports import Embedded
from index.space import Space
from index.stores.memory import MemoryBodies
from index.stores.redis import RedisBodies
from index.stores.sqlite import SqliteBodies
from policies import decide
from policies.context import answered
from policies.eviction import Bounds, Rule
from policies.values import (
    Candidate,
    CategoryRules,
    Directives,
    Facts,
    Found,
    Owners,
    Query,
    Reach,
    Rules,
    Share,
    Threshold,
    Turn,
)
from policies.verdicts import Bypass, Lookup, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from index.ports import Bodies, Record
    from tests.servers import RedisServer

DEFAULTS = CategoryRules("default", Threshold(0.9), ttl=3600)
RULES = Rules(DEFAULTS)
PERSONAL = replace(DEFAULTS, name="personal", share=Share.USER, examples=("delete my account now",))
WITH_EXAMPLES = Rules(DEFAULTS, (PERSONAL,))
EGG = "How long do I boil an egg?"
# The hashing embedder's cosine of these two is above 0.6; nothing here depends on how far.
EGGS = "How long do I boil two eggs?"
_NAMES = count()

# What RAM holds of an entry besides answer and question: its row, 85 bytes of packed facts, both
# tags as JSON, and its 64 numbers, of twelve bits each in the rows (with their factor, home and
# mark) and of four in the lists (with their name).
RAM = 144 + 85 + len('{"tags":["a","b"]}') + (64 + 32 + 4 + 4 + 8) + (32 + 8)


async def body_of(memory: Memory, facts: Facts) -> bytes | None:
    record = await memory.read(facts)
    return None if record is None else record.body


class Scripted:
    """An embedder whose behaviour a test sets: `act` runs before the vector is made."""

    id = "scripted/1"

    def __init__(self, dimension: int = 64) -> None:
        self.dimension = dimension
        self.act: Callable[[str], None] = lambda _: None
        self.flags: dict[str, dict[str, bool]] = {}
        self.calls: list[str] = []
        self._inner = HashingEmbedder(dimension)

    def embed(self, text: str) -> Embedded:
        self.calls.append(text)
        self.act(text)
        return Embedded(self._inner.embed(text).vector, **self.flags.get(text, {}))


class Troubled(MemoryBodies):
    """A store that can be told to fail, or to hold its writes back."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__()
        self.shared = shared  # type: ignore[misc]
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.written: list[bytes] = []

    async def read(self, entry: str) -> Record | None:
        self._answer()
        return await super().read(entry)

    async def write(self, record: Record) -> None:
        self._answer()
        await self.gate.wait()
        await super().write(record)
        self.written.append(record.body)

    async def delete(self, entries: object) -> int:
        self._answer()
        return await super().delete(entries)  # type: ignore[arg-type]

    def _answer(self) -> None:
        if self.down:
            raise StoreError("the store is down")


def ask(
    text: str = EGG,
    *,
    chain: str = "",
    before: tuple[Turn, ...] = (),
    user: str | None = None,
    **directives: object,
) -> Query:
    told = Directives(**directives)  # type: ignore[arg-type]
    owners = Owners("k1", user=user)
    return Query("openai", "main", "m", owners, b"f", chain, text, before, directives=told)


def lookup(query: Query, rules: Rules = RULES) -> Lookup:
    planned = decide.plan(query, rules)
    if isinstance(planned, Bypass):
        assert planned.store is not None
        return planned.store
    return planned


async def find(memory: Memory, query: Query, rules: Rules = RULES) -> Found:
    return await memory.find(lookup(query, rules), query, rules)


def facts(query: Query, found: Found, **changes: object) -> Facts:
    """The facts of an answer to `query`, made where `found` says it belongs."""
    now = time.time()
    made = Facts(
        entry=found.lookup_entry,
        space=found.lookup_space,
        owner="k1",
        category="default",
        dialect="openai",
        model="m",
        chain=query.chain,
        before=query.before,
        text=query.text,
        stored=now,
        expires=now + 3600,
        gone=now + 7200,
        size=10,
        tags=("a", "b"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def keep(
    memory: Memory, query: Query, body: bytes = b"answer", rules: Rules = RULES, **changes: object
) -> Facts:
    """What the engine does after a miss; settled."""
    found = await find(memory, query, rules)
    made = facts(query, found, **changes)
    await memory.keep(made, body, found.vector, meaning=lookup(query, rules).semantic is None)
    await memory.settled()
    held = memory.facts(made.entry)
    assert held is not None
    return held


async def served(memory: Memory, query: Query) -> Found:
    """What is found once the part that failed is back."""
    async with asyncio.timeout(10):
        for _ in count():
            found = await find(memory, query)
            if found.fault is None:
                return found
            await asyncio.sleep(0.02)
    raise AssertionError


@pytest.fixture
def embedder() -> Scripted:
    return Scripted()


@pytest.fixture
async def bodies() -> Troubled:
    return Troubled()


@pytest.fixture
async def memory(embedder: Scripted, bodies: Troubled) -> AsyncIterator[Memory]:
    made = Memory(embedder, bodies)
    yield made
    bodies.gate.set()
    bodies.down = False
    await made.close()


class Stores:
    """One kind of store, opened as often as a test likes onto the same entries."""

    def __init__(self, kind: str, path: Path, server: RedisServer | None) -> None:
        self._kind, self._path, self._server = kind, path, server
        self._namespace = f"memory{next(_NAMES)}"
        self._one = MemoryBodies()

    def open(self) -> Bodies:
        if self._kind == "sqlite":
            return SqliteBodies.open(self._path / "cache.db")
        if self._kind == "redis":
            assert self._server is not None
            return RedisBodies.open(self._server.url, namespace=self._namespace)
        return self._one


@pytest.fixture(params=["memory", "sqlite", "redis"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    return Stores(request.param, tmp_path, server)


async def restarted(memory: Memory, stores: Stores, embedder: Scripted) -> Memory:
    """A second process over the same entries; the first has let go of them."""
    await memory.settled()
    if not isinstance(memory.bodies, MemoryBodies):
        await memory.close()
    again = Memory(embedder, stores.open())
    await again.load()
    return again


# -- over every store ------------------------------------------------------------------------------


async def test_kept_is_found_read_and_durable(stores: Stores, embedder: Scripted) -> None:
    """An answer is there at once, exactly and by meaning, and after a restart byte for byte."""
    memory = Memory(embedder, stores.open())
    body = bytes(range(256)) * 50
    empty = await find(memory, ask())
    assert (empty.exact, empty.near, empty.fault) == (None, (), None)
    made = facts(ask(), empty)
    await memory.keep(made, body, empty.vector, meaning=True)
    for _ in range(2):
        kept = replace(made, embedding="scripted/1")
        exact = await find(memory, ask())
        assert exact.exact == kept
        assert await body_of(memory, kept) == body
        near = await find(memory, ask(EGGS))
        assert [c.facts for c in near.near] == [kept]
        assert 0.5 < near.near[0].score < 1
        assert (len(memory), memory.size) == (1, 10 + RAM + len(EGG))
        memory = await restarted(memory, stores, embedder)
    await memory.close()


async def test_a_replaced_entry_serves_the_new_body(stores: Stores, embedder: Scripted) -> None:
    """A second answer under the same key replaces the first, now and after a restart."""
    memory = Memory(embedder, stores.open())
    await keep(memory, ask(), b"old", size=3)
    new = await keep(memory, ask(), b"new!", size=4)
    for _ in range(2):
        found = await find(memory, ask())
        assert found.exact == new
        assert await body_of(memory, new) == b"new!"
        assert [c.facts for c in (await find(memory, ask(EGGS))).near] == [new]
        assert (len(memory), memory.size) == (1, 4 + RAM + len(EGG))
        memory = await restarted(memory, stores, embedder)
    await memory.close()


async def test_forgotten_is_gone_everywhere(stores: Stores, embedder: Scripted) -> None:
    """A forgotten entry is found in no way, its body is gone, and stays so after a restart."""
    memory = Memory(embedder, stores.open())
    gone, stays = await keep(memory, ask()), await keep(memory, ask(EGGS))
    assert await memory.forget([gone.entry, "0" * 32]) == 1
    for _ in range(2):
        found = await find(memory, ask())
        assert found.exact is None
        assert [c.facts for c in found.near] == [stays]
        assert await body_of(memory, gone) is None
        assert (len(memory), memory.size) == (1, stays.size + RAM + len(EGGS))
        memory = await restarted(memory, stores, embedder)
    assert await memory.forget([]) == 0
    await memory.close()


async def test_another_models_entries_stay_exact(stores: Stores, embedder: Scripted) -> None:
    """After a change of the embedding model old entries are served exactly, not by meaning."""
    memory = Memory(embedder, stores.open())
    old = await keep(memory, ask())
    other = Scripted(32)
    other.id = "scripted/2"
    memory = await restarted(memory, stores, other)
    assert (await find(memory, ask())).exact == old
    assert (await find(memory, ask(EGGS))).near == ()
    await memory.close()


async def test_a_body_that_went_is_dropped(stores: Stores, embedder: Scripted) -> None:
    """An entry whose body the store lost reads as None, and is not offered again."""
    memory = Memory(embedder, stores.open(), hot_bytes=0)
    kept = await keep(memory, ask())
    await memory.bodies.delete([kept.entry])
    assert await body_of(memory, kept) is None
    assert (len(memory), memory.size) == (0, 0)
    assert (await find(memory, ask(EGGS))).near == ()
    await memory.close()


# -- two processes on one store --------------------------------------------------------------------


@pytest.fixture
async def pair(
    redis_server: RedisServer, embedder: Scripted
) -> AsyncIterator[tuple[Memory, Memory]]:
    namespace = f"pair{next(_NAMES)}"
    both = [
        Memory(embedder, RedisBodies.open(redis_server.url, namespace=namespace)) for _ in range(2)
    ]
    yield both[0], both[1]
    for one in both:
        await one.close()


async def test_two_memories_share_exact_hits(pair: tuple[Memory, Memory]) -> None:
    """What one process keeps another finds at once, and then also by meaning."""
    here, there = pair
    kept = await keep(here, ask(), b"shared")
    found = await find(there, ask())
    assert found.exact == kept
    assert await body_of(there, kept) == b"shared"
    assert [c.facts for c in (await find(there, ask(EGGS))).near] == [kept]


async def test_a_delete_counts_at_once_elsewhere(pair: tuple[Memory, Memory]) -> None:
    """What one process forgets the other serves no more, exactly or by meaning."""
    here, there = pair
    kept = await keep(here, ask())
    assert (await find(there, ask())).exact == kept
    assert await here.forget([kept.entry]) == 1
    assert (await find(there, ask())).exact is None
    for candidate in (await find(there, ask(EGGS))).near:
        assert await body_of(there, candidate.facts) is None
    assert (await find(there, ask(EGGS))).near == ()
    assert len(there) == 0


async def test_a_replacement_counts_at_once_elsewhere(pair: tuple[Memory, Memory]) -> None:
    """A new answer of one process is what the other serves from then on."""
    here, there = pair
    await keep(here, ask(), b"old")
    await find(there, ask())
    new = await keep(here, ask(), b"new")
    found = await find(there, ask())
    assert found.exact == new
    assert await body_of(there, new) == b"new"


async def test_a_personal_entry_is_shared_too(pair: tuple[Memory, Memory]) -> None:
    """An entry whose category only embedding shows is found exactly by the other process."""
    here, there = pair
    for one in pair:
        one.sight.centroids = await one.sight.learn_examples(WITH_EXAMPLES)
    question = ask("Delete my account now please", user="u1")
    kept = await keep(here, question, rules=WITH_EXAMPLES, category="personal")
    assert (await find(there, question, WITH_EXAMPLES)).exact == kept


async def test_a_stalled_server_is_a_miss(own_redis: RedisServer, embedder: Scripted) -> None:
    """A Redis that does not answer makes misses for `store-down`; when it is back, so is all."""
    memory = Memory(embedder, RedisBodies.open(own_redis.url))
    kept = await keep(memory, ask())
    own_redis.pause()
    found = await find(memory, ask())
    assert (found.exact, found.near, found.fault) == (None, (), Reason.STORE_DOWN)
    assert await body_of(memory, kept) is None
    assert len(memory) == 1
    assert memory.faults.store_read == 2
    own_redis.resume()
    assert (await served(memory, ask())).exact == kept
    await memory.close()


# -- finding ---------------------------------------------------------------------------------------


async def test_an_exact_hit_embeds_nothing(memory: Memory, embedder: Scripted) -> None:
    """The entry of equal key is found without a call of the model."""
    await keep(memory, ask())
    embedder.calls.clear()
    assert (await find(memory, ask())).exact is not None
    assert embedder.calls == []


async def test_exact_only_requests_embed_nothing(memory: Memory, embedder: Scripted) -> None:
    """Where meaning may not be used, neither finding nor keeping calls the model."""
    found = await find(memory, ask(reach=Reach.EXACT))
    assert (found.fault, found.vector, found.near) == (Reason.MODE_OFF, None, ())
    await keep(memory, ask(reach=Reach.EXACT))
    assert embedder.calls == []
    assert (await find(memory, ask(EGGS))).near == ()


async def test_an_entry_kept_again_as_exact_only_loses_its_vector(memory: Memory) -> None:
    """A newer answer that may be matched exactly only is no neighbour any more."""
    await keep(memory, ask())
    await keep(memory, ask(reach=Reach.EXACT, no_cache=True))
    assert (await find(memory, ask(EGGS))).near == ()
    assert (await find(memory, ask())).exact is not None


async def test_equal_texts_after_normalisation_are_one(memory: Memory, embedder: Scripted) -> None:
    """Case, spacing and closing punctuation are not seen by meaning, and not embedded twice."""
    kept = await keep(memory, ask())
    assert (await find(memory, ask("how long do I  boil an egg"))).near == (Candidate(kept, 1.0),)
    assert len(embedder.calls) == 1


@pytest.mark.parametrize(
    ("storage", "within"), [("float32", 1e-5), ("float16", 1e-3), ("int8", 5e-3)]
)
async def test_neighbours_come_best_first(
    embedder: Scripted, bodies: Troubled, storage: str, within: float
) -> None:
    """At most so many neighbours, nearest first, each with the cosine of the two vectors."""
    memory = Memory(embedder, bodies, storage=storage)
    texts = [f"How long do I boil {n} eggs in pot number {n}?" for n in range(20)]
    for text in texts:
        await keep(memory, ask(text))
    near = (await find(memory, ask(EGGS))).near
    model = HashingEmbedder(64)
    query = model.embed("how long do i boil two eggs").vector
    true = sorted(
        (float(query @ model.embed(t.lower().rstrip("?")).vector) for t in texts), reverse=True
    )
    assert [c.score for c in near] == pytest.approx(true[: turns.NEIGHBOURS], abs=within)
    assert [c.score for c in near] == sorted((c.score for c in near), reverse=True)
    await memory.close()


async def test_other_partitions_are_not_searched(memory: Memory) -> None:
    """Another caller's, upstream's or shape's entry is no neighbour, however equal its text."""
    await keep(memory, ask())
    for other in (
        replace(ask(), owners=Owners("k2")),
        replace(ask(), upstream="other"),
        replace(ask(), fingerprint=b"g"),
        replace(ask(), dialect="anthropic"),
        ask(namespace="n"),
    ):
        found = await find(memory, other)
        assert (found.exact, found.near) == (None, ())


async def test_one_conversation_is_found_among_hundreds(memory: Memory) -> None:
    """Equal texts of 200 other conversations do not hide the entry of one's own."""
    for n in range(200):
        await keep(memory, ask("And in Paris?", chain=f"c{n}"))
    mine = await keep(memory, ask("And in Paris now?", chain="mine"))
    near = (await find(memory, ask("and in Paris", chain="mine"))).near
    assert mine in [c.facts for c in near]
    assert [c.score for c in near] == sorted((c.score for c in near), reverse=True)
    stranger = (await find(memory, ask("and in Paris", chain="new"))).near
    assert len(stranger) == turns.NEIGHBOURS


async def test_a_conversation_in_other_words_is_found_after_a_restart() -> None:
    """The store keeps what users said before; it is embedded again only to be compared."""
    bodies, embedder = MemoryBodies(), Scripted()
    told = [Turn("user", text="What is Rome?"), answered("A city.")]
    asked = [replace(told[0], text="What is Rome to you?"), told[1]]
    first = Memory(embedder, bodies)
    kept = await keep(first, ask("Is it old?", chain="one", before=tuple(told)))
    await first.settled()
    again = Memory(embedder, bodies)
    await again.load()
    assert (again.facts(kept.entry), kept.before) == (kept, tuple(told))
    embedder.calls.clear()
    query = ask("is it old", chain="two", before=tuple(asked))
    (near,) = (await find(again, query)).near
    texts = ("what is rome", "what is rome to you")
    one, other = (HashingEmbedder(64).embed(text).vector for text in texts)
    assert near.turns[0] == pytest.approx(float(one @ other))
    assert near.turns[1:] == (1.0,)
    assert embedder.calls == ["is it old", "what is rome to you", "what is rome"]
    (same,) = await again.sight.compared(query, DEFAULTS, RULES, [replace(near, turns=())])
    assert same == near
    await first.close()
    await again.close()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"unknown": True}, Reason.LANGUAGE),
        ({"truncated": True}, Reason.TRUNCATED),
        ({"unknown": True, "truncated": True}, Reason.LANGUAGE),
    ],
)
async def test_what_the_model_cannot_read_is_exact_only(
    memory: Memory, embedder: Scripted, flags: dict[str, bool], reason: Reason
) -> None:
    """A text that the encoder saw in part is never compared, as a question or as an entry."""
    embedder.flags["how long do i boil an egg"] = flags
    found = await find(memory, ask())
    assert (found.fault, found.vector, found.near) == (reason, None, ())
    await memory.keep(facts(ask(), found), b"x", None, meaning=True)
    await memory.settled()
    assert (await find(memory, ask())).exact is not None
    assert (await find(memory, ask(EGGS))).near == ()


async def test_a_category_by_meaning_scopes_the_entry(memory: Memory) -> None:
    """What looks like a personal category's examples is kept and found per user only."""
    memory.sight.centroids = await memory.sight.learn_examples(WITH_EXAMPLES)
    text = "Delete my account now please"
    kept = await keep(memory, ask(text, user="u1"), rules=WITH_EXAMPLES, category="personal")
    mine = await find(memory, ask(text, user="u1"), WITH_EXAMPLES)
    assert (mine.category, mine.exact) == (PERSONAL, kept)
    near = await find(memory, ask("delete my account now", user="u1"), WITH_EXAMPLES)
    assert [c.facts for c in near.near] == [kept]
    theirs = await find(memory, ask(text, user="u2"), WITH_EXAMPLES)
    assert (theirs.category, theirs.exact, theirs.near) == (PERSONAL, None, ())
    nobody = await find(memory, ask(text), WITH_EXAMPLES)
    assert (nobody.exact, nobody.near, nobody.fault) == (None, (), Reason.CATEGORY_OFF)
    other = await find(memory, ask(EGG, user="u1"), WITH_EXAMPLES)
    assert (other.category, other.lookup_entry) == (None, lookup(ask(EGG, user="u1")).entry)


async def test_a_category_dropped_from_the_policy_falls_to_the_defaults(memory: Memory) -> None:
    """Centroids of an older policy guess a name that the new one may lack."""
    memory.sight.centroids = await memory.sight.learn_examples(WITH_EXAMPLES)
    found = await find(memory, ask("Delete my account now please"))
    assert (found.category, found.fault) == (None, None)


async def test_neighbours_anywhere_cross_spaces(memory: Memory) -> None:
    """For explaining, the best neighbours of all partitions come in one order."""
    kept = [await keep(memory, ask(EGG)), await keep(memory, ask(EGGS, namespace="n"))]
    memory.sight.centroids = await memory.sight.learn_examples(WITH_EXAMPLES)
    near, guess = await memory.sight.nearest_anywhere(EGG, 5)
    assert [c.facts for c in near] == kept
    assert guess is not None
    assert guess.best == "personal"


# -- faults ----------------------------------------------------------------------------------------


async def test_a_hung_embedder_costs_one_budget(
    bodies: Troubled, embedder: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the model hangs requests go on without it, soon without waiting, and recover."""
    monkeypatch.setattr(pool, "STALL", 0.2)
    memory = Memory(embedder, bodies, embed_budget=0.05)
    kept = await keep(memory, ask("Kept before"))
    release = threading.Event()
    embedder.calls.clear()
    embedder.act = lambda _: assert_released(release)
    async with asyncio.timeout(5):
        while not memory.sight.stalled:
            found = await find(memory, ask(f"{EGG} {memory.faults.embed_timeout}"))
            assert found.fault is Reason.EMBED_TIMEOUT
    called, waited = len(embedder.calls), memory.faults.embed_timeout
    assert called <= 2
    async with asyncio.timeout(5):
        found = [await find(memory, ask(f"{EGG} again {n}")) for n in range(500)]
    assert {f.fault for f in found} == {Reason.EMBED_TIMEOUT}
    assert memory.faults.embed_timeout == waited + 500
    assert len(embedder.calls) == called
    assert (await find(memory, ask("Kept before"))).exact == kept
    await memory.keep(facts(ask(), found[0]), b"x", None, meaning=True)
    await memory.settled()
    assert bodies.written[-1] == b"x"
    release.set()
    await served(memory, ask(EGGS))
    assert len(embedder.calls) == called + 1
    await memory.close()


def assert_released(release: threading.Event) -> None:
    assert release.wait(30)


async def test_a_request_that_gave_up_leaves_no_work(bodies: Troubled, embedder: Scripted) -> None:
    """What waited in vain for its turn, or whose client left, is not embedded later on."""
    memory = Memory(embedder, bodies, embed_budget=0.05, workers=1)
    release = threading.Event()
    embedder.act = lambda _: assert_released(release)
    first = asyncio.create_task(find(memory, ask("first")))
    left = asyncio.create_task(find(memory, ask("left")))
    await asyncio.sleep(0.01)
    left.cancel()
    late = await asyncio.gather(first, *[find(memory, ask(f"late {n}")) for n in range(10)])
    assert {one.fault for one in late} == {Reason.EMBED_TIMEOUT}
    release.set()
    await served(memory, ask("now"))
    assert embedder.calls == ["first", "now"]
    await memory.close()


@pytest.mark.parametrize(
    "error", [EmbedderError("no vector"), ValueError("bad input"), MemoryError(), OSError(5, "io")]
)
async def test_a_failing_embedder_is_a_miss(
    memory: Memory, bodies: Troubled, embedder: Scripted, error: Exception
) -> None:
    """Whatever the model raises, the request goes on and its answer is kept for exact hits."""

    def fail(_: str) -> None:
        raise error

    embedder.act = fail
    found = await find(memory, ask())
    assert (found.fault, found.exact, found.near) == (Reason.EMBED_TIMEOUT, None, ())
    assert memory.faults.embed == 1
    await memory.keep(facts(ask(), found), b"x", None, meaning=True)
    await memory.settled()
    assert bodies.written == [b"x"]
    assert (await find(memory, ask())).exact is not None
    assert memory.faults.store_write == 0


@pytest.mark.parametrize("error", [EmbedderError("no"), None])
async def test_examples_without_a_model_teach_nothing(
    memory: Memory, embedder: Scripted, error: Exception | None
) -> None:
    """A model that fails on the examples leaves the categories by example out, and says so."""

    def fail(_: str) -> None:
        if error is not None:
            raise error

    embedder.act = fail
    learned = await memory.sight.learn_examples(WITH_EXAMPLES)
    assert learned.names == (() if error else ("personal",))
    assert memory.faults.embed == (1 if error else 0)


async def test_a_vector_of_no_numbers_is_a_fault(memory: Memory, embedder: Scripted) -> None:
    """A model that returns NaN has failed: nothing is near, nothing poisons the space."""
    await keep(memory, ask())
    embedder._inner = NotNumbers()  # type: ignore[assignment]
    found = await find(memory, ask(EGGS))
    assert (found.fault, found.vector, found.near) == (Reason.EMBED_TIMEOUT, None, ())
    assert "not a number" in memory.faults.last["embed"]


class NotNumbers:
    def embed(self, text: str) -> Embedded:
        return Embedded(np.full(64, np.nan, np.float32))


async def test_an_embedding_that_came_late_still_serves(memory: Memory, embedder: Scripted) -> None:
    """An answer kept without a vector is embedded in the background and found by meaning."""
    found = await find(memory, ask(reach=Reach.EXACT))
    assert found.vector is None
    await memory.keep(facts(ask(), found), b"x", None, meaning=True)
    await memory.settled()
    assert len((await find(memory, ask(EGGS))).near) == 1


async def test_a_store_that_is_down_is_a_miss(memory: Memory, bodies: Troubled) -> None:
    """Failing reads and writes never raise; what was held is there again when the store is."""
    kept = await keep(memory, ask())
    memory._hot.pop(kept.entry)
    bodies.down = True
    assert await body_of(memory, kept) is None
    assert memory.faults.store_read == 1
    await memory.keep(facts(ask(EGGS), await find(memory, ask(EGGS))), b"x", None, meaning=True)
    await memory.settled()
    assert memory.faults.store_write == 1
    bodies.down = False
    assert await body_of(memory, kept) == b"answer"


async def test_a_shared_store_that_is_down_answers_nothing(embedder: Scripted) -> None:
    """Where only the store says what exists, a failing one is `store-down`, never a stale hit."""
    bodies = Troubled(shared=True)
    memory = Memory(embedder, bodies)
    kept = await keep(memory, ask())
    bodies.down = True
    for query in (ask(), ask(EGGS), ask(reach=Reach.EXACT)):
        found = await find(memory, query)
        assert (found.exact, found.near, found.fault) == (None, (), Reason.STORE_DOWN)
    assert await body_of(memory, kept) is None
    bodies.down = False
    assert (await find(memory, ask())).exact == kept
    await memory.close()


async def test_forgetting_says_when_it_could_not(memory: Memory, bodies: Troubled) -> None:
    """A purge that the store refuses raises, and is not served from RAM meanwhile."""
    kept = await keep(memory, ask())
    bodies.down = True
    with pytest.raises(StoreError, match="down"):
        await memory.forget([kept.entry])
    assert (await find(memory, ask())).exact is None
    assert await body_of(memory, kept) is None


async def test_text_that_no_store_can_hold_is_still_served(memory: Memory) -> None:
    """An entry that cannot be written is counted as a fault and served while it is hot."""
    kept = await keep(memory, ask("\ud800 half"))
    assert memory.faults.store_write == 1
    assert await body_of(memory, kept) == b"answer"
    memory._hot.pop(kept.entry)
    assert await body_of(memory, kept) is None
    assert len(memory) == 0


# -- writes under way ------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
async def test_kept_is_served_before_it_is_durable(embedder: Scripted, *, shared: bool) -> None:
    """With the write still under way the entry is found and read, hot or not."""
    bodies = Troubled(shared=shared)
    memory = Memory(embedder, bodies, hot_bytes=0)
    bodies.gate.clear()
    empty = await find(memory, ask())
    await memory.keep(facts(ask(), empty), b"early", empty.vector, meaning=True)
    await asyncio.sleep(0)
    found = await find(memory, ask())
    assert found.exact is not None
    assert await body_of(memory, found.exact) == b"early"
    near = (await find(memory, ask(EGGS))).near
    assert await body_of(memory, near[0].facts) == b"early"
    bodies.gate.set()
    await memory.settled()
    assert await body_of(memory, found.exact) == b"early"
    await memory.close()


@pytest.mark.parametrize("shared", [False, True])
async def test_forgotten_while_being_written_stays_forgotten(
    embedder: Scripted, *, shared: bool
) -> None:
    """A purge that overtakes a write leaves nothing behind in RAM or in the store."""
    bodies = Troubled(shared=shared)
    memory = Memory(embedder, bodies)
    bodies.gate.clear()
    empty = await find(memory, ask())
    made = facts(ask(), empty)
    await memory.keep(made, b"x", empty.vector, meaning=True)
    await asyncio.sleep(0)
    purge = asyncio.create_task(memory.forget([made.entry]))
    await asyncio.sleep(0)
    assert await body_of(memory, made) is None
    bodies.gate.set()
    assert await purge == 1
    assert await bodies.read(made.entry) is None
    assert (await find(memory, ask())).exact is None
    await memory.close()


async def test_a_purge_does_not_wait_for_later_writes(memory: Memory, bodies: Troubled) -> None:
    """Steady traffic that always has a write under way does not hold a purge up."""
    kept = await keep(memory, ask())
    stop = asyncio.Event()

    async def traffic() -> None:
        for n in count():
            if stop.is_set():
                return
            found = await find(memory, ask(f"question {n}", reach=Reach.EXACT))
            await memory.keep(facts(ask(f"question {n}"), found), b"x", None, meaning=False)
            await asyncio.sleep(0)

    slow = bodies.write

    async def write(record: Record) -> None:
        await asyncio.sleep(0.02)
        await slow(record)

    bodies.write = write  # type: ignore[method-assign]
    busy = asyncio.create_task(traffic())
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert await memory.forget([kept.entry]) == 1
    stop.set()
    await busy


async def test_a_slow_first_write_does_not_undo_the_second(
    memory: Memory, bodies: Troubled, embedder: Scripted
) -> None:
    """An older answer that is still being embedded is not written over a newer one."""
    release = threading.Event()
    embedder.act = lambda _: assert_released(release)
    old = await find(memory, ask(reach=Reach.EXACT))
    await memory.keep(facts(ask(), old), b"old", None, meaning=True)
    await asyncio.sleep(0.01)
    vector = HashingEmbedder(64).embed("egg").vector
    await memory.keep(facts(ask(), old), b"new", vector, meaning=True)
    await asyncio.sleep(0.01)
    release.set()
    await memory.settled()
    assert bodies.written == [b"new"]
    found = await find(memory, ask())
    assert found.exact is not None
    assert await body_of(memory, found.exact) == b"new"


async def test_found_before_a_purge_is_not_read_after_it(memory: Memory, bodies: Troubled) -> None:
    """A request that chose an entry just before it was purged gets no body, and revives none."""
    kept = await keep(memory, ask())
    sealed = await bodies.read(kept.entry)
    assert sealed is not None
    await memory.forget([kept.entry])
    await bodies.write(sealed)  # as where the delete is not committed yet
    assert await body_of(memory, kept) is None
    assert (len(memory), (await find(memory, ask())).exact) == (0, None)


async def test_an_older_body_is_not_served_as_newer(memory: Memory, bodies: Troubled) -> None:
    """Where the newest answer could not be written, the older one in the store is not its body."""
    await keep(memory, ask(), b"old")
    bodies.down = True
    new = await keep(memory, ask(), b"new")
    bodies.down = False
    assert await body_of(memory, new) == b"new"
    memory._hot.pop(new.entry)
    assert await body_of(memory, new) is None
    assert (await find(memory, ask())).exact is None


# -- bounds ----------------------------------------------------------------------------------------


async def test_hot_bodies_are_bounded(embedder: Scripted, bodies: Troubled) -> None:
    """The least recently read bodies leave RAM, none larger than the bound enters."""
    memory = Memory(embedder, bodies, hot_bytes=10)
    kept = [await keep(memory, ask(f"question {n}"), b"%d234" % n) for n in range(3)]
    large = await keep(memory, ask("large"), b"x" * 11)
    bodies.down = True
    assert [await body_of(memory, one) for one in kept] == [None, b"1234", b"2234"]
    assert await body_of(memory, large) is None
    bodies.down = False
    assert [await body_of(memory, one) for one in (kept[1], kept[0])] == [b"1234", b"0234"]
    bodies.down = True
    assert [await body_of(memory, one) for one in kept] == [b"0234", b"1234", None]
    assert await body_of(memory, kept[0]) == b"0234"
    await memory.close()


async def test_what_eviction_weighs(memory: Memory) -> None:
    """Last use counts from hits, else from keeping; a refreshed entry is not an old one."""
    a = await keep(memory, ask("a b"), stored=100.0, size=5)
    b = await keep(memory, ask("c d"), stored=200.0, size=7, category="x")
    everyone = await keep(memory, ask("e f"), stored=50.0, owner="everyone")
    _, held = memory.catalog.held()
    assert held.size.tolist()[:2] == [5 + RAM + 3, 7 + RAM + 3]
    assert held.used.tolist() == [100.0, 200.0, 50.0]
    assert [held.categories[place] for place in held.category] == ["default", "x", "default"]
    assert [held.owners[place] for place in held.owner] == ["k1", "k1", ""]
    await memory.forget([everyone.entry])
    assert memory.counts == {"default": 1, "x": 1}
    memory.touch(a.entry, 300.0, 50)
    memory.touch(a.entry, 310.0, 50)
    memory.touch("0" * 32, 300.0, 50)
    assert worst(memory) == [(b.entry, 200.0), (a.entry, 310.0)]
    slot = next(memory.catalog.slots())
    assert (slot.facts, slot.hits, slot.tokens_saved) == (a, 2, 100)
    await keep(memory, ask("c d"), stored=400.0, size=9)
    await keep(memory, ask("a b"), stored=305.0, size=5)
    assert worst(memory) == [(a.entry, 310.0), (b.entry, 400.0)]
    assert memory.size == 14 + 2 * (RAM + 3)


def worst(memory: Memory) -> list[tuple[str, float]]:
    """All entries with their last use, longest ago first."""
    return memory.catalog.worst(Bounds(0, 0, {}), Rule.LRU)


async def test_what_has_become_of_use_stays(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What answered somebody between the weighing and its turn is not evicted, nor is a new one."""
    old, used, renewed = [
        await keep(memory, ask(f"question {n}"), stored=100.0 + n) for n in range(3)
    ]
    weigh = memory.catalog.worst

    def meanwhile(bounds: Bounds, rule: Rule) -> list[tuple[str, float]]:
        chosen = weigh(bounds, rule)
        memory.touch(used.entry, 500.0, 0)
        memory.catalog.hold(replace(renewed, stored=600.0))
        return chosen

    monkeypatch.setattr(memory.catalog, "worst", meanwhile)
    assert await memory.evict(Bounds(0, 10**9, {}), Rule.LRU) == 1
    assert [memory.facts(one.entry) is None for one in (old, used, renewed)] == [True, False, False]


async def test_eviction_takes_many_in_turns(memory: Memory) -> None:
    """More than one part's worth goes, the rest stays, in RAM and in the store."""
    kept = [await keep(memory, ask(f"question {n}"), stored=100.0 + n) for n in range(200)]
    assert await memory.evict(Bounds(50, 10**9, {}), Rule.LRU) == 151
    assert len(memory) == 49
    left = {record.facts.entry async for record in memory.bodies.scan()}
    assert left == {one.entry for one in kept[151:]}


async def test_sweep_names_what_is_past_its_last_use(memory: Memory) -> None:
    """An entry goes at its `gone` time, not when it merely expires."""
    kept = await keep(memory, ask(), stored=1.0, expires=2.0, gone=time.time() + 50)
    assert memory.sweep(kept.gone - 1) == []
    assert memory.sweep(kept.gone) == [kept.entry]


async def test_loading_takes_repeats_once(embedder: Scripted) -> None:
    """A store that hands out an entry twice while it is scanned makes one entry of it."""

    class Twice(MemoryBodies):
        async def scan(self) -> AsyncIterator[Record]:
            for _ in range(2):
                async for record in super().scan():
                    yield record

    bodies = Twice()
    await keep(Memory(embedder, bodies), ask())
    memory = Memory(embedder, bodies)
    assert await memory.load() == 2
    assert (len(memory), memory.size) == (1, 10 + RAM + len(EGG))
    assert len((await find(memory, ask(EGGS))).near) == 1
    await memory.close()


# -- while entries are loaded ----------------------------------------------------------------------


class Slow(Troubled):
    """A store whose first scan tells one entry, and the others when it is let go on."""

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(shared=shared)
        self.told = asyncio.Event()
        self.go_on = asyncio.Event()
        self.fault: StoreError | None = None

    async def scan(self) -> AsyncIterator[Record]:
        records = [record async for record in super().scan()]
        for record in records[:1]:
            yield record
        if not self.told.is_set():
            self.told.set()
            await self.go_on.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        for record in records[1:]:
            yield record


class Half:
    """A memory that has taken in the first of its store's two entries."""

    def __init__(self, embedder: Scripted, bodies: Slow) -> None:
        self.memory = Memory(embedder, bodies)
        self.bodies = bodies

    async def begin(self) -> None:
        self.memory.loading.begin()
        self._load = asyncio.create_task(self.memory.load())
        await asyncio.wait_for(self.bodies.told.wait(), 5)

    async def end(self) -> None:
        self.bodies.go_on.set()
        await asyncio.wait_for(self._load, 5)
        assert not self.memory.loading.under_way


FIRST = "How do I fry an egg?"


@pytest.fixture(params=[False, True], ids=["own", "shared"])
async def half(
    request: pytest.FixtureRequest, embedder: Scripted, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Half]:
    """Of two entries that were kept before, `FIRST` and then `EGG`."""
    monkeypatch.setattr(loading, "BATCH", 1)
    bodies = Slow(shared=request.param)
    before = Memory(embedder, bodies)
    for one in (FIRST, EGG):
        await keep(before, ask(one), stored=100.0, expires=2e9, gone=3e9)
    made = Half(embedder, bodies)
    await made.begin()
    yield made
    await made.memory.close()


async def near_eggs(memory: Memory) -> set[str]:
    return {c.facts.text for c in (await find(memory, ask(EGGS))).near}


async def test_the_store_answers_while_entries_are_loaded(half: Half) -> None:
    """Exact matches are found and read from the first moment on, and neighbours in the end."""
    memory = half.memory
    assert (memory.loading.count, len(memory)) == (1, 1)
    assert await near_eggs(memory) == {FIRST}
    for one in (FIRST, EGG):
        found = await find(memory, ask(one))
        assert found.exact is not None
        assert await body_of(memory, found.exact) == b"answer"
    assert (await find(memory, ask("no such"))).exact is None
    await half.end()
    assert (memory.loading.count, len(memory)) == (2, 2)
    assert await near_eggs(memory) == {FIRST, EGG}


async def test_a_store_that_is_down_while_loading_is_a_miss(half: Half) -> None:
    """What RAM lacks is `store-down`."""
    half.bodies.down = True
    assert (await find(half.memory, ask(EGG))).fault is Reason.STORE_DOWN
    half.bodies.down = False
    await half.end()


@pytest.mark.parametrize("seen", [False, True])
async def test_what_is_forgotten_while_loading_stays_forgotten(half: Half, *, seen: bool) -> None:
    """A page of the store that was read before does not bring an entry back, seen or not."""
    memory, entry = half.memory, lookup(ask(EGG)).entry
    if seen:
        assert (await find(memory, ask(EGG))).exact is not None
    assert await memory.purge([entry]) == 1
    assert (await find(memory, ask(EGG))).exact is None
    await half.end()
    assert await near_eggs(memory) == {FIRST}
    assert len(memory) == 1


async def test_what_is_kept_while_loading_stands(half: Half) -> None:
    """An older answer that comes from the store later does not take the place of a new one."""
    memory = half.memory
    await memory.purge([lookup(ask(EGG)).entry])
    new = await keep(memory, ask(EGG), b"new")
    await half.end()
    assert (await find(memory, ask(EGG))).exact == new
    assert await body_of(memory, new) == b"new"
    assert await near_eggs(memory) == {FIRST, EGG}


async def test_what_is_flagged_while_loading_is_flagged(half: Half) -> None:
    """A verdict on an entry that is not loaded yet holds when it is, and it is found by meaning."""
    assert await half.memory.flag([lookup(ask(EGG)).entry], flagged=True) == 1
    await half.end()
    near = (await find(half.memory, ask(EGGS))).near
    assert {c.facts.text: c.facts.flagged for c in near} == {FIRST: False, EGG: True}


async def test_everything_can_be_listed_while_loading(half: Half) -> None:
    """A selection, and a group's members, come from the store until RAM has all."""
    memory, entries = half.memory, [lookup(ask(one)).entry for one in (FIRST, EGG)]
    await half.bodies.amend(entries[1], Change(group=entries[0]).onto)
    assert sorted(slot.facts.entry for slot in await memory.every()) == sorted(entries)
    held = memory.facts(entries[0])
    assert held is not None
    assert await memory.twins(held) == [entries[1]]
    await half.end()


async def test_loading_may_be_done_again(half: Half) -> None:
    """A store that fails half way raises; RAM is known to lack some until it is loaded again."""
    half.bodies.fault = StoreError("half way")
    with pytest.raises(StoreError, match="half way"):
        await half.end()
    assert half.memory.loading.under_way
    assert (await find(half.memory, ask(EGG))).exact is not None
    await half.begin()
    await half.end()
    assert await near_eggs(half.memory) == {FIRST, EGG}
    assert len(half.memory) == 2


async def test_tending_builds_graphs_and_loses_nothing(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowded space is rebuilt off the request path, and every entry is still found."""
    monkeypatch.setattr(spaces, "Space", partial(Space, flat_most=50))
    texts = [f"How long do I boil egg number {n}?" for n in range(60)]
    for text in texts:
        await keep(memory, ask(text))
    assert len(memory.catalog.spaces.crowded()) == 1
    await memory.tend()
    assert memory.catalog.spaces.crowded() == []
    for text in texts:
        near = (await find(memory, ask(text.upper()))).near
        assert (near[0].facts.text, near[0].score) == (text, 1.0)


async def test_an_empty_space_is_let_go(memory: Memory) -> None:
    """When the last entry of a partition goes, so does its index."""
    kept = await keep(memory, ask())
    assert len(memory.catalog.spaces) == 1
    await memory.forget([kept.entry])
    assert len(memory.catalog.spaces) == 0


async def test_everything_at_once(memory: Memory) -> None:
    """Finding, keeping and forgetting from many tasks end in a state that adds up."""

    async def visitor(seed: int) -> None:
        for n in range(30):
            query = ask(f"How long do I boil egg {(seed + n) % 40}?")
            found = await find(memory, query)
            if found.exact is None:
                made = facts(query, found)
                await memory.keep(made, query.text.encode(), found.vector, meaning=True)
            elif n % 7 == 0:
                await memory.forget([found.exact.entry])
            else:
                body = await body_of(memory, found.exact)
                assert body in (None, query.text.encode())

    await asyncio.gather(*[visitor(seed) for seed in range(0, 80, 2)])
    await memory.settled()
    texts = [slot.facts.text for slot in memory.catalog.slots()]
    assert memory.size == (10 + RAM) * len(memory) + sum(map(len, texts))
    assert memory._pending == {}
    (space,) = memory.catalog.spaces.every()
    assert len(space) == len(memory)
    stored = {record.facts.entry async for record in memory.bodies.scan()}
    assert stored == {slot.facts.entry for slot in memory.catalog.slots()}
    assert (memory.faults.embed, memory.faults.store_read, memory.faults.store_write) == (0, 0, 0)


async def test_a_purge_ends_what_was_asked_before_it(memory: Memory) -> None:
    """The generation rises by a purge, and by nothing that happens on its own."""
    kept = await keep(memory, ask())
    await memory.forget([kept.entry])
    assert memory.generation == 0
    again = await keep(memory, ask())
    assert await memory.purge([again.entry]) == 1
    assert memory.generation == 1


async def test_every_entry_of_a_shared_store_is_seen(pair: tuple[Memory, Memory]) -> None:
    """What another process kept can be listed, and so purged, here."""
    here, there = pair
    kept = await keep(here, ask())
    await here.settled()
    assert [slot.facts.entry for slot in await there.every()] == [kept.entry]
    assert await there.purge([kept.entry]) == 1
    assert (await find(here, ask())).exact is None
