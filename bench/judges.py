"""How often the embedding judge is right about answers whose sameness is known.

    .venv/bin/python bench/judges.py [--data FOLDER]

Answers in several wordings ship in tests/golden/answers. FOLDER holds
`traffic/alpaca_eval_gpt4.jsonl` (`{response}`) and `intents_banking77/banking77.jsonl` (`{intent}`)
for two more sets: long answers reworded by rule, and one topic each under a few templates. Every
text is dressed up with polite phrases at random. The table goes to stdout.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from index import build
from policies.values import JudgeRules
from proxy.judges.embedding import EmbeddingJudge

Pairs: TypeAlias = list[tuple[str, str]]

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ROOT / "tests" / "golden" / "answers" / "classes.case"
OPENINGS = (
    "", "", "Sure! ", "Of course. ", "Great question! ", "Happy to help. ",
    "Certainly! Here is what you need to know: ", "Sure, here you go:\n\n",
)  # fmt: skip
CLOSINGS = (
    "", "", " I hope this helps!", " Let me know if you have more questions.",
    " Feel free to ask if anything is unclear.",
)  # fmt: skip
TEMPLATES = (
    "Here is what to do about {}: open the app and follow the steps shown there.",
    "About {}: please check the help page, where every step is described.",
    "For questions on {}, go to the help centre; the article there explains it all.",
    "{}: this is explained in our help centre. The article has every step.",
)
WORDS = ("morning", "blue", "river", "stone", "quick", "table", "green", "paper", "window", "music")
SYNONYMS = {
    "important": "essential", "use": "employ", "many": "numerous", "such as": "like",
    "various": "different", "provide": "give", "help": "assist", "large": "big",
    "often": "frequently", "because": "since", "create": "make", "also": "in addition",
    "begin": "start", "show": "demonstrate", "several": "a number of", "however": "yet",
}  # fmt: skip
LONG_ANSWERS = 110


class Bed:
    """The judge with the default model, and dice that fall alike every time."""

    def __init__(self) -> None:
        encoder = build.embedder("all-MiniLM-L6-v2", runtime="onnx", precision="int8", threads=1)
        self.judge = EmbeddingJudge(encoder, JudgeRules().threshold)
        self.dice = random.Random(5)  # noqa: S311 - repeatable on purpose

    async def right(self, pairs: Pairs, *, same: bool) -> str:
        said = [await self.judge.same("?", self.dressed(a), self.dressed(b)) for a, b in pairs]
        return f"{sum(one is same for one in said) / len(said):.3f} of {len(said)}"

    def dressed(self, answer: str) -> str:
        return self.dice.choice(OPENINGS) + answer + self.dice.choice(CLOSINGS)

    def reworded(self, answer: str) -> str:
        """The same answer with sentences moved, one left out, and other words for some."""
        paragraphs = []
        for paragraph in answer.split("\n\n"):
            told = re.split(r"(?<=[.!?])\s+", paragraph)
            if len(told) > 4:  # enough to lose one of them
                at = self.dice.randrange(1, len(told) - 1)
                told[at], told[at + 1] = told[at + 1], told[at]
                told.pop(self.dice.randrange(1, len(told)))
            paragraphs.append(" ".join(told))
        made = "\n\n".join(paragraphs)
        for word, other in SYNONYMS.items():
            made = re.sub(rf"\b{word}\b", other, made)
        return re.sub(r"^\d+\. ", "- ", made, flags=re.MULTILINE)

    def topic(self, intent: str, noise: int) -> str:
        told = self.dice.choice(TEMPLATES).format(intent.replace("_", " "))
        return " ".join([told, *(self.dice.choice(WORDS) for _ in range(noise))])


def classes() -> list[list[str]]:
    lines = [s for s in CLASSES.read_text("utf-8").splitlines() if not s.startswith("#")]
    return [block.split("\n") for block in "\n".join(lines).strip().split("\n\n")]


def rows(path: Path, member: str) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return list(dict.fromkeys(json.loads(line)[member] for line in file))


async def measure(bed: Bed, data: Path | None) -> None:
    """One line per set: right about the same answers, right about other ones."""

    async def tell(name: str, same: Pairs, other: Pairs) -> None:
        told = await bed.right(same, same=True), await bed.right(other, same=False)
        print(f"{name:34} same {told[0]:14} different {told[1]}", flush=True)

    told = classes()
    alike = [pair for block in told for pair in combinations(block, 2)]
    near = [(a, b) for x, y in zip(told[::2], told[1::2], strict=True) for a in x for b in y]
    await tell("wordings, neighbouring classes", alike, near)
    anyone = [(x[0], bed.dice.choice(y)) for x, y in combinations(told, 2)]
    await tell("wordings, any class", alike, anyone)
    if data is None:
        return
    intents = sorted(rows(data / "intents_banking77" / "banking77.jsonl", "intent"))
    for noise in (0, 10):
        same = [(bed.topic(one, noise), bed.topic(one, noise)) for one in intents for _ in range(2)]
        pairs = [bed.dice.sample(intents, 2) for _ in range(3 * len(intents))]
        other = [(bed.topic(a, noise), bed.topic(b, noise)) for a, b in pairs]
        await tell(f"templates, {noise} words of noise", same, other)
    answers = rows(data / "traffic" / "alpaca_eval_gpt4.jsonl", "response")
    bed.dice.shuffle(answers)
    some = answers[:LONG_ANSWERS]
    pairs_of_two = [tuple(bed.dice.sample(some, 2)) for _ in some]
    await tell(
        "long answers, reworded",
        [(answer, bed.reworded(answer)) for answer in some],
        [(a, b) for a, b in pairs_of_two],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="the folder of the two larger sets")
    given = parser.parse_args()
    bed = Bed()
    try:
        asyncio.run(measure(bed, given.data))
    finally:
        bed.judge.close()


if __name__ == "__main__":
    main()
