"""What every peer is asked, and which of the remembered answers may stand in for which question."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from proxy import bench
from proxy.demo.oracle import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HERE = Path(__file__).resolve().parent
MODEL = "gpt-4o-mini"
KEY = "sk-likewise-peers-0123456789"
# One question under two system prompts: the same words, another answer.
CONTEXTS = (
    ("You answer questions about Windows computers.", "You answer questions about Mac computers."),
    ("You write for lawyers.", "You write for children of six."),
)
IN_CONTEXT = (
    "How do I take a screenshot?",
    "How do I lock the screen?",
    "What is a contract?",
    "What is a witness?",
)
_NOUNS = (
    "granite sonata kidney ledger monsoon violin tractor orchid parliament magnet sausage "
    "comet hammock nephew turbine glacier mustard cathedral walrus algebra lantern harbour "
    "poet zipper fossil omelette senator pulley tulip canyon saddle vaccine opera gravel "
    "puppet anchor spinach wizard tariff beetle marble thunder novel bakery piston coral "
    "throne dentist kite lizard umbrella pyramid garlic sermon antler cement waltz meadow "
    "bishop crater "
)
NOUNS = tuple(_NOUNS.split())


@dataclass(frozen=True, slots=True)
class Question:
    """One request's text and system prompt, and what it means."""

    text: str
    meaning: str
    context: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.context}] if self.context else []
        return [*system, {"role": "user", "content": self.text}]

    def serves(self, asked: Question) -> bool:
        """Whether this question's answer may stand in for that of `asked`."""
        return (self.meaning, self.context) == (asked.meaning, asked.context)

    def request(self) -> bytes:
        """As a client sends it. Given a temperature, GPTCache would skip its cache by chance."""
        body = orjson.dumps({"model": MODEL, "messages": self.messages})
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class Course:
    """All questions of one run, by the part that they play. No text stands in two parts."""

    seeds: tuple[Question, ...]
    variants: tuple[Question, ...]
    paraphrases: tuple[Question, ...]
    lookalikes: tuple[Question, ...]
    elsewhere: tuple[Question, ...]
    fresh: tuple[Question, ...]

    @property
    def all(self) -> tuple[Question, ...]:
        return (
            self.seeds + self.variants + self.paraphrases
            + self.lookalikes + self.elsewhere + self.fresh
        )  # fmt: skip

    def by_proof(self) -> dict[str, Question]:
        """Every question under the digest of its messages by which the oracle's answers name it."""
        return {digest(question.messages): question for question in self.all}


def course(*, fresh: int, variants: Sequence[Question]) -> Course:
    """The course with so many fresh questions, and those variants of the benchmark's questions."""
    seeds, paraphrases, lookalikes = [], [], []
    for mark, text, meaning in written((HERE / "prompts.case").read_text().splitlines()):
        {"?": seeds, "=": paraphrases, "!": lookalikes}[mark].append(Question(text, meaning))
    for known, other in traps((HERE.parent / "acceptance.case").read_text().splitlines()):
        seeds.append(Question(known, known))
        lookalikes.append(Question(other, other))
    seeds += [Question(text, text) for text in bench.QUESTIONS]
    pairs = [
        (Question(text, text, known), Question(text, text, other))
        for number, text in enumerate(IN_CONTEXT)
        for known, other in [CONTEXTS[number * len(CONTEXTS) // len(IN_CONTEXT)]]
    ]
    return Course(
        seeds=(*seeds, *(known for known, _ in pairs)),
        variants=tuple(variants),
        paraphrases=tuple(paraphrases),
        lookalikes=tuple(lookalikes),
        elsewhere=tuple(other for _, other in pairs),
        fresh=tuple(new_questions(fresh)),
    )


def written(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Mark, text and meaning of each line; a look-alike means itself alone."""
    seed = ""
    for line in lines:
        mark, _, text = line.partition(" ")
        if mark == "?":
            seed = text
        if mark in ("?", "=", "!"):
            yield mark, text, text if mark == "!" else seed


def traps(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The pairs of the acceptance cases in which one answer must not serve both."""
    for line in lines:
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 4 and fields[1] == "stop":
            yield fields[2], fields[3]


def variants() -> list[Question]:
    """The benchmark's questions, dressed up politely."""
    count = len(bench.QUESTIONS)
    return [
        Question(text, bench.QUESTIONS[number % count])
        for number, text in enumerate(bench.variants())
    ]


def new_questions(count: int) -> Iterator[Question]:
    """Questions that nothing was asked like: five words by chance, at most two in any other."""
    dice = random.Random(8)  # noqa: S311 - the same questions in every run
    taken: list[set[str]] = []
    while len(taken) < count:
        words = dice.sample(NOUNS, 5)
        if all(len(other.intersection(words)) <= 2 for other in taken):
            taken.append(set(words))
            text = f"Write a line that joins {', '.join(words[:-1])} and {words[-1]}"
            yield Question(text, text)
