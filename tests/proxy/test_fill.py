"""What becomes of a call upstream: cut anywhere in any way, nothing is kept and the client is told.

The upstream is a bare socket server, so that a connection can end as only connections do.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from proxy.fill import aging
from tests.proxy.house import House, body, serving, uvicorn_of
from tests.proxy.wire import PATIENCE, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY = "Why is the sky blue?"


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """An event as OpenAI sends it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    document = {
        "id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [choice],
    }  # fmt: skip
    return b"data: " + json.dumps(document).encode() + b"\n\n"


EVENTS = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Because of "}),
    chunk({"content": "Rayleigh scattering. ü"}),
    chunk({}, "stop"),
    b"data: [DONE]\n\n",
]
STREAM = b"".join(EVENTS)
BOUNDARIES = [sum(map(len, EVENTS[:n])) for n in range(len(EVENTS))]
WHOLE = json.dumps({
    "id": "c-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}).encode()  # fmt: skip


class Socket:
    """An upstream that sends what it is told and then ends as it is told."""

    def __init__(self) -> None:
        self.body, self.kind, self.framing, self.end = STREAM, "text/event-stream", "chunked", "fin"
        self.calls = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            got = b""
            while b"\r\n\r\n" not in got:
                got += connection.recv(65_536)
            head, _, rest = got.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            while len(rest) < length:
                rest += connection.recv(65_536)
            self.calls += 1
            framing = {
                "chunked": "transfer-encoding: chunked\r\n",
                "length": f"content-length: {len(self.body)}\r\n",
                "long": f"content-length: {len(self.body) + 100}\r\n",
                "close": "",
            }[self.framing]
            connection.sendall(
                f"HTTP/1.1 200 OK\r\ncontent-type: {self.kind}\r\n{framing}"
                "connection: close\r\n\r\n".encode()
            )
            if self.body:
                wire = self.body
                if self.framing == "chunked":
                    wire = b"%x\r\n%b\r\n" % (len(wire), wire)
                connection.sendall(wire)
            self._finish(connection)

    def _finish(self, connection: socket.socket) -> None:
        if self.end == "clean" and self.framing == "chunked":
            connection.sendall(b"0\r\n\r\n")
        elif self.end == "rst":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.end == "stall":
            connection.settimeout(10)
            connection.recv(1)  # until the other side gives up


@contextmanager
def house_of(folder: Path) -> Iterator[tuple[House, Socket]]:
    upstream = Socket()
    patience = {"idle": 0.2, "first_byte": 2}
    configured = [{"name": "socket", "base_url": f"{upstream.url}/v1", "timeout": patience}]
    try:
        with serving(folder, upstream.url, upstreams=configured) as house:
            yield house, upstream
    finally:
        upstream.close()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Socket]]:
    with house_of(tmp_path_factory.mktemp("bed")) as running:
        yield running


def ask(house: House, prompt: str) -> str:
    """The text by the official client; raises what the client raises."""
    client = openai.OpenAI(
        api_key="sk-1", base_url=f"{house.where.data}/v1", max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=20),
    )  # fmt: skip
    stream = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": prompt}], stream=True
    )
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def kept(house: House, prompt: str) -> bool:
    only = {"cache-control": "only-if-cached"}
    return house.post(body(prompt, model="m", stream=True), "sk-1", only).status_code == 200


def test_a_whole_stream_is_kept(bed: tuple[House, Socket]) -> None:
    """The control: with its terminal event and a proper end the same stream is remembered."""
    house, upstream = bed
    upstream.body, upstream.framing, upstream.end = STREAM, "chunked", "clean"
    assert ask(house, "control") == "Because of Rayleigh scattering. ü"
    assert kept(house, "control")


@pytest.mark.parametrize("end", ["fin", "rst", "stall", "clean"])
@pytest.mark.parametrize("framing", ["chunked", "close", "long"])
def test_a_cut_stream_is_told_and_not_kept(
    bed: tuple[House, Socket], end: str, framing: str
) -> None:
    """At every event boundary and inside events: an exception at the client, nothing in memory."""
    house, upstream = bed
    upstream.framing, upstream.end = framing, end
    inside = [at + 8 for at in BOUNDARIES]
    for at in (*BOUNDARIES, *inside) if end != "stall" else BOUNDARIES[:3]:
        upstream.body = STREAM[:at]
        prompt = f"cut {end} {framing} {at}"
        with pytest.raises((openai.APIError, httpx.HTTPError, json.JSONDecodeError)):
            ask(house, prompt)
        assert not kept(house, prompt)


def test_an_error_event_is_passed_and_not_kept(bed: tuple[House, Socket]) -> None:
    """The upstream's own error reaches the client once, whatever came before it."""
    house, upstream = bed
    upstream.framing, upstream.end = "chunked", "clean"
    wrong = b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'
    for at in BOUNDARIES:
        upstream.body = STREAM[:at] + wrong
        with pytest.raises(openai.APIError, match="overloaded"):
            ask(house, f"error {at}")
        assert not kept(house, f"error {at}")


def test_a_server_that_never_sends_the_terminal_event_is_believed(tmp_path: Path) -> None:
    """A finish reason and a proper end are all there is; once it has sent one, it owes it."""
    with house_of(tmp_path) as (house, upstream):
        upstream.end = "clean"
        upstream.body = STREAM[: BOUNDARIES[4]]
        assert ask(house, "first") == "Because of Rayleigh scattering. ü"
        assert not kept(house, "first")
        upstream.framing = "close"  # an end that a broken connection would look like
        with pytest.raises(openai.APIError):
            ask(house, "second")
        upstream.framing, upstream.body = "chunked", STREAM
        ask(house, "third")
        upstream.body = STREAM[: BOUNDARIES[4]]
        with pytest.raises(openai.APIError):
            ask(house, "fourth")


@pytest.mark.parametrize(
    ("at", "framing", "end", "status"),
    [
        (len(WHOLE), "length", "fin", 200),
        (len(WHOLE), "chunked", "clean", 200),
        (40, "chunked", "fin", 502),
        (40, "chunked", "rst", 502),
        (40, "long", "fin", 502),
        (40, "chunked", "stall", 504),
        (0, "chunked", "fin", 502),
    ],
)
def test_a_whole_body_that_breaks_off_is_a_gateway_error(
    bed: tuple[House, Socket], at: int, framing: str, end: str, status: int
) -> None:
    """Nothing of a broken body reaches the client or memory."""
    house, upstream = bed
    upstream.kind, upstream.body = "application/json", WHOLE[:at]
    upstream.framing, upstream.end = framing, end
    prompt = f"whole {at} {framing} {end}"
    try:
        answer = house.post(body(prompt, model="m"), "sk-1")
    finally:
        upstream.kind = "text/event-stream"
    assert answer.status_code == status
    only = {"cache-control": "only-if-cached"}
    again = house.post(body(prompt, model="m"), "sk-1", only)
    assert (again.status_code == 200) is (status == 200)


def test_half_an_event_never_reaches_the_client(bed: tuple[House, Socket]) -> None:
    """Cut inside an event, the error stands alone: no half of an event in front of it hides it."""
    house, upstream = bed
    upstream.framing, upstream.end = "chunked", "fin"
    for at in BOUNDARIES:
        upstream.body = STREAM[: at + 9]
        answer = house.post(body(f"half {at}", model="m", stream=True), "sk-1")
        assert answer.content.startswith(STREAM[:at] + b'data: {"error":')
        assert answer.text.count("data: ") == STREAM[:at].count(b"data: ") + 1


def test_a_comment_goes_on_at_once_and_is_not_in_the_way(tmp_path: Path) -> None:
    """Keep-alive lines reach the client though no event is complete yet."""
    passed = threading.Event()

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        alive = {"type": "http.response.body", "body": b": alive\n\n", "more_body": True}
        await send(alive)
        assert await asyncio.to_thread(passed.wait, PATIENCE)
        await send({"type": "http.response.body", "body": STREAM})

    with uvicorn_of(patient) as upstream, serving(tmp_path, upstream) as house:
        url = f"{house.where.data}/v1/chat/completions"
        with house.client.stream("POST", url, json=body(SKY, stream=True)) as answer:
            got = b""
            for part in answer.iter_raw():
                got += part
                passed.set()
    assert got == b": alive\n\n" + STREAM


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_what_is_no_status_is_a_bad_gateway(tmp_path: Path, path: str) -> None:
    """A status beyond HTTP's own cannot be passed on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n")

        threading.Thread(target=speak, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serving(tmp_path, url) as house:
            answer = house.client.post(f"{house.where.data}{path}", json=body(SKY))
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_gateway")


def test_every_chunk_goes_on_before_the_next_one_comes(tmp_path: Path) -> None:
    """The upstream sends each event only when the client has read the one before it."""
    read = [threading.Event() for _ in EVENTS]

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        for event, seen in zip(EVENTS, read, strict=True):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            assert await asyncio.to_thread(seen.wait, PATIENCE)
        await send({"type": "http.response.body", "body": b""})

    with uvicorn_of(patient) as upstream, serving(tmp_path, upstream) as house:
        url = f"{house.where.data}/v1/chat/completions"
        with house.client.stream("POST", url, json=body(SKY, stream=True)) as answer:
            got = b""
            for part in answer.iter_raw():
                got += part
                for number, seen in enumerate(read):
                    if len(got) >= sum(map(len, EVENTS[: number + 1])):
                        seen.set()
    assert got == STREAM


@pytest.mark.parametrize(
    ("age", "control", "expected"),
    [
        ("", "", (0, None)),
        ("7", "max-age=60", (7, 60)),
        ("7, 9", "public, max-age=60", (7, 60)),
        ("", "max-age=60, s-maxage=30", (0, 30)),
        ("", "s-maxage=30, max-age=60", (0, 30)),
        ("", 'Max-Age="60"', (0, 60)),
        ("", "max-age=60, max-age=5", (0, 60)),
        ("", "max-age=0", (0, None)),
        ("", "no-cache, private", (0, None)),
        ("", "x-max-age=5", (0, None)),
        ("-1", "max-age=-5", (0, None)),
        ("soon", "max-age=later", (0, None)),
    ],
)
def test_what_upstream_says_of_age_is_read(
    age: str, control: str, expected: tuple[float, float | None]
) -> None:
    """Age and lifetime as RFC 9111 writes them; a lifetime of 0 is a habit and says nothing."""
    assert aging(age, control) == expected


def test_upstream_may_shorten_a_lifetime_and_age_its_answer(tmp_path: Path) -> None:
    """What came with an age is that old, and lives no longer than upstream allows."""

    async def aged(scope: Any, receive: Any, send: Any) -> None:
        await read_all(receive)
        head = [(b"content-type", b"application/json"), (b"age", b"40"),
                (b"cache-control", b"max-age=100")]  # fmt: skip
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": WHOLE})

    with uvicorn_of(aged) as upstream, serving(tmp_path, upstream) as house:
        house.chat(SKY, "sk-1")
        hit = house.chat(SKY, "sk-1")
        old = house.chat(SKY, "sk-1", {"cache-control": "max-age=39"})
        soon = house.chat(SKY, "sk-1", {"cache-control": "min-fresh=61"})
    assert 40 <= int(hit.headers["age"]) < 60
    left = int(hit.headers["cache-status"].partition("ttl=")[2].partition(";")[0])
    assert 40 < left <= 60
    assert (old.headers["x-cache"], soon.headers["x-cache"]) == ("MISS", "MISS")
