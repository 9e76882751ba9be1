from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from admin_ui.app import ROUTERS
from tests.admin_ui.conftest import ORIGIN
from tests.admin_ui.fake import ENTRY, TOKEN, entry
from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tests.admin_ui.fake import FakeConsole

PAGES = ["/", "/decisions", "/entries", "/entries/purge", "/explain", "/policy", "/health", "/api"]
FACTS = ["/api/overview", "/api/categories", "/api/decisions", "/api/entries", "/api/policy",
         "/api/labels", "/api/learned", "/api/learned/labels", "/api/health", "/api/openapi.json",
         "/api/categories/code/similarities", "/api/policy/text", "/api/policy/editions",
         "/api/policy/editions/1", "/api/review", "/api/audit",
         "/api/entries/asides", "/metrics"]  # fmt: skip
MUTATIONS = [
    ("POST", "/api/entries/purge"),
    ("POST", "/api/entries/import"),
    ("POST", "/api/entries/warm"),
    ("POST", "/api/labels"),
    ("POST", "/api/decisions/5/verdict"),
    ("POST", "/api/review/5"),
    ("PUT", "/api/categories/code/threshold"),
    ("POST", "/api/policy/check"),
    ("POST", "/api/policy/trial"),
    ("PUT", "/api/policy/text"),
    ("POST", "/api/policy/editions/1/restore"),
    ("POST", "/api/learned/forget"),
    ("POST", "/api/explain"),
    ("DELETE", f"/api/entries/{ENTRY}"),
    ("PATCH", f"/api/entries/{ENTRY}"),
    ("POST", f"/api/entries/asides/{'0' * 16}/undo"),
    ("DELETE", f"/api/entries/asides/{'0' * 16}"),
    ("POST", "/entries/purge"),
    ("POST", f"/entries/{ENTRY}/delete"),
    ("POST", "/decisions/5/judge"),
    ("POST", "/decisions/5/purge"),
    ("POST", "/decisions/5/undo"),
    ("POST", "/entries/undo"),
    ("POST", f"/entries/{ENTRY}/lifetime"),
    ("POST", f"/entries/{ENTRY}/pin"),
    ("POST", "/categories/code/threshold"),
    ("POST", "/policy"),
    ("POST", "/policy/check"),
    ("POST", "/policy/trial"),
    ("POST", "/policy/editions/1/restore"),
    ("POST", "/review/5"),
    ("POST", "/explain"),
    ("POST", "/logout"),
]


def routes(app: FastAPI) -> set[tuple[str, str]]:
    found = [r for router in (app, *ROUTERS) for r in router.routes if isinstance(r, APIRoute)]
    return {(method, route.path) for route in found for method in route.methods or ()}


def sealed(headers: dict[str, str]) -> bool:
    policy = headers["content-security-policy"]
    return (
        policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        and "unsafe" not in policy
        and "frame-ancestors 'none'" in policy
        and headers["x-content-type-options"] == "nosniff"
        and headers["referrer-policy"] == "same-origin"
    )


@pytest.mark.parametrize("path", PAGES)
def test_strangers_are_sent_to_log_in(stranger: TestClient, path: str) -> None:
    """A page asked for without log-in leads to the log-in, and back afterwards."""
    answer = stranger.get(f"{path}?a=b")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}%3Fa%3Db"
    assert answer.content == b""


@pytest.mark.parametrize("path", [*FACTS, "/api/nothing-here"])
def test_programs_without_token_get_401(stranger: TestClient, path: str) -> None:
    """JSON and metrics say nothing without the token, not even whether a path exists."""
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "Bearer" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", [*PAGES, *FACTS])
def test_the_token_opens_everything(program: TestClient, path: str) -> None:
    """One header works on pages, JSON and metrics alike."""
    assert program.get(path).status_code == 200


@pytest.mark.parametrize("path", [*PAGES, *FACTS])
def test_a_log_in_opens_everything(person: TestClient, path: str) -> None:
    """So does the cookie."""
    assert person.get(path).status_code == 200


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN]
)
def test_wrong_credentials(stranger: TestClient, header: str) -> None:
    """Nothing but the exact token under the Bearer scheme is a credential."""
    assert stranger.get("/api/health", headers={"authorization": header}).status_code == 401


def test_a_wrong_token_beats_a_good_cookie(person: TestClient) -> None:
    """A request that names a wrong token is refused, whatever else it carries."""
    answer = person.get("/api/health", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


def test_guessing_tokens_is_slowed_down(stranger: TestClient) -> None:
    """After sixty wrong tokens in a minute the address waits, even with the right one."""
    for _ in range(60):
        assert stranger.get("/metrics", headers={"authorization": "Bearer x"}).status_code == 401
    answer = stranger.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_healthz_is_open(stranger: TestClient) -> None:
    """A probe needs neither token nor a known host name."""
    answer = stranger.get("/healthz", headers={"host": "likewise:8081"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/", "/login", "/api/health", "/static/style.css"])
@pytest.mark.parametrize("host", ["evil.example", "", "localhost.evil.example:8081"])
def test_foreign_host_names(program: TestClient, path: str, host: str) -> None:
    """A name that is not ours is misdirected, before the token is even looked at."""
    assert program.get(path, headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["cache.example.net", "localhost:8081", "[::1]:8081"])
def test_own_host_names(program: TestClient, host: str) -> None:
    """Configured and loopback names are served."""
    assert program.get("/api/health", headers={"host": host}).status_code == 200


def test_every_mutation_is_listed_here(app: FastAPI) -> None:
    """The lists in this file cover all routes that change something."""
    mutating = {
        (m, p.format(entry=ENTRY, decision=5, category="code", edition=1, aside="0" * 16))
        for m, p in routes(app)
        if m not in {"GET", "HEAD"}
    }
    assert mutating == {*MUTATIONS, ("POST", "/login")}


@pytest.mark.parametrize(("method", "path"), MUTATIONS)
def test_mutations_need_a_log_in(stranger: TestClient, method: str, path: str) -> None:
    """Without token or cookie nothing is changed."""
    assert stranger.request(method, path, headers={"origin": ORIGIN}).status_code == 401


@pytest.mark.parametrize(("method", "path"), MUTATIONS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": ORIGIN},
        {"origin": ORIGIN, "x-csrf-token": "0" * 64},
        {"origin": "http://evil.example", "x-csrf-token": "{good}"},
        {"origin": "null", "x-csrf-token": "{good}"},
        {"origin": "http://127.0.0.1:8080", "x-csrf-token": "{good}"},
        {"sec-fetch-site": "cross-site", "origin": ORIGIN, "x-csrf-token": "{good}"},
        {"x-csrf-token": "{good}"},
    ],
)
def test_forged_requests(
    person: TestClient,
    console: FakeConsole,
    method: str,
    path: str,
    headers: dict[str, str],
) -> None:
    """A cookie alone changes nothing: origin and form token must both be right."""
    good = Reading(person.get("/explain").text).field("csrf")
    console.kept, before = [entry(0, "kept")], len(console.asked)
    sent = {name: value.replace("{good}", good) for name, value in headers.items()}
    assert person.request(method, path, headers=sent).status_code == 403
    assert len(console.kept) == 1
    assert len(console.asked) == before


def test_another_sessions_form_token(app: FastAPI, person: TestClient) -> None:
    """The form token of one log-in is worth nothing in another."""
    other = TestClient(app, base_url=ORIGIN, follow_redirects=False)
    other.post("/login", data={"token": TOKEN}, headers={"origin": ORIGIN})
    foreign = Reading(other.get("/explain").text).field("csrf")
    answer = person.post(
        "/explain", data={"prompt": "x", "csrf": foreign}, headers={"origin": ORIGIN}
    )
    assert answer.status_code == 403


def test_a_header_token_works_for_json(person: TestClient) -> None:
    """A script of our own origin may use the API with cookie and header."""
    good = Reading(person.get("/explain").text).field("csrf")
    answer = person.post(
        "/api/explain",
        json={"prompt": "x"},
        headers={"origin": ORIGIN, "x-csrf-token": good, "sec-fetch-site": "same-origin"},
    )
    assert answer.status_code == 200


def test_large_bodies_are_refused(program: TestClient) -> None:
    """A body past 1 MB is not read on."""
    answer = program.post("/api/explain", content=b"x" * 1_000_001)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", [*PAGES, *FACTS, "/login", "/nowhere", "/api/nowhere", "/static/style.css",
             "/static/nothing", "/healthz", "/decisions?before=x", "/api/overview?seconds=x"]
)  # fmt: skip
def test_every_answer_is_sealed(program: TestClient, stranger: TestClient, path: str) -> None:
    """Security headers stand on pages, JSON, files, redirects and errors alike."""
    for client in (program, stranger):
        answer = client.get(path)
        assert sealed(dict(answer.headers)), answer.status_code
        wanted = "no-cache" if path.startswith("/static/") else "no-store"
        assert answer.headers["cache-control"] == wanted


def test_faults_are_sealed_and_silent(program: TestClient, console: FakeConsole) -> None:
    """A console that fails gives a plain 500 that tells nothing of the fault."""

    async def fails(seconds: float) -> None:
        raise RuntimeError("a secret detail")

    console.overview = fails  # type: ignore[method-assign,assignment]
    for path in ("/", "/api/overview"):
        answer = program.get(path)
        assert answer.status_code == 500
        assert sealed(dict(answer.headers))
        assert "secret detail" not in answer.text


async def test_websockets_are_closed(app: FastAPI) -> None:
    """There is no socket here; a handshake is closed before anything is read."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008}]
