from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from admin_ui.app import create_admin
from tests.admin_ui.fake import TOKEN, FakeConsole
from tests.admin_ui.reading import Reading


def test_an_empty_token_starts_nothing() -> None:
    """Without a secret there is no dashboard."""
    with pytest.raises(ValueError, match="admin token is empty"):
        create_admin(FakeConsole(), token="", hosts=None)


def test_the_shown_base_url_can_be_set() -> None:
    """The empty dashboard names the address that the proxy really listens on."""
    app = create_admin(
        FakeConsole(), token=TOKEN, hosts=None, data_url="http://cache.example.net:9000/v1"
    )
    client = TestClient(app, headers={"authorization": f"Bearer {TOKEN}"})
    text = Reading(client.get("/").text).text
    assert "OPENAI_BASE_URL=http://cache.example.net:9000/v1" in text


def test_no_page_asks_another_server(person: TestClient) -> None:
    """Everything that a page loads comes from this port."""
    for path in ("/", "/decisions", "/entries", "/explain", "/api", "/login"):
        for tag, attributes in Reading(person.get(path).text).tags:
            if tag in {"script", "link", "img"}:
                address = attributes.get("src") or attributes["href"]
                assert address.startswith("/static/"), (path, address)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/static/../app.py"])
def test_framework_pages_are_off(program: TestClient, path: str) -> None:
    """The framework's own pages, which load from a CDN, are not there; nor is our source."""
    assert program.get(path).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"), [("/api/nowhere", 404), ("/api/overview?seconds=x", 422)]
)
def test_programs_get_errors_as_json(program: TestClient, path: str, status: int) -> None:
    """An error under /api has one shape."""
    answer = program.get(path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "code"}


def test_people_get_errors_as_pages(program: TestClient) -> None:
    """A wrong address shows a page that names it and leads back."""
    answer = program.get("/nowhere")
    assert answer.status_code == 404
    assert "There is nothing at /nowhere" in Reading(answer.text).text


def test_wrong_methods_are_named(program: TestClient) -> None:
    """A method that a path does not take is 405 with what it takes."""
    answer = program.post("/api/overview")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_style_loads_only_what_ships(program: TestClient) -> None:
    """The one style sheet names our own fonts, which are there, and knows both colour schemes."""
    text = program.get("/static/style.css").text
    fonts = re.findall(r"url\(\"(.*?)\"\)", text)
    assert text.count("url(") == len(fonts) > 0
    assert all(program.get(f"/static/{font}").status_code == 200 for font in fonts)
    assert "@import" not in text
    assert "color-scheme: light dark" in text


def test_what_is_vendored_brings_its_licence(program: TestClient) -> None:
    """Each borrowed script and font stands beside its licence."""
    for name in ("uplot", "newsreader", "public-sans"):
        assert "ermission" in program.get(f"/static/vendor/{name}/LICENSE").text
