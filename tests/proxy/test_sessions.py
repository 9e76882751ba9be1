"""Sessions: what came before, for clients that send the last turn only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from index.errors import StoreError
from index.stores.memory import MemoryBodies
from policies.context import ASSISTANT, KEPT_TEXT, USER, answered
from policies.values import Directives, Owners, Query, Turn
from proxy.dialects.listing import DIALECTS
from proxy.dialects.ports import Frame
from proxy.dialects.reading import SESSION
from proxy.exchange import Ask
from proxy.sessions import COUNTED, Sessions
from proxy.settings import Upstream

NOW = 1_000.0
YES = answered("Yes.")


class Store(MemoryBodies):
    """A store of the test's own time, which may be down."""

    def __init__(self) -> None:
        self.now, self.down = NOW, False
        super().__init__(clock=lambda: self.now)

    async def count(self, name: str, until: float) -> int:
        if self.down:
            raise StoreError("down")
        return await super().count(name, until)


@pytest.fixture
def store() -> Store:
    return Store()


def ask(text: str, session: str | None = "s", owners: Owners = Owners("k"), **rest: Any) -> Ask:  # noqa: B008 - frozen
    """A request as the routes read it, of a client that sends `text` alone."""
    dialect = DIALECTS[0]
    body = {"model": "m", "messages": [{"role": "user", "content": text}]} | rest
    frame = Frame(owners, "u", directives=Directives(session=session))
    upstream = Upstream("u", "openai", "http://u")
    return Ask(dialect, dialect.read(body, frame), dialect.form(body), upstream, "/", b"", False)


async def turn(
    sessions: Sessions, store: Store, asked: Ask, said: Turn | None = YES, *, taken: bool = True
) -> Query:
    """One whole exchange; the query as it was looked up."""
    joined = await sessions.joined(asked, store, store.now)
    sessions.told(joined, said, taken=taken)
    return joined.query


async def talk(sessions: Sessions, store: Store, *texts: str, session: str = "s") -> Query:
    """A conversation; the query of its last turn."""
    queries = [await turn(sessions, store, ask(text, session)) for text in texts]
    return queries[-1]


async def test_a_session_begins_as_a_standalone_question(store: Store) -> None:
    """Its first turn is the question that anybody asks; the next one follows on it."""
    sessions = Sessions()
    first = await turn(sessions, store, ask("What is Rome?"))
    alone = ask("What is Rome?", None).query
    assert (first.chain, first.before, first.turns) == (alone.chain, alone.before, 0) == ("", (), 0)
    second = await turn(sessions, store, ask("Is it old?"))
    assert [(t.role, t.text) for t in second.before[1:]] == [
        (USER, "What is Rome?"),
        (ASSISTANT, ""),
    ]
    assert second.before[2] == YES
    assert (len(second.chain), second.turns) == (32, 1)


async def test_equal_sessions_have_equal_chains(store: Store) -> None:
    """Two sessions that went the same way are one conversation, and others are not."""
    one = await talk(Sessions(), store, "What is Rome?", "Is it old?", session="1")
    two = await talk(Sessions(), store, "What is Rome?", "Is it old?", session="2")
    other = await talk(Sessions(), store, "What is Paris?", "Is it old?", session="3")
    assert one.chain == two.chain != other.chain
    assert one.before == two.before
    assert [t.role for t in one.before] == [t.role for t in other.before]


async def test_a_session_is_not_a_conversation_that_is_sent_whole(store: Store) -> None:
    """Upstream was told the last turn only, so its answer may lack what came before."""
    mine = await talk(Sessions(), store, "What is Rome?", "Is it old?")
    messages = [{"role": role, "content": said} for role, said in (
        ("user", "What is Rome?"), ("assistant", "Yes."), ("user", "Is it old?"))]  # fmt: skip
    whole = ask("", None, messages=messages).query
    assert [t.role for t in whole.before] == [USER, ASSISTANT]
    assert [t.role for t in mine.before] == [SESSION, USER, ASSISTANT]


@pytest.mark.parametrize(
    "other",
    [
        ask("Is it old?", "another"),
        ask("Is it old?", owners=Owners("k2")),
        ask("Is it old?", owners=Owners("k", user="ann")),
    ],
    ids=["id", "key", "user"],
)
async def test_sessions_are_told_apart(store: Store, other: Ask) -> None:
    """By id, key and end user: nobody goes on with another's conversation."""
    sessions = Sessions()
    await talk(sessions, store, "What is Rome?")
    assert (await turn(sessions, store, other)).before == ()


def lost(query: Query) -> bool:
    """Whether a turn follows on a conversation of which nothing is known."""
    return len(query.before) == 1 and query.before[0].role == SESSION and query.before[0].rest != ""


async def test_a_restart_loses_the_turns_but_not_that_there_were_some(store: Store) -> None:
    """The next turn is no standalone question, and like no other turn."""
    await talk(Sessions(), store, "What is Rome?")
    await talk(Sessions(), store, "What is Rome?", session="2")
    again, other = Sessions(), Sessions()
    one = await talk(again, store, "Is it old?")
    two = await talk(other, store, "Is it old?", session="2")
    assert lost(one)
    assert lost(two)
    assert one.chain != two.chain
    after = await talk(again, store, "And large?")
    assert after.before[0] == one.before[0]
    assert [t.text for t in after.before if t.role == USER] == ["Is it old?"]


async def test_a_turn_that_another_replica_took_is_missed(store: Store) -> None:
    """Both know of the gap, whoever takes the next turn."""
    here, there = Sessions(), Sessions()
    await talk(here, store, "What is Rome?")
    assert lost(await talk(there, store, "Is it old?"))
    assert lost(await talk(here, store, "Is it old?"))
    assert lost(await talk(there, store, "And large?"))


async def test_a_store_that_is_down_makes_no_session_new(store: Store) -> None:
    """Neither while it is down nor afterwards, when its count is too low."""
    sessions = Sessions()
    store.down = True
    assert lost(await talk(sessions, store, "What is Rome?"))
    store.down = False
    assert lost(await talk(sessions, store, "Is it old?"))


async def test_what_was_forgotten_begins_anew(store: Store) -> None:
    """A session that rested longer than the store counts is a new one after a restart."""
    await talk(Sessions(), store, "What is Rome?")
    store.now += COUNTED
    assert (await talk(Sessions(), store, "Is it old?")).before == ()


async def test_a_full_place_forgets_whole_sessions(store: Store) -> None:
    """The one that rested longest goes, and is then lost, not new."""
    sessions = Sessions(most=1_500)
    await talk(sessions, store, "What is Rome?", session="1")
    await talk(sessions, store, "What is Rome?", session="2")
    assert lost(await talk(sessions, store, "Is it old?", session="1"))


async def test_a_turn_that_failed_never_was(store: Store) -> None:
    """Asked again after an error of upstream's, a question follows on what it followed on."""
    sessions = Sessions()
    await turn(sessions, store, ask("What is Rome?"), None, taken=False)
    assert (await turn(sessions, store, ask("What is Rome?"))).before == ()
    failed = await turn(sessions, store, ask("Is it old?"), None, taken=False)
    again = await turn(sessions, store, ask("Is it old?"))
    assert failed.chain == again.chain


async def test_an_unknown_answer_sets_a_session_apart(store: Store) -> None:
    """No two conversations are alike in an answer that nobody saw."""
    chains = set()
    for session in "12":
        sessions = Sessions()
        await turn(sessions, store, ask("What is Rome?", session), None)
        chains.add((await turn(sessions, store, ask("Is it old?", session))).chain)
    assert len(chains) == 2


async def test_a_turn_under_way_is_already_there(store: Store) -> None:
    """Who asks on before the answer is known follows on an answer that is not known."""
    sessions = Sessions()
    first = await sessions.joined(ask("What is Rome?"), store, NOW)
    second = await sessions.joined(ask("Is it old?"), store, NOW)
    assert [t.role for t in second.query.before] == [SESSION, USER, ASSISTANT]
    assert second.query.before[2] != YES
    sessions.told(second, YES, taken=True)
    sessions.told(first, YES, taken=True)
    third = await sessions.joined(ask("And large?"), store, NOW)
    assert third.query.before[2] == third.query.before[4] == YES


async def test_what_must_not_be_stored_is_not_remembered(store: Store) -> None:
    """A `no-store` turn leaves no text behind, and nothing that another session is like."""
    sessions = Sessions()
    asked = ask("I am ill.")
    secret = replace(asked.query.directives, no_store=True)
    await turn(sessions, store, replace(asked, query=replace(asked.query, directives=secret)))
    after = await turn(sessions, store, ask("What helps?"))
    assert [t.text for t in after.before] == ["", "", ""]
    assert after.before[1].rest != ""


async def test_a_long_session_becomes_its_digest(store: Store) -> None:
    """What is remembered of one session is bounded; its chain still tells it from others."""
    chains = []
    for last in "ab":
        sessions = Sessions()
        said = "x" * (KEPT_TEXT - 1) + last
        query = await talk(sessions, store, said, "Why?", session=last)
        assert [t.role for t in query.before] == [SESSION, USER, ASSISTANT]
        query = await talk(sessions, store, "y", "Why not?", session=last)
        assert sum(len(t.text) for t in query.before) < KEPT_TEXT
        chains.append(query.chain)
    assert chains[0] != chains[1]


@pytest.mark.parametrize(
    "plain",
    [
        ask("Is it old?", None),
        ask("", messages=[{"role": "user", "content": "hi"}] * 2),
    ],
    ids=["no session", "sends its turns"],
)
async def test_others_are_left_alone(store: Store, plain: Ask) -> None:
    """Without a session, or with the turns in the body, a request stays what it is."""
    assert await Sessions().joined(plain, store, NOW) is plain
