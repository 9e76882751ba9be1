"""The data port at its edge: what it refuses, and what it lets through untouched."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from proxy.demo.oracle import OracleUpstream
from tests.proxy.house import House, body, serving, uvicorn_of, with_oracle
from tests.proxy.wire import PATIENCE, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-routes"
SKY = "Why is the sky blue?"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


def error(answer: Any) -> dict[str, Any]:
    """The one member of OpenAI's envelope; all four of its fields must be there."""
    told: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(told) == {"message", "type", "param", "code"}
    return told


# --- refused


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b'{"temperature": NaN}', "invalid_json", None),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json", None),
        (b'{"model": "a", "model": "b"}', "duplicate_key", "model"),
        (json.dumps(body(SKY, cache="yes")).encode(), "invalid_value", "cache"),
        (json.dumps(body(SKY, cache={"ttl": "5x"})).encode(), "invalid_value", "cache.ttl"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    house: House, sent: bytes, code: str, param: str | None
) -> None:
    """In OpenAI's envelope, with nothing sent upstream."""
    before = len(house.oracle.log)
    answer = house.post(sent, KEY)
    told = error(answer)
    assert (answer.status_code, told["code"], told["param"]) == (400, code, param)
    assert told["type"] == "invalid_request_error"
    assert len(house.oracle.log) == before


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("x-likewise-category", "codee", "known: personal, time-sensitive, default"),
        ("x-likewise-threshold", "2", "from 0 to 1"),
        ("x-likewise-threshold", "nan", "from 0 to 1"),
        ("x-likewise-threshold", "high", "from 0 to 1"),
        ("x-likewise-ttl", "soon", "90s, 5m, 24h"),
        ("x-likewise-mode", "on", "semantic, exact, shadow, off"),
        ("x-likewise-tags", "a b", "tags"),
    ],
)
def test_a_header_of_ours_with_a_bad_value_is_refused(
    house: House, name: str, value: str, hint: str
) -> None:
    """The message names the header and what is allowed."""
    answer = house.chat(SKY, KEY, {name: value})
    told = error(answer)
    assert (answer.status_code, told["param"]) == (400, name)
    assert told["message"].startswith(f"{name}: ")
    assert hint in told["message"]


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    """By its declared length, and by what arrives where none is declared."""
    with with_oracle(tmp_path, server={"limits": {"body": "1KB"}}) as house:
        declared = house.post(b"x" * 2000, KEY)
        chunked = house.client.post(
            f"{house.where.data}/v1/chat/completions", content=(b"x" * 500 for _ in range(4))
        )
        for answer in (declared, chunked):
            assert answer.status_code == 413
            assert error(answer)["code"] == "request_too_large"
        assert house.oracle.log == []
        assert house.chat(SKY, KEY).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b'{"model": "m", "messages": []}', {"x-likewise-mode": "loud"}, 400),
        ((b"x" * 500 for _ in range(40)), {}, 413),
        (b"{}", {"content-encoding": "zstd"}, 415),
        (b"{}", {"via": "1.1 likewise"}, 508),
    ],
)
def test_whoever_is_refused_has_an_id_to_name(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    content: Any,
    headers: dict[str, str],
    status: int,
) -> None:
    """On each of the cached routes; the log has the same id, and no reason is made up."""
    caplog.set_level("INFO", "likewise.routes")
    with with_oracle(tmp_path, server={"limits": {"body": "4KB"}}) as house:
        answer = house.client.post(
            f"{house.where.data}/v1/chat/completions", content=content, headers=headers
        )
    assert answer.status_code == status
    number = answer.headers["x-likewise-request"]
    assert re.fullmatch(r"[0-9a-f]{16}", number)
    assert "x-likewise-reason" not in answer.headers
    assert f"request {number}: refused with {status}" in caplog.text


def test_a_compressed_body_is_read(house: House) -> None:
    """It arrives upstream without its coding, and is the same request as the plain one."""
    plain = orjson.dumps(body("Is this compressed?"))
    packed = house.post(gzip.compress(plain), KEY, {"content-encoding": "gzip"})
    assert packed.status_code == 200
    assert "content-encoding" not in house.oracle.log[-1].headers
    assert house.post(plain, KEY).headers["x-likewise-match"] == "exact"


@pytest.mark.parametrize(
    ("coding", "status", "code"),
    [
        ("zstd", 415, "unsupported_content_encoding"),
        ("gzip", 400, "invalid_content_encoding"),
    ],
)
def test_a_coding_that_cannot_be_read_is_refused(
    house: House, coding: str, status: int, code: str
) -> None:
    """With the codings that would have been understood."""
    answer = house.chat(SKY, KEY, {"content-encoding": coding})
    assert (answer.status_code, error(answer)["code"]) == (status, code)
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_a_loop_is_refused(house: House, path: str) -> None:
    """What has been through Likewise once does not go through again, nor is it retried."""
    answer = house.client.post(
        house.where.data + path, json=body(SKY), headers={"via": "1.1 likewise, 1.1 edge"}
    )
    assert (answer.status_code, answer.headers["x-should-retry"]) == (508, "false")
    assert error(answer)["code"] == "loop_detected"


def test_a_house_in_front_of_itself_says_so(tmp_path: Path) -> None:
    """The second passing ends it, so one request cannot multiply."""
    with uvicorn_of(OracleUpstream()) as upstream, serving(tmp_path, upstream) as inner:
        (tmp_path / "outer").mkdir()
        with serving(tmp_path / "outer", inner.where.data) as outer:
            assert outer.chat(SKY, KEY).status_code == 508


def test_what_is_not_ours_to_judge_is_the_upstreams(house: House) -> None:
    """Missing messages are refused in the upstream's own words."""
    answer = house.post(b'{"model": "m"}', KEY)
    assert answer.status_code == 400
    assert "messages" in answer.json()["error"]["message"]
    assert answer.headers["x-likewise-reason"] == "unsupported"


def test_a_model_that_no_upstream_serves_is_refused(tmp_path: Path) -> None:
    """404 for the model, and for paths that name none where nobody takes them."""
    with uvicorn_of(OracleUpstream()) as upstream:
        two = [
            {"name": name, "base_url": f"{upstream}/v1", "models": [f"{name}-*"]}
            for name in ("left", "right")
        ]
        with serving(tmp_path, upstream, upstreams=two) as house:
            assert house.chat(SKY, KEY, model="left-1").status_code == 200
            refused = house.chat(SKY, KEY, model="middle-1")
            path = house.client.get(f"{house.where.data}/v1/models")
    assert (refused.status_code, error(refused)["param"]) == (404, "model")
    assert (path.status_code, error(path)["code"]) == (404, "no_passthrough")


# --- passed through


def test_health_is_answered_here(house: House) -> None:
    """Alive and ready, with nothing asked upstream."""
    before = len(house.oracle.log)
    assert house.client.get(f"{house.where.data}/healthz").status_code == 200
    assert house.client.get(f"{house.where.data}/readyz").text == "ready\n"
    assert len(house.oracle.log) == before


@pytest.mark.parametrize(
    ("method", "path", "arrives"),
    [
        ("GET", "/v1/models", "/v1/models"),
        ("GET", "/v1/models?limit=2&after=%20x&after=y", "/v1/models?limit=2&after=%20x&after=y"),
        ("PUT", "/v1/files/a%2Fb", "/v1/files/a%2Fb"),
        ("DELETE", "/v1/assistants/x//y", "/v1/assistants/x//y"),
        ("PATCH", "/beta/%C3%BC", "/v1/beta/%C3%BC"),
        ("GET", "/v1/chat/completions", "/v1/chat/completions"),
        ("OPTIONS", "/v1/chat/completions", "/v1/chat/completions"),
        ("GET", "/v1", "/v1"),
    ],
)
def test_other_paths_and_methods_pass_as_they_are(
    tmp_path: Path, method: str, path: str, arrives: str
) -> None:
    """The raw path and query arrive byte for byte, `/v1` never doubled, with our Via."""
    seen: list[Any] = []

    async def upstream(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        target = scope["raw_path"] + (b"?" + scope["query_string"]).rstrip(b"?")
        seen.append((scope["method"], target.decode(), dict(scope["headers"])))
        headers = [(b"x-own", b"1"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 207, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with uvicorn_of(upstream) as address, serving(tmp_path, address) as house:
        answer = house.client.request(
            method, house.where.data + path, headers={"authorization": f"Bearer {KEY}"}
        )
    assert (answer.status_code, answer.headers["x-own"]) == (207, "1")
    (asked,) = seen
    assert asked[:2] == (method, arrives)
    assert asked[2][b"authorization"] == f"Bearer {KEY}".encode()
    assert asked[2][b"via"] == b"1.1 likewise"


def test_our_own_headers_and_cookie_stay_here(house: House) -> None:
    """Neither controls nor the dashboard's session reach a vendor."""
    house.chat("own headers", KEY, {"x-likewise-tags": "a", "cookie": "likewise_admin=s; other=1"})
    headers = house.oracle.log[-1].headers
    assert not [name for name in headers if name.startswith("x-likewise-")]
    assert headers["cookie"] == "other=1"


def test_an_upload_arrives_whole(house: House) -> None:
    """With and without a declared length, up to the limit that holds for every path."""
    piece = bytes(range(256)) * 4096
    wanted = hashlib.sha256(piece * 9).hexdigest()
    for content in (piece * 9, (piece for _ in range(9))):
        answer = house.client.put(f"{house.where.data}/v1/uploads/1?part=2", content=content)
        told = answer.json()
        assert (told["method"], told["query"]) == ("PUT", "part=2")
        assert (told["body_bytes"], told["body_sha256"]) == (len(piece) * 9, wanted)


def test_both_bodies_stream_at_the_same_time(house: House) -> None:
    """The mirror's first bytes come back before the upload has ended, and none is lost."""
    host, port = house.where.data.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as client:
        client.sendall(
            b"POST /v1/audio HTTP/1.1\r\nHost: x\r\nx-oracle-mode: mirror\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nfirst\r\n"
        )
        received = b""
        while b"first" not in received:
            received += client.recv(65_536)
        for number in range(50):
            client.sendall(b"5\r\n<%03d>\r\n" % number)
            while b"<%03d>" % number not in received:
                data = client.recv(65_536)
                assert data, f"piece {number} was lost"
                received += data
        client.sendall(b"0\r\n\r\n")
        while data := client.recv(65_536):
            received += data
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"0\r\n\r\n")


def test_a_download_arrives_whole(house: House) -> None:
    """A body of unknown length, every byte in its order."""
    answer = house.client.get(
        f"{house.where.data}/v1/files/1/content", headers={"x-oracle-mode": "chunks:300"}
    )
    assert answer.content == b"".join(bytes([n % 256]) * 1024 for n in range(300))


def test_an_error_of_the_upstream_passes(house: House) -> None:
    """A path that is not ours keeps its status and body."""
    answer = house.client.get(
        f"{house.where.data}/v1/models", headers={"x-oracle-mode": "status:503"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "oracle_503")


# --- repeats


def test_byte_identical_repeats_are_read_once_and_decided_anew(house: House) -> None:
    """Each has its own request id, and headers that steer are part of what is compared."""
    answers = [house.chat("repeat me", KEY) for _ in range(3)]
    ids = {answer.headers["x-likewise-request"] for answer in answers}
    assert len(ids) == 3
    assert [a.headers["x-cache"] for a in answers] == ["MISS", "HIT", "HIT"]
    steered = house.chat("repeat me", KEY, {"cache-control": "no-store"})
    assert steered.headers["x-cache"] == "BYPASS"
