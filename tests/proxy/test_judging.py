"""Labels are made behind the requests: nobody waits, nothing piles up, nothing wrong is said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from index.embedders.hashing import HashingEmbedder
from index.memory import Memory
from index.stores.memory import MemoryBodies
from policies.values import Facts
from proxy.dialects.chat import Chat
from proxy.dialects.embeddings import Embeddings
from proxy.judging import LONGEST, Case, Judging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FACTS = Facts("e" * 32, "s", "o", "default", "chat", "m", "", "q", 100.0, 1e12, 1e12, 1)


def chat(text: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}}]}).encode()


class Scripted:
    """A judge that says what a test wants, once its gate is open."""

    def __init__(self, *words: bool | Exception | None) -> None:
        self.words = list(words)
        self.seen: list[tuple[str, str, str]] = []
        self.closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def same(self, question: str, fresh: str, remembered: str) -> bool | None:
        self.seen.append((question, fresh, remembered))
        await self.gate.wait()
        word = self.words.pop(0) if self.words else True
        if isinstance(word, Exception):
            raise word
        return word

    def describe(self) -> str:
        return "judge: scripted"

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    made = Memory(HashingEmbedder(), MemoryBodies())
    await made.keep(FACTS, chat("Because."), None, meaning=False)
    yield made
    await made.close()


def case(fresh: str = "Since.", **changes: Any) -> Case:
    parts = {"question": "Why?", "fresh": fresh, "remembered": FACTS, "dialect": Chat()}
    return Case(**(parts | changes))


async def test_a_label_reaches_who_asked_for_it(memory: Memory) -> None:
    """Question and both texts go to the judge; its word comes back with the case as it was."""
    judge, labels = Scripted(True, False), []
    judging = Judging(judge, memory, lambda case, same: labels.append((case.study, same)))
    assert judging.submit(case(study="first"))
    assert judging.submit(case("No.", study="second"))
    assert labels == []
    await judging.idle()
    assert judge.seen == [("Why?", "Since.", "Because."), ("Why?", "No.", "Because.")]
    assert labels == [("first", True), ("second", False)]
    assert judging.counts == {"same": 1, "different": 1}
    assert judging.describe() == "judge: scripted"
    await judging.close()
    assert judge.closed


async def test_no_word_is_no_label(memory: Memory) -> None:
    """An unsure judge, one that fails, and a callback that fails end nothing."""
    judge, labels = Scripted(None, RuntimeError("broken"), True, True), []

    def taken(case: Case, same: bool) -> None:
        if case.study == "bad":
            raise RuntimeError("the learner failed")
        labels.append(same)

    judging = Judging(judge, memory, taken)
    for study in ("", "", "bad", ""):
        judging.submit(case(study=study))
    await judging.idle()
    assert labels == [True]
    assert judging.counts == {"unknown": 3, "same": 1}
    await judging.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"remembered": replace(FACTS, stored=99.0)},
        {"remembered": replace(FACTS, entry="f" * 32)},
        {"dialect": Embeddings()},
    ],
    ids=["replaced", "unknown", "wordless"],
)
async def test_nothing_to_compare_with(memory: Memory, changes: dict[str, Any]) -> None:
    """Another answer than the one that was found, none at all, or one without words: no label."""
    judge, labels = Scripted(), []
    judging = Judging(judge, memory, lambda _, same: labels.append(same))
    judging.submit(case(**changes))
    await judging.idle()
    assert (judge.seen, labels, judging.counts) == ([], [], {"gone": 1})
    await judging.close()


async def test_a_forgotten_answer_is_not_compared(memory: Memory) -> None:
    """What went while the case waited is not brought back for it."""
    judge = Scripted()
    judging = Judging(judge, memory, lambda *_: None)
    judging.submit(case())
    await memory.forget([FACTS.entry])
    await judging.idle()
    assert judging.counts == {"gone": 1}
    await judging.close()


async def test_it_never_blocks_and_never_grows(memory: Memory) -> None:
    """A full queue and an overlong answer are dropped and counted; the rest is worked through."""
    judge = Scripted()
    judge.gate.clear()
    judging = Judging(judge, memory, lambda *_: None, bound=3)
    assert not judging.submit(case("x" * (LONGEST + 1)))
    assert [judging.submit(case()) for _ in range(5)] == [True, True, True, False, False]
    assert judging.counts == {"dropped": 3}
    judge.gate.set()
    await judging.idle()
    assert judging.counts == {"dropped": 3, "same": 3}
    await judging.close()


async def test_large_bodies_are_read_elsewhere(memory: Memory) -> None:
    """A remembered answer whose text is too long is not compared, and holds nobody up."""
    judge = Scripted()
    judging = Judging(judge, memory, lambda *_: None)
    await memory.keep(FACTS, chat("x" * 400_000), None, meaning=False)
    judging.submit(case())
    await judging.idle()
    assert judging.counts == {"gone": 1}
    await judging.close()


async def test_the_end_is_orderly(memory: Memory) -> None:
    """What waits is given up at once, and later cases are dropped; closing twice is harmless."""
    judge, labels = Scripted(), []
    judge.gate.clear()
    judging = Judging(judge, memory, lambda _, same: labels.append(same))
    for _ in range(3):
        judging.submit(case())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await judging.close()
        await judging.close()
    assert not judging.submit(case())
    assert labels == []


async def test_another_judge_takes_over(memory: Memory) -> None:
    """A reloaded policy's judge has the next case; the old one is ended."""
    old, new = Scripted(), Scripted(False)
    labels: list[bool] = []
    judging = Judging(old, memory, lambda _, same: labels.append(same))
    judging.submit(case())
    await judging.idle()
    judging.adopt(new)
    judging.submit(case())
    await judging.idle()
    assert (labels, old.closed, new.closed) == ([True, False], True, False)
    await judging.close()
