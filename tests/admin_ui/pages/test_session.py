from __future__ import annotations

from typing import TYPE_CHECKING

from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import TOKEN
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient


def test_log_in_sets_a_guarded_cookie(stranger: TestClient) -> None:
    """The cookie is out of reach of scripts and foreign sites, and leads back where one was."""
    answer = stranger.post(
        "/login", data={"token": f" {TOKEN}\n", "next": "/decisions"}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == "/decisions"
    cookie = answer.headers["set-cookie"].lower()
    for part in ("httponly", "samesite=strict", "path=/", "max-age=43200"):
        assert part in cookie
    assert "; secure" not in cookie
    assert TOKEN not in cookie


def test_the_cookie_is_secure_over_https(stranger: TestClient) -> None:
    """Over TLS the cookie never travels in the clear."""
    answer = stranger.post(
        "https://127.0.0.1:8081/login",
        data={"token": TOKEN},
        headers={"origin": "https://127.0.0.1:8081"},
    )
    assert "; secure" in answer.headers["set-cookie"].lower()


def test_log_in_leads_nowhere_else(stranger: TestClient) -> None:
    """No address outside this site is ever a target after log-in."""
    assert Reading(stranger.get("/login?next=//evil.example").text).field("next") == "/"
    answer = stranger.post(
        "/login", data={"token": TOKEN, "next": "//evil.example"}, headers={"origin": ORIGIN}
    )
    assert answer.headers["location"] == "/"


def test_log_in_from_elsewhere(stranger: TestClient) -> None:
    """A foreign page cannot log a browser in."""
    for headers in ({}, {"origin": "http://evil.example"}):
        answer = stranger.post("/login", data={"token": TOKEN}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


def test_five_wrong_tokens_close_the_log_in(stranger: TestClient) -> None:
    """The sixth try within a minute waits, even with the right token."""
    for _ in range(5):
        answer = stranger.post("/login", data={"token": "no"}, headers={"origin": ORIGIN})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    answer = stranger.post("/login", data={"token": TOKEN}, headers={"origin": ORIGIN})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_log_out(person: TestClient) -> None:
    """After log-out the old cookie is worth nothing, even if it was copied."""
    cookie = person.cookies["likewise_admin"]
    csrf = Reading(person.get("/").text).field("csrf")
    answer = person.post("/logout", data={"csrf": csrf}, headers={"origin": ORIGIN})
    assert answer.headers["location"] == "/login"
    assert "likewise_admin" not in person.cookies
    assert (
        person.get("/api/health", headers={"cookie": f"likewise_admin={cookie}"}).status_code == 401
    )
