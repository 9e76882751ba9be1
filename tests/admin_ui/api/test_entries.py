from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.console import Pair, Selection, Warming
from tests.admin_ui.fake import entry

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


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
    assert told["untold"] == ["what the journal holds"]
    assert (told["removed"], told["decisions"]) == (1, 3)
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


def test_an_order_and_a_meaning_reach_the_console(
    program: TestClient, console: FakeConsole
) -> None:
    """Page by page; an order that is none is refused."""
    console.kept = [entry(1, "a"), entry(2, "b", similarity=0.9)]
    told = program.get("/api/entries?sort=hits&offset=1&meaning=why&pinned=true").json()
    assert console.order == ("hits", 1, "why")
    assert console.asked == [Selection(pinned=True)]
    assert [one["similarity"] for one in told["entries"]] == [0.9]
    for query in ("sort=best", "offset=-1", "offset=100001", f"meaning={'x' * 4001}"):
        assert program.get(f"/api/entries?{query}").status_code == 422


def test_one_entry(program: TestClient, console: FakeConsole) -> None:
    """With its answer; without it, 404; what is no id is refused."""
    console.kept = [entry(1, "a cat")]
    told = program.get(f"/api/entries/{1:032x}").json()
    assert (told["text"], told["answer"], told["hits"]) == ("a cat", "Because.", 2)
    assert program.get(f"/api/entries/{2:032x}").status_code == 404
    assert program.get("/api/entries/x").status_code == 422


def test_amending_an_entry(program: TestClient, console: FakeConsole) -> None:
    """How long it lives, and whether it may be evicted."""
    console.kept = [entry(1, "a")]
    body = {"ttl": 60, "pinned": True}
    assert program.patch(f"/api/entries/{1:032x}", json=body).json()["entry"] == f"{1:032x}"
    assert program.patch(f"/api/entries/{2:032x}", json=body).status_code == 404
    assert console.asked == [(f"{1:032x}", 60.0, True), (f"{2:032x}", 60.0, True)]
    for wrong in ({"ttl": 0}, {"ttl": -1}, {"ttl": 1e12}, {"pinned": 2}, {"text": "x"}):
        assert program.patch(f"/api/entries/{1:032x}", json=wrong).status_code == 422


def test_a_purge_that_can_be_undone(program: TestClient, console: FakeConsole) -> None:
    """Until a minute is over; what is purged by end user is gone at once."""
    console.kept = [entry(1, "a", category="code"), entry(2, "b")]
    body = {"selection": {"category": "code"}, "dry_run": False, "undo": True}
    told = program.post("/api/entries/purge", json=body).json()
    assert (told["removed"], told["aside"]["until"]) == (1, 65.0)
    name = told["aside"]["id"]
    assert program.get("/api/entries/asides").json()["asides"] == [told["aside"]]
    undone = program.post(f"/api/entries/asides/{name}/undo")
    assert undone.json() == {"restored": 2, "renewed": 1}
    assert program.delete(f"/api/entries/asides/{name}").json() == {"let_go": True}
    other = "f" * 16
    assert program.post(f"/api/entries/asides/{other}/undo").status_code == 404
    assert program.delete(f"/api/entries/asides/{other}").status_code == 404
    console.crowded = True
    assert program.post("/api/entries/purge", json=body).status_code == 409
    body["selection"] = {"user": "alice"}
    assert program.post("/api/entries/purge", json=body).status_code == 422


def test_a_dry_run_sets_nothing_aside(program: TestClient, console: FakeConsole) -> None:
    """It only counts."""
    console.kept = [entry(1, "a")]
    told = program.post("/api/entries/purge", json={"selection": {}, "undo": True}).json()
    assert told == {"removed": 1, "dry_run": True}
    assert console.aside is None
