"""The admin application before a made-up console, and clients that are in or out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from admin_ui.app import create_admin
from tests.admin_ui.fake import TOKEN, VIEWER, FakeConsole

if TYPE_CHECKING:
    from fastapi import FastAPI

ORIGIN = "http://127.0.0.1:8081"


@pytest.fixture
def console() -> FakeConsole:
    return FakeConsole()


@pytest.fixture
def app(console: FakeConsole) -> FastAPI:
    hosts = frozenset({"cache.example.net"})
    return create_admin(console, token=TOKEN, hosts=hosts, viewer=VIEWER)


@pytest.fixture
def stranger(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def program(app: FastAPI) -> TestClient:
    """A client that sends the token with every request."""
    return TestClient(
        app,
        base_url=ORIGIN,
        follow_redirects=False,
        raise_server_exceptions=False,
        headers={"authorization": f"Bearer {TOKEN}"},
    )


@pytest.fixture
def person(stranger: TestClient) -> TestClient:
    """A browser that logged in and holds the cookie."""
    answer = stranger.post("/login", data={"token": TOKEN}, headers={"origin": ORIGIN})
    assert answer.status_code == 303
    return stranger
