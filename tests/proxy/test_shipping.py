"""Entries out of a real house and into it, through its admin port: what came in answers again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from openai import OpenAI

from tests.proxy.house import MODEL, House, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES = "How do tides work?"
KEY, ACME = "sk-1", "sk-acme"
IF_CACHED = {"cache-control": "only-if-cached"}
TENANTS = {"acme": [hashlib.sha256(ACME.encode()).hexdigest()]}
CODE = {"examples": ["How do I reverse a list in Python?"], "threshold": 0.93, "ttl": "30d"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    policy = {"categories": {"code": CODE, "never": {"keywords": ["forget"], "cache": False}}}
    with with_oracle(tmp_path, policy=policy, tenants=TENANTS) as running:
        yield running


def request(house: House, method: str, path: str, **sent: Any) -> httpx.Response:
    authorised = {"authorization": f"Bearer {house.where.token}"}
    answer = house.client.request(method, house.where.admin + path, headers=authorised, **sent)
    answer.raise_for_status()
    return answer


def exported(house: House, query: str = "") -> list[bytes]:
    return request(house, "GET", f"/api/entries/export?{query}").content.splitlines(keepends=True)


def imported(house: House, lines: list[bytes], query: str = "") -> dict[str, Any]:
    told: dict[str, Any] = request(
        house, "POST", f"/api/entries/import?{query}", content=b"".join(lines)
    ).json()
    return told


def purged(house: House) -> None:
    house.api("/api/entries/purge", {"selection": {}, "dry_run": False})


def served(house: House, prompt: str, key: str = KEY, **rest: Any) -> str:
    """How a prompt is answered from memory; empty where it is not."""
    answer = house.chat(prompt, key, IF_CACHED, **rest)
    return answer.headers["x-likewise-match"] if answer.status_code == 200 else ""


@pytest.mark.parametrize("vectors", ["", "vectors=true"])
def test_what_went_out_comes_in_and_answers(house: House, vectors: str) -> None:
    """Under the same ids, byte for byte, exactly and by meaning; whole bodies and streams."""
    first = house.chat(SKY, KEY)
    house.chat(TIDES, KEY, stream=True, stream_options={"include_usage": True})
    listed = house.api("/api/entries")["entries"]
    *lines, last = exported(house, vectors)
    assert json.loads(last)["end"]["entries"] == len(lines) == 2
    assert all(("vector" in json.loads(line)) == bool(vectors) for line in lines)
    purged(house)
    assert served(house, SKY) == ""
    told = imported(house, lines)
    assert (told["taken"], told["refused"]) == (2, [])
    assert {e["entry"] for e in house.api("/api/entries")["entries"]} == {
        e["entry"] for e in listed
    }
    again = house.chat(SKY, KEY)
    assert again.headers["x-cache"] == "HIT"
    assert again.content == first.content
    assert served(house, SKY_AGAIN) == "semantic"
    assert served(house, TIDES, stream=True, stream_options={"include_usage": True}) == "exact"
    assert house.calls(KEY) == 2


def test_what_came_in_is_there_after_a_restart(tmp_path: Path) -> None:
    """In the store, with its vector."""
    with with_oracle(tmp_path) as house:
        house.chat(SKY, KEY)
        lines = exported(house)[:-1]
        purged(house)
        imported(house, lines)
    with with_oracle(tmp_path) as house:
        assert len(exported(house, "vectors=true")) == 2
        assert "vector" in json.loads(exported(house, "vectors=true")[0])


def test_an_export_holds_what_was_selected(house: House) -> None:
    """And its count stands in the answer's head."""
    house.chat(SKY, KEY, {"x-likewise-tags": "sky"})
    house.chat(TIDES, KEY)
    (line, _) = exported(house, "tag=sky")
    assert json.loads(line)["facts"]["text"] == SKY
    answer = request(house, "GET", "/api/entries/export")
    assert answer.headers["x-likewise-entries"] == "2"
    assert answer.headers["content-type"] == "application/x-ndjson"
    (end,) = exported(house, "tag=sea")
    assert json.loads(end)["end"]["sha256"] == hashlib.sha256(b"").hexdigest()


def test_what_is_there_stays_unless_overwritten(house: House) -> None:
    """It is counted; with `overwrite` the other answer is served from then on."""
    house.chat(SKY, KEY)
    lines = exported(house)[:-1]
    other = [lines[0].replace(b"seq", b"old")]
    assert lines != other
    assert imported(house, other)["skipped"] == {"existing": 1, "expired": 0}
    assert "old" not in house.chat(SKY, KEY).text
    assert imported(house, other, "overwrite=true&dry_run=true")["taken"] == 1
    assert "old" not in house.chat(SKY, KEY).text
    assert imported(house, other, "overwrite=true")["taken"] == 1
    answer = house.chat(SKY, KEY)
    assert answer.headers["x-cache"] == "HIT"
    assert "old" in answer.text
    purged(house)
    imported(house, [lines[0].replace(b"seq", b"new")])
    assert "new" in house.chat(SKY, KEY, IF_CACHED).text


def test_a_bad_line_lets_nothing_be_taken(house: House) -> None:
    """Every bad one is told, and the good ones beside them stay out; so do expired ones."""
    house.chat(SKY, KEY)
    (good,) = exported(house)[:-1]
    facts = json.loads(good)
    facts["facts"] |= {"stored": 1.0, "expires": 2.0, "gone": 3.0}
    old = json.dumps(facts).encode() + b"\n"
    purged(house)
    told = imported(house, [good, b"{\n", old, good.replace(b'"chat"', b'"chats"')])
    assert told["taken"] == 0
    assert [one["line"] for one in told["refused"]] == [2, 4]
    assert served(house, SKY) == ""
    assert imported(house, [old])["skipped"] == {"existing": 0, "expired": 1}


def test_a_vector_of_another_embedding_is_made_anew(house: House) -> None:
    """A vector that says otherwise than the text must not decide."""
    house.chat(SKY, KEY)
    house.chat(TIDES, KEY)
    row, tides = (json.loads(line) for line in exported(house, "vectors=true")[:-1])
    row["facts"]["embedding"] = "another/encoder"
    row["vector"] = tides["vector"]
    purged(house)
    imported(house, [json.dumps(row).encode()])
    assert served(house, SKY_AGAIN) == "semantic"
    (kept, _) = exported(house)
    assert json.loads(kept)["facts"]["embedding"].startswith("all-MiniLM-L6-v2")


def test_a_house_knows_its_own(house: House) -> None:
    """By the secret that the last line names."""
    end = json.loads(exported(house)[-1])["end"]
    assert imported(house, [], f"secret={end['secret']}")["foreign"] is False
    assert imported(house, [], f"secret={'0' * 32}")["foreign"] is True


# --- questions with answers


def warmed(house: House, *pairs: dict[str, Any], **asked: Any) -> dict[str, Any]:
    body = {"pairs": list(pairs), "model": MODEL, "dry_run": False} | asked
    told: dict[str, Any] = house.api("/api/entries/warm", body)
    return told


def pair(question: str, answer: str = "Because.", **rest: str) -> dict[str, Any]:
    return {"question": question, "answer": answer, **rest}


def test_a_pair_answers_a_later_request(house: House) -> None:
    """Through the official client, whole and streamed, exactly and by meaning; no call upstream."""
    assert warmed(house, pair(SKY, "Rayleigh."), credential=KEY)["taken"] == 1
    client = OpenAI(base_url=house.where.data + "/v1", api_key=KEY, max_retries=0)
    for prompt in (SKY, SKY_AGAIN):
        told = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}]
        )
        assert told.choices[0].message.content == "Rayleigh."
        chunks = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
        )
        said = (c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert "".join(said) == "Rayleigh."
    assert house.calls(KEY) == 0
    assert served(house, SKY, "sk-2") == ""


def test_a_pair_answers_only_what_it_was_made_for(house: House) -> None:
    """The same model, system prompt and fields."""
    asked = {"system": "Be brief.", "body": {"temperature": 0}, "credential": KEY}
    warmed(house, pair(SKY), pair(TIDES, model="gpt-4o"), **asked)
    messages = [{"role": "system", "content": "Be brief."}]

    def ask(prompt: str, **rest: Any) -> str:
        asked = {"messages": [*messages, {"role": "user", "content": prompt}], "temperature": 0}
        return served(house, prompt, **(asked | rest))

    assert ask(SKY) == "exact"
    assert ask(TIDES) == ""
    assert ask(TIDES, model="gpt-4o") == "exact"
    assert ask(SKY, temperature=1) == ""
    assert served(house, SKY, temperature=0) == ""


def test_a_pair_falls_into_the_category_of_its_question(house: House) -> None:
    """As a request would, by examples too; its lifetime is that category's."""
    warmed(house, pair("How can I reverse a list in Python?"), pair(SKY), credential=KEY)
    held = {e["text"]: e for e in house.api("/api/entries")["entries"]}
    assert held[SKY]["category"] == "default"
    code = held["How can I reverse a list in Python?"]
    assert code["category"] == "code"
    assert code["expires"] - code["stored"] == pytest.approx(30 * 86_400)


@pytest.mark.parametrize(
    ("given", "asked", "said"),
    [
        (pair(SKY), {}, "would be kept for one caller's key"),
        (pair(SKY), {"tenant": "acme"}, "would be kept for one caller's key"),
        (pair("Please forget this"), {"credential": KEY}, "(category-off)"),
        (pair(SKY, category="nope"), {"credential": KEY}, "there is no category 'nope'"),
        (pair(SKY, category="never"), {"credential": KEY}, "(category-off)"),
        (pair(SKY), {"credential": KEY, "body": {"n": 2}}, "does not fit such a request (n)"),
        (pair(SKY), {"credential": KEY, "body": {"temperature": 1.9}}, "(sampling)"),
        (
            pair(SKY),
            {"credential": KEY, "body": {"response_format": {"type": "json_object"}}},
            "(invalid-json)",
        ),
    ],
)
def test_a_pair_that_could_not_answer_is_refused(
    house: House, given: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    """With why; nothing of its chunk is taken."""
    told = warmed(house, pair(TIDES), given, **({"credential": None} | asked))
    assert told["taken"] == 0
    assert said in told["refused"][-1]["why"]
    assert told["refused"][-1]["line"] == 2
    assert house.api("/api/entries")["entries"] == []


def test_a_model_that_nobody_serves_is_refused(tmp_path: Path) -> None:
    """As the data port would refuse its requests."""
    upstreams = [{"name": "o", "base_url": "http://127.0.0.1:9/v1", "models": ["gpt-*"]}]
    with with_oracle(tmp_path, upstreams=upstreams) as house:
        told = warmed(house, pair(SKY, model="claude"), credential=KEY)
        assert told["refused"] == [{"line": 1, "why": "model: no upstream serves 'claude'"}]


@pytest.mark.parametrize(
    ("share", "asked", "answered"),
    [
        ("everyone", {}, {KEY, ACME}),
        ("tenant", {"tenant": "acme"}, {ACME}),
        ("tenant", {"credential": ACME}, {ACME}),
        ("key", {"credential": ACME}, {ACME}),
    ],
)
def test_a_pair_answers_whom_it_was_made_for(
    tmp_path: Path, share: str, asked: dict[str, str], answered: set[str]
) -> None:
    """Under every rule of who may share."""
    with with_oracle(tmp_path, policy={"share": share}, tenants=TENANTS) as house:
        assert warmed(house, pair(SKY), **asked)["taken"] == 1
        assert {key for key in (KEY, ACME) if served(house, SKY, key)} == answered


def test_a_question_that_has_an_answer_keeps_it(house: House) -> None:
    """Unless overwritten; a dry run changes nothing."""
    first = house.chat(SKY, KEY).text
    told = warmed(house, pair(SKY, "Mine."), credential=KEY)
    assert (told["taken"], told["skipped"]["existing"]) == (0, 1)
    assert warmed(house, pair(SKY, "Mine."), credential=KEY, overwrite=True, dry_run=True) == {
        "taken": 1,
        "skipped": {"existing": 0, "expired": 0},
        "refused": [],
        "foreign": False,
        "dry_run": True,
    }
    assert house.chat(SKY, KEY).text == first
    warmed(house, pair(SKY, "Mine."), credential=KEY, overwrite=True)
    assert "Mine." in house.chat(SKY, KEY).text
    assert served(house, SKY_AGAIN) == "semantic"


def test_a_named_category_must_share_with_the_same(tmp_path: Path) -> None:
    """Else no request that names none would find it."""
    policy = {"categories": {"open": {"keywords": ["zzz"], "share": "everyone"}, "code": CODE}}
    with with_oracle(tmp_path, policy=policy) as house:
        told = warmed(house, pair(SKY, category="open"), credential=KEY)
        assert "leave it out" in told["refused"][0]["why"]
        assert warmed(house, pair(SKY, category="code"), credential=KEY)["taken"] == 1
        assert house.chat(SKY, KEY).headers["x-likewise-category"] == "code"
