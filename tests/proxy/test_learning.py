"""Fresh answers teach behind the requests: labels, groups, records, and no more."""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index.embedders.hashing import HashingEmbedder
from index.errors import StoreError
from index.journal import Journal
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies import groups
from policies.features import NAMES
from policies.record import Decision
from policies.values import Candidate, CategoryRules, Facts, Rules, Threshold
from policies.verdicts import Reason, Study
from proxy import engine, learning
from proxy.demo.upstream import Reply, message_text, read_json, send_json
from proxy.dialects.chat import Chat
from proxy.feedback import PATH
from proxy.learning import Fresh, Learner
from tests.proxy.house import House, serving, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LEARNED = CategoryRules("default", Threshold(0.95, max_false_hits=0.02), ttl=60)
VCACHE = CategoryRules("default", Threshold(0.95, delta=0.02), ttl=60)


def chat(text: str) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}}]}).encode()


def facts(number: int, **changes: Any) -> Facts:
    made = Facts(
        f"{number:032x}", "s", "o", "default", "chat", "m", "", f"q {number}", 100.0, 1e12, 1e12, 1
    )
    return replace(made, **changes)


def study(candidate: Facts, score: float = 0.9, **changes: Any) -> Study:
    made = Study(
        candidate=Candidate(candidate, score),
        features=(1.0,) * len(NAMES),
        risk=0.01,
        bound=0.02,
        would=False,
        propensity=1.0,
        reason=Reason.UNVERIFIED,
    )
    return replace(made, **changes)


def hit(number: int, owner: str = "o") -> Decision:
    """The journal's row of a semantic hit."""
    return Decision(
        number, 1.0, "hit", "semantic", "default", "chat", "u", "m", owner, False, 200, 0.97, 0.95,
        0.02, "e", "", "", "", "", 0, "p", "m", 1.0, 0.0, 0.0, 0.0, 1, 1,
    )  # fmt: skip


class Reader:
    """A judge that reads: equal texts are the same; `broken` and `unsure` stand for themselves."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    async def same(self, question: str, fresh: str, remembered: str) -> bool | None:
        self.seen.append((fresh, remembered))
        if fresh == "broken":
            raise RuntimeError("the judge broke")
        return None if fresh == "unsure" else fresh == remembered

    def describe(self) -> str:
        return "judge: reader"

    def close(self) -> None:
        """Nothing is held."""


class Bed:
    """A learner over a memory of its own, without requests."""

    def __init__(self, memory: Memory, journal: Journal) -> None:
        self.memory, self.journal = memory, journal
        self.judge = Reader()
        self.rules = Rules(defaults=LEARNED)
        self.learner = self.another()

    def another(self) -> Learner:
        """A learner over the same store, as after a restart."""
        return Learner(self.memory, self.journal, self.judge, lambda: self.rules, clock=lambda: 7.0)

    async def keep(self, number: int, answer: str, **changes: Any) -> Facts:
        """Remember an answer, searched by meaning."""
        made = facts(number, **changes)
        vector = self.memory.embedder.embed(made.text).vector
        await self.memory.keep(made, chat(answer), vector, meaning=True)
        return self.now(number)

    def now(self, number: int) -> Facts:
        found = self.memory.facts(f"{number:032x}")
        assert found is not None
        return found

    async def compare(
        self, number: int, answer: str, thought: Study, category: CategoryRules = LEARNED
    ) -> None:
        """Hand in a fresh answer that was kept, and wait for all that follows."""
        await self.keep(number, answer)
        fresh = Fresh(
            number, 5.0, f"q {number}", chat(answer), False, Chat(), category, thought,
            f"{number:032x}",
        )  # fmt: skip
        self.learner.compare(fresh)
        await asyncio.sleep(0)
        await self.learner.judging.idle()

    async def rows(self) -> list[tuple[int, bool]]:
        await self.learner.fold()
        return [(row.id, row.same) for row in await self.journal.labels(100)]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    memory = Memory(HashingEmbedder(), MemoryBodies())
    journal = Journal.open(tmp_path / "journal.db")
    made = Bed(memory, journal)
    yield made
    await made.learner.close()
    await memory.close()
    await journal.close()


# -- groups and records --------------------------------------------------------------------------


async def test_a_label_goes_to_the_neighbours_own_record(bed: Bed) -> None:
    """With the similarity it was found at; the newcomer's own record stays empty."""
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, "no", study(neighbour, 0.91))
    await bed.compare(3, "yes", study(neighbour, 0.87654321))
    assert bed.now(1).labels == ((0.91, False), (0.8765, True))
    assert bed.now(2).labels == bed.now(3).labels == ()
    assert await bed.rows() == [(3, True), (2, False)]
    assert [label.same for label in bed.learner.lessons.labels] == [False, True]


async def test_labels_wait_for_a_journal_that_refuses(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is written later, in order and once; what ran over is the oldest."""
    monkeypatch.setattr(learning, "ROWS", 2)
    neighbour = await bed.keep(1, "yes")
    with monkeypatch.context() as full:
        full.setattr(bed.journal, "compared", refusing)
        for number in (2, 3, 4):
            await bed.compare(number, "no", study(neighbour, 0.9))
            with pytest.raises(StoreError, match="full"):
                await bed.learner.fold()
    assert len(bed.learner.lessons.labels) == 3
    await bed.compare(5, "yes", study(neighbour, 0.9))
    for _ in range(2):
        assert await bed.rows() == [(5, True), (4, False), (3, False)]


async def refusing(_rows: object) -> None:
    raise StoreError("journal: the disk is full")


async def test_equal_answers_join_one_group(bed: Bed) -> None:
    """The founder's name is the group's; what is different stays alone."""
    founder = await bed.keep(1, "yes")
    await bed.compare(2, "yes", study(founder))
    await bed.compare(3, "no", study(founder))
    assert [groups.of(bed.now(n)) for n in (1, 2, 3)] == [
        founder.entry,
        founder.entry,
        "3".zfill(32),
    ]


async def test_a_newcomer_must_be_like_the_founder_too(bed: Bed) -> None:
    """What equals a member alone does not join: nearly the same must not drift."""
    founder = await bed.keep(1, "yes")
    member = await bed.keep(2, "yes, well", group=founder.entry)
    await bed.compare(3, "yes, well", study(member))
    assert bed.judge.seen == [("yes, well", "yes, well"), ("yes, well", "yes")]
    assert bed.now(3).group == ""
    gone = await bed.keep(4, "so", group="f" * 32)
    await bed.compare(5, "so", study(gone))
    assert bed.now(5).group == "f" * 32


async def test_rivals_are_asked_in_turn(bed: Bed) -> None:
    """A different answer is compared with the rivals until one is the same; one label in all."""
    neighbour, second, third = [await bed.keep(n, said) for n, said in enumerate("abc", 1)]
    await bed.compare(4, "c", study(neighbour, rivals=(second, third)))
    assert bed.judge.seen == [("c", "a"), ("c", "b"), ("c", "c")]
    assert bed.now(4).group == third.entry
    assert (bed.now(2).labels, bed.now(3).labels) == ((), ())
    assert await bed.rows() == [(4, False)]


async def test_a_full_group_is_searched_no_further(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over the cap an entry joins, and is matched exactly only."""
    monkeypatch.setattr(groups, "MOST", 3)
    founder = await bed.keep(1, "yes")
    for number in (2, 3, 4):
        await bed.compare(number, "yes", study(founder))
    assert {bed.now(number).group for number in (2, 3, 4)} == {founder.entry}
    assert [bool(bed.now(number).embedding) for number in (1, 2, 3, 4)] == [True, True, True, False]


async def test_a_bad_group_stays_bad(bed: Bed) -> None:
    """Who joins an entry that is marked bad is marked too."""
    founder = await bed.keep(1, "yes", flagged=True)
    await bed.compare(2, "yes", study(founder))
    assert bed.now(2).flagged


@pytest.mark.parametrize(
    ("category", "answer", "searched"),
    [(VCACHE, "yes", False), (VCACHE, "no", True), (LEARNED, "yes", True), (LEARNED, "no", True)],
)
async def test_under_vcache_only_what_was_wrong_is_searched(
    bed: Bed, category: CategoryRules, answer: str, searched: bool
) -> None:
    """The published rule inserts an entry only where its neighbour would have been wrong."""
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, answer, study(neighbour, bound=None), category)
    assert bool(bed.now(2).embedding) is searched


# -- what is no label ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["broken", "unsure"])
async def test_a_judge_without_a_word_gives_no_label(bed: Bed, answer: str) -> None:
    """Nothing is learned, joined or written, and the next answer is judged as ever."""
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, answer, study(neighbour))
    assert await bed.rows() == []
    assert (bed.now(1).labels, bed.now(2).group) == ((), "")
    assert bed.learner.judging.counts == {"unknown": 1}
    await bed.compare(3, "yes", study(neighbour))
    assert await bed.rows() == [(3, True)]


@pytest.mark.parametrize(
    ("answer", "counted"), [(b"{}", {}), (chat("x" * 300_000), {"dropped": 1})]
)
async def test_what_cannot_be_read_is_not_judged(
    bed: Bed, answer: bytes, counted: dict[str, int]
) -> None:
    """An answer without text, or one too long to read beside the requests."""
    neighbour = await bed.keep(1, "yes")
    bed.learner.compare(Fresh(2, 5.0, "q", answer, False, Chat(), LEARNED, study(neighbour), "e"))
    await asyncio.sleep(0)
    await bed.learner.judging.idle()
    assert (bed.judge.seen, bed.learner.judging.counts) == ([], counted)


async def test_what_a_guard_refused_is_written_down_only(bed: Bed) -> None:
    """It says nothing of would-be hits: no lesson, no record, but a row and a group."""
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, "yes", study(neighbour, vetoed=True))
    assert await bed.rows() == [(2, True)]
    assert (bed.learner.lessons.labels, bed.now(1).labels) == ((), ())
    assert bed.now(2).group == neighbour.entry


# -- verdicts of callers -------------------------------------------------------------------------


async def test_a_bad_verdict_teaches_and_certifies_nothing(bed: Bed) -> None:
    """Once for each hit; one on what nobody remembers serving teaches nothing."""
    bed.learner.served(5, study(facts(1), would=True, propensity=0.02), "faq")
    for number in (5, 5, 6):
        bed.learner.verdict(hit(number), good=False)
    await bed.learner.fold()
    (label,) = bed.learner.lessons.labels
    assert (label.category, label.same, label.certifies, label.propensity) == (
        "faq",
        False,
        False,
        1,
    )


async def test_a_good_verdict_changes_nothing(bed: Bed) -> None:
    """Praise loosens no threshold, and the hit may still be called bad."""
    bed.learner.served(5, study(facts(1), would=True), "faq")
    bed.learner.verdict(hit(5), good=True)
    await bed.learner.fold()
    assert bed.learner.lessons.labels == ()
    bed.learner.verdict(hit(5), good=False)
    await bed.learner.fold()
    assert len(bed.learner.lessons.labels) == 1


async def test_a_flood_of_verdicts_of_one_key_is_capped(bed: Bed) -> None:
    """One key teaches so much and no more; another key is still heard."""
    for number in range(learning.VERDICTS_EACH + 10):
        bed.learner.served(number, study(facts(1), would=True), "faq")
        bed.learner.verdict(hit(number), good=False)
    bed.learner.served(1_000, study(facts(1), would=True), "faq")
    bed.learner.verdict(hit(1_000, "another"), good=False)
    await bed.learner.fold()
    assert len(bed.learner.lessons.labels) == learning.VERDICTS_EACH + 1


async def test_a_key_is_heard_again_on_another_day(bed: Bed) -> None:
    """What it may teach is so much a day, not for ever."""
    for number in range(learning.VERDICTS_EACH + 10):
        bed.learner.served(number, study(facts(1), would=True), "faq")
        bed.learner.verdict(hit(number), good=False)
    bed.learner._clock = lambda: 7.0 + learning.DAY
    bed.learner.served(1_000, study(facts(1), would=True), "faq")
    bed.learner.verdict(hit(1_000), good=False)
    await bed.learner.fold()
    assert len(bed.learner.lessons.labels) == learning.VERDICTS_EACH + 1


# -- what stays ----------------------------------------------------------------------------------


async def test_a_restart_knows_what_was_learned(bed: Bed) -> None:
    """Labels and the judge's noise come back from the store; the standing is made from them."""
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, "no", study(neighbour, would=True, propensity=0.2))
    bed.learner.asked_again("q", "changed", neighbour, Chat())
    await bed.learner.judging.idle()
    await bed.learner.close()
    again = bed.another()
    await again.load()
    assert again.lessons.labels == bed.learner.lessons.labels != ()
    assert (again.lessons.noise.asked, again.lessons.noise.differed) == (1, 1)
    assert list(again.learned.standings) == [0.02]


async def test_replicas_learn_together(bed: Bed) -> None:
    """What one judge says, and how noisy it was, teaches the other replica the same, once."""
    other = bed.another()
    notes: list[bytes] = []
    bed.learner.say = notes.append
    other.say = bed.learner.hear
    neighbour = await bed.keep(1, "yes")
    await bed.compare(2, "no", study(neighbour, would=True, propensity=0.2))
    bed.learner.asked_again("q", "changed", neighbour, Chat())
    await bed.learner.judging.idle()
    await bed.learner.fold()
    for _ in range(2):
        await bed.learner.fold()
    (note,) = notes
    other.hear(note)
    await other.fold()
    assert len(other.lessons.labels) == 1
    assert other.lessons.labels[0] == bed.learner.lessons.labels[0]
    assert other.lessons.noise == bed.learner.lessons.noise
    assert list(other.learned.standings) == list(bed.learner.learned.standings)


async def test_what_was_loaded_is_not_learned_again(bed: Bed) -> None:
    """A note that was told before the state was saved, and is heard after it was loaded."""
    notes: list[bytes] = []
    bed.learner.say = notes.append
    await bed.compare(2, "no", study(await bed.keep(1, "yes"), would=True, propensity=0.2))
    await bed.learner.fold()
    await bed.learner.save()
    other = bed.another()
    await other.load()
    other.hear(notes[0])
    await other.fold()
    assert len(other.lessons.labels) == 1


async def test_replicas_forget_together(bed: Bed) -> None:
    """A category that is forgotten at one is forgotten at the other, heard labels included."""
    notes: list[bytes] = []
    bed.learner.say = notes.append
    await bed.compare(2, "no", study(await bed.keep(1, "yes")))
    await bed.learner.fold()
    other = bed.another()
    other.hear(notes[0])
    await other.fold()
    other.hear(notes[0])
    await bed.learner.forget("default")
    other.hear(notes[-1])
    other.hear(b"nonsense")
    await other.fold()
    assert other.lessons.labels == bed.learner.lessons.labels == ()


async def test_noise_alone_is_kept_too(bed: Bed) -> None:
    """Exact hits asked again are all that a process without misses learns."""
    bed.learner.asked_again("q", "yes", await bed.keep(1, "yes"), Chat())
    await bed.learner.judging.idle()
    await bed.learner.close()
    again = bed.another()
    await again.load()
    assert (again.lessons.noise.asked, again.lessons.noise.differed) == (1, 0)


async def test_a_damaged_state_starts_anew(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and nothing of it is believed."""
    await bed.memory.bodies.put(f"learned:{bed.memory.embedder.id}", b"\x01nonsense")
    await bed.learner.load()
    assert bed.learner.lessons.labels == ()
    assert "learning starts anew" in caplog.text


async def test_one_category_is_forgotten(bed: Bed) -> None:
    """Folded or not, and for good; what others taught stays."""
    neighbour = await bed.keep(1, "yes")
    poem = replace(LEARNED, name="poem")
    await bed.compare(2, "no", study(neighbour), poem)
    await bed.compare(3, "no", study(neighbour))
    await bed.learner.fold()
    await bed.compare(4, "no", study(neighbour), poem)
    await bed.learner.forget("poem")
    again = bed.another()
    await again.load()
    for learner in (bed.learner, again):
        assert [label.category for label in learner.lessons.labels] == ["default"]


# -- through the door ----------------------------------------------------------------------------


class Scripted:
    """An upstream that gives each prompt the next of its answers, the last one for ever."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = await read_json(receive)
        self.calls += 1
        prompt = message_text(asked["messages"][-1])
        said = self.answers[next(key for key in self.answers if key in prompt)]
        text = said.pop(0) if len(said) > 1 else said[0]
        reply = Reply(asked["model"], {"content": text}, tokens_in=1, tokens_out=1)
        await send_json(send, 200, reply.document())


@contextmanager
def taught(
    folder: Path, monkeypatch: pytest.MonkeyPatch, upstream: Scripted, **policy: Any
) -> Iterator[House]:
    """A house under the learned threshold, its labels folded each second, its judge plain."""
    monkeypatch.setattr(learning, "PATIENCE", 1.0)
    threshold = policy.pop("threshold", {"max_false_hits": "2%", "start": 0.95})
    policy = {"judge": "text", "defaults": {"threshold": threshold}} | policy
    with uvicorn_of(upstream) as where, serving(folder, where, policy=policy) as house:
        yield house


def labels(house: House, many: int = 1) -> list[dict[str, Any]]:
    """What judges said, newest first, once there are so many."""

    def told() -> list[dict[str, Any]] | None:
        rows: list[dict[str, Any]] = house.api("/api/learned/labels")["labels"]
        return rows if len(rows) >= many else None

    found: list[dict[str, Any]] = until(told)
    return found


def seen(house: House, prompt: str) -> dict[str, float]:
    """How the learned threshold sees the nearest entry."""
    found: dict[str, float] = house.api("/api/explain", {"prompt": prompt})["weighed"]["features"]
    return found


MOON, MOON_LIKE = "How far away is the moon?", "What is the distance to the moon?"


def test_a_miss_with_a_neighbour_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label names both entries, and stands in the neighbour's own record."""
    upstream = Scripted(far=["384,400 km"], distance=["A light second"])
    with taught(tmp_path, monkeypatch, upstream) as house:
        first = house.chat(MOON, "sk-1")
        second = house.chat(MOON_LIKE, "sk-1")
        assert second.headers["x-cache"] == "MISS"
        (row,) = labels(house)
        assert row["id"] == str(int(second.headers["x-likewise-request"], 16))
        assert (row["same"], row["would"], row["vetoed"], row["propensity"]) == (
            False,
            False,
            False,
            1,
        )
        entries = {one["text"]: one["entry"] for one in house.api("/api/entries")["entries"]}
        assert (row["neighbour"], row["entry"]) == (entries[MOON], entries[MOON_LIKE])
        decided = house.decision(second)
        assert decided["risk"] == row["risk"] is not None
        assert 0 < row["risk"] < 1
        assert seen(house, MOON + " ")["record"] == pytest.approx(math.log(1 / 2), abs=0.001)
        told = house.api("/api/learned")
        assert (told["judge"].split(",")[0], told["labels"]) == ("judge: text", 1)
        assert "likewise_judged_different_total 1.0" in house.api("/metrics")
        assert first.headers["x-cache"] == "MISS"


def test_equal_answers_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two prompts that got the same answer speak for each other from then on, after a restart
    too."""
    upstream = Scripted(moon=["384,400 km"])
    for started in range(2):
        with taught(tmp_path, monkeypatch, upstream) as house:
            if not started:
                house.chat(MOON, "sk-1")
                house.chat(MOON_LIKE, "sk-1")
                assert labels(house)[0]["same"]
            assert seen(house, "How far is the moon?")["agreeing"] == pytest.approx(
                math.log(2), abs=0.001
            )
            assert house.api("/api/learned")["labels"] == 1
            assert len(labels(house)) == 1


def test_what_one_category_taught_is_forgotten_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may take it back; the rows that were written stay to be read."""
    with taught(tmp_path, monkeypatch, Scripted(far=["a"], distance=["b"])) as house:
        house.chat(MOON, "sk-1")
        house.chat(MOON_LIKE, "sk-1")
        labels(house)
        assert house.api("/api/learned/forget", {"category": "default"}) == {"forgotten": "default"}
        assert house.api("/api/learned")["labels"] == 0
        assert len(labels(house)) == 1


def test_shadow_yields_labels_that_were_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every would-be hit is asked upstream, so its label counts once."""
    with taught(tmp_path, monkeypatch, Scripted(moon=["one", "two"]), mode="shadow") as house:
        house.chat(MOON, "sk-1")
        answer = house.chat("how far away is the moon", "sk-1")
        assert answer.headers["x-likewise-reason"] == "audit"
        (row,) = labels(house)
        assert (row["would"], row["propensity"], row["same"]) == (True, 1.0, False)
        assert house.api("/api/learned")["false_hits"]["estimate"] == 1.0


def test_vcache_searches_what_was_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer makes no entry that is searched by meaning; another answer does."""
    upstream = Scripted(far=["one"], distance=["one"], close=["two"])
    with taught(tmp_path, monkeypatch, upstream, threshold="vcache") as house:
        for prompt in (MOON, MOON_LIKE):
            house.chat(prompt, "sk-1")
        assert labels(house)[0]["same"]
        house.chat("How close is the moon?", "sk-1")
        labels(house, 2)
        told = house.api("/api/explain", {"prompt": "moon"})["candidates"]
        assert {one["text"] for one in told} == {MOON, "How close is the moon?"}
        assert house.chat(MOON_LIKE, "sk-1").headers["x-likewise-match"] == "exact"


def test_an_exact_hit_asked_again_tells_the_judges_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the answer; what comes is compared and thrown away."""
    monkeypatch.setattr(engine, "ASKED_AGAIN", 1.0)
    upstream = Scripted(moon=["one", "two"])
    with taught(tmp_path, monkeypatch, upstream, audits="100%") as house:
        house.chat(MOON, "sk-1")
        hit = house.chat(MOON, "sk-1")
        assert hit.headers["x-likewise-match"] == "exact"
        noise = until(lambda: _asked(house.api("/api/learned")["judge_noise"]))
        assert (noise["samples"], noise["estimate"]) == (1, 1.0)
        assert upstream.calls == 2
        again = house.chat(MOON, "sk-1").json()["choices"][0]["message"]["content"]
        assert again == hit.json()["choices"][0]["message"]["content"] == "one"
        assert house.api("/api/learned/labels")["labels"] == []


def _asked(noise: dict[str, Any]) -> dict[str, Any] | None:
    return noise if noise["samples"] else None


def test_a_callers_word_teaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hit called bad is one label more, outside of what is estimated; a good one is none."""
    with taught(tmp_path, monkeypatch, Scripted(moon=["one"]), audits="0%") as house:
        house.chat(MOON, "sk-1")
        for word in ("good", "bad"):
            near = house.chat("how far away is the moon" + "." * len(word), "sk-1")
            assert near.headers["x-likewise-match"] == "semantic"
            head = {"authorization": "Bearer sk-1"}
            said = {"request": near.headers["x-likewise-request"], "verdict": word}
            house.client.post(house.where.data + PATH, json=said, headers=head).raise_for_status()
        told = until(lambda: _learned(house))
        assert told["labels"] == 1
        assert told["false_hits"]["samples"] == 0


def _learned(house: House) -> dict[str, Any] | None:
    told: dict[str, Any] = house.api("/api/learned")
    return told if told["labels"] else None
