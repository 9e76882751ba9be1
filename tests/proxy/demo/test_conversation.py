"""The bundled set: it holds what the demo promises, and a broken set is refused with its place."""

from collections import Counter

import pytest

from policies.text import embeddable
from proxy.demo.conversation import ConversationError, Expect, load, parse, plain

GOOD = """
- {id: a, ask: "What is 1 + 1?", expect: fresh, answer: "2"}
- {id: b, ask: "what is 1 + 1", expect: paraphrase, of: a, stream: true}
- {id: c, ask: "What is 1 + 2?", expect: lookalike, of: a, answer: "3", system: "Be brief."}
"""


def test_bundled_set_has_every_kind_in_number() -> None:
    """Enough of each kind that the demo's figures mean something."""
    kinds = Counter(turn.expect for turn in load())
    assert kinds[Expect.FRESH] >= 18
    assert kinds[Expect.EXACT] >= 8
    assert kinds[Expect.PARAPHRASE] >= 14
    assert kinds[Expect.LOOKALIKE] >= 22
    assert kinds[Expect.FOLLOWUP] >= 4


def test_bundled_repeats_are_repeats() -> None:
    """An `exact` turn sends the original's messages, a paraphrase other text, same surroundings."""
    turns = {turn.id: turn for turn in load()}
    for turn in turns.values():
        if not turn.expect.repeats:
            continue
        original = turns[str(turn.of)]
        assert (turn.ask == original.ask) == (turn.expect is Expect.EXACT), turn.id
        assert (turn.system, turn.history) == (original.system, original.history), turn.id


def test_bundled_requests_are_told_apart_by_what_is_sent() -> None:
    """Two turns send equal messages only where one is the exact repeat of the other."""
    seen: dict[str, str] = {}
    for turn in load():
        sent = str(turn.messages)
        assert (sent in seen) == (turn.expect is Expect.EXACT), turn.id
        seen[sent] = turn.id


def test_some_repeats_change_between_whole_and_stream() -> None:
    """Replay across the two forms is part of the show."""
    turns = {turn.id: turn for turn in load()}
    changed = {
        (turns[str(t.of)].stream, t.stream) for t in turns.values() if t.expect is Expect.EXACT
    }
    assert {(False, True), (True, False)} <= changed


def test_bundled_prompts_may_be_matched_by_meaning() -> None:
    """No prompt is in a language or form that falls back to exact matching."""
    assert [turn.id for turn in load() if embeddable(turn.ask)] == []


def test_parse_fills_in_answers_and_messages() -> None:
    """A paraphrase takes its original's answer; system prompt and history come before the ask."""
    _, paraphrase, lookalike = parse(GOOD)
    assert paraphrase.answer == "2"
    assert paraphrase.stream
    assert lookalike.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 1 + 2?"},
    ]


def test_history_becomes_alternating_turns() -> None:
    """Each pair is a user turn and the assistant's answer to it."""
    (turn,) = parse("- {id: a, ask: 'And?', expect: followup, answer: x, history: [[Q, A]]}")
    assert [m["role"] for m in turn.messages] == ["user", "assistant", "user"]
    assert [m["content"] for m in turn.messages] == ["Q", "A", "And?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "not YAML"),
        ("", "no turns"),
        ("- {id: a, ask: x, expect: maybe, answer: y}", "turn 1 (a): expect:"),
        ("- {id: a, ask: x, expect: fresh, answer: y, colour: red}", "colour"),
        ("- {ask: x, expect: fresh, answer: y}", "turn 1 (no id): id:"),
        ("- text", "turn 1 (no id)"),
        ("- {id: a, ask: x, expect: fresh}", "a: fresh needs its own `answer`"),
        ("- {id: a, ask: x, expect: exact}", "a: exact needs `of`"),
        ("- {id: a, ask: x, expect: exact, of: b}", "no earlier turn is called 'b'"),
        (GOOD + "- {id: a, ask: x, expect: fresh, answer: y}", "a: this id was used before"),
        (GOOD + "- {id: d, ask: x, expect: exact, of: a, answer: y}", "leave `answer` out"),
        (GOOD + "- {id: d, ask: x, expect: lookalike, of: a, answer: '2.'}", "no wrong hit"),
    ],
)
def test_a_broken_set_is_refused(text: str, said: str) -> None:
    """The one-line message names the turn and what is wrong with it."""
    with pytest.raises(ConversationError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("What is  DNS?", "what is dns", True),
        ("Really?!", "really", True),
        ("What is DNS?", "What is DHCP?", False),
        ("C#", "C", False),
    ],
)
def test_plain_ignores_only_form(a: str, b: str, *, same: bool) -> None:
    """Case, white space and closing punctuation do not count; everything else does."""
    assert (plain(a) == plain(b)) is same
