"""What operators are told about a real house, through the real admin port."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.proxy.house import MODEL, House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
TIDES = "How do tides work?"
ACME = "sk-acme"
CODE = "How do I reverse a list in Python?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    policy = {
        "defaults": {"threshold": 0.85},
        "categories": {"code": {"examples": [CODE], "threshold": 0.93, "ttl": "30d"}},
    }
    tenants = {"acme": [hashlib.sha256(ACME.encode()).hexdigest()]}
    with with_oracle(tmp_path, policy=policy, tenants=tenants) as running:
        yield running


def explained(house: House, prompt: str, **rest: Any) -> dict[str, Any]:
    told: dict[str, Any] = house.api("/api/explain", {"prompt": prompt, **rest})
    return told


def remembered(house: House) -> set[str]:
    return {one["text"] for one in house.api("/api/entries")["entries"]}


def purge(house: House, *, dry_run: bool = False, **selection: Any) -> int:
    asked = {"selection": selection, "dry_run": dry_run}
    return int(house.api("/api/entries/purge", asked)["removed"])


@pytest.mark.parametrize(
    ("prompt", "outcome", "reason", "similarity"),
    [
        (SKY, "hit", "exact", 1.0),
        (SKY_AGAIN, "hit", "semantic", 1.0),
        ("Why is the sky not blue?", "miss", "guard-negation", None),
        ("Bake a rye bread", "miss", "below-threshold", None),
        ("重置我的密码", "miss", "language", None),
        ("What is my account balance?", "bypass", "category-off", None),
    ],
)
def test_an_explanation_agrees_with_what_happens(
    house: House, prompt: str, outcome: str, reason: str, similarity: float | None
) -> None:
    """The page says beforehand what the data port then does; asking costs no upstream call."""
    house.chat(SKY, "sk-1")
    told = explained(house, prompt)
    assert house.calls("sk-1") == 1
    answer = house.chat(prompt, "sk-1")
    assert told["reason"] == reason == answer.headers["x-likewise-reason"]
    assert told["outcome"] == outcome
    if similarity is not None:
        assert told["similarity"] == pytest.approx(similarity, abs=0.002)
        assert told["entry"] == answer.headers["x-likewise-entry"]


def test_an_explanation_shows_its_evidence(house: House) -> None:
    """The cut in force, the category and how near it was, and every neighbour's own verdict."""
    house.chat(SKY, "sk-1")
    house.chat("Why is the sky not blue?", "sk-1")
    told = explained(house, SKY_AGAIN)
    assert told["cut"] == 0.85
    assert {step["name"] for step in told["steps"]} >= {"text", "category", "cut", "verdict"}
    first, second = told["candidates"][:2]
    assert (first["text"], first["reason"]) == (SKY, "semantic")
    assert second["text"] == "Why is the sky not blue?"
    assert second["score"] < first["score"]


def test_an_explanation_knows_the_category(house: House) -> None:
    """By its examples, or by the one that is asked for."""
    assert explained(house, "How can I reverse a list in Python?")["category"] == "code"
    assert explained(house, SKY)["category"] == "default"
    assert explained(house, SKY, category="code")["category"] == "code"


def test_an_explanation_looks_at_the_model(house: House) -> None:
    """Another model's memory explains no hit."""
    house.chat(SKY, "sk-1")
    assert explained(house, SKY, model=MODEL)["outcome"] == "hit"
    assert explained(house, SKY, model="another")["outcome"] == "miss"


@pytest.mark.parametrize("question", [{"prompt": " "}, {"prompt": "x", "category": "codee"}])
def test_a_question_that_cannot_be_asked_is_refused(house: House, question: Any) -> None:
    """400 with the reason."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        house.api("/api/explain", question)
    assert caught.value.response.status_code == 400


def test_entries_tell_what_is_remembered(house: House) -> None:
    """Text, category, model, tags, size, and how often it served."""
    answer = house.chat(SKY, "sk-1", {"x-likewise-tags": "sky,colour"})
    house.chat(SKY_AGAIN, "sk-1")
    house.chat(CODE, "sk-1")
    (one,) = house.api("/api/entries?text=SKY")["entries"]
    assert one["entry"] == answer.headers["x-likewise-entry"]
    assert (one["text"], one["category"], one["model"]) == (SKY, "default", MODEL)
    assert (one["tags"], one["hits"]) == (["sky", "colour"], 1)
    assert one["tokens_saved"] > 0
    assert one["expires"] - one["stored"] == pytest.approx(86_400, abs=1)
    assert len(house.api("/api/entries?category=code")["entries"]) == 1


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"tag": "sky"}, {TIDES, CODE, "acme's"}),
        ({"category": "code"}, {SKY, TIDES, "acme's"}),
        ({"model": "gpt-4o"}, {SKY, CODE, "acme's"}),
        ({"text": "TIDES"}, {SKY, CODE, "acme's"}),
        ({"older_than": 3600}, {SKY, TIDES, CODE, "acme's"}),
        ({"category": "code", "tag": "sky"}, {SKY, TIDES, CODE, "acme's"}),
        ({}, set()),
    ],
)
def test_a_purge_removes_what_was_selected(
    house: House, selection: dict[str, Any], left: set[str]
) -> None:
    """A dry run only counts; what is gone is asked again, the rest still serves."""
    house.chat(SKY, "sk-1", {"x-likewise-tags": "sky"})
    house.chat(TIDES, "sk-1", model="gpt-4o")
    house.chat(CODE, "sk-1")
    house.chat("acme's", ACME)
    assert purge(house, dry_run=True, **selection) == 4 - len(left)
    assert len(remembered(house)) == 4
    assert purge(house, **selection) == 4 - len(left)
    assert remembered(house) == left
    hit = house.chat(SKY_AGAIN, "sk-1", {"cache-control": "only-if-cached"}).status_code == 200
    assert hit == (SKY in left)


def test_a_purge_by_tenant_takes_the_tenants_own(tmp_path: Path) -> None:
    """The name in the configuration stands for all of its keys."""
    keys = {"acme": [hashlib.sha256(k.encode()).hexdigest() for k in (ACME, "sk-acme-2")]}
    with with_oracle(tmp_path, policy={"share": "tenant"}, tenants=keys) as house:
        house.chat(SKY, ACME)
        assert house.chat(SKY, "sk-acme-2").headers["x-cache"] == "HIT"
        house.chat(TIDES, "sk-1")
        assert purge(house, tenant="acme") == 1
        assert remembered(house) == {TIDES}


def test_a_purge_by_user_takes_what_was_kept_for_them(house: House) -> None:
    """Under every key, however it is shared; what it cannot reach is told, others are spared."""
    mine = "What is my account balance?"
    for key, user in (("sk-1", "ann"), ("sk-2", "ann"), ("sk-1", "bob"), ("sk-1", None)):
        house.chat(mine, key, **({} if user is None else {"user": user}))
    house.chat(SKY, "sk-1", user="ann")
    asked = {"selection": {"user": "ann"}, "dry_run": False}
    told = house.api("/api/entries/purge", asked)
    assert (told["removed"], told["decisions"]) == (3, 3)
    assert any("journal" in said for said in told["untold"])
    assert purge(house, dry_run=True, user="ann") == 0
    assert purge(house, dry_run=True, user="bob") == 1
    assert purge(house, dry_run=True) == 2


def test_a_purge_stops_at_its_limit(house: House) -> None:
    """The rest is for the next request."""
    for prompt in (SKY, TIDES, CODE):
        house.chat(prompt, "sk-1")
    asked = {"selection": {}, "dry_run": False, "limit": 2}
    assert [house.api("/api/entries/purge", asked)["removed"] for _ in range(3)] == [2, 1, 0]


def test_one_entry_can_be_removed(house: House) -> None:
    """By its id; a second time it is not there."""
    entry = house.chat(SKY, "sk-1").headers["x-likewise-entry"]
    assert house.api(f"/api/entries/{entry}", method="DELETE")["removed"] == 1
    with pytest.raises(httpx.HTTPStatusError) as caught:
        house.api(f"/api/entries/{entry}", method="DELETE")
    assert caught.value.response.status_code == 404
    assert house.chat(SKY, "sk-1").headers["x-cache"] == "MISS"


def test_decisions_come_newest_first_and_page(house: House) -> None:
    """Prompts, reasons and evidence; no key."""
    for prompt in (SKY, SKY, SKY_AGAIN):
        last = house.chat(prompt, "sk-1")
    row = house.decision(last)
    assert (row["outcome"], row["reason"], row["prompt"]) == ("hit", "semantic", SKY_AGAIN)
    assert (row["matched"], row["entry"]) == (SKY, last.headers["x-likewise-entry"])
    rows = house.api("/api/decisions?limit=2")
    assert [r["reason"] for r in rows["decisions"]] == ["semantic", "exact"]
    older = house.api(f"/api/decisions?limit=2&before={rows['next']}")["decisions"]
    assert [r["reason"] for r in older] == ["empty"]
    assert "sk-1" not in str(rows)


@pytest.mark.parametrize("page", ["", "/api"])
@pytest.mark.parametrize(
    ("number", "status"),
    [(5, 404), (2**63 - 1 - (1000 << 22), 404), (2**63 - 2, 404), (2**63 - 1, 404), (2**63, 0)],
)
def test_a_number_that_nobody_has_is_not_found(
    house: House, page: str, number: int, status: int
) -> None:
    """However large it is, and whatever is asked of it; the journal is not to blame."""
    answer = house.chat(SKY, "sk-1")
    sent = {"authorization": f"Bearer {house.where.token}"}
    verdict = {"json": {"verdict": "good"}} if page else {"data": {"verdict": "good"}}
    ask, where = house.client.request, house.where.admin + page
    word = "verdict" if page else "judge"
    for asked in (
        ask("GET", f"{where}/decisions/{number}", headers=sent),
        ask("POST", f"{where}/decisions/{number}/{word}", headers=sent, **verdict),
        ask("POST", f"{where}/review/{number}", headers=sent, **verdict),
    ):
        assert asked.status_code in ({status} if status else {404, 422})
        assert str(house.config.parent) not in asked.text
    assert ask("GET", f"{where}/decisions?before={2**63}", headers=sent).status_code == 422
    listed = ask("GET", f"{where}/decisions?before={2**63 - 1}", headers=sent)
    assert (listed.status_code, SKY in listed.text) == (200, True)
    mine = f"{where}/review/{house.decision(answer)['id']}"
    assert ask("POST", mine, headers=sent, **verdict).status_code in (200, 303)


def test_the_overview_adds_up(house: House) -> None:
    """Counts by outcome and category, tokens and money saved by hits."""
    for prompt in (SKY, SKY, SKY_AGAIN, CODE):
        house.chat(prompt, "sk-1")
    house.chat("Hot", "sk-1", temperature=1.9)

    def seen() -> Any:
        told = house.api("/api/overview?seconds=600")
        return told["total"]["requests"] == 5 and told

    told = until(seen)
    total = told["total"]
    counts = {k: total[k] for k in ("exact", "semantic", "missed", "bypassed", "stale")}
    assert counts == {"exact": 1, "semantic": 1, "missed": 2, "bypassed": 1, "stale": 0}
    assert told["categories"]["code"]["missed"] == 1
    assert total["tokens_saved"] > 0
    assert total["dollars_saved"] > 0
    assert told["entries"] == 2
    assert told["reasons"]["sampling"] == 1


def test_policy_and_health_name_what_is_in_force(house: House) -> None:
    """The file, its categories with what they hold, the parts and their faults."""
    house.chat(CODE, "sk-1")
    policy = house.api("/api/policy")
    assert policy["source"] == str(house.config)
    assert (policy["mode"], policy["refused_edit"]) == ("serve", "")
    held = {c["name"]: c["entries"] for c in policy["categories"]}
    assert held == {"code": 1, "personal": 0, "time-sensitive": 0, "default": 0}
    health = house.api("/api/health")
    assert health["ready"] is True
    assert health["entries"] == 1
    assert health["embedder"].startswith("all-MiniLM-L6-v2")
    assert health["store_faults"] == {"read": 0, "write": 0}
    assert health["upstreams"] == ["oracle"]
