"""Which pages may call, and what their browsers are told (Fetch standard, CORS protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.cors import Cors, is_preflight
from tests.proxy.house import body, with_oracle

if TYPE_CHECKING:
    from pathlib import Path

APP = "https://app.example.com"
PAGE = {"origin": APP}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((APP,), APP, True),
        ((APP,), "https://app.example.com:8443", False),
        ((APP,), "https://evil.example.com", False),
        ((APP,), "null", False),
        (("*",), "https://any.example", True),
        ((), APP, False),
        ((APP,), None, False),
    ],
)
def test_only_listed_origins_are_allowed(
    origins: tuple[str, ...], origin: str | None, allowed: bool
) -> None:
    """To the letter, port included; a request without an origin is no page's."""
    headers = [] if origin is None else [(b"origin", origin.encode())]
    assert (Cors(origins).allowed(headers) is not None) is allowed


@pytest.mark.parametrize(
    ("method", "name", "expected"),
    [
        ("OPTIONS", b"access-control-request-method", True),
        ("OPTIONS", b"origin", False),
        ("POST", b"access-control-request-method", False),
    ],
)
def test_a_preflight_is_told_from_a_request(method: str, name: bytes, expected: bool) -> None:
    """Only OPTIONS with the method asked for is the browser's own question."""
    assert is_preflight(method, [(name, b"POST")]) is expected


def test_the_upstreams_own_lines_do_not_double() -> None:
    """Two Access-Control-Allow-Origin lines would make the browser refuse the answer."""
    lines = Cors([APP]).mark(APP.encode(), [(b"access-control-allow-origin", b"*"), (b"age", b"1")])
    assert [v for n, v in lines if n == b"access-control-allow-origin"] == [APP.encode()]
    assert (b"age", b"1") in lines


def test_a_listed_page_may_ask_and_read(tmp_path: Path) -> None:
    """Preflight, miss, hit, stream and passed-through answers alike; no other origin is told so."""
    with with_oracle(tmp_path, server={"cors": [APP]}) as house:
        url = f"{house.where.data}/v1/chat/completions"
        asked = {"access-control-request-method": "POST",
                 "access-control-request-headers": "authorization,content-type"}  # fmt: skip
        flight = house.client.options(url, headers=PAGE | asked)
        assert flight.status_code == 204
        assert flight.headers["access-control-allow-headers"] == "authorization,content-type"
        assert "POST" in flight.headers["access-control-allow-methods"]
        answers = [
            house.chat("Why?", "sk-1", PAGE),
            house.chat("Why?", "sk-1", PAGE),
            house.chat("Why?", "sk-1", PAGE | {"cache-control": "no-cache"}, stream=True),
            house.post(b"{", "sk-1", PAGE),
            house.client.get(f"{house.where.data}/v1/models", headers=PAGE),
        ]
        assert {a.headers["access-control-allow-origin"] for a in answers} == {APP}
        assert answers[1].headers["x-cache"] == "HIT"
        assert "x-likewise-reason" in answers[1].headers["access-control-expose-headers"]
        other = house.chat("Why?", "sk-1", {"origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


def test_without_the_setting_nothing_is_said(tmp_path: Path) -> None:
    """By default no page of another site may read an answer, and preflights pass through."""
    with with_oracle(tmp_path) as house:
        answer = house.post(body("Why?"), "sk-1", PAGE)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
