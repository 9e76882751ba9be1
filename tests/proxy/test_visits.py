"""Visits: measured around the data port, whichever way a request is answered."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from proxy.protocol import WHOLE
from proxy.visits import VISIT, Visit, Watched, step

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"


class Book:
    """A record that keeps what it is told."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def end(self, visit: Visit) -> None:
        self.visits.append(visit)


class Port:
    """A data port that does what a test says."""

    def __init__(self, answer: Callable[..., Any], *, repeat: bool = False) -> None:
        self._answer = answer
        self._repeat = repeat

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._answer(scope, send)

    def at_once(self, scope: Any, body: bytes) -> bool:
        return self._repeat and bool(scope[WHOLE](HEAD + b"hello"))


async def parts(scope: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await send({"type": "http.response.body", "body": b"de"})


async def half(scope: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})


async def broken(scope: Any, send: Any) -> None:
    raise RuntimeError("planted")


async def at_once(scope: Any, send: Any) -> None:
    assert scope[WHOLE](HEAD + b"hello")


async def marked(scope: Any, send: Any) -> None:
    visit = VISIT.get()
    assert visit is not None
    visit.code = "refused"
    await parts(scope, send)


def scope(path: str = "/v1/models", kind: str = "http") -> dict[str, Any]:
    return {"type": kind, "method": "GET", "path": path, "headers": [], WHOLE: lambda _: True}


async def visited(answer: Callable[..., Any], path: str = "/v1/models") -> list[Visit]:
    book = Book()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Watched(Port(answer), [book])(scope(path), None, send)  # type: ignore[arg-type]
    return book.visits


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        pytest.param(parts, (201, 5, True), id="in-parts"),
        pytest.param(half, (200, 3, False), id="broken-off"),
        pytest.param(at_once, (200, 5, True), id="one-write"),
    ],
)
async def test_an_answer_is_measured(answer: Any, seen: tuple[int, int, bool]) -> None:
    """Status, bytes of the body, and whether all of it went out."""
    (visit,) = await visited(answer)
    assert (visit.status, visit.size, visit.complete) == seen
    assert visit.seconds > 0


async def test_whoever_answers_can_add_to_the_visit() -> None:
    """It is at hand below the port, and nowhere afterwards."""
    (visit,) = await visited(marked)
    assert visit.code == "refused"
    assert VISIT.get() is None


async def test_a_failing_port_is_on_record_too() -> None:
    """The fault goes on to the server; the visit has no status."""
    book = Book()
    with pytest.raises(RuntimeError, match="planted"):
        await Watched(Port(broken), [book])(scope(), None, None)  # type: ignore[arg-type]
    assert [(one.status, one.complete) for one in book.visits] == [(0, False)]


async def test_health_checks_are_no_visits() -> None:
    """They come every few seconds and say nothing."""
    assert await visited(parts, "/readyz") == []
    assert await visited(parts, "/healthz") == []


@pytest.mark.parametrize("repeat", [True, False])
def test_repeats_are_answered_at_once_as_before(repeat: bool) -> None:
    """What is no repeat leaves no visit and the scope as it was: it comes again as a call."""
    book, asked = Book(), scope()
    write = asked[WHOLE]
    watched = Watched(Port(parts, repeat=repeat), [book])  # type: ignore[arg-type]
    assert watched.at_once(asked, b"") is repeat  # type: ignore[arg-type]
    assert [(one.status, one.size) for one in book.visits] == ([(200, 5)] if repeat else [])
    assert repeat or asked[WHOLE] is write
    assert VISIT.get() is None


@pytest.mark.parametrize(
    ("header", "told"),
    [
        pytest.param(f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16, id="sampled"),
        pytest.param(f"cc-{'ab' * 16}-{'cd' * 8}-00-later", "ab" * 16, id="of-a-later-version"),
        pytest.param(f"ff-{'ab' * 16}-{'cd' * 8}-01", "", id="forbidden-version"),
        pytest.param(f"00-{'00' * 16}-{'cd' * 8}-01", "", id="zeros"),
        pytest.param(f"00-{'AB' * 16}-{'cd' * 8}-01", "", id="upper-case"),
        pytest.param("nonsense", "", id="nonsense"),
        pytest.param('"}\n', "", id="forged"),
    ],
)
def test_a_visit_knows_the_trace_of_its_caller(header: str, told: str) -> None:
    """As W3C Trace Context writes it; anything else is no trace."""
    asked = scope() | {"headers": [(b"traceparent", header.encode())]}
    assert Visit(asked).trace_id == told
    assert Visit(scope()).trace_id == ""


async def test_a_trace_that_fails_harms_nobody() -> None:
    """The answer goes out and the visit is on record, whatever becomes of its trace."""

    class Broken:
        def begin(self, visit: Visit, headers: Any) -> Any:
            raise RuntimeError("planted")

    class Ended:
        id = "ab" * 16

        def end(self) -> None:
            raise RuntimeError("planted")

    class Ending:
        def begin(self, visit: Visit, headers: Any) -> Any:
            return Ended()

    async def send(message: Any) -> None:
        pass

    for traces in (Broken(), Ending()):
        book = Book()
        await Watched(Port(parts), [book], traces)(scope(), None, send)  # type: ignore[arg-type]
        assert [one.status for one in book.visits] == [201]


def test_parts_are_timed_inside_a_visit_only() -> None:
    """Elsewhere they leave nothing behind."""
    with step("outside"):
        pass
    visit = Visit(scope())
    token = VISIT.set(visit)
    with pytest.raises(RuntimeError, match="planted"), step("store"):
        raise RuntimeError("planted")
    VISIT.reset(token)
    ((name, since, until),) = visit.steps
    assert name == "store"
    assert visit.began <= since <= until


async def test_a_visit_is_put_on_record_when_its_call_is_done() -> None:
    """The answer may be over before the call that fetched it has been accounted for."""

    class Call:
        then: Any = None

        def settled(self, then: Callable[[], None]) -> None:
            self.then = then

    book, visit, call = Book(), Visit(scope()), Call()  # type: ignore[arg-type]
    visit.trail = call  # type: ignore[assignment]
    visit.over([book])
    await asyncio.sleep(0)
    assert book.visits == []
    call.then()
    assert book.visits == [visit]
