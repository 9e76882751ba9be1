from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Applied, Bin, Estimate, Predicted, Similarities
from tests.admin_ui.fake import card

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_categories(program: TestClient, console: FakeConsole) -> None:
    """Each with its policy, its usage and what was learned."""
    learned = {"bound": 0.02, "certified": True, "highest_risk": 0.01, "upper": 0.019,
               "labels": 300, "wrong": 2, "audits": 0.02}  # fmt: skip
    console.cards = [card("code", 0.93), card("default", 0.95) | {"learned": learned}]
    first, second = program.get("/api/categories").json()
    assert (first["name"], first["entries"], first["quota_entries"]) == ("code", 7, 40)
    assert first["learned"] is None
    assert first["false_hits"]["estimate"] is None
    assert second["learned"] == learned


def test_similarities(program: TestClient, console: FakeConsole) -> None:
    """Bins and cuts as the console gives them; a category that is none is a 404."""
    console.alike = Similarities(
        "code", 60.0, 9, 3, 2, 0.93, learned=True, bins=[Bin(0.9, 0.905, 1, 0, 4)],
        predicted=[Predicted(0.9, 0.5, 0.8, Estimate(0.1, 0.0, 0.4, 10))],
    )  # fmt: skip
    told = program.get("/api/categories/code/similarities?seconds=60").json()
    assert told["bins"] == [{"low": 0.9, "high": 0.905, "correct": 1, "wrong": 0, "unknown": 4}]
    assert told["predicted"][0]["false_hits"]["high"] == 0.4
    assert program.get("/api/categories/nowhere/similarities").status_code == 404
    assert console.asked == [("code", 60.0), ("nowhere", 7 * 86400.0)]


def test_another_threshold(program: TestClient, console: FakeConsole) -> None:
    """Reaches the console with whose hand it is; what is not taken says so by its status."""
    body = {"threshold": 0.91, "revision": "r1"}
    answer = program.put("/api/categories/code/threshold", json=body)
    assert answer.json() == {"applied": True, "revision": "r2", "faults": [], "conflict": False}
    console.applied = Applied(False, "r9", conflict=True)
    assert program.put("/api/categories/code/threshold", json=body).status_code == 409
    console.applied = Applied(False, "r9")
    assert program.put("/api/categories/code/threshold", json=body).status_code == 422
    assert console.asked[0] == ("code", 0.91, "r1", "operator token")


@pytest.mark.parametrize("threshold", [-0.1, 1.1, "x", None])
def test_a_threshold_is_a_similarity(program: TestClient, threshold: object) -> None:
    """From 0 to 1."""
    body = {"threshold": threshold, "revision": "r1"}
    assert program.put("/api/categories/code/threshold", json=body).status_code == 422
