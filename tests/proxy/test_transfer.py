"""Entries as lines: what goes out comes in unchanged, and what was tampered with does not."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from index.ports import Record
from policies.values import Facts, Turn
from proxy import transfer

BODY = json.dumps(
    {
        "id": "c1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grün"},
                "finish_reason": "stop",
            }
        ],
    },
    ensure_ascii=False,
).encode()
# A stream whose text was cut within a character by its upstream: not UTF-8, and kept all the same.
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},'
    b'"finish_reason":"stop"}]}\n\n: \xff\n\ndata: [DONE]\n\n'
)
FACTS = Facts(
    entry="a" * 32,
    space="b" * 32,
    owner="c" * 32 + ":" + "d" * 32,
    category="code",
    dialect="chat",
    model="m",
    chain="",
    text="Why?",
    stored=10.0,
    expires=20.0,
    gone=30.5,
    size=10_000,
    tags=("x", "y"),
    labels=((0.5, True),),
    before=(Turn("user", text="Hello"),),
    said=Turn("assistant", "r", length=4),
)
VECTOR = np.array([0.6, 0.8], np.float32)


def line(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(transfer.write(Record(FACTS, BODY), vectors=False))
    made["facts"] |= changes
    return made


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["text", "bytes"])
def test_an_entry_comes_back_as_it_went(body: bytes) -> None:
    """Every fact, every byte of the body and every bit of the vector."""
    record = Record(replace(FACTS, streamed=body is STREAM), body, VECTOR)
    written = transfer.write(record, vectors=True)
    assert written.endswith(b"}\n")
    assert written.count(b"\n") == 1
    read = transfer.read(written)
    assert (read.facts, read.body) == (record.facts, body)
    assert read.vector is not None
    assert read.vector.tobytes() == VECTOR.tobytes()


def test_a_body_is_readable_where_it_is_text() -> None:
    """Base64 stands only for what is not UTF-8; vectors only where they are asked for."""
    told = json.loads(transfer.write(Record(FACTS, BODY, VECTOR), vectors=False))
    assert told["body"] == BODY.decode()
    assert set(told) == {"facts", "body"}
    told = json.loads(transfer.write(Record(FACTS, b"\xff"), vectors=False))
    assert told["body_base64"] == b64encode(b"\xff").decode()


def test_the_size_is_never_less_than_the_body() -> None:
    """What an entry weighs cannot be talked down."""
    assert transfer.read(json.dumps(line(size=0)).encode()).facts.size == len(BODY)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"entry": "A" * 32}, "facts.entry: must be 32 hex digits"),
        ({"space": "a" * 31}, "facts.space: "),
        ({"group": "g"}, "facts.group: "),
        ({"owner": "sk-secret"}, "facts.owner: must be everyone"),
        ({"dialect": "grpc"}, "facts.dialect: must be one of chat, completions"),
        ({"stored": 21.0}, "facts.stored: stored, expires and gone"),
        ({"gone": "30"}, "facts.gone: Input should be a valid number"),
        ({"text": None}, "facts.text: Input should be a valid string"),
        ({"size": -1}, "facts.size: "),
        ({"labels": [[1.5, True]]}, "facts.labels: must be at most 64"),
        ({"labels": [[0.5, True]] * 65}, "facts.labels: must be at most 64"),
        ({"labels": [[0.5]]}, "facts.labels.0.1: "),
        ({"colour": 1}, "facts.colour: unknown key; known: before, category"),
        ({"streamed": True}, "body: must be a whole event stream of the chat API"),
        ({"dialect": "messages"}, "body: must be a whole JSON body of the messages API"),
        ({"dialect": "embeddings"}, "body: must be a whole JSON body of the embeddings API"),
    ],
)
def test_wrong_facts_are_refused(changes: dict[str, Any], said: str) -> None:
    """With the key, and what is allowed."""
    with pytest.raises(transfer.BadLine) as caught:
        transfer.read(json.dumps(line(**changes)).encode())
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "is not JSON; a line is "),
        (b"[]", "must be an object; a line is "),
        (b'{"facts": 1, "body": ""}', "facts: must be an object"),
        (b'{"body": "x", "answer": "y"}', "answer: unknown key"),
        (b'{"facts": {}}', "body: must be the answer's text"),
        (b'{"facts": {}, "body": "x", "body_base64": ""}', "body: must be the answer's text"),
        (b'{"facts": {}, "body_base64": "?"}', "body_base64: must be base64"),
        (b'{"facts": {}, "body": "x"}', "facts.entry: Field required"),
    ],
)
def test_what_is_no_entry_is_refused(raw: bytes, said: str) -> None:
    """In one sentence that says what a line is."""
    with pytest.raises(transfer.BadLine) as caught:
        transfer.read(raw)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "numbers", [[], [3.0, 4.0], [0.0, 0.0], [float("nan"), 1.0], [float("inf"), 0.0]]
)
def test_what_is_no_vector_is_refused(numbers: list[float]) -> None:
    """Only unit vectors are compared by cosine."""
    raw = b64encode(np.array(numbers, "<f4").tobytes()).decode()
    with pytest.raises(transfer.BadLine, match=r"^vector: "):
        transfer.read(json.dumps(line() | {"vector": raw}).encode())


def finished(*lines: bytes) -> list[bytes]:
    count = transfer.Count()
    for one in lines:
        count.add(one)
    return [*lines, transfer.close(count, "s")]


def test_the_last_line_tells_of_all_before_it() -> None:
    """How many there are, and the SHA-256 of their bytes as any tool computes it."""
    *_, last = finished(b"a\n", b"b\n")
    end = transfer.End(2, hashlib.sha256(b"a\nb\n").hexdigest(), "s")
    assert transfer.end_of(last) == end
    assert list(transfer.whole(finished(b"a\n", b"b\n")))[:2] == [b"a\n", b"b\n"]
    assert len(list(transfer.whole(finished()))) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [],
        finished(b"a\n", b"b\n")[:-1],
        finished(b"a\n", b"b\n")[1:],
        [*finished(b"a\n"), b"b\n"],
        [*finished(b"a\n")[:-1], finished(b"a\n")[-1][:-1]],
        [b"A\n", finished(b"a\n")[-1]],
        [b"a\n", b'{"end": 3}\n'],
        [b"a\n", b'{"end":{"entries":1}}\n'],
        [b"a\n", b'{"end":{"entries":"1","sha256":"","secret":""}}\n'],
    ],
)
def test_what_is_not_whole_is_seen(lines: list[bytes]) -> None:
    """An end that is missing, half, of other lines, or not the end."""
    with pytest.raises(transfer.Cut):
        list(transfer.whole(lines))
