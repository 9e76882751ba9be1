"""The wire, spoken by hand: statuses are those of RFC 9110 and 9112, limits those passed in."""

from __future__ import annotations

import json
import re
import select
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from proxy.limits import Limits
from proxy.protocol import WHOLE
from tests.proxy.house import until
from tests.proxy.wire import (
    Echo,
    body_of,
    connect,
    exchange,
    listening,
    read_answer,
    read_to_end,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = Limits(body=1000, headers=4096, header_count=20)
SHORT = Limits(header_timeout=0.4, body_timeout=0.4, idle_timeout=0.6, send_timeout=0.6)


@pytest.fixture(scope="module")
def echo() -> Echo:
    return Echo()


@pytest.fixture(scope="module")
def port(echo: Echo) -> Iterator[int]:
    with listening(echo, SMALL) as port:
        yield port


@pytest.fixture(scope="module")
def hasty() -> Iterator[int]:
    with listening(Echo(), SHORT) as port:
        yield port


def post(headers: bytes = b"", body: bytes = b"", path: bytes = b"/echo") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n" + body


CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"

REFUSED = {
    "length and chunked": (post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n"), 400),
    "chunked and length": (post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), 400),
    "two lengths that differ": (
        post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!"),
        400,
    ),
    "a list of lengths": (post(b"Content-Length: 5, 5\r\n", b"hello"), 400),
    "a signed length": (post(b"Content-Length: +5\r\n", b"hello"), 400),
    "a negative length": (post(b"Content-Length: -5\r\n", b"hello"), 400),
    "a length past 64 bits": (post(b"Content-Length: " + b"9" * 30 + b"\r\n"), 400),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    "a coding that ends in chunked": (post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 501),
    "identity": (post(b"Transfer-Encoding: identity\r\n", b""), 501),
    "an empty coding": (post(b"Transfer-Encoding:\r\n", b""), 400),
    "a coding in two halves": (
        post(b"Transfer-Encoding: chun\r\nTransfer-Encoding: ked\r\n", b"0\r\n\r\n"),
        501,
    ),
    "chunked is not last": (post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), 400),
    "chunked twice": (post(CHUNKED + CHUNKED, b"0\r\n\r\n"), 400),
    "chunked on HTTP/1.0": (b"POST / HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n", 400),
    "a chunk size in words": (post(CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (post(CHUNKED, b"3\r\nhello\r\n0\r\n\r\n"), 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "two equal Hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    "two Hosts on HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare LF between headers": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "bare CR in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
    "NUL in a name": (b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
    "a folded header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "a blank before the colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "a header without a colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "an HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target without a slash": (b"GET echo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a URL without a path": (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target beyond ASCII": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a large header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000 + b"\r\n\r\n", 431),
    "a large target": (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
    "a header without an end": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 5000, 431),
    "too many headers": (post(b"".join(b"X-%d: 1\r\n" % n for n in range(20))), 431),
    "a body over the limit": (post(b"Content-Length: 1001\r\n"), 413),
}


@pytest.mark.parametrize(("data", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused(port: int, echo: Echo, data: bytes, expected: int) -> None:
    """Refused with this status and a closed connection; the application never hears of it."""
    echo.handed.clear()

    received = exchange(port, data)

    assert status(received) == expected
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in received
    assert set(json.loads(body_of(received))["error"]) == {"message", "type", "param", "code"}
    assert echo.handed == []


@pytest.mark.parametrize(("data", "expected"), REFUSED.values(), ids=REFUSED)
def test_refused_byte_by_byte(port: int, echo: Echo, data: bytes, expected: int) -> None:
    """How the bytes are cut into packets makes no difference."""
    if len(data) > 2000:
        data = data[:-1000]  # the rest would only meet a closed connection
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for cut in range(0, len(data), 97 if len(data) > 200 else 1):
                client.sendall(data[cut : cut + (97 if len(data) > 200 else 1)])
        except OSError:
            pass  # refused before the end
        if len(data) > 2000:
            return
        assert status(client.recv(65_536)) == expected


TAKEN = {
    "a length": (post(CLOSE + b"Content-Length: 5\r\n", b"hello"), b"hello"),
    "no body": (b"GET / HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", b""),
    "chunks": (post(CLOSE + CHUNKED, CHUNKS), b"hello world"),
    "chunked in capitals": (post(CLOSE + CHUNKED.upper(), CHUNKS), b"hello world"),
    "chunks with extensions and trailers": (
        post(CLOSE + CHUNKED, b"5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n"),
        b"hello",
    ),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n" + CLOSE + b"\r\n", b""),
    "blank lines first": (b"\r\n\r\n" + post(CLOSE + b"Content-Length: 2\r\n", b"ok"), b"ok"),
    "a full URL": (b"GET http://a/echo HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", b""),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n", b""),
    "HTTP/1.0": (b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "the largest body": (post(CLOSE + b"Content-Length: 1000\r\n", b"x" * 1000), b"x" * 1000),
    "the most headers": (post(CLOSE + b"".join(b"X-%d: 1\r\n" % n for n in range(18))), b""),
    "bytes beyond ASCII in a value": (post(CLOSE + b"X: \xc3\xa9\r\n"), b""),
}


@pytest.mark.parametrize(("data", "expected"), TAKEN.values(), ids=TAKEN)
def test_taken(port: int, data: bytes, expected: bytes) -> None:
    """Good HTTP is answered, whole and byte by byte."""
    whole = exchange(port, data)
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(len(data)):
            client.sendall(data[cut : cut + 1])
        pieces = read_to_end(client)

    assert status(whole) == 200
    assert body_of(whole) == expected
    assert pieces == whole


def test_head_has_no_body(port: int) -> None:
    """An answer to HEAD ends with its header, be it the application's or a refusal."""
    good = exchange(port, b"HEAD / HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n")
    bad = exchange(port, b"HEAD / HTTP/1.1\r\n\r\n")

    assert (status(good), body_of(good)) == (200, b"")
    assert (status(bad), body_of(bad)) == (400, b"")


def test_http_1_0_gets_no_chunks(port: int) -> None:
    """A stream to an HTTP/1.0 client ends where the connection does; to 1.1 it is chunked."""
    old = exchange(port, b"GET /stream HTTP/1.0\r\n\r\n")
    new = exchange(port, b"GET /stream HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n")

    assert b"transfer-encoding" not in old
    assert body_of(old) == b"one,two,three"
    assert b"transfer-encoding: chunked" in new
    assert body_of(new) == b"4\r\none,\r\n4\r\ntwo,\r\n5\r\nthree\r\n0\r\n\r\n"


def test_keep_alive(port: int) -> None:
    """A connection serves one request after another."""
    with connect(port) as client:
        for n in range(5):
            client.sendall(post(b"Content-Length: 1\r\n", b"%d" % n))
            assert read_answer(client) == (200, b"%d" % n)


def test_expect_continue(port: int) -> None:
    """The client is told to go on before it sends its body."""
    with connect(port, post(b"Content-Length: 5\r\nExpect: 100-continue\r\n" + CLOSE)) as client:
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        received = read_to_end(client)

    assert (status(received), body_of(received)) == (200, b"hello")


def test_expect_continue_refused(port: int) -> None:
    """A body over the limit is not even asked for."""
    received = exchange(port, post(b"Content-Length: 5000\r\nExpect: 100-continue\r\n"))

    assert status(received) == 413


def test_pipelining_keeps_the_order(port: int) -> None:
    """Requests sent ahead are answered in turn."""
    requests = [post(b"Content-Length: 2\r\n", b"%02d" % n) for n in range(30)]
    last = post(b"Content-Length: 2\r\n" + CLOSE, b"30")

    received = exchange(port, b"".join(requests) + last)

    bodies = re.findall(rb"\r\n\r\n(\d\d)", received)
    assert bodies == [b"%02d" % n for n in range(31)]


def test_pipelining_is_bounded(port: int, echo: Echo) -> None:
    """A hundred may wait behind the first; the next one ends the connection, in its turn."""
    echo.handed.clear()

    received = exchange(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 300)

    statuses = re.findall(rb"HTTP/1.1 (\d+)", received)
    assert statuses == [b"200"] * 101 + [b"503"]
    assert len(echo.handed) == 101


def test_a_refusal_waits_for_its_turn(port: int) -> None:
    """What follows a good request may be bad, and still the good one's answer comes first."""
    received = exchange(port, post(b"Content-Length: 2\r\n", b"ok") * 3 + b"nonsense\r\n\r\n")

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"200", b"400"]


def test_a_bad_queued_body_waits_for_its_turn(port: int) -> None:
    """A queued request whose body is bad never starts; the ones before it are answered."""
    data = post(b"Content-Length: 2\r\n", b"ok") * 2 + post(CHUNKED, b"zz\r\n")

    received = exchange(port, data)

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]


def test_no_refusal_inside_an_answer() -> None:
    """Once an answer has begun, a bad body cuts it short; nothing is written into it."""
    echo = Echo()
    with listening(echo, SMALL) as port, connect(port, post(CHUNKED, path=b"/begun")) as client:
        received = client.recv(65_536)
        client.sendall(b"zz\r\n")
        received += read_to_end(client)

        assert received.count(b"HTTP/1.1 ") == 1
        assert not received.endswith(b"0\r\n\r\n")
        assert echo.ended.wait(10)


def test_requests_after_a_refusal_are_not_served(port: int, echo: Echo) -> None:
    """Whatever follows bad framing could be smuggled, so it is thrown away."""
    echo.handed.clear()
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    exchange(port, post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n" + smuggled))

    assert echo.handed == []


def test_upgrade_is_declined(port: int) -> None:
    """An offer of HTTP/2 is ignored: this request and the next are served as HTTP/1.1."""
    offer = b"Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n"
    first = post(offer + b"Content-Length: 5\r\n", b"hello")

    received = exchange(port, first + post(b"Content-Length: 2\r\n" + CLOSE, b"ok"))

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200"]
    assert b"\r\n\r\nhello" in received
    assert received.endswith(b"ok")


@pytest.mark.parametrize(
    ("path", "refusal", "expected"),
    [
        (b"/v1/messages", b"", "invalid_request_error"),
        (b"/v1/messages/count_tokens", b"Content-Length: 5000\r\nHost: a\r\n", "request_too_large"),
    ],
)
def test_anthropic_envelope(port: int, path: bytes, refusal: bytes, expected: str) -> None:
    """Callers of the Anthropic API read errors in its shape."""
    error = json.loads(
        body_of(exchange(port, b"POST " + path + b" HTTP/1.1\r\n" + refusal + b"\r\n"))
    )

    assert (error["type"], set(error)) == ("error", {"type", "error"})
    assert set(error["error"]) == {"type", "message"}
    assert error["error"]["type"] == expected


def test_clients_are_told_not_to_retry_what_cannot_help(port: int) -> None:
    """Official clients repeat 5xx and 408 unless told otherwise."""
    hopeless = exchange(port, post(b"Transfer-Encoding: gzip\r\n"))

    assert b"\r\nx-should-retry: false\r\n" in hopeless


def test_a_large_upload_still_reads_its_413(port: int) -> None:
    """A client that sends everything before it reads gets the answer, not a reset."""
    size = 3_000_000

    received = exchange(port, post(b"Content-Length: %d\r\n" % size, b"x" * size))

    assert status(received) == 413


def test_an_unread_body_is_drained_up_to_the_limit(port: int) -> None:
    """Answered early, a connection goes on if the rest is small and ends if it has no end."""
    with connect(port, post(b"Content-Length: 900\r\n", path=b"/early")) as client:
        assert read_answer(client) == (200, b"early")
        client.sendall(b"x" * 900 + post(b"Content-Length: 2\r\n", b"ok"))
        assert read_answer(client) == (200, b"ok")
    with connect(port, post(CHUNKED, path=b"/early")) as client:
        assert read_answer(client) == (200, b"early")
        client.sendall(b"fffff\r\n" + b"x" * 500_000)
        assert read_to_end(client) == b""


# Time. Sockets wait long enough for any machine; what counts is who closes, and with which words.

SLOW = {
    "nothing at all": b"",
    "half a request line": b"GET / HT",
    "half a header": b"GET / HTTP/1.1\r\nHost: a\r\nX:",
    "half a body": post(b"Content-Length: 500\r\n", b"x"),
    "half a chunk": post(CHUNKED, b"5\r\nhel"),
}


@pytest.mark.parametrize("data", SLOW.values(), ids=SLOW)
def test_an_unfinished_request_times_out(hasty: int, data: bytes) -> None:
    """Who stops in the middle gets 408 and is let go."""
    received = exchange(hasty, data)

    assert status(received) == 408
    assert json.loads(body_of(received))["error"]["type"] == "timeout_error"


@pytest.mark.parametrize("begin", [b"GET / HTTP/1.1\r\nX: ", post(b"Content-Length: 90000\r\n")])
def test_a_trickle_times_out(hasty: int, begin: bytes) -> None:
    """A byte now and then is no progress: header and body have an end."""
    with connect(hasty, begin) as client:
        client.settimeout(0.1)
        received = b""
        while not received:
            try:
                client.sendall(b"x")
                received = client.recv(65_536)
            except TimeoutError:
                continue

    assert status(received) == 408


def test_a_half_header_behind_a_good_request_times_out(hasty: int) -> None:
    """The next request's header has its time limit too."""
    received = exchange(hasty, post(b"Content-Length: 2\r\n", b"ok") + b"GET / HT")

    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"408"]


def test_an_idle_connection_is_closed(hasty: int) -> None:
    """After an answer, silence ends the connection without a word."""
    with connect(hasty, post(b"Content-Length: 2\r\n", b"ok")) as client:
        assert read_answer(client) == (200, b"ok")
        assert client.recv(65_536) == b""


def test_blank_lines_do_not_keep_a_connection(hasty: int) -> None:
    """What is no request does not count as activity."""
    with connect(hasty, post(b"Content-Length: 2\r\n", b"ok")) as client:
        assert read_answer(client) == (200, b"ok")
        client.settimeout(0.1)
        ended = False
        while not ended:
            try:
                client.sendall(b"\r\n")
                ended = client.recv(65_536) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True


def test_time_in_which_we_do_not_read_is_not_the_clients(hasty: int) -> None:
    """A busy application may take longer than the body's limit before it reads."""
    size = 300_000
    received = exchange(
        hasty, post(CLOSE + b"Content-Length: %d\r\n" % size, b"x" * size, path=b"/late")
    )

    assert (status(received), len(body_of(received))) == (200, size)


def test_time_before_100_continue_is_not_the_clients(hasty: int) -> None:
    """Who was asked to wait with the body is not late."""
    head = post(CLOSE + b"Content-Length: 5\r\nExpect: 100-continue\r\n", path=b"/late")
    with connect(hasty, head) as client:
        assert client.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        received = read_to_end(client)

    assert (status(received), body_of(received)) == (200, b"hello")


def test_a_long_answer_is_not_cut(hasty: int) -> None:
    """No limit of the request's side runs while the application thinks."""
    received = exchange(hasty, post(CLOSE + b"Content-Length: 2\r\n", b"ok", path=b"/late"))

    assert (status(received), body_of(received)) == (200, b"ok")


def test_who_never_reads_is_dropped() -> None:
    """An application blocked on a stalled reader is set free."""
    echo = Echo()
    with listening(echo, SHORT) as port, connect(port, post(path=b"/flood")):
        assert echo.ended.wait(20)


def test_a_crowd_that_never_reads_is_dropped_sooner() -> None:
    """Many at once get seconds, however patient the server is with one."""
    echo = Echo()
    limits = Limits(header_timeout=0.4, send_timeout=600)
    with listening(echo, limits) as port, ExitStack() as stack:
        for _ in range(70):
            stack.enter_context(connect(port, post(path=b"/flood")))
        until(lambda: echo.flooded == 70)


def test_more_connections_than_allowed_are_refused() -> None:
    """At once and with a reason; who goes makes room."""
    with listening(Echo(), Limits(connections=2)) as port:
        first, second = connect(port), connect(port)
        refused = read_to_end(connect(port))
        assert (status(refused), b"too_many_connections" in refused) == (503, True)
        first.close()
        until(lambda: status(exchange(port, post(CLOSE))) == 200)
        second.close()


def test_who_never_reads_a_finished_answer_is_dropped() -> None:
    """An answer that nobody takes does not stay in memory, though its request is over."""
    with listening(Echo(), SHORT) as port, connect(port, post(path=b"/large")) as client:
        time.sleep(3)
        received = read_to_end(client)

    assert len(received) < 12_000_000


def test_a_slow_steady_reader_is_served(hasty: int) -> None:
    """Slow is not stalled: an answer that takes longer than the limit arrives whole."""
    size = 0
    with connect(hasty, post(CLOSE, path=b"/large")) as client:
        while data := client.recv(262_144):
            size += len(data)
            time.sleep(0.03)

    assert size > 12_000_000


def test_half_open_connections_do_not_disturb_others(hasty: int) -> None:
    """Two hundred clients that never finish are closed while another is served all along."""
    waiting = [connect(hasty, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ") for _ in range(200)]
    while waiting:
        with connect(hasty) as client:
            client.sendall(post(b"Content-Length: 2\r\n", b"ok"))
            assert read_answer(client) == (200, b"ok")
        ready, _, _ = select.select(waiting, [], [], 0)
        for slow in ready:
            if slow.recv(65_536) == b"":
                waiting.remove(slow)
                slow.close()


class Quick(Echo):
    """Knows one body, and answers it without being called."""

    def __init__(self) -> None:
        super().__init__()
        self.known = 0

    def at_once(self, scope: Any, body: bytearray) -> bool:
        if body != b"known":
            return False
        self.known += 1
        return bool(scope[WHOLE](b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nKNOWN"))


KNOWN = post(b"Content-Length: 5\r\n", b"known")
OTHER = post(b"Content-Length: 5\r\n", b"other")


@pytest.mark.parametrize(
    ("sent", "bodies", "known"),
    [
        (KNOWN, [b"KNOWN"], 1),
        (OTHER, [b"other"], 0),
        (KNOWN + OTHER, [b"KNOWN", b"other"], 1),
        (OTHER + KNOWN + OTHER, [b"other", b"known", b"other"], 0),
    ],
)
def test_what_is_answered_at_once_keeps_the_order(
    sent: bytes, bodies: list[bytes], known: int
) -> None:
    """A request that is here in full may be answered in the read; behind others it waits."""
    quick = Quick()
    with listening(quick) as port:
        received = exchange(port, sent + post(CLOSE))
    assert re.findall(rb"\r\n\r\n(\w{5})", received)[: len(bodies)] == bodies
    assert quick.known == known


def test_a_short_body_is_waited_for_and_others_are_the_applications() -> None:
    """Head and body in two writes are answered at once too; not so what is long or asks first."""
    quick = Quick()
    long = post(b"Content-Length: 20000\r\n", b"x" * 20_000)
    with listening(quick) as port, connect(port, KNOWN[:-2]) as client:
        time.sleep(0.1)
        client.sendall(KNOWN[-2:])
        assert read_answer(client) == (200, b"KNOWN")
        client.sendall(long[:-2])
        time.sleep(0.1)
        client.sendall(long[-2:])
        assert read_answer(client) == (200, b"x" * 20_000)
        client.sendall(post(b"Content-Length: 5\r\nExpect: 100-continue\r\n"))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"known")
        assert read_answer(client) == (200, b"known")
    assert quick.known == 1


def test_a_short_body_that_never_comes_times_out() -> None:
    """Whoever holds back the rest of a body is told so, though nothing was started for it."""
    with listening(Quick(), SHORT) as port:
        assert status(exchange(port, KNOWN[:-2])) == 408


def test_a_refusal_behind_what_was_answered_at_once() -> None:
    """What follows in the same read is refused after the answer, which is whole."""
    with listening(Quick()) as port:
        received = exchange(port, KNOWN + b"nonsense\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"400"]
    assert b"KNOWN" in received


async def test_uvicorn_has_what_the_guard_builds_on() -> None:
    """An upgrade of uvicorn that renames its inner parts fails here, by name."""
    config = uvicorn.Config(Echo(), interface="asgi3", ws="none", lifespan="off", log_config=None)
    config.load()
    protocol = HttpToolsProtocol(config=config, server_state=ServerState(), app_state={})
    cycle = RequestResponseCycle(
        scope={},  # type: ignore[typeddict-item]
        transport=None,  # type: ignore[arg-type]
        flow=None,  # type: ignore[arg-type]
        logger=protocol.logger,
        access_logger=protocol.logger,
        access_log=False,
        default_headers=[],
        message_event=None,  # type: ignore[arg-type]
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    wanted = {
        protocol: "parser pipeline transport flow headers cycle server_state loop connections "
        "expect_100_continue connection_made connection_lost data_received on_message_begin on_url "
        "on_header on_headers_complete on_body on_message_complete on_response_complete shutdown "
        "_start_asgi_task",
        cycle: "body more_body message_event disconnected response_started response_complete "
        "keep_alive chunked_encoding expected_content_length waiting_for_100_continue",
        FlowControl: "pause_reading resume_reading",
        ServerState(): "connections tasks total_requests",
        uvicorn.Server(config): "startup server_state",
        config: "load lifespan_class",
    }
    missing = [
        f"{type(thing).__name__}.{name}"
        for thing, names in wanted.items()
        for name in names.split()
        if not hasattr(thing, name)
    ]

    assert missing == [], f"uvicorn {uvicorn.__version__} changed: see proxy/protocol.py, server.py"
