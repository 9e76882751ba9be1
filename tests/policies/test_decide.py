"""May a remembered answer stand in: every reason the core can give, and every wall between two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import decide
from policies.context import answered
from policies.features import NAMES
from policies.values import (
    AnswerFacts,
    Candidate,
    CategoryRules,
    Collapse,
    ContextMode,
    ContextRules,
    Directives,
    Facts,
    Found,
    Overrides,
    Owners,
    Query,
    Reach,
    Rules,
    Share,
    Snapshot,
    Threshold,
    Turn,
)
from policies.verdicts import BYPASSES, Admit, Bypass, Forward, Lookup, Reason, Refuse, Serve
from policies.verified import Learned, Standing

NOW = 10_000.0
GUARDS = ("numbers", "negation", "entities", "units", "order")
OWNERS = Owners(key="k1", tenant="t1", user="u1")
DEFAULTS = CategoryRules("default", Threshold(0.9), ttl=3600, guards=GUARDS)
PERSONAL = replace(DEFAULTS, name="personal", share=Share.USER, patterns=(r"\bmy account\b",))
RULES = Rules(DEFAULTS, (PERSONAL,))
QUERY = Query(
    dialect="openai",
    upstream="main",
    model="m",
    owners=OWNERS,
    fingerprint=b"\x01" * 32,
    chain="",
    text="How do I boil an egg?",
)
FACTS = Facts(
    entry="e" * 32,
    space="s" * 32,
    owner="k1",
    category="default",
    dialect="openai",
    model="m",
    chain="",
    text="How do I boil an egg",
    stored=NOW - 100,
    expires=NOW + 100,
    gone=NOW + 1000,
    size=10,
)


def lookup(query: Query, rules: Rules = RULES) -> Lookup:
    planned = decide.plan(query, rules)
    assert isinstance(planned, Lookup)
    return planned


def found(*near: Candidate, exact: Facts | None = None, fault: Reason | None = None) -> Found:
    return Found("e" * 32, "s" * 32, None, exact=exact, near=near, fault=fault)


def near(score: float, **changes: object) -> Candidate:
    return Candidate(replace(FACTS, **changes), score)  # type: ignore[arg-type]


def choose(
    *candidates: Candidate,
    exact: Facts | None = None,
    fault: Reason | None = None,
    query: Query = QUERY,
    rules: Rules = RULES,
) -> Serve | Forward:
    return decide.choose(query, found(*candidates, exact=exact, fault=fault), Snapshot(NOW, rules))


def told(**directives: object) -> Query:
    return replace(QUERY, directives=Directives(**directives))  # type: ignore[arg-type]


def ruled(**changes: object) -> Rules:
    return Rules(replace(DEFAULTS, **changes))  # type: ignore[arg-type]


# -- plan ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", sorted(BYPASSES))
def test_what_the_dialect_excludes_is_bypassed(reason: Reason) -> None:
    """A query that its dialect cannot cache is neither looked up nor stored, for its reason."""
    assert decide.plan(replace(QUERY, bypass=reason), RULES) == Bypass(reason, "default")


@pytest.mark.parametrize(
    ("query", "rules", "reason"),
    [
        (told(no_store=True), RULES, Reason.NO_STORE),
        (told(no_store=True, no_cache=True), RULES, Reason.NO_STORE),
        (told(reach=Reach.OFF), RULES, Reason.MODE_OFF),
        (QUERY, ruled(cache=False), Reason.CATEGORY_OFF),
        (replace(QUERY, temperature=1.1), RULES, Reason.SAMPLING),
        (QUERY, ruled(max_temperature=0.9), Reason.SAMPLING),
        (replace(QUERY, temperature=0.1), ruled(max_temperature=0.0), Reason.SAMPLING),
    ],
)
def test_bypasses_leave_nothing_behind(query: Query, rules: Rules, reason: Reason) -> None:
    """What may not be cached has no place to be stored in either."""
    assert decide.plan(query, rules) == Bypass(reason, "default", None)


@pytest.mark.parametrize(
    ("temperature", "most"), [(None, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.9), (2.0, 2.0)]
)
def test_temperature_up_to_the_bound_is_looked_up(temperature: float | None, most: float) -> None:
    """The bound itself is allowed, and an absent temperature counts as the provider's 1."""
    query = replace(QUERY, temperature=temperature)
    assert isinstance(decide.plan(query, ruled(max_temperature=most)), Lookup)


def test_no_cache_is_not_read_but_kept() -> None:
    """`no-cache` goes upstream and leaves its answer where the same question would look."""
    planned = decide.plan(told(no_cache=True), RULES)
    assert planned == Bypass(Reason.WRITE_ONLY, "default", lookup(QUERY))


@pytest.mark.parametrize("no_cache", [False, True])
def test_a_refused_key_is_not_read_for_but_kept(no_cache: bool) -> None:
    """Upstream is asked, and should it accept the key its answer lies where the question looks."""
    planned = decide.plan(replace(told(no_cache=no_cache), refused=True), RULES)
    assert planned == Bypass(Reason.KEY_REFUSED, "default", lookup(QUERY))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (QUERY, None),
        (told(reach=Reach.SHADOW), None),
        (told(reach=Reach.EXACT), Reason.MODE_OFF),
        (replace(QUERY, exact_only=Reason.TOOLS), Reason.TOOLS),
        (replace(QUERY, text="x " * 20_000), Reason.TOO_LONG),
        (replace(QUERY, text="如何重置密码"), Reason.LANGUAGE),
        (replace(QUERY, text="?!"), Reason.UNSUPPORTED),
        (replace(QUERY, text="Close my account"), None),
        (
            replace(QUERY, text="Close my account", owners=Owners("k1")),
            Reason.CATEGORY_OFF,
        ),
    ],
)
def test_meaning_is_used_only_where_it_may(query: Query, reason: Reason | None) -> None:
    """Tools, other scripts, long texts and personal questions of nobody are matched exactly."""
    assert lookup(query).semantic == reason


TOLD = Turn("user", text="Somebody closed my account")


@pytest.mark.parametrize(
    ("before", "directives", "reason"),
    [
        ((TOLD,), Directives(), Reason.CATEGORY_OFF),
        ((Turn("user", text="Hello"), answered("Hi."), TOLD), Directives(), Reason.CATEGORY_OFF),
        ((Turn("user", text="Somebody closed an account"),), Directives(), None),
        ((answered("Tell me of my account"),), Directives(), None),
        ((TOLD,), Directives(category="default"), None),
    ],
)
def test_a_conversation_of_a_persons_own_is_matched_exactly(
    before: tuple[Turn, ...], directives: Directives, reason: Reason | None
) -> None:
    """What a user told of themselves earlier on, whoever asks; a pinned category decides itself."""
    query = replace(QUERY, chain="c", before=before, directives=directives)
    assert lookup(query).semantic is reason


@pytest.mark.parametrize(("score", "reason"), [(0.9, Reason.SEMANTIC), (0.8, Reason.OTHER_CONTEXT)])
def test_earlier_turns_are_weighed_with_the_last(score: float, reason: Reason) -> None:
    """A neighbour of another conversation is served where that one means the same."""
    asked, remembered = (Turn("user", text=f"{verb} about eggs") for verb in ("Talk", "Speak"))
    query = replace(QUERY, chain="c1", before=(asked,))
    candidate = replace(near(0.99, chain="c2", before=(remembered,)), turns=(score,))
    verdict = choose(candidate, query=query)
    assert verdict.reason is reason
    assert [r.seen for r in verdict.refused] == (
        []
        if score > 0.85
        else ["turn 1: 0.80 < 0.85: 'Talk about eggs' against 'Speak about eggs'"]
    )


def test_the_category_told_rules_the_plan() -> None:
    """A category named in the header decides over caching, before anything is embedded."""
    rules = Rules(DEFAULTS, (replace(DEFAULTS, name="off", cache=False),))
    assert decide.plan(told(category="off"), rules) == Bypass(Reason.CATEGORY_OFF, "off")
    planned = decide.plan(told(category="default"), rules)
    assert isinstance(planned, Lookup)
    assert planned.category == DEFAULTS


# -- walls -----------------------------------------------------------------------------------------

WALLS = {
    "fingerprint": replace(QUERY, fingerprint=b"\x02" * 32),
    "upstream": replace(QUERY, upstream="other"),
    "dialect": replace(QUERY, dialect="anthropic"),
    "key": replace(QUERY, owners=replace(OWNERS, key="k2")),
    "namespace": told(namespace="n"),
}
SAME = {
    "stream": replace(QUERY, stream=True),
    "usage": replace(QUERY, wants_usage=True),
    "user": replace(QUERY, owners=replace(OWNERS, user="u2")),
    "tenant": replace(QUERY, owners=replace(OWNERS, tenant=None)),
    "turns": replace(QUERY, turns=3),
    "no namespace": told(namespace=""),
    "other wishes": told(threshold=0.99, ttl=3.0, max_age=1.0, tags=("a",), session="s"),
}


@pytest.mark.parametrize("name", WALLS)
def test_a_wall_parts_both_entry_and_space(name: str) -> None:
    """Another caller, upstream, dialect, namespace or request shape never meets this one."""
    mine, other = lookup(QUERY), lookup(WALLS[name])
    assert mine.entry != other.entry
    assert mine.space != other.space


@pytest.mark.parametrize("changed", [{"chain": "c1"}, {"text": "How do I boil an egg? "}])
def test_text_and_conversation_part_the_entry_only(changed: dict[str, str]) -> None:
    """Another text or conversation is another entry, and a neighbour in the same space."""
    mine, other = lookup(QUERY), lookup(replace(QUERY, **changed))
    assert mine.entry != other.entry
    assert mine.space == other.space


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_shape_the_answer_parts_nothing(name: str) -> None:
    """Streaming, usage, wishes and, under `share: key`, the end user lead to one entry."""
    assert lookup(SAME[name]) == lookup(QUERY)


@pytest.mark.parametrize(
    ("share", "owners", "owner"),
    [
        (Share.EVERYONE, OWNERS, "everyone"),
        (Share.TENANT, OWNERS, "t1"),
        (Share.TENANT, Owners("k1", user="u1"), "k1"),
        (Share.KEY, OWNERS, "k1"),
        (Share.USER, OWNERS, "k1:u1"),
        (Share.USER, Owners("k1", tenant="t1"), "k1"),
    ],
)
def test_the_owner_is_who_may_share(share: Share, owners: Owners, owner: str) -> None:
    """Each rule of sharing has its own partition; a missing tenant or user falls to the key."""
    assert decide.owner_of(replace(QUERY, owners=owners), share) == owner


@pytest.mark.parametrize(
    ("share", "other", "together"),
    [
        (Share.USER, replace(OWNERS, user="u2"), False),
        (Share.USER, replace(OWNERS, key="k2"), False),
        (Share.KEY, replace(OWNERS, user="u2"), True),
        (Share.KEY, replace(OWNERS, key="k2"), False),
        (Share.TENANT, replace(OWNERS, key="k2"), True),
        (Share.TENANT, replace(OWNERS, tenant="t2"), False),
        (Share.TENANT, Owners("k2"), False),
        (Share.EVERYONE, Owners("k9", "t9", "u9"), True),
    ],
)
def test_who_meets_whom(share: Share, other: Owners, *, together: bool) -> None:
    """Two callers look in one place exactly when the policy lets them share."""
    rules = ruled(share=share)
    mine, theirs = lookup(QUERY, rules), lookup(replace(QUERY, owners=other), rules)
    assert (mine.entry == theirs.entry) is together
    assert (mine.space == theirs.space) is together


def test_a_category_found_late_is_scoped_by_its_own_rule() -> None:
    """Once embedding shows a question to be personal, it looks in the user's own partition."""
    late = decide.scope(QUERY, PERSONAL, RULES)
    theirs = decide.scope(replace(QUERY, owners=replace(OWNERS, user="u2")), PERSONAL, RULES)
    assert late.category == PERSONAL
    assert len({late.entry, theirs.entry, lookup(QUERY).entry}) == 3


_NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
# Digests of keys, tenants and users never meet: the identity digests each kind apart.
_KEYS, _TENANTS, _USERS = (st.sampled_from([f"{kind}{n}" for n in range(9)]) for kind in "ktu")
_QUERIES = st.builds(
    Query,
    dialect=_NAMES,
    upstream=_NAMES,
    model=st.just("m"),
    owners=st.builds(Owners, _KEYS, st.none() | _TENANTS, st.none() | _USERS),
    fingerprint=st.binary(max_size=8),
    chain=_NAMES,
    text=_NAMES,
    directives=st.builds(Directives, namespace=st.none() | _NAMES),
)


def _key(query: Query, share: Share) -> tuple[object, ...]:
    """What the contract says makes an entry, told apart by position."""
    owners = query.owners
    owner: object = owners.key
    if share is Share.EVERYONE:
        owner = None
    elif share is Share.TENANT and owners.tenant is not None:
        owner = (owners.tenant,)
    elif share is Share.USER and owners.user is not None:
        owner = (owners.key, owners.user)
    namespace = query.directives.namespace or ""
    walls = (owner, query.upstream, query.dialect, namespace, query.fingerprint)
    return (*walls, query.chain, query.text)


def _scoped(query: Query, share: Share) -> Lookup:
    return decide.scope(query, None, ruled(share=share))


@settings(max_examples=3000, deadline=None)
@given(_QUERIES, _QUERIES, st.sampled_from(Share))
def test_entries_are_equal_exactly_when_every_part_is(a: Query, b: Query, share: Share) -> None:
    """Two queries share an entry if and only if all parts of the key are equal."""
    assert (_scoped(a, share).entry == _scoped(b, share).entry) == (
        _key(a, share) == _key(b, share)
    )


@settings(max_examples=3000, deadline=None)
@given(
    _QUERIES,
    st.sampled_from(["dialect", "upstream", "chain", "text", "fingerprint", "namespace", "key"]),
    _NAMES.filter(bool),
    st.sampled_from([Share.USER, Share.KEY]),
)
def test_any_one_part_changed_is_another_entry(
    query: Query, part: str, more: str, share: Share
) -> None:
    """Lengthening any single component of the key leads to another entry."""
    if part == "fingerprint":
        other = replace(query, fingerprint=query.fingerprint + more.encode())
    elif part == "key":
        other = replace(query, owners=replace(query.owners, key=query.owners.key + "0"))
    elif part == "namespace":
        longer = (query.directives.namespace or "") + more
        other = replace(query, directives=replace(query.directives, namespace=longer))
    else:
        other = replace(query, **{part: getattr(query, part) + more})
    assert _scoped(query, share).entry != _scoped(other, share).entry


_NEIGHBOURS = ("upstream", "dialect", "namespace", "fingerprint", "chain", "text")


@settings(max_examples=2000, deadline=None)
@given(st.text("ab", min_size=2, max_size=6), st.integers(0, 4), st.data())
def test_parts_cannot_flow_into_each_other(whole: str, at: int, data: st.DataObject) -> None:
    """Cutting one string differently between two neighbouring parts makes different entries."""
    first = data.draw(st.integers(0, len(whole)))
    second = data.draw(st.integers(0, len(whole)).filter(lambda n: n != first))

    def build(cut: int) -> Query:
        parts = dict.fromkeys(_NEIGHBOURS, "")
        parts[_NEIGHBOURS[at]], parts[_NEIGHBOURS[at + 1]] = whole[:cut], whole[cut:]
        return Query(
            dialect=parts["dialect"],
            upstream=parts["upstream"],
            model="m",
            owners=OWNERS,
            fingerprint=parts["fingerprint"].encode(),
            chain=parts["chain"],
            text=parts["text"],
            directives=Directives(namespace=parts["namespace"]),
        )

    assert lookup_key(build(first)) != lookup_key(build(second))


def lookup_key(query: Query) -> str:
    return _scoped(query, Share.KEY).entry


@pytest.mark.parametrize("query", [QUERY, replace(QUERY, text="\ud800 alone"), told(namespace="é")])
def test_keys_are_32_hex_digits(query: Query) -> None:
    """Whatever the text holds, an entry's key is 128 bits in hex and always the same."""
    scoped = _scoped(query, Share.KEY)
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in (scoped.entry, scoped.space))
    assert scoped == _scoped(query, Share.KEY)


# -- choose ----------------------------------------------------------------------------------------


def test_an_exact_entry_is_served() -> None:
    """The entry of equal key is served with similarity 1."""
    verdict = choose(exact=FACTS)
    assert verdict == Serve(Candidate(FACTS, 1.0), Reason.EXACT, DEFAULTS, 0.9)


def test_an_exact_entry_goes_before_a_fault() -> None:
    """With the entry at hand it does not matter that meaning could not be used."""
    assert choose(exact=FACTS, fault=Reason.CATEGORY_OFF).reason is Reason.EXACT


@pytest.mark.parametrize(
    "fault",
    [Reason.EMBED_TIMEOUT, Reason.LANGUAGE, Reason.TRUNCATED, Reason.STORE_DOWN, Reason.TOOLS],
)
def test_a_fault_of_memory_is_a_miss(fault: Reason) -> None:
    """Where memory could not look by meaning, the request is forwarded for that reason."""
    assert choose(fault=fault) == Forward(fault, DEFAULTS, 0.9)


def test_nothing_found_is_empty() -> None:
    """A space without neighbours is a miss without a nearest one."""
    verdict = choose()
    assert isinstance(verdict, Forward)
    assert (verdict.reason, verdict.nearest) == (Reason.EMPTY, None)


@pytest.mark.parametrize(
    ("score", "cut", "served"),
    [
        (0.9, 0.9, True),
        (0.8999, 0.9, False),
        (1.0, 1.0, True),
        (0.999, 1.0, False),
        (0.0, 0.0, True),
        (float("nan"), 0.9, False),
        (float("nan"), 0.0, False),
        (1.0, float("nan"), False),
    ],
)
def test_the_cut_is_met_or_not(score: float, cut: float, *, served: bool) -> None:
    """A score at the cut serves, one below does not, and what is no number never does."""
    verdict = choose(near(score), rules=ruled(threshold=Threshold(cut)))
    assert isinstance(verdict, Serve) is served
    assert verdict.reason is (Reason.SEMANTIC if served else Reason.BELOW_THRESHOLD)


OBJECTIONS = [
    (near(0.89), QUERY, Reason.BELOW_THRESHOLD, "0.890 < 0.900"),
    (near(0.99, chain="c"), QUERY, Reason.OTHER_CONTEXT, "another conversation"),
    (near(0.99), replace(QUERY, chain="c"), Reason.OTHER_CONTEXT, "another conversation"),
    (near(0.99, flagged=True), QUERY, Reason.FLAGGED, "marked bad"),
    (near(0.99, expires=NOW), QUERY, Reason.EXPIRED, ""),
    (near(0.99), told(max_age=99), Reason.EXPIRED, ""),
    (near(0.99, has_usage=False), replace(QUERY, wants_usage=True), Reason.BODY_GONE, "token"),
    (
        near(0.99, text="What is 2 plus 2?"),
        replace(QUERY, text="What is 2 plus 3?"),
        Reason.GUARD_NUMBERS,
        "against",
    ),
    (
        near(0.99, text="How do I enable two-factor login?"),
        replace(QUERY, text="How do I disable two-factor login?"),
        Reason.GUARD_NEGATION,
        "against",
    ),
    (
        near(0.99, text="What is the capital of France?"),
        replace(QUERY, text="What is the capital of Spain?"),
        Reason.GUARD_ENTITIES,
        "against",
    ),
    (
        near(0.99, text="How tall is the tower in metres?"),
        replace(QUERY, text="How tall is the tower in feet?"),
        Reason.GUARD_UNITS,
        "against",
    ),
    (
        near(0.99, text="Can a dog bite a man?"),
        replace(QUERY, text="Can a man bite a dog?"),
        Reason.GUARD_ORDER,
        "against",
    ),
]


@pytest.mark.parametrize(("candidate", "query", "reason", "seen"), OBJECTIONS)
def test_a_refused_neighbour_says_why(
    candidate: Candidate, query: Query, reason: Reason, seen: str
) -> None:
    """Each objection to a neighbour is a miss of its own reason, with what was seen."""
    verdict = choose(candidate, query=query)
    assert isinstance(verdict, Forward)
    assert verdict.reason is reason
    assert verdict.nearest == candidate
    assert seen in verdict.refused[0].seen


def test_the_next_neighbour_may_do() -> None:
    """A refused nearest neighbour does not hide a good second one, and stays in evidence."""
    bad, good = near(0.99, flagged=True), near(0.95)
    verdict = choose(bad, good, near(0.94))
    assert isinstance(verdict, Serve)
    assert verdict.candidate == good
    assert [(r.candidate, r.reason) for r in verdict.refused] == [(bad, Reason.FLAGGED)]


def test_the_reason_of_a_miss_is_the_best_neighbours() -> None:
    """Of several refused neighbours the nearest one's reason is told, and all are listed."""
    verdict = choose(near(0.99, chain="c"), near(0.5), near(0.4))
    assert isinstance(verdict, Forward)
    assert verdict.reason is Reason.OTHER_CONTEXT
    assert len(verdict.refused) == 3


def test_guards_speak_in_the_policys_order() -> None:
    """Where two guards object, the one named first in the policy gives the reason."""
    query = replace(QUERY, text="Turn on 2 lamps")
    candidate = near(0.99, text="Turn off 3 lamps")
    reasons = [
        choose(candidate, query=query, rules=ruled(guards=names)).reason
        for names in (("numbers", "negation"), ("negation", "numbers"), ("order",))
    ]
    assert reasons == [Reason.GUARD_NUMBERS, Reason.GUARD_NEGATION, Reason.SEMANTIC]


def test_context_off_lets_conversations_meet() -> None:
    """With `context: off` an entry of another conversation may answer."""
    rules = ruled(context=ContextRules(ContextMode.OFF))
    assert choose(near(0.99, chain="c"), rules=rules).reason is Reason.SEMANTIC


@pytest.mark.parametrize(
    ("directives", "facts", "reason"),
    [
        ({}, {"expires": NOW + 0.1}, Reason.EXACT),
        ({}, {"expires": NOW}, Reason.EXPIRED),
        ({"max_stale": 50}, {"expires": NOW - 50}, Reason.EXACT),
        ({"max_stale": 50}, {"expires": NOW - 51}, Reason.EXPIRED),
        ({"max_stale": 5000}, {"expires": NOW - 50, "gone": NOW}, Reason.EXPIRED),
        ({"max_age": 100}, {}, Reason.EXACT),
        ({"max_age": 99}, {}, Reason.EXPIRED),
        ({"max_age": 0}, {"stored": NOW}, Reason.EXACT),
        ({"min_fresh": 100}, {}, Reason.EXACT),
        ({"min_fresh": 101}, {}, Reason.EXPIRED),
        ({}, {"stored": NOW + 61}, Reason.EXPIRED),
    ],
)
def test_freshness_rules_exact_hits(
    directives: dict[str, float], facts: dict[str, float], reason: Reason
) -> None:
    """An exact entry is served only while it is as fresh as the caller asks."""
    verdict = choose(exact=replace(FACTS, **facts), query=told(**directives))
    assert verdict.reason is reason


@pytest.mark.parametrize(
    ("wants", "has", "reason"),
    [
        (True, False, Reason.BODY_GONE),
        (True, True, Reason.EXACT),
        (False, False, Reason.EXACT),
    ],
)
def test_usage_is_not_made_up(*, wants: bool, has: bool, reason: Reason) -> None:
    """A caller who wants token counts is not served an answer that was kept without them."""
    query = replace(QUERY, wants_usage=wants)
    assert choose(exact=replace(FACTS, has_usage=has), query=query).reason is reason


@pytest.mark.parametrize("by", ["policy", "request"])
@pytest.mark.parametrize("kind", [Reason.EXACT, Reason.SEMANTIC])
def test_shadow_forwards_and_tells_what_would_have_been(by: str, kind: Reason) -> None:
    """In shadow, hits of both kinds are withheld, with the evidence of the withheld hit."""
    rules = replace(RULES, shadow=by == "policy")
    query = told(reach=Reach.SHADOW) if by == "request" else QUERY
    bad, good = near(0.99, flagged=True), near(0.95)
    if kind is Reason.EXACT:
        verdict = choose(exact=FACTS, query=query, rules=rules)
    else:
        verdict = choose(bad, good, query=query, rules=rules)
    assert isinstance(verdict, Forward)
    assert verdict.reason is Reason.AUDIT
    assert verdict.would is not None
    assert verdict.would.reason is kind
    assert verdict.would.candidate.facts == FACTS
    assert [r.candidate for r in verdict.refused] == ([] if kind is Reason.EXACT else [bad])


def test_shadow_changes_no_miss() -> None:
    """A miss stays what it is in shadow, with nothing withheld."""
    verdict = choose(near(0.1), rules=replace(RULES, shadow=True))
    assert isinstance(verdict, Forward)
    assert (verdict.reason, verdict.would) == (Reason.BELOW_THRESHOLD, None)


@pytest.mark.parametrize(
    ("changes", "temperature", "reason"),
    [
        ({"cache": False}, None, Reason.CATEGORY_OFF),
        ({"max_temperature": 0.5}, None, Reason.SAMPLING),
        ({"max_temperature": 0.5}, 0.6, Reason.SAMPLING),
        ({"max_temperature": 0.5}, 0.5, Reason.EXACT),
    ],
)
def test_a_category_found_late_may_still_forbid(
    changes: dict[str, object], temperature: float | None, reason: Reason
) -> None:
    """What embedding puts into an uncached category is not served, even with an entry there."""
    category = replace(DEFAULTS, name="late", **changes)  # type: ignore[arg-type]
    brought = Found("e", "s", category, exact=FACTS)
    query = replace(QUERY, temperature=temperature)
    verdict = decide.choose(query, brought, Snapshot(NOW, RULES))
    assert (verdict.reason, verdict.category) == (reason, category)


@pytest.mark.parametrize(
    ("told_category", "exact", "name"),
    [
        (PERSONAL, None, "personal"),
        (None, replace(FACTS, category="personal"), "personal"),
        (DEFAULTS, replace(FACTS, category="personal"), "default"),
        (None, replace(FACTS, category="dropped-from-the-policy"), "default"),
        (None, None, "default"),
    ],
)
def test_the_category_in_force(
    told_category: CategoryRules | None, exact: Facts | None, name: str
) -> None:
    """Told or found goes first, then the exact entry's own while the policy has it."""
    assert decide.category_of(Found("e", "s", told_category, exact=exact), RULES).name == name


def test_the_cut_is_evidence() -> None:
    """A verdict carries the cut that ruled: the request's own wish inside the bounds."""
    rules = replace(RULES, overrides=Overrides(threshold=(0.85, 0.97)))
    cuts = [choose(near(0.5), query=told(threshold=t), rules=rules).cut for t in (0.1, 0.9, 1.0)]
    assert cuts == [0.85, 0.9, 0.97]


def test_a_verdict_reads_no_vector() -> None:
    """The choice rests on scores: the query's vector may be there or not."""
    brought = found(near(0.95))
    vector = np.zeros(4, np.float32)
    snap = Snapshot(NOW, RULES)
    assert decide.choose(QUERY, brought, snap) == decide.choose(
        QUERY, replace(brought, vector=vector), snap
    )


# -- admit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "query", "answer", "reason"),
    [
        *[
            (DEFAULTS, QUERY, AnswerFacts(1, refusal=reason), reason)
            for reason in (
                Reason.STATUS,
                Reason.INCOMPLETE,
                Reason.FINISH_REASON,
                Reason.TOO_LARGE,
                Reason.INVALID_JSON,
            )
        ],
        (DEFAULTS, QUERY, AnswerFacts(1, no_store=True), Reason.NO_STORE),
        (DEFAULTS, told(no_store=True), AnswerFacts(1), Reason.NO_STORE),
        (replace(DEFAULTS, cache=False), QUERY, AnswerFacts(1), Reason.CATEGORY_OFF),
        (DEFAULTS, replace(QUERY, temperature=1.5), AnswerFacts(1), Reason.SAMPLING),
        (replace(DEFAULTS, quota=0.0), QUERY, AnswerFacts(1), Reason.QUOTA),
        (replace(DEFAULTS, ttl=0.0), QUERY, AnswerFacts(1), Reason.CATEGORY_OFF),
        (DEFAULTS, told(ttl=0.0), AnswerFacts(1), Reason.CATEGORY_OFF),
    ],
)
def test_what_is_not_kept(
    category: CategoryRules, query: Query, answer: AnswerFacts, reason: Reason
) -> None:
    """An unfinished, forbidden or worthless answer is refused for its own reason."""
    assert decide.admit(query, replace(found(), category=category), answer, RULES) == Refuse(reason)


@pytest.mark.parametrize(
    ("revalidate", "on_error", "wish", "ttl", "linger"),
    [
        (0.0, 0.0, None, 3600.0, 3600.0),
        (600.0, 0.0, None, 3600.0, 4200.0),
        (600.0, 7200.0, None, 3600.0, 10_800.0),
        (600.0, 0.0, 60.0, 60.0, 660.0),
        (0.0, 0.0, 1e9, 30 * 86_400.0, 30 * 86_400.0),
    ],
)
def test_a_good_answer_lives_its_time(
    revalidate: float, on_error: float, wish: float | None, ttl: float, linger: float
) -> None:
    """Fresh for the category's or the caller's time, and there for the longer stale window."""
    category = replace(DEFAULTS, stale_while_revalidate=revalidate, stale_if_error=on_error)
    query = told(ttl=wish)
    assert decide.admit(query, replace(found(), category=category), AnswerFacts(1), RULES) == Admit(
        ttl, linger
    )


BY_EXAMPLE = Rules(DEFAULTS, (replace(PERSONAL, examples=("delete my account",)),))


@pytest.mark.parametrize(
    ("fault", "category", "rules", "reason"),
    [
        (None, None, BY_EXAMPLE, None),
        (Reason.EMBED_TIMEOUT, None, RULES, None),
        (Reason.EMBED_TIMEOUT, PERSONAL, BY_EXAMPLE, None),
        (Reason.EMBED_TIMEOUT, None, BY_EXAMPLE, Reason.EMBED_TIMEOUT),
        (Reason.STORE_DOWN, None, RULES, Reason.STORE_DOWN),
        (Reason.STORE_DOWN, PERSONAL, BY_EXAMPLE, Reason.STORE_DOWN),
    ],
)
def test_what_memory_could_not_sort_is_not_kept(
    fault: Reason | None, category: CategoryRules | None, rules: Rules, reason: Reason | None
) -> None:
    """Unembedded, a text may be of a personal category known by examples: nobody may share it."""
    brought = replace(found(fault=fault), category=category)
    verdict = decide.admit(QUERY, brought, AnswerFacts(1), rules)
    assert verdict == (Admit(3600.0, 3600.0) if reason is None else Refuse(reason))


def test_a_refreshed_entry_keeps_its_category() -> None:
    """Where an entry of equal key is there, its own category rules the new answer too."""
    short = Rules(DEFAULTS, (replace(DEFAULTS, name="short", ttl=5.0),))
    brought = found(exact=replace(FACTS, category="short"))
    assert decide.admit(QUERY, brought, AnswerFacts(1), short) == Admit(5.0, 5.0)


# -- stale answers -------------------------------------------------------------------------------

STALE = replace(DEFAULTS, stale_while_revalidate=60.0, stale_if_error=600.0)
STALE_RULES = Rules(STALE)


@pytest.mark.parametrize(
    ("late", "served", "fallback"),
    [
        (-1, Reason.EXACT, None),
        (10, Reason.STALE_WHILE_REVALIDATE, None),
        (100, None, Reason.STALE_IF_ERROR),
        (700, None, None),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_a_stale_answer_is_served_inside_its_windows(
    late: float, served: Reason | None, fallback: Reason | None, *, exact: bool
) -> None:
    """Stale while revalidating is a hit, stale on error only a fallback; equal or near alike."""
    expires = NOW - late
    entry = replace(FACTS, stored=expires - 200, expires=expires, gone=expires + 600)
    seen = found(exact=entry) if exact else found(Candidate(entry, 0.97))
    verdict = decide.choose(QUERY, seen, Snapshot(NOW, STALE_RULES))
    if served is not None:
        assert isinstance(verdict, Serve)
        assert verdict.match is (Reason.EXACT if exact else Reason.SEMANTIC)
        fresh = served is Reason.EXACT
        assert verdict.reason is (verdict.match if fresh else served)
        assert verdict.refresh is not fresh
        return
    assert isinstance(verdict, Forward)
    assert verdict.reason is Reason.EXPIRED
    assert (verdict.fallback and verdict.fallback.reason) == fallback


def test_a_fresh_neighbour_goes_before_a_nearer_stale_one() -> None:
    """What needs no refresh is served, though a stale answer would be nearer."""
    stale = replace(FACTS, entry="a" * 32, expires=NOW - 1)
    verdict = decide.choose(
        QUERY, found(Candidate(stale, 0.99), near(0.95)), Snapshot(NOW, STALE_RULES)
    )
    assert isinstance(verdict, Serve)
    assert (verdict.reason, verdict.candidate.facts.entry) == (Reason.SEMANTIC, "e" * 32)


def test_a_stale_neighbour_still_has_to_pass_the_guards() -> None:
    """No window lets an answer through that a guard would stop."""
    other = replace(FACTS, text="How do I boil 12 eggs?", expires=NOW - 1)
    query = replace(QUERY, text="How do I boil 10 eggs?")
    verdict = decide.choose(query, found(Candidate(other, 0.99)), Snapshot(NOW, STALE_RULES))
    assert isinstance(verdict, Forward)
    assert (verdict.reason, verdict.fallback) == (Reason.GUARD_NUMBERS, None)


@pytest.mark.parametrize(
    ("ago", "window", "asked_again"),
    [(5, 0, False), (5, 10, True), (10, 10, False), (-1, 10, False)],
)
def test_a_resend_right_after_its_answer_may_ask_afresh(
    ago: float, window: float, asked_again: bool
) -> None:
    """Inside the window an equal request means `regenerate`; the old answer stays as fallback."""
    seen = replace(found(exact=FACTS), used=NOW - ago)
    verdict = decide.choose(QUERY, seen, Snapshot(NOW, replace(RULES, regenerate=window)))
    assert isinstance(verdict, Forward) is asked_again
    if isinstance(verdict, Forward):
        assert verdict.reason is Reason.WRITE_ONLY
        assert verdict.fallback is not None
        assert verdict.fallback.reason is Reason.EXACT


# -- collapsing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "rules", "shares", "joins"),
    [
        (QUERY, RULES, True, True),
        (QUERY, replace(RULES, collapse=Collapse.OFF), False, False),
        (QUERY, replace(RULES, collapse=Collapse.MEANING), True, True),
        (QUERY, replace(RULES, shadow=True), False, False),
        (replace(QUERY, directives=Directives(reach=Reach.SHADOW)), RULES, False, False),
        (replace(QUERY, directives=Directives(no_cache=True)), RULES, True, False),
        (replace(QUERY, directives=Directives(no_store=True)), RULES, False, False),
        (replace(QUERY, directives=Directives(only_if_cached=True)), RULES, True, False),
        (replace(QUERY, temperature=1.8), RULES, False, False),
    ],
)
def test_who_may_wait_for_whom(query: Query, rules: Rules, shares: bool, joins: bool) -> None:
    """Only what could be remembered is shared; who wants a fresh answer shares but never joins."""
    assert decide.shares(query, DEFAULTS, rules) is shares
    assert decide.joins(query, Forward(Reason.EMPTY, DEFAULTS, 0.9), rules) is joins


@pytest.mark.parametrize("reason", [Reason.AUDIT, Reason.WRITE_ONLY])
def test_who_was_sent_on_purpose_does_not_wait(reason: Reason) -> None:
    """An audit and a resend each want an answer of their own."""
    assert not decide.joins(QUERY, Forward(reason, DEFAULTS, 0.9), RULES)


@pytest.mark.parametrize(("admitted", "expected"), [(True, Lookup), (False, Bypass)])
def test_answers_that_the_vendor_keeps_may_be_kept_out(admitted: bool, expected: type) -> None:
    """A policy can refuse to remember what has an id at the vendor's."""
    query = replace(QUERY, stateful=True)
    planned = decide.plan(query, replace(RULES, stateful=admitted))
    assert isinstance(planned, expected)


# -- audits and labels -----------------------------------------------------------------------------

AUDITED = replace(RULES, audits=0.1)
LEARNED = replace(
    AUDITED, defaults=replace(DEFAULTS, threshold=Threshold(0.95, max_false_hits=0.02))
)
# Whatever a neighbourhood looks like, one in a thousand is wrong, or one in ten.
SAFE, RISKY = (Learned((bias, *[0.0] * (len(NAMES) - 1))) for bias in (6.9, 2.2))


def thrown(
    dice: float, *candidates: Candidate, query: Query = QUERY, rules: Rules = AUDITED,
    learned: Learned | None = None,
) -> Serve | Forward:  # fmt: skip
    return decide.choose(query, found(*candidates), Snapshot(NOW, rules, dice, learned))


@pytest.mark.parametrize(("dice", "served"), [(0.0, False), (0.099, False), (0.1, True)])
def test_the_dice_say_what_is_audited(dice: float, served: bool) -> None:
    """Below the share of audits a would-be hit is forwarded, with its chance noted."""
    verdict = thrown(dice, near(0.95))
    assert isinstance(verdict, Serve) is served
    assert verdict.study is not None
    assert verdict.study.would
    assert verdict.study.propensity == 0.1
    if isinstance(verdict, Forward):
        assert verdict.reason is Reason.AUDIT
        assert verdict.would is not None


def test_nothing_is_audited_where_upstream_may_not_be_asked() -> None:
    """`only-if-cached` gets its hit whatever the dice."""
    query = replace(QUERY, directives=Directives(only_if_cached=True))
    assert isinstance(thrown(0.0, near(0.95), query=query), Serve)


def test_exact_hits_are_not_audited() -> None:
    """Audits are of hits by meaning."""
    verdict = decide.choose(QUERY, found(exact=FACTS), Snapshot(NOW, AUDITED, 0.0))
    assert isinstance(verdict, Serve)
    assert verdict.study is None


def test_in_shadow_every_label_is_certain() -> None:
    """What is always forwarded was going to be compared."""
    verdict = thrown(0.9, near(0.95), rules=replace(AUDITED, shadow=True))
    assert isinstance(verdict, Forward)
    assert verdict.study is not None
    assert (verdict.study.would, verdict.study.propensity) == (True, 1.0)


@pytest.mark.parametrize(
    ("candidate", "vetoed"),
    [
        (near(0.5), False),
        (near(0.95, text="How do I boil 2 eggs?"), True),
        (near(0.5, text="How do I boil 2 eggs?"), True),
    ],
)
def test_a_miss_leaves_a_label(candidate: Candidate, vetoed: bool) -> None:
    """Below the cut, or past a guard: its answer is compared for certain, and would not have been
    served; one that a guard refused is marked, however far away."""
    verdict = thrown(0.0, candidate)
    assert isinstance(verdict, Forward)
    study = verdict.study
    assert study is not None
    assert (study.would, study.propensity, study.vetoed) == (False, 1.0, vetoed)


@pytest.mark.parametrize(
    "candidate", [near(0.29), near(0.5, flagged=True), near(0.5, chain="another")]
)
def test_what_is_too_far_leaves_none(candidate: Candidate) -> None:
    """Neither what is unlike nor what is kept back for another reason."""
    assert thrown(0.0, candidate).study is None


@pytest.mark.parametrize(
    ("score", "learned", "reason"),
    [
        (0.96, SAFE, Reason.SEMANTIC),
        (0.94, SAFE, Reason.BELOW_THRESHOLD),
        (0.99, RISKY, Reason.UNVERIFIED),
        (0.974, None, Reason.BELOW_THRESHOLD),
        (0.976, None, Reason.SEMANTIC),
    ],
)
def test_a_bound_before_labels(score: float, learned: Learned | None, reason: Reason) -> None:
    """`start` rules, and what is plainly risky stays out; without a model it is sterner."""
    verdict = thrown(0.99, near(score), rules=LEARNED, learned=learned)
    assert verdict.reason is reason


def test_a_certified_bound_goes_below_start() -> None:
    """Then the risk rules, down to the floor of all cosines."""
    certified = replace(SAFE, standings={0.02: Standing(0.02, cut=0.01, audit=0.05)})
    for score, reason in ((0.7, Reason.SEMANTIC), (0.59, Reason.BELOW_THRESHOLD)):
        verdict = thrown(0.99, near(score), rules=LEARNED, learned=certified)
        assert verdict.reason is reason


def test_a_request_s_own_cut_is_outside_of_the_bound() -> None:
    """Who names a cosine gets a fixed cut; the label does not count for the bound."""
    query = replace(QUERY, directives=Directives(threshold=0.9))
    verdict = thrown(0.99, near(0.91), query=query, rules=LEARNED, learned=RISKY)
    assert isinstance(verdict, Serve)
    assert verdict.study is not None
    assert verdict.study.bound is None


def test_who_a_guard_tells_apart_is_no_rival() -> None:
    """A look-alike beside the neighbour does not make it look less sure."""
    alone = thrown(0.99, near(0.95))
    beside = thrown(0.99, near(0.95), near(0.94, entry="a" * 32, text="How do I boil 12 eggs?"))
    another = thrown(0.99, near(0.95), near(0.94, entry="a" * 32, text="How do you boil an egg?"))
    assert alone.study and beside.study and another.study  # noqa: PT018 - all three have one
    assert alone.study.features == beside.study.features
    assert another.study.features != alone.study.features
    assert [facts.entry for facts in another.study.rivals] == ["a" * 32]
