"""Answers in other words are the same, those about something else are not, doubt is silence."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index.embedders import onnx
from index.embedders.hashing import HashingEmbedder
from index.errors import EmbedderError, SetupError
from index.ports import Embedded
from policies.sameness import MOST_CHUNKS
from proxy.judges.embedding import EmbeddingJudge

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = Path(__file__).parents[2] / "golden" / "answers" / "classes.case"
OPENINGS = ("", "Sure! ", "Great question! ", "Certainly! Here is what you need to know: ")
CLOSINGS = ("", " I hope this helps!", " Let me know if you have any more questions.")


class Scripted:
    """An encoder that says of a text what a test wants."""

    id = "scripted/1"
    dimension = 64

    def __init__(self, act: Callable[[str], Embedded]) -> None:
        self.act = act

    def embed(self, text: str) -> Embedded:
        return self.act(text)


def hashed(text: str) -> Embedded:
    return HashingEmbedder(64).embed(text)


async def labelled(act: Callable[[str], Embedded], fresh: str, remembered: str) -> bool | None:
    judge = EmbeddingJudge(Scripted(act), 0.8)
    try:
        return await judge.same("?", fresh, remembered)
    finally:
        judge.close()


def classes() -> list[list[str]]:
    lines = [s for s in CLASSES.read_text("utf-8").splitlines() if not s.startswith("#")]
    return [block.split("\n") for block in "\n".join(lines).strip().split("\n\n")]


async def test_answers_in_other_words() -> None:
    """With the default model, answers written anew and dressed up anew are told apart by class.

    Neighbouring classes of the file are about nearly the same; the wordings differ more than those
    of one model do.
    """
    try:
        encoder = onnx.OnnxEmbedder.load(onnx.build("all-MiniLM-L6-v2", precision="int8"))
    except SetupError as error:
        pytest.skip(f"the model cannot be had here: {error}")
    judge = EmbeddingJudge(encoder, 0.8)
    dice = np.random.default_rng(3)

    async def same(a: str, b: str) -> bool | None:
        dressed = [dice.choice(OPENINGS) + text + dice.choice(CLOSINGS) for text in (a, b)]
        return await judge.same("?", *dressed)

    told = classes()
    alike = [await same(a, b) for block in told for a, b in combinations(block, 2)]
    near = [
        await same(a, b)
        for one, other in zip(told[::2], told[1::2], strict=True)
        for a in one
        for b in other
    ]
    apart = [await same(one[0], other[1]) for one, other in combinations(told[::2], 2)]
    judge.close()
    assert None not in [*alike, *near, *apart]
    assert alike.count(True) / len(alike) > 0.85
    assert near.count(False) / len(near) > 0.96
    assert apart.count(False) == len(apart)


@pytest.mark.parametrize(
    ("fresh", "remembered", "expected"),
    [
        ("The sky is blue.", "the sky is **blue**", True),
        ("It takes 30 days to arrive.", "It takes 14 days to arrive.", False),
        ("The sky is blue.", "Boil the eggs for a while, and then serve them with salt.", False),
        ("", "The sky is blue.", None),
        ("The sky is blue.", "🙂", None),
    ],
)
async def test_what_needs_no_model_of_meaning(
    fresh: str, remembered: str, expected: bool | None
) -> None:
    """Equal words, other numbers, other words, no words."""
    assert await labelled(hashed, fresh, remembered) is expected


def failing(_: str) -> Embedded:
    raise EmbedderError("the model fell over")


def nameless(_: str) -> Embedded:
    raise RuntimeError("something else")


def strange(text: str) -> Embedded:
    return Embedded(hashed(text).vector, unknown=True)


def nowhere(_: str) -> Embedded:
    return Embedded(np.full(64, np.nan, np.float32))


def short_sighted(_: str) -> Embedded:
    return Embedded(np.full(64, 0.125, np.float32), truncated=True)


@pytest.mark.parametrize("act", [failing, nameless, strange, nowhere, short_sighted])
async def test_a_failing_encoder_is_silence(act: Callable[[str], Embedded]) -> None:
    """What cannot be read yields no label, never a wrong one."""
    assert await labelled(act, "The sky is blue.", "Blue is the sky, mostly.") is None


async def test_what_is_too_long_for_the_encoder_is_cut() -> None:
    """Pieces beyond its window are halved until they fit, and none of them is skipped."""
    seen: list[str] = []

    def narrow(text: str) -> Embedded:
        if len(text) > 250:
            return Embedded(np.full(64, 0.125, np.float32), truncated=True)
        seen.append(text)
        return hashed(text)

    answer = ". ".join(f"Word{n} and some more words follow here" for n in range(30))
    other = ". ".join(f"Word{n} and some more words follow now" for n in range(30))
    assert await labelled(narrow, answer, other) is True
    read = "".join(seen).replace(" ", "")
    assert all(f"word{n}andsome" in read for n in range(30))


async def test_what_is_far_too_long_is_not_compared() -> None:
    """Beyond so many chunks a difference may stand anywhere."""
    answer = "Some words that are told again and again. " * (MOST_CHUNKS * 25)
    assert await labelled(hashed, answer, answer[:-50]) is None
    assert await labelled(hashed, answer, answer) is True


def test_it_says_what_it_is() -> None:
    """People see the measure."""
    judge = EmbeddingJudge(Scripted(hashed), 0.9)
    assert judge.describe() == "judge: embedding >= 0.90 (0.75 for a sentence or two)"
    judge.close()
