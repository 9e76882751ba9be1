"""Facts come back as they were, whatever they hold."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest

from index.packing import Kind, grouped, pack, said_key, unpack
from policies.context import answered
from policies.values import Facts, Turn

ENTRY, OTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2
PLAIN = Facts(
    entry=ENTRY,
    space="5" * 32,
    owner="k1:u2",
    category="code",
    dialect="openai",
    model="gpt",
    chain="",
    text="How do I boil an egg?",
    stored=1_700_000_000.123456,
    expires=1_700_003_600.5,
    gone=1_700_090_000.25,
    size=2_048,
)
FULL = replace(
    PLAIN,
    chain="a" * 32,
    tokens_in=12,
    tokens_out=345,
    cost_ms=123.456,
    has_usage=False,
    streamed=True,
    embedding="model/1",
    tags=("a", "b"),
    flagged=True,
    pace=(0, 12, 40),
    group=OTHER,
    labels=((0.9312, True), (0.88, False)),
    before=(Turn("user", text="What is Rome?"), answered("A city."), Turn("tool", "x", "y", 3)),
    said=answered("Eight minutes."),
    user="d" * 32,
    pinned=True,
)
KINDS = {7: Kind.of(PLAIN), 8: Kind.of(FULL)}


def back(facts: Facts) -> Facts | None:
    return unpack(pack(facts, 7), {7: Kind.of(facts)}.get)


def test_every_field_is_tried() -> None:
    """The full facts differ from the defaults in every field that has one."""
    assert all(getattr(FULL, f.name) != f.default for f in fields(Facts))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({field.name: getattr(FULL, field.name)} for field in fields(Facts)),
        {field.name: getattr(FULL, field.name) for field in fields(Facts)},
        {"text": "日本語 🥚 \ud800 half"},
        {"text": "", "chain": ""},
        {"text": "x" * 100_000},
        {"chain": "\udfff"},
        {"before": (Turn("user", text="\ud800"),)},
        {"stored": -1.0, "gone": math.inf},
        {"cost_ms": 5e-324},
        {"size": 2**53, "tokens_in": -1},
        {"tags": ('"', "\\", "\x00")},
        {"said": Turn("assistant", "no digest", length=4)},
        {"said": Turn("assistant", OTHER, "words", 4)},
        {"said": Turn("user", OTHER, "", 4)},
        {"said": Turn("assistant", OTHER, "", 2**40)},
        {"said": Turn("assistant", OTHER, "", -1)},
        {"said": Turn("assistant")},
    ],
)
def test_facts_come_back(changes: dict[str, object]) -> None:
    """What is unpacked equals what was packed, in every field and to the last bit."""
    facts = replace(PLAIN, **changes)  # type: ignore[arg-type]
    assert back(facts) == facts


def test_what_many_share_is_not_packed() -> None:
    """Space, owner, category, dialect, model and embedding are left to the kind."""
    assert (KINDS[7].space, KINDS[8].embedding) == ("5" * 32, "model/1")
    assert unpack(pack(PLAIN, 8), KINDS.get) == replace(PLAIN, embedding="model/1")
    packed = pack(replace(PLAIN, model="m" * 500), 7)
    assert len(packed) == len(pack(PLAIN, 7)) <= 128


def test_facts_whose_kind_is_gone_are_gone() -> None:
    """Read while the entry is dropped elsewhere, facts are none."""
    assert unpack(pack(PLAIN, 9), KINDS.get) is None


@pytest.mark.parametrize("entry", ["", "a", "A" * 32, ENTRY + "0"])
def test_only_entries_are_packed(entry: str) -> None:
    """A name that is not 32 hex digits is refused."""
    with pytest.raises(ValueError, match="is not the name of an entry"):
        pack(replace(PLAIN, entry=entry), 7)


def test_groups_show() -> None:
    """Whether facts name a group can be seen without unpacking them."""
    assert grouped(pack(FULL, 8))
    assert not grouped(pack(replace(FULL, group=""), 8))


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (None, None),
        (answered(" Yes. "), bytes.fromhex(answered("Yes.").rest)),
        (Turn("assistant", "no digest"), None),
    ],
)
def test_the_key_of_an_answer(said: Turn | None, key: bytes | None) -> None:
    """An answer that is text alone is known by its digest, whatever stands around it."""
    assert said_key(said) == key
