"""Thirty nasty inputs, each answered as promised, and the proxy alive after every one.

Numbers 7 and 8 (slow senders) need shortened limits; raw framing is tried byte by byte in
test_protocol as well.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo.oracle import verify
from tests.proxy.house import House, body, serving, with_oracle
from tests.proxy.wire import body_of, exchange, status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

KEY = "sk-nasty"
SKY = "Why is the sky blue?"
PATH = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"host: x\r\n"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    limits = {"header_timeout": 1, "body_timeout": 1}
    with with_oracle(tmp_path_factory.mktemp("nasty"), server={"limits": limits}) as running:
        yield running


@pytest.fixture(autouse=True)
def alive(house: House) -> Iterator[None]:
    """Whatever was sent, the next request of somebody else is answered."""
    yield
    assert house.chat(SKY, "sk-neighbour").status_code == 200


def port(house: House) -> int:
    return int(house.where.data.rpartition(":")[2])


def error(answer: httpx.Response) -> dict[str, Any]:
    """The error in OpenAI's envelope, all four members there."""
    found: dict[str, Any] = answer.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


# -- framing (1 to 8) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "head", "expected"),
    [
        (1, PATH + HOST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n", 400),
        (2, PATH + HOST + b"content-length: 2\r\ncontent-length: 3\r\n", 400),
        (3, PATH + HOST + b"transfer-encoding: gzip, chunked\r\n", 501),
        (4, PATH.replace(b"1.1", b"1.0") + HOST + b"transfer-encoding: chunked\r\n", 400),
        (5, PATH + b"content-length: 2\r\n", 400),
        (5, PATH + HOST + b"host: y\r\ncontent-length: 2\r\n", 400),
        (6, PATH + HOST + b"x-long: " + b"a" * 100_000 + b"\r\n", 431),
        (6, PATH + HOST + b"".join(b"x-%d: 1\r\n" % n for n in range(2000)), 431),
        (7, PATH + b"host:", 408),
        (8, PATH + HOST + b"content-length: 100\r\n\r\n{", 408),
    ],
)
def test_bad_framing_closes_the_connection(
    house: House, number: int, head: bytes, expected: int
) -> None:
    """One answer, then the end: nothing behind it is taken for another request."""
    tail = b"" if number in (7, 8) else b"\r\n{}"
    answer = exchange(port(house), head + tail)
    assert status(answer) == expected
    assert b"connection: close" in answer.lower()
    assert json.loads(body_of(answer))["error"]["code"]
    assert len(re.findall(rb"HTTP/1\.[01] \d", answer)) == 1


# -- bodies (9 to 16) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "content", "headers", "expected", "code"),
    [
        (9, gzip.compress(b" " * 100_000_000), {"content-encoding": "gzip"}, 413,
         "request_too_large"),
        (10, b"(\xb5/\xfd", {"content-encoding": "zstd"}, 415, "unsupported_content_encoding"),
        (11, b'"' + b"x" * 11_000_000 + b'"', {}, 413, "request_too_large"),
        (12, b'{"messages": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", {}, 400, "invalid_json"),
        (13, b'{"model": "m", "messages": [], "messages": [1]}', {}, 400, "duplicate_key"),
        (14, b'{"model": "m", "temperature": NaN}', {}, 400, "invalid_json"),
        (14, b'{"model": "m", "temperature": 1e400}', {}, 400, "invalid_json"),
        (14, b'{"model": "m", "seed": ' + b"9" * 5000 + b"}", {}, 400, "invalid_json"),
        (15, rb'{"model": "m", "messages": "\ud800"}', {}, 400, "invalid_json"),
        (16, b'{"model": "\xff"}', {}, 400, "invalid_json"),
    ],
    ids=["9", "10", "11", "12", "13", "14-nan", "14-float", "14-int", "15", "16"],
)  # fmt: skip
def test_a_body_that_cannot_be_read_goes_nowhere(
    house: House, number: int, content: bytes, headers: dict[str, str], expected: int, code: str
) -> None:
    """Refused in the caller's envelope, and never seen upstream."""
    before = house.calls(KEY)
    answer = house.post(content, KEY, headers)
    assert (answer.status_code, error(answer)["code"]) == (expected, code)
    assert house.calls(KEY) == before
    if number == 10:
        assert "gzip" in answer.headers["accept-encoding"]


# -- odd but readable (17 to 24) -----------------------------------------------------------------


@pytest.mark.parametrize("messages", [[], None, "hello", 7, {}, [1]])
def test_17_wrong_types_are_the_upstreams_to_judge(house: House, messages: Any) -> None:
    """Forwarded untouched; its own error comes back byte for byte, and is not stored."""
    asked = {"model": "m", "messages": messages}
    direct = {}
    for _ in range(2):
        answer = house.post(asked, KEY)
        direct[answer.content] = answer
        assert "fwd=bypass" in answer.headers["cache-status"]
        assert house.oracle.log[-1].body == asked
    assert len(direct) == 1


def test_18_an_unknown_field_is_forwarded_and_keyed(house: House) -> None:
    """200, and another value of it is another request."""
    for value in (1, 2):
        answer = house.chat("18", KEY, x_new=value)
        assert (answer.status_code, answer.headers["x-cache"]) == (200, "MISS")
        assert house.oracle.log[-1].body["x_new"] == value  # type: ignore[index]
    assert house.chat("18", KEY, x_new=2).headers["x-cache"] == "HIT"


def test_19_a_stream_flag_that_is_no_flag_is_forwarded(house: House) -> None:
    """The upstream judges it; we neither look up nor store."""
    answer = house.chat(SKY, KEY, stream="yes")
    assert "fwd=bypass" in answer.headers["cache-status"]
    assert house.oracle.log[-1].body["stream"] == "yes"  # type: ignore[index]


def test_20_a_very_long_prompt_is_matched_exactly(house: House) -> None:
    """Two million characters: 200, never embedded, and still a hit when it is repeated."""
    prompt = "why " * 500_000
    answer = house.chat(prompt, KEY)
    assert (answer.status_code, answer.headers["x-likewise-reason"]) == (200, "too-long")
    assert house.chat(prompt, KEY).headers["x-likewise-match"] == "exact"


@pytest.mark.parametrize("prompt", ["", "   ", "\U0001f600\U0001f600", "\u200b\u200d", "?!"])
def test_21_a_prompt_without_words_is_matched_exactly(house: House, prompt: str) -> None:
    """Nothing to compare by meaning, so nothing but itself matches."""
    assert house.chat(prompt, KEY).status_code == 200
    assert house.chat(prompt, KEY).headers["x-likewise-match"] == "exact"
    assert house.chat(prompt + " ", KEY).headers["x-cache"] != "HIT"


def test_22_only_if_cached_on_a_cold_cache_is_a_504(house: House) -> None:
    """Nobody upstream hears of it, and no client tries again."""
    before = house.calls(KEY)
    answer = house.chat("22", KEY, {"cache-control": "only-if-cached"})
    assert (answer.status_code, error(answer)["code"]) == (504, "only_if_cached_miss")
    assert answer.headers["x-should-retry"] == "false"
    assert house.calls(KEY) == before


def test_23_what_of_cache_control_cannot_be_read_is_ignored(house: House) -> None:
    """`no-cache` counts whatever stands around it."""
    house.chat("23", KEY)
    answer = house.chat("23", KEY, {"cache-control": 'max-age=abc, no-cache="x", ,,'})
    assert answer.status_code == 200
    assert "fwd=request" in answer.headers["cache-status"]


def test_24_who_one_claims_to_be_changes_nothing(house: House) -> None:
    """The partition comes from the key alone."""
    house.chat("24", KEY)
    claims = {"x-forwarded-user": "boss", "x-tenant": "other", "x-forwarded-for": "10.0.0.1"}
    assert house.chat("24", KEY, claims).headers["x-likewise-match"] == "exact"
    assert house.chat("24", "sk-stranger", claims).headers["x-cache"] == "MISS"


# -- upstream (25 to 30) -------------------------------------------------------------------------


def test_25_a_bad_key_is_refused_by_the_upstream(house: House) -> None:
    """Its 401 passes as it is and is not stored; a missing key is somebody too."""
    for _ in range(2):
        answer = house.chat("25", "sk-bad", {"x-oracle-mode": "status:401"})
        assert answer.status_code == 401
        assert error(answer)["type"] == "authentication_error"
    assert house.calls("sk-bad") == 2
    asked = house.client.post(f"{house.where.data}/v1/chat/completions", json=body("25"))
    assert asked.headers["x-cache"] == "MISS"


def test_26_a_truncated_stream_ends_in_an_error(house: House) -> None:
    """What came so far, then the error, and no terminal event; nothing is kept."""
    answer = house.chat("26", KEY, {"x-oracle-mode": "cut:2"}, stream=True)
    last = [line for line in answer.text.splitlines() if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_incomplete"
    assert "[DONE]" not in answer.text
    only = {"cache-control": "only-if-cached"}
    assert house.chat("26", KEY, only, stream=True).status_code == 504


@pytest.mark.parametrize("mode", ["html", "invalid"])
def test_27_what_is_no_answer_passes_and_is_not_kept(house: House, mode: str) -> None:
    """A sign-in page or half a JSON is not ours to mend."""
    prompt = f"27 {mode}"
    answer = house.chat(prompt, KEY, {"x-oracle-mode": mode})
    assert answer.status_code == 200
    again = house.chat(prompt, KEY)
    assert again.headers["x-cache"] == "MISS"
    assert verify(again.json()["choices"][0]["message"]["content"], credential=KEY, prompt=prompt)


@pytest.mark.parametrize(
    ("reply", "expected", "code"),
    [
        (b"HTTP/1.1 banana\r\n\r\n", 502, "bad_gateway"),
        (b"\x16\x03\x01 hello", 502, "bad_gateway"),
        (None, 504, "upstream_timeout"),
    ],
    ids=["27-status", "27-noise", "28-silence"],
)
def test_27_28_an_upstream_that_speaks_no_http(
    tmp_path: Path, reply: bytes | None, expected: int, code: str
) -> None:
    """Bad framing is a 502, silence a 504 that the client may try again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if reply is None:
                    connection.settimeout(10)
                    connection.recv(65_536)
                else:
                    connection.sendall(reply)

        threading.Thread(target=speak, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        upstream = {"name": "u", "base_url": f"{url}/v1", "timeout": {"first_byte": 1}}
        with serving(tmp_path, url, upstreams=[upstream]) as odd:
            answer = odd.chat(SKY, KEY)
    assert (answer.status_code, error(answer)["code"]) == (expected, code)
    assert "x-should-retry" not in answer.headers


def test_29_a_proxy_that_points_at_itself_says_so(tmp_path: Path) -> None:
    """One round, then 508, which nobody tries again."""
    with with_oracle(tmp_path) as first:
        (tmp_path / "second").mkdir()
        with serving(tmp_path / "second", first.where.data) as second:
            answer = second.chat(SKY, KEY)
    assert (answer.status_code, error(answer)["code"]) == (508, "loop_detected")
    assert answer.headers["x-should-retry"] == "false"


def test_30_hostile_text_stays_text(house: House) -> None:
    """Markup in a prompt and line breaks in a model's name harm neither page nor header."""
    prompt = "<script>alert(1)</script> why?"
    answer = house.chat(prompt, KEY)
    assert answer.status_code == 200
    page = house.client.get(
        f"{house.where.admin}/decisions", headers={"authorization": f"Bearer {house.where.token}"}
    ).text
    assert "<script>alert(1)" not in page
    asked = body(SKY) | {"model": "m\r\nX-Injected: y"}
    odd = house.post(asked, KEY)
    assert "x-injected" not in odd.headers
    assert house.oracle.log[-1].body["model"] == "m\r\nX-Injected: y"  # type: ignore[index]
    assert re.fullmatch(r"[\x20-\x7e]+", odd.headers["cache-status"])
