from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from policies.record import Comparison

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


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
