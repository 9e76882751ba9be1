from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Overview, Pair, Question, Selection, Tally, Warming
from policies.record import Comparison
from tests.admin_ui.fake import decision, entry

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_overview(program: TestClient, console: FakeConsole) -> None:
    """The figures come as the console gave them, for the asked window."""
    total = Tally(requests=4, exact=1, missed=3, hit_p50_ms=2.5)
    console.facts = Overview(900.0, total, {"code": total}, {"exact": 1}, entries=7)
    answer = program.get("/api/overview?seconds=900").json()
    assert console.asked == [900.0]
    assert answer["total"]["requests"] == 4
    assert answer["total"]["hit_p50_ms"] == 2.5
    assert answer["total"]["miss_p50_ms"] is None
    assert answer["categories"]["code"]["exact"] == 1
    assert answer["reasons"] == {"exact": 1}
    assert answer["entries"] == 7


@pytest.mark.parametrize("seconds", ["0", "-5", "x", "nan", "1e12", "inf"])
def test_overview_refuses_windows(program: TestClient, seconds: str) -> None:
    """A window that makes no sense is the caller's error, said in one line with its place."""
    answer = program.get(f"/api/overview?seconds={seconds}")
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message.startswith("query.seconds: ")
    assert "\n" not in message


def test_decisions(program: TestClient, console: FakeConsole) -> None:
    """Newest first, page by page; 64-bit ids keep every digit."""
    big = 2**62 + 1
    console.rows = [decision(big, prompt="new"), decision(2, prompt="old"), decision(1)]
    first = program.get("/api/decisions?limit=2").json()
    assert [d["prompt"] for d in first["decisions"]] == ["new", "old"]
    assert first["decisions"][0]["id"] == str(big)
    second = program.get(f"/api/decisions?limit=2&before={first['next']}").json()
    assert [d["id"] for d in second["decisions"]] == ["1"]
    assert second["next"] is None


def test_entries(program: TestClient, console: FakeConsole) -> None:
    """A search reaches the console whole."""
    console.kept = [entry(1, "a cat"), entry(2, "a dog")]
    answer = program.get("/api/entries?text=dog&older_than=60&tag=t&tenant=acme&model=m&limit=5")
    assert [e["entry"] for e in answer.json()["entries"]] == [f"{2:032x}"]
    assert console.asked == [
        Selection(text="dog", older_than=60.0, tag="t", tenant="acme", model="m")
    ]


def test_an_unknown_search_field_is_refused(program: TestClient, console: FakeConsole) -> None:
    """A misspelt filter must not select everything."""
    assert program.get("/api/entries?categry=code").status_code == 422
    body = {"selection": {"categry": "code"}, "dry_run": False}
    assert program.post("/api/entries/purge", json=body).status_code == 422
    assert console.asked == []


def test_forget(program: TestClient, console: FakeConsole) -> None:
    """One entry goes by id; a second time there is none."""
    console.kept = [entry(1, "a"), entry(2, "b")]
    answer = program.delete(f"/api/entries/{1:032x}")
    assert answer.json() == {"removed": 1, "dry_run": False}
    assert [e["text"] for e in console.kept] == ["b"]
    again = program.delete(f"/api/entries/{1:032x}")
    assert again.status_code == 404
    assert f"{1:032x}" in again.json()["error"]["message"]


@pytest.mark.parametrize("name", ["x", "%20", "0" * 31, "0" * 33, "G" * 32, "a" * 32 + "%0A"])
def test_forget_takes_ids_only(program: TestClient, console: FakeConsole, name: str) -> None:
    """What is not an id reaches no purge."""
    console.kept = [entry(1, "a")]
    assert program.delete(f"/api/entries/{name}").status_code in {404, 422}
    assert console.asked == []


def test_purge_counts_first(program: TestClient, console: FakeConsole) -> None:
    """A purge only counts unless told to remove."""
    console.kept = [entry(1, "a", category="code"), entry(2, "b")]
    body: dict[str, object] = {"selection": {"category": "code"}}
    counted = program.post("/api/entries/purge", json=body).json()
    assert counted == {"removed": 1, "dry_run": True}
    assert len(console.kept) == 2
    removed = program.post("/api/entries/purge", json=body | {"dry_run": False}).json()
    assert removed == {"removed": 1, "dry_run": False}
    assert [e["text"] for e in console.kept] == ["b"]


def test_purge_needs_a_selection(program: TestClient, console: FakeConsole) -> None:
    """An empty body empties nothing."""
    assert program.post("/api/entries/purge", json={"dry_run": False}).status_code == 422
    assert console.asked == []


def test_purge_goes_by_parts(program: TestClient, console: FakeConsole) -> None:
    """At most as many as asked for go at once; what an end user's purge cannot reach is told."""
    console.kept = [entry(1, "a"), entry(2, "b")]
    body = {"selection": {"user": "ann"}, "dry_run": False, "limit": 1}
    told = program.post("/api/entries/purge", json=body).json()
    assert told == {"removed": 1, "dry_run": False, "untold": ["what the journal holds"]}
    assert console.asked == [(Selection(user="ann"), False)]
    assert program.post("/api/entries/purge", json=body | {"limit": 0}).status_code == 422


def test_export(program: TestClient, console: FakeConsole) -> None:
    """The lines come as the console gives them, after how many entries there are."""
    console.kept = [entry(1, "a")]
    answer = program.get("/api/entries/export?tag=t&ids=x&ids=y&vectors=true")
    assert answer.content == b"one\ntwo\n"
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["x-likewise-entries"] == "1"
    assert console.asked == [(Selection(ids=("x", "y"), tag="t"), True)]
    assert program.get("/api/entries/export?tagg=t").status_code == 422


def test_import(program: TestClient, console: FakeConsole) -> None:
    """The lines reach the console as they are, and what became of them comes back."""
    answer = program.post(
        "/api/entries/import?overwrite=true&dry_run=true&secret=s", content=b"a\nb\n"
    )
    assert answer.json() == {
        "taken": 2,
        "skipped": {"existing": 1, "expired": 3},
        "refused": [],
        "foreign": True,
        "dry_run": True,
    }
    assert console.asked == [(b"a\nb\n", True, True, "s")]
    assert program.post("/api/entries/import", content=b"x" * 1_000_001).status_code == 413


def test_warm(program: TestClient, console: FakeConsole) -> None:
    """Pairs and how they will be asked reach the console; nothing is kept unless told to."""
    pair = {"question": "q", "answer": "a", "category": "code"}
    body = {"pairs": [pair], "model": "m", "tenant": "acme", "body": {"top_p": 1}}
    told = program.post("/api/entries/warm", json=body).json()
    assert told["refused"] == [{"line": 1, "why": "is empty"}]
    assert told["dry_run"] is True
    warming = Warming((Pair("q", "a", "code"),), "m", tenant="acme", body={"top_p": 1})
    assert console.asked == [(warming, False, True)]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"pairs": [], "model": "m"}, {"pairs": [{"question": "q", "answer": ""}], "model": "m"},
        {"pairs": [{"question": "q", "answer": "a"}]},
        {"pairs": [{"question": "q", "answer": "a", "note": "n"}], "model": "m"},
    ],
)  # fmt: skip
def test_warm_refuses(program: TestClient, console: FakeConsole, body: dict[str, object]) -> None:
    """What is no pair, or says no model, is not asked."""
    assert program.post("/api/entries/warm", json=body).status_code == 422
    assert console.asked == []


def test_labels(program: TestClient, console: FakeConsole) -> None:
    """Verdicts come newest first, and their ids keep every digit."""
    big = 2**62 + 1
    console.said = [{"id": big, "at": 5.0, "good": False, "entry": "e", "note": "no"}, {"id": 1}]
    told = program.get("/api/labels?limit=1").json()
    assert told == {
        "verdicts": [{"id": str(big), "at": 5.0, "good": False, "entry": "e", "note": "no"}]
    }
    assert console.asked == [1]


def test_review(program: TestClient, console: FakeConsole) -> None:
    """A verdict of the operator reaches the console; one on nothing is a 404."""
    console.kept = [entry(1, "a")]
    for word in ("good", "bad"):
        body = {"entry": f"{1:032x}", "verdict": word}
        assert program.post("/api/labels", json=body).json() == {"reviewed": True}
    assert console.asked == [(f"{1:032x}", True), (f"{1:032x}", False)]
    body = {"entry": f"{2:032x}", "verdict": "good"}
    assert program.post("/api/labels", json=body).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {}, {"entry": f"{1:032x}"}, {"entry": "x", "verdict": "good"},
        {"entry": f"{1:032x}", "verdict": "fine"},
        {"entry": f"{1:032x}", "verdict": "good", "more": 1},
    ],
)  # fmt: skip
def test_review_refuses(program: TestClient, console: FakeConsole, body: dict[str, object]) -> None:
    """What is no review changes nothing."""
    assert program.post("/api/labels", json=body).status_code == 422
    assert console.asked == []


def test_learned(program: TestClient, console: FakeConsole) -> None:
    """What was learned is passed on as it is told."""
    console.taught = {"labels": 7, "bounds": [{"bound": 0.02, "certified": False}]}
    assert program.get("/api/learned").json() == console.taught


def test_comparisons(program: TestClient, console: FakeConsole) -> None:
    """What judges said comes newest first, as many as asked for, with every digit of the ids."""
    big = 2**62 + 1
    told = Comparison(big, 5.0, "code", "e", "n", 0.9, None, 1.0, False, True, False, "judge: text")
    console.compared = [told, told._replace(id=1)]
    (row,) = program.get("/api/learned/labels?limit=1").json()["labels"]
    assert row == told._asdict() | {"id": str(big)}


@pytest.mark.parametrize("limit", ["0", "100001", "many"])
def test_comparisons_refuse_a_bad_limit(program: TestClient, limit: str) -> None:
    """The journal is never asked for more than it keeps."""
    assert program.get(f"/api/learned/labels?limit={limit}").status_code == 422


def test_forgetting_what_was_learned(program: TestClient, console: FakeConsole) -> None:
    """One category's labels go; a category that does not exist is a 404."""
    answer = program.post("/api/learned/forget", json={"category": "code"})
    assert answer.json() == {"forgotten": "code"}
    answer = program.post("/api/learned/forget", json={"category": "nowhere"})
    assert answer.status_code == 404
    assert "/api/categories" in answer.text
    assert console.asked == ["code", "nowhere"]


@pytest.mark.parametrize("body", [{}, {"category": "x" * 41}, {"category": "code", "all": True}])
def test_forgetting_refuses(
    program: TestClient, console: FakeConsole, body: dict[str, object]
) -> None:
    """What names no category forgets nothing."""
    assert program.post("/api/learned/forget", json=body).status_code == 422
    assert console.asked == []


def test_explain(program: TestClient, console: FakeConsole) -> None:
    """The question reaches the console as asked, and the story comes back."""
    body = {"prompt": "Why?", "model": "m", "system": "s", "history": [["user", "Hi"]]}
    answer = program.post("/api/explain", json=body)
    assert answer.json() == console.story
    assert console.asked == [Question("Why?", "m", "s", (("user", "Hi"),))]


def test_explain_refuses(program: TestClient) -> None:
    """An empty prompt, an unknown field and an unknown category are the asker's errors."""
    assert program.post("/api/explain", json={"prompt": ""}).status_code == 422
    assert program.post("/api/explain", json={"prompt": "x", "modell": "m"}).status_code == 422
    answer = program.post("/api/explain", json={"prompt": "x", "category": "nowhere"})
    assert answer.status_code == 400
    assert "default, code" in answer.json()["error"]["message"]


def test_plain_facts(program: TestClient, console: FakeConsole) -> None:
    """Policy, categories and health pass as the console gives them."""
    assert program.get("/api/policy").json() == console.rules
    assert program.get("/api/categories").json()[0]["name"] == "code"
    assert program.get("/api/health").json()["store"]["state"] == "ok"


def test_metrics(program: TestClient, console: FakeConsole) -> None:
    """Prometheus gets its text, byte for byte, under its content type."""
    answer = program.get("/metrics")
    assert answer.content == console.metrics()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_openapi_lists_the_api(program: TestClient) -> None:
    """The description names each JSON route and the token, and no page."""
    schema = program.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/overview", "/api/categories", "/api/decisions", "/api/entries",
        "/api/entries/{entry}", "/api/entries/purge", "/api/entries/export",
        "/api/entries/import", "/api/entries/warm", "/api/explain", "/api/labels", "/api/learned",
        "/api/learned/labels", "/api/learned/forget", "/api/policy", "/api/health", "/metrics",
    }  # fmt: skip
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
