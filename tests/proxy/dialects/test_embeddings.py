"""Embeddings: which items a request asks for, which answers are good, and pieces put together."""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import decide
from policies.values import CategoryRules, Directives, Owners, Rules, Threshold
from policies.verdicts import Lookup, Reason
from proxy.dialects.embeddings import (
    MOST_ITEMS,
    Embeddings,
    Piece,
    apart,
    apportion,
    itemise,
    only,
    split,
    together,
    unpack,
)
from proxy.dialects.ports import Form, Frame
from tests.proxy.dialects.clients import answering

EMBEDDINGS = Embeddings()
FRAME = Frame(Owners("k"), "up http://up/v1")
BASE = {"model": "m", "input": ["sky", "sea"]}
RULES = Rules(CategoryRules("default", Threshold(0.95), 60.0))


# -- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_input", "items"),
    [
        ("sky", ["sky"]),
        ("", [""]),
        (["sky"], ["sky"]),
        (["sky", "", "sky"], ["sky", "", "sky"]),
        ([1, 2], [[1, 2]]),
        ([0], [[0]]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        (["x"] * MOST_ITEMS, ["x"] * MOST_ITEMS),
        ([7] * 5_000, [[7] * 5_000]),
        ([], None),
        ([[]], None),
        ([[1], []], None),
        (None, None),
        (7, None),
        ({"text": "sky"}, None),
        ([{"type": "image_url"}], None),
        ([None], None),
        (["sky", 1], None),
        (["sky", [1]], None),
        ([[1], "sky"], None),
        ([1, [1]], None),
        ([1.0], None),
        ([True], None),
        ([[1, 2.5]], None),
        (["x"] * (MOST_ITEMS + 1), None),
    ],
)
def test_an_input_is_a_list_of_items(given_input: Any, items: list[Any] | None) -> None:
    """Texts or token lists, single or several; anything else is upstream's to judge."""
    assert split(given_input) == items
    query = EMBEDDINGS.read({"model": "m", "input": given_input}, FRAME)
    assert query.bypass is (Reason.UNSUPPORTED if items is None else None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sky", ["sky"], True),
        ([1, 2], [[1, 2]], True),
        ("sky", "sky ", False),
        ("sky", "Sky", False),
        ("[1,2]", [1, 2], False),
        ("[1,2]", [[1, 2]], False),
        ([1, 2], [[2, 1]], False),
        ([12], [[1, 2]], False),
    ],
)
def test_equal_items_have_equal_keys(one: Any, other: Any, *, same: bool) -> None:
    """However they are wrapped; a text that looks like tokens is another item."""
    keys = {_entry({"model": "m", "input": value}) for value in (one, other)}
    assert (len(keys) == 1) is same


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"user": "ann"}, True),
        ({"input": ["sky", "more"]}, True),
        ({"model": "m2"}, False),
        ({"dimensions": 256}, False),
        ({"encoding_format": "base64"}, False),
        ({"input_type": "query"}, False),
    ],
)
def test_whatever_shapes_a_vector_is_part_of_its_key(change: dict[str, Any], *, same: bool) -> None:
    """A field that nobody here knows included; what else is in the batch is not."""
    assert (_entry(BASE | change) == _entry(BASE)) is same


@pytest.mark.parametrize(
    "other",
    [
        replace(FRAME, owners=Owners("k2")),
        replace(FRAME, upstream="up2 http://up/v1"),
        replace(FRAME, headers=b"beta"),
        replace(FRAME, deployment="m"),
        replace(FRAME, directives=Directives(namespace="n")),
    ],
)
def test_what_surrounds_a_request_is_part_of_every_key(other: Frame) -> None:
    """Another caller, upstream, header, deployment or name space never shares."""
    assert _entry(BASE, other) != _entry(BASE)


def _entry(body: dict[str, Any], frame: Frame = FRAME) -> str:
    """The key of the first item."""
    plan = decide.plan(itemise(body, EMBEDDINGS.read(body, frame))[0].query, RULES)
    assert isinstance(plan, Lookup)
    return plan.entry


def test_items_are_never_matched_by_meaning() -> None:
    """Whatever their text; and what limits sampling does not keep them out."""
    strict = replace(RULES, defaults=replace(RULES.defaults, max_temperature=0.0))
    for item in itemise(BASE, EMBEDDINGS.read(BASE, FRAME)):
        plan = decide.plan(item.query, strict)
        assert isinstance(plan, Lookup)
        assert plan.semantic is Reason.EMPTY
        assert item.query.chain == ""


def test_an_item_knows_its_text_and_how_it_is_sent() -> None:
    """Tokens are told as JSON."""
    body = {"model": "m", "input": [[1, 2], [3]]}
    items = itemise(body, EMBEDDINGS.read(body, FRAME))
    assert [item.query.text for item in items] == ["[1,2]", "[3]"]
    assert [item.value for item in items] == [[1, 2], [3]]
    assert {item.query.model for item in items} == {"m"}


@pytest.mark.parametrize(
    ("body", "model", "text", "bypass"),
    [
        (BASE, "m", "sky\nsea", None),
        ({"model": "m", "input": [1, 2]}, "m", "[1,2]", None),
        ({"model": 7, "input": "sky"}, "", "sky", Reason.UNSUPPORTED),
        ({"input": "sky"}, "", "sky", None),
        ({}, "", "", Reason.UNSUPPORTED),
    ],
)
def test_a_request_is_read_as_a_whole(
    body: dict[str, Any], model: str, text: str, bypass: Reason | None
) -> None:
    """The journal shows its first items."""
    query = EMBEDDINGS.read(body, FRAME)
    assert (query.model, query.text, query.bypass) == (model, text, bypass)
    assert EMBEDDINGS.read(body, replace(FRAME, deployment="d")).model == "d"


def test_what_the_journal_is_shown_is_bounded() -> None:
    """A thousand long items are not written down."""
    query = EMBEDDINGS.read({"model": "m", "input": ["x" * 1_000] * 1_000}, FRAME)
    assert len(query.text) == 4_000


def test_the_end_user_is_who_the_application_names() -> None:
    """In the field of OpenAI's."""
    assert EMBEDDINGS.end_user(BASE | {"user": "ann"}) == "ann"
    assert EMBEDDINGS.end_user(BASE | {"user": 7}) is None


def test_a_body_that_asks_for_less_is_otherwise_the_same() -> None:
    """Every other field stays, in its place."""
    body = {"model": "m", "input": ["sky", "sea"], "dimensions": 2, "x": {"y": 1.5}}
    asked = only(body, ["sea"])
    assert asked == b'{"model":"m","input":["sea"],"dimensions":2,"x":{"y":1.5}}'
    assert json.loads(only(body, [[1, 2]]))["input"] == [[1, 2]]


# -- answers -------------------------------------------------------------------------------------


def _row(index: Any, embedding: Any = (0.5, -1), **more: Any) -> dict[str, Any]:
    vector = list(embedding) if isinstance(embedding, tuple) else embedding
    return {"object": "embedding", "index": index, "embedding": vector} | more


def _answer(*rows: Any, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 5, "total_tokens": 6}
    return {"object": "list", "data": list(rows), "model": "m", "usage": usage} | more


def _raw(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else json.dumps(answer).encode()


VECTOR = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (_answer(_row(0), _row(1)), None),
        (_answer(_row(1), _row(0)), None),
        (_answer(_row(0, VECTOR), _row(1, VECTOR)), None),
        (_answer(_row(0, (1,)), _row(1, (1e-300, 2**70))), None),
        (_answer(_row(0), _row(1)) | {"id": "e-1", "created": 7}, None),
        (_answer(_row(0)), Reason.INCOMPLETE),
        (_answer(_row(0), _row(1), _row(2)), Reason.INCOMPLETE),
        (_answer(_row(0), _row(0)), Reason.INCOMPLETE),
        (_answer(_row(0), _row(2)), Reason.INCOMPLETE),
        (_answer(_row(0), _row(-1)), Reason.INCOMPLETE),
        (_answer(_row(0), _row("1")), Reason.INCOMPLETE),
        (_answer(_row(0), _row(1.0)), Reason.INCOMPLETE),
        (_answer(_row(False), _row(True)), Reason.INCOMPLETE),
        (_answer(_row(0), _row([1])), Reason.INCOMPLETE),
        (_answer(_row(0), {"embedding": [1]}), Reason.INCOMPLETE),
        (_answer(_row(0), None), Reason.INCOMPLETE),
        (_answer(), Reason.INCOMPLETE),
        (_answer(_row(0), _row(1)) | {"object": "lists"}, Reason.INCOMPLETE),
        (_answer(_row(0), _row(1)) | {"model": None}, Reason.INCOMPLETE),
        (_answer(_row(0), _row(1)) | {"data": {"0": 1}}, Reason.INCOMPLETE),
        (_answer(_row(0), _row(1)) | {"error": {"message": "busy"}}, Reason.INCOMPLETE),
        ({"error": {"message": "busy"}}, Reason.INCOMPLETE),
        ([_row(0), _row(1)], Reason.INCOMPLETE),
        (_answer(_row(0), _row(1, None)), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, ())), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, "")), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, "not base64!")), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, "AAA")), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, "ä")), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, (1, None))), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, (1, True))), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, (1, "2"))), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, ((1, 2),))), Reason.INVALID_JSON),
        (_answer(_row(0), _row(1, {"dense": [1]})), Reason.INVALID_JSON),
        (_raw(_answer(_row(0), _row(1, (float("nan"),)))), Reason.INVALID_JSON),
        (_raw(_answer(_row(0), _row(1, (float("inf"),)))), Reason.INVALID_JSON),
        (_raw(_answer(_row(0), _row(1, (7777,)))).replace(b"7777", b"1e400"), Reason.INVALID_JSON),
        (_raw(_answer(_row(0), _row(1)))[:-9], Reason.INVALID_JSON),
        (b"", Reason.INVALID_JSON),
        (b"data: [DONE]\n\n", Reason.INVALID_JSON),
        (
            _raw(_answer(_row(0), _row(1, x=7777))).replace(b"7777", b"[" * 400 + b"]" * 400),
            Reason.INVALID_JSON,
        ),
    ],
)
def test_only_complete_and_good_answers_are_taken_apart(
    answer: Any, refusal: Reason | None
) -> None:
    """Two items were asked for; each way in which an answer can be bad has its reason."""
    made = apart(_raw(answer), [3, 3])
    if refusal is None:
        assert isinstance(made, list)
        assert len(made) == 2
    else:
        assert made is refusal


def test_pieces_come_in_the_order_asked_for() -> None:
    """Each with all that its object holds but its place."""
    made = apart(_raw(_answer(_row(1, (2,), x={"y": 1}), _row(0, (1,)))), [3, 3])
    assert isinstance(made, list)
    assert [json.loads(piece.data) for piece in made] == [
        {"object": "embedding", "embedding": [1]},
        {"object": "embedding", "embedding": [2], "x": {"y": 1}},
    ]


@pytest.mark.parametrize(
    ("usage", "shares"),
    [
        ({"prompt_tokens": 5, "total_tokens": 8}, [(4, 6), (1, 2)]),
        ({"prompt_tokens": 0, "total_tokens": 0}, [(0, 0), (0, 0)]),
        ({"prompt_tokens": 5, "total_tokens": 8, "cost": {"x": 1}}, [(4, 6), (1, 2)]),
        ({"prompt_tokens": 5}, [None, None]),
        ({"prompt_tokens": "5", "total_tokens": 8}, [None, None]),
        ({"prompt_tokens": -5, "total_tokens": 8}, [None, None]),
        ({"prompt_tokens": True, "total_tokens": 8}, [None, None]),
        ({"prompt_tokens": 2**60, "total_tokens": 8}, [None, None]),
        ([5, 6], [None, None]),
        (None, [None, None]),
    ],
)
def test_tokens_are_shared_out_by_length(usage: Any, shares: list[Any]) -> None:
    """Three quarters and one quarter; where upstream did not count, nobody has any."""
    made = apart(_raw(_answer(_row(0), _row(1), usage=usage)), [300, 100])
    assert isinstance(made, list)
    assert [piece.usage for piece in made] == shares
    told = json.loads(together(made)).get("usage")
    assert told == (None if None in shares else {k: usage[k] for k in usage if k != "cost"})


@pytest.mark.parametrize(
    ("total", "lengths", "shares"),
    [
        (10, [1, 1, 1], [4, 3, 3]),
        (10, [3, 3, 1], [4, 4, 2]),
        (2, [1, 1, 1], [1, 1, 0]),
        (7, [0, 0], [4, 3]),
        (0, [5], [0]),
        (9, [4], [9]),
    ],
)
def test_shares_are_whole_numbers(total: int, lengths: list[int], shares: list[int]) -> None:
    """The largest remainders round up, and of equal ones the first."""
    assert apportion(total, lengths) == shares


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**5), min_size=1, max_size=60))
def test_shares_add_up_and_are_fair(total: int, lengths: list[int]) -> None:
    """Exactly the total, and nobody's is a whole token off."""
    shares = apportion(total, lengths)
    weights = [max(1, length) for length in lengths]
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)


_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_VECTORS = st.one_of(
    st.lists(st.one_of(_FINITE, st.integers(-(2**63), 2**63)), min_size=1, max_size=8),
    st.binary(min_size=1, max_size=32).map(lambda raw: base64.b64encode(raw).decode()),
)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_BATCHES = st.lists(st.tuples(_TEXTS, _VECTORS), min_size=1, max_size=12)


@given(_BATCHES, _TEXTS, st.integers(0, 10**6), st.integers(0, 10**6), st.randoms())
def test_apart_and_together_is_the_same_answer(
    batch: list[tuple[str, Any]], model: str, prompt: int, extra: int, dice: Any
) -> None:
    """In whichever order upstream sent it: objects, model and usage are those of the original."""
    rows = [_row(at, vector, note=text) for at, (text, vector) in enumerate(batch)]
    usage = {"prompt_tokens": prompt, "total_tokens": prompt + extra}
    original = _answer(*rows, model=model, usage=usage)
    shuffled = original | {"data": dice.sample(rows, len(rows))}
    pieces = apart(_raw(shuffled), [len(text) for text, _ in batch])
    assert isinstance(pieces, list)
    assert json.loads(together(pieces)) == original


@given(_BATCHES, _TEXTS, st.data())
def test_pieces_survive_being_stored_and_go_together_in_any_order(
    batch: list[tuple[str, Any]], model: str, data: Any
) -> None:
    """Whatever a model is called; each piece lands where the caller wants it."""
    rows = [_row(at, vector, note=text) for at, (text, vector) in enumerate(batch)]
    pieces = apart(_raw(_answer(*rows, model=model)), [len(text) for text, _ in batch])
    assert isinstance(pieces, list)
    stored = [unpack(together([piece])) for piece in pieces]
    assert stored == pieces
    wanted = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, max_size=20))
    made = json.loads(together([stored[at] for at in wanted]))
    assert made["data"] == [rows[at] | {"index": place} for place, at in enumerate(wanted)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'"data":[',
        _raw(_answer(_row(0))),
        together([Piece(b'{"embedding":[1]}', "m", None)])[:-1],
        together([Piece(b'{"embedding":[1]}', "m", None)]).replace(b'"m"', b"7"),
    ],
)
def test_what_is_no_piece_of_ours_is_not_read_as_one(body: bytes) -> None:
    """A damaged or foreign entry is an error that the caller of this turns into a miss."""
    with pytest.raises(ValueError, match=r".*"):
        unpack(body)
    facts = EMBEDDINGS.judge(body, streamed=False, query=EMBEDDINGS.read(BASE, FRAME), strict=False)
    assert facts.refusal is Reason.INVALID_JSON


def test_an_items_answer_is_kept_and_told_as_it_is() -> None:
    """With its own tokens, or without any."""
    query, form = EMBEDDINGS.read(BASE, FRAME), Form(stream=False, usage=True)
    for usage, tokens in ((7, 9), 7), (None, 0):
        body = together([Piece(b'{"embedding":[1]}', "m", usage)])
        facts = EMBEDDINGS.judge(body, streamed=False, query=query, strict=False)
        assert (facts.refusal, facts.tokens_in, facts.tokens_out) == (None, tokens, 0)
        assert (facts.size, facts.has_usage) == (len(body), usage is not None)
        assert EMBEDDINGS.render(body, streamed=False, form=form) == body


@pytest.mark.parametrize("vector", [(0.5, -1.0), VECTOR], ids=["floats", "base64"])
def test_the_official_client_reads_both_alike(vector: Any) -> None:
    """Upstream's answer and the one put together of its pieces."""
    original = _raw(_answer(_row(0, vector), _row(1, vector)))
    pieces = apart(original, [3, 3])
    assert isinstance(pieces, list)
    heard = [
        answering(200, body, "application/json").embeddings.create(model="m", input=["sky", "sea"])
        for body in (original, together(pieces))
    ]
    assert heard[0] == heard[1]
    assert heard[0].data[1].embedding == [0.5, -1.0]
