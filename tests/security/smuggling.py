"""Does the proxy ever see another number of requests in a stream of bytes than the upstream does?

Sound requests are bent in every way that parsers are known to differ about. The upstream behind the
proxy reads as leniently as any server did, and numbers each request that it believes to see; the
client has to get just those answers, in that order. A request hidden in a body names a path that
nobody may ever ask upstream for.
"""

from __future__ import annotations

import random
import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.proxy.wire import connect
from tests.security.finding import SEED, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.parties import Stage
    from tests.security.finding import Scale

HIDDEN = b"/v1/hidden"
SMUGGLED = b"GET " + HIDDEN + b" HTTP/1.1\r\nHost: a\r\nX-Seen: no\r\n\r\n"
QUIET = 0.3
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d+)")
_BLANK = re.compile(rb"\r?\n\r?\n")
_SIZE = re.compile(rb"[ \t]*(?:0x)?([0-9a-fA-F]{1,8})[^\n]*\n")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding[ \t]*:.*chunked")


@dataclass
class Lenient:
    """An upstream over bare sockets that takes nearly anything for a request."""

    seen: list[bytes] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        held = b""
        with connection:
            while True:
                taken = _request(held)
                if taken is None:
                    data = b""
                    with suppress(ConnectionResetError):
                        data = connection.recv(65_536)
                    if not data:
                        return
                    held += data
                    continue
                head, held = taken
                self.seen.append(head)
                connection.sendall(_answer(len(self.seen)))


def _request(held: bytes) -> tuple[bytes, bytes] | None:
    """The first request's head and the bytes behind its body; None while it is not whole."""
    end = _BLANK.search(held)
    if end is None:
        return None
    head, rest = held[: end.start()], held[end.end() :]
    length = _LENGTH.search(head)
    if length is None and _CHUNKED.search(head):
        behind = _behind_chunks(rest)
        return None if behind is None else (head, behind)
    size = int(length[1]) if length else 0
    return (head, rest[size:]) if len(rest) >= size else None


def _behind_chunks(rest: bytes) -> bytes | None:
    """What follows the last chunk, sizes taken as far as they can be read."""
    while line := _SIZE.match(rest):
        size = int(line[1], 16)
        rest = rest[line.end() + size :]
        if not size:
            end = re.match(rb"\r?\n", rest)
            return rest[end.end() :] if end else None
        rest = rest.removeprefix(b"\r").removeprefix(b"\n")
    return None


def _answer(number: int) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-number: %d\r\n" % number
    return head + b"content-length: 2\r\n\r\nok"


# -- bent requests -------------------------------------------------------------------------------


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def _chunked(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


CODING = b"Transfer-Encoding: chunked\r\n"


def sound(dice: random.Random) -> bytes:
    """One request with a body that holds another one."""
    body = dice.choice([b"{}", SMUGGLED, b"0\r\n\r\n" + SMUGGLED, b"x=" + SMUGGLED])
    path = dice.choice([b"/v1/chat/completions", b"/v1/files", b"/v1/messages"])
    head = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-s\r\n"
    if dice.random() < 0.5:
        return head + _length(body) + b"\r\n" + body
    return head + CODING + b"\r\n" + _chunked(body)


def _insert(data: bytes, dice: random.Random) -> bytes:
    """Another framing header somewhere in the head."""
    extra = dice.choice([
        CODING, b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\tchunked\r\n", b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n", b"X: y\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 1, 1\r\n",
        b"Content-Length: +3\r\n", b"Content-Length: 0x3\r\n", b"Content-Length:\r\n",
        b" Content-Length: 3\r\n", b"Content_Length: 3\r\n", b"Host: b\r\n",
        b"Expect: 100-continue\r\n", b"Connection: content-length\r\n",
        b"Connection: close, transfer-encoding\r\n", b"Upgrade: h2c\r\n", b"TE: trailers\r\n",
    ])  # fmt: skip
    lines = data.split(b"\r\n\r\n", 1)
    heads = lines[0].split(b"\r\n")
    heads.insert(dice.randrange(1, len(heads) + 1), extra.removesuffix(b"\r\n"))
    return b"\r\n\r\n".join([b"\r\n".join(heads), *lines[1:]])


def _swap_end(data: bytes, dice: random.Random) -> bytes:
    """Another line end in one place."""
    ends = [match.start() for match in re.finditer(rb"\r\n", data)]
    at = dice.choice(ends)
    return data[:at] + dice.choice([b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n "]) + data[at + 2 :]


def _flip(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at + dice.randrange(1, 9) :]


def _double(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at : at + dice.randrange(1, 30)] + data[at:]


def _size(data: bytes, dice: random.Random) -> bytes:
    """Another spelling of the first number that could be a length."""
    spelled = [b"00", b"0x", b"-", b"+", b" ", b"9" * 20, b"1_", b";a=b\r\n"]
    put = dice.choice(spelled)
    return re.sub(rb"(?<=[\r\n :])(\d+)\r\n", lambda m: put + m[1] + b"\r\n", data, count=1)


BENDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _insert, _insert, _insert, _swap_end, _flip, _cut, _double, _size,
)  # fmt: skip


def bent(dice: random.Random) -> bytes:
    """A few requests on one connection, one of them bent once or more."""
    requests = [sound(dice) for _ in range(dice.randrange(1, 4))]
    at = dice.randrange(len(requests))
    for _ in range(dice.randrange(1, 4)):
        requests[at] = dice.choice(BENDS)(requests[at], dice)
    return b"".join(requests)


# -- the verdict ---------------------------------------------------------------------------------


def told(port: int, data: bytes) -> bytes:
    """Everything that comes back until the other side closes, or is silent for a while."""
    received = b""
    with connect(port, data) as client:
        client.settimeout(QUIET)
        try:
            while some := client.recv(65_536):
                received += some
        except (TimeoutError, ConnectionError):
            pass
    return received


def desynchronised(received: bytes, seen: list[bytes], before: int) -> bool:
    """Whether client and upstream differ about what was asked."""
    numbers = [int(n) for n in re.findall(rb"(?m)^x-number: (\d+)\r$", received)]
    hidden = any(HIDDEN in head.split(b"\n", 1)[0] for head in seen)
    return hidden or numbers != list(range(before + 1, before + 1 + len(seen)))


def check(at: Stage, scale: Scale) -> list[Finding]:
    """So many bent inputs through a real proxy, each on a connection of its own."""
    upstream, dice, bad, forwarded = Lenient(), random.Random(SEED), [], 0  # noqa: S311
    with upstream.listening() as url:
        parts = {"upstreams": [{"name": "lenient", "base_url": f"{url}/v1"}]}
        proxy = at.proxy(f"sqlite:{at.folder}/smuggling/likewise.db", "smuggling", **parts)
        port = int(proxy.url.rpartition(":")[2])
        for _ in range(scale.inputs):
            data, before = bent(dice), len(upstream.seen)
            received = told(port, data)
            seen = upstream.seen[before:]
            forwarded += len(seen)
            if desynchronised(received, seen, before):
                bad.append(data)
        proxy.stop()
    notes = [f"{forwarded} requests reached upstream", *(repr(data)[:400] for data in bad[:5])]
    return [Finding.none_of("smuggling, desynchronised", scale.inputs, len(bad), *notes)]
