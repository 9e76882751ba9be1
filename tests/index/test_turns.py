"""How alike the conversations before two last turns are: numbers for `policies.context`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from index import turns as module
from index.ports import Embedded
from index.texts import Texts
from index.turns import Turns
from policies.context import USER, answered
from policies.values import (
    Candidate,
    CategoryRules,
    ContextMode,
    ContextRules,
    Facts,
    Owners,
    Query,
    Rules,
    Threshold,
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

RULE = CategoryRules("default", Threshold(0.95), 60)
RULES = Rules(RULE)
FACTS = Facts("e" * 32, "s", "k", "default", "chat", "m", "kept", "Why?", 0, 1, 1, 1)
# Texts to the angle of their vector: the cosine of two is that of the difference.
ANGLES = {"about rome": 0.0, "tell me of rome": 30.0, "about paris": 90.0, "and of it": 120.0}
ROME, ROMAN, PARIS = (
    Turn(USER, text=said) for said in ("About Rome", "Tell me of Rome", "About Paris")
)


class Encoder:
    """Vectors of two dimensions, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, prepared: str) -> Embedded:
        self.asked.append(prepared)
        angle = math.radians(ANGLES.get(prepared, 45.0))
        vector = np.array([math.cos(angle), math.sin(angle)], np.float32)
        return Embedded(vector, truncated="page" in prepared, unknown="日" in prepared)


class Listed:
    """An index that finds what it is given, in that order."""

    def __init__(self, pairs: Iterable[tuple[str, float]]) -> None:
        self.pairs = list(pairs)
        self.searched: list[int] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def add(self, entry: str, vector: object) -> None: ...

    def remove(self, entries: Iterable[str]) -> None: ...

    def search(self, vector: object, k: int) -> list[tuple[str, float]]:
        self.searched.append(k)
        return self.pairs[:k]


class Room:
    """The comparison over a few entries."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.entries: dict[str, Facts] = {}
        self.turns = Turns(Texts(self.encoder.embed), self.entries.get, self.saying)

    def keep(self, entry: str, *before: Turn, said: Turn | None = None, group: str = "") -> Facts:
        chain = repr(before) if before else ""
        facts = replace(FACTS, entry=entry, chain=chain, before=before, said=said, group=group)
        self.entries[entry] = facts
        return facts

    def saying(self, said: Turn) -> Facts | None:
        kept = [facts for facts in self.entries.values() if facts.said == said]
        return kept[-1] if kept else None

    def scores(
        self, facts: Facts, *before: Turn, score: float = 0.9, rules: ContextRules | None = None
    ) -> tuple[float, ...]:
        rule = RULE if rules is None else replace(RULE, context=rules)
        (made,) = self.turns.compared(asking(*before), rule, RULES, [Candidate(facts, score)])
        return made.turns


@pytest.fixture
def room() -> Room:
    return Room()


def asking(*before: Turn) -> Query:
    chain = repr(before) if before else ""
    return Query("chat", "u", "m", Owners("k"), b"f", chain, "Why?", before)


@pytest.mark.parametrize(
    ("asked", "remembered", "cosine"),
    [
        (ROME, ROMAN, math.sqrt(3) / 2),
        (ROME, PARIS, 0.0),
        (ROME, Turn(USER, text="about  rome?"), 1.0),
        (ROME, Turn(USER, text="And of it"), 0.0),  # an obtuse angle is as far as can be
        (ROME, Turn(USER, text="A page of Rome"), 0.0),
        (ROME, Turn(USER, text="About 日"), 0.0),
        (Turn(USER, text="日"), Turn(USER, text="日."), 1.0),
    ],
)
def test_users_turns_by_their_cosine(
    room: Room, asked: Turn, remembered: Turn, cosine: float
) -> None:
    """In [0, 1]; what the encoder cannot read is like nothing but itself."""
    (score,) = room.scores(room.keep("e", remembered), asked)
    assert score == pytest.approx(cosine, abs=1e-6)


def test_only_declared_languages_are_compared(room: Room) -> None:
    """The model and the guards must know what the users said; if not, equal words only."""
    asked, remembered = (
        Turn(USER, text=f"Wo liegt {town} und wie alt ist es?") for town in ("Rom", "Köln")
    )
    facts = room.keep("e", remembered)
    near = [Candidate(facts, 0.9)]
    for spoken, known in ((frozenset({"en"}), 0.0), (frozenset({"en", "de"}), 1.0)):
        rules = replace(RULES, languages=spoken)
        (made,) = room.turns.compared(asking(asked), RULE, rules, near)
        assert made.turns == (pytest.approx(known),)


LONG, LONGER = answered("It is a city."), answered("Rome is a city.")


def test_answers_by_digest_or_group(room: Room) -> None:
    """Equal answers, or two kept ones of one group, the founder's included; nothing else."""
    facts = room.keep("e", ROME, LONG)
    assert room.scores(facts, ROMAN, LONG)[1] == 1.0
    assert room.scores(facts, ROMAN, LONGER) == (1.0, 0.0)
    assert room.encoder.asked == ["tell me of rome", "about rome"]  # not for those that differ
    room.keep("founder", said=LONG)
    room.keep("member", said=LONGER, group="founder")
    assert room.scores(facts, ROMAN, LONGER)[1] == 1.0
    room.keep("member", said=LONGER, group="another")
    assert room.scores(facts, ROMAN, LONGER)[1] == 0.0


def test_an_answer_that_is_gone_has_no_group(room: Room) -> None:
    """What is forgotten vouches for nothing; another entry of the same words still does."""
    facts = room.keep("e", ROME, LONG)
    room.keep("founder", said=LONG)
    room.keep("member", said=LONGER, group="founder")
    room.keep("twin", said=LONGER, group="founder")
    del room.entries["member"]
    assert room.scores(facts, ROMAN, LONGER)[1] == 1.0
    del room.entries["twin"]
    assert room.scores(facts, ROMAN, LONGER)[1] == 0.0


@pytest.mark.parametrize(
    ("remembered", "score", "rules"),
    [
        ((), 0.9, ContextRules()),
        ((ROME, LONG), 0.9, ContextRules()),
        ((ROME,), 0.49, ContextRules()),
        ((ROME,), 0.9, ContextRules(ContextMode.EXACT)),
        ((ROME,), 0.9, ContextRules(ContextMode.OFF)),
        ((ROME,), 0.9, ContextRules(max_turns=0)),
        ((ROMAN,), 0.9, ContextRules()),
    ],
    ids=["standalone", "shape", "far", "exact", "off", "too many", "equal chain"],
)
def test_what_cannot_matter_is_not_compared(
    room: Room, remembered: tuple[Turn, ...], score: float, rules: ContextRules
) -> None:
    """Nothing is embedded where the verdict does not depend on it."""
    facts = room.keep("e", *remembered)
    assert room.scores(facts, ROMAN, score=score, rules=rules) == ()
    assert room.encoder.asked == []


def test_one_request_embeds_so_many_turns_only(room: Room) -> None:
    """`max_turns` texts at most; what was embedded before costs nothing, so the next gets on."""
    kept = [room.keep(f"e{n}", Turn(USER, text=f"Question {n}")) for n in range(8)]
    near = [Candidate(facts, 0.9) for facts in kept]
    rule = replace(RULE, context=ContextRules(max_turns=3))
    first = room.turns.compared(asking(ROME), rule, RULES, near)
    assert [len(c.turns) for c in first] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert len(room.encoder.asked) == 3
    second = room.turns.compared(asking(ROME), rule, RULES, near)
    assert sum(len(c.turns) for c in second) == 5
    assert len(room.encoder.asked) == 6


def test_one_conversation_is_found_behind_many(room: Room) -> None:
    """Where none of the nearest follows on the same, the search goes further, and says so."""
    for n in range(40):
        room.keep(f"e{n}", PARIS)
    mine = room.keep("mine", ROME)
    space = Listed([*((f"e{n}", 0.99) for n in range(40)), ("mine", 0.97), ("lost", 0.96)])
    near = room.turns.nearest(asking(ROMAN), RULE, RULES, np.zeros(2, np.float32), space)
    assert [c.facts.entry for c in near] == ["e0", "mine"]
    assert near[1].facts is mine
    assert space.searched == [module.NEIGHBOURS, module.NEIGHBOURS_WIDE]


def test_few_neighbours_are_all_there_are(room: Room) -> None:
    """A search that brought less than it could is not repeated; a stranger gets the nearest."""
    for n in range(40):
        room.keep(f"e{n}", PARIS)
    few, many = Listed([("e0", 0.9)]), Listed((f"e{n}", 0.9) for n in range(40))
    nothing = np.zeros(2, np.float32)
    assert len(room.turns.nearest(asking(ROME), RULE, RULES, nothing, few)) == 1
    assert few.searched == [module.NEIGHBOURS]
    assert len(room.turns.nearest(asking(ROME), RULE, RULES, nothing, many)) == module.NEIGHBOURS
