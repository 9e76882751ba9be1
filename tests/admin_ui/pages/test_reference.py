from __future__ import annotations

from typing import TYPE_CHECKING

from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient


def test_every_request_of_the_api_is_there(person: TestClient) -> None:
    """Paths, parameters and shapes, each shape under the name by which others refer to it."""
    html = person.get("/api").text
    text = Reading(html).text
    paths = person.get("/api/openapi.json").json()["paths"]
    assert all(path in text for path in paths)
    anchors = {a["id"] for _, a in Reading(html).tags if "id" in a}
    targets = {a["href"][1:] for tag, a in Reading(html).tags if tag == "a" and "#" in a["href"]}
    assert targets - {"main"} <= anchors
