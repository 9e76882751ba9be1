"""A client that carries much: by parts, as a stream, and clear about what fails."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import JSONResponse, StreamingResponse

from index.errors import SetupError
from proxy import carrier as carrying
from proxy import transfer
from proxy.carrier import Carrier, Cleared
from tests.proxy.house import House, uvicorn_of, with_oracle
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

QUESTIONS = ("Why is the sky blue?", "How do tides work?", "Who wrote Faust?", "What is rust?")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with with_oracle(tmp_path) as running:
        for question in QUESTIONS:
            running.chat(question, "sk-1")
        yield running


def of(house: House) -> Carrier:
    return Carrier(house.where.admin, house.where.token)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_a_purge_goes_by_parts(house: House, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """All go, however many at once, and the report only rises."""
    monkeypatch.setattr(carrying, "CLEARED", most)
    seen: list[float] = []
    proxy = of(house)
    assert proxy.count({}) == Cleared(4, 0, [])
    assert proxy.clear({}, 4, lambda _, share: seen.append(share)) == Cleared(4, 0, [])
    assert proxy.count({}).removed == 0
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_an_export_comes_line_by_line(house: House) -> None:
    """As many as were announced, and the end."""
    with of(house).export({"ids": []}, vectors=True) as (count, lines):
        got = list(transfer.whole(lines))
    assert count == len(got) - 1 == len(QUESTIONS)


@contextmanager
def saying(*pieces: bytes, status: int = 200, broken: bool = False) -> Iterator[Carrier]:
    """A proxy whose answer is these pieces, cut off after them where `broken`."""

    async def told() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if broken:
            raise ConnectionError

    async def application(scope: Any, receive: Any, send: Any) -> None:
        answer = StreamingResponse(told(), status_code=status)
        await answer(scope, receive, send)

    with uvicorn_of(application) as url:
        yield Carrier(url, "t")


def test_lines_are_put_together_from_pieces() -> None:
    """Wherever the network cuts them."""
    with saying(b"a", b"b\nc\n\n", b"d") as proxy, proxy.export({}, vectors=False) as (_, lines):
        assert list(lines) == [b"ab\n", b"c\n", b"\n", b"d"]


def test_a_broken_stream_ends_without_an_end() -> None:
    """What came before is there; that it is not all, `whole` sees."""
    cut = saying(b"a\nb", broken=True)
    with cut as proxy, proxy.export({}, vectors=False) as (_, lines), pytest.raises(transfer.Cut):
        list(transfer.whole(lines))


def test_a_refusal_is_told_in_the_proxys_words(house: House) -> None:
    """With the path; a wrong token by itself."""
    with pytest.raises(SetupError, match=r"/api/entries/purge: .*older_than"):
        of(house).count({"older_than": "old"})
    with pytest.raises(SetupError, match="/api/entries/warm: "):
        of(house).warm({"pairs": []})
    with pytest.raises(SetupError, match="larger than 1 MB"):
        of(house).take(b"x" * 1_000_001)
    with pytest.raises(SetupError, match="refused the token"):
        Carrier(house.where.admin, "wrong").take(b"")
    with saying(b"no JSON", status=502) as proxy, pytest.raises(SetupError, match="status 502"):
        proxy.count({})


def test_a_proxy_that_is_not_there_is_told() -> None:
    """With the way out."""
    proxy = Carrier(f"http://127.0.0.1:{free_port()}", "t")
    with pytest.raises(SetupError, match="give --admin URL"):
        proxy.count({})
    with pytest.raises(SetupError, match="no proxy answers"), proxy.export({}, vectors=False):
        pass


def test_options_that_are_not_given_are_not_sent() -> None:
    """The query holds what was said, and nothing else."""
    asked: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["query_string"].decode())
        await JSONResponse({})(scope, receive, send)

    with uvicorn_of(application) as url:
        Carrier(url, "t").take(b"", overwrite=True, secret=None)
    assert asked == ["overwrite=true"]
