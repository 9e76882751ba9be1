"""Replicas tell each other their figures, and any of them shows the sum."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from index.errors import StoreError
from index.faults import Faults, Told
from index.journal import Journal, Verdict
from index.rollups import HOUR, MINUTE, QUARTER
from proxy import fleet as module
from proxy.demo.oracle import OracleUpstream
from proxy.fleet import Fleet
from tests.index.test_journal import comparison, decision
from tests.proxy.house import House, serving, until, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.servers import RedisServer

# A whole quarter of a day, in the far future of every test.
NOW = 2_000_000 * QUARTER + 10_000.0


class FakeBoard:
    """What was posted, with how long it stays; it fails while `broken`."""

    def __init__(self) -> None:
        self.sheets: dict[tuple[str, str], tuple[bytes, float]] = {}
        self.list: dict[str, float] = {}
        self.broken = False
        self.posts = 0

    async def post(self, owner: str, sheets: Mapping[str, bytes], seconds: float) -> None:
        self._fail()
        self.posts += 1
        self.sheets |= {(owner, name): (sheet, seconds) for name, sheet in sheets.items()}

    async def posted(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        self._fail()
        return [self.sheets.get((owner, name), (None, 0.0))[0] for name in names]

    async def mark(self, _: str, members: Mapping[str, float], __: int) -> None:
        self._fail()
        self.list |= members

    async def marked(self, _: str) -> dict[str, float]:
        self._fail()
        return dict(self.list)

    def _fail(self) -> None:
        if self.broken:
            raise StoreError("store x: does not answer; start the server")


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


async def well() -> dict[str, Any]:
    return {"version": "1", "state": "ready"}


@asynccontextmanager
async def replica(
    folder: Path, name: str, board: FakeBoard | None, clock: Clock
) -> AsyncIterator[tuple[Fleet, Journal, Faults]]:
    journal = Journal.open(folder / f"{name}.db")
    faults = Faults(Told(logging.getLogger("tests")))
    yield Fleet(journal, board, name, well, faults=faults, clock=clock), journal, faults  # type: ignore[arg-type]
    await journal.close()


def count(view: module.View | None) -> int:
    assert view is not None
    return sum(one.sums.count for one in view.summary.rollups)


def hits(journal: Journal, many: int, at: float, first: int = 1) -> None:
    for number in range(first, first + many):
        journal.record(decision(number, at=at, outcome="hit", reason="exact"))


@pytest.mark.parametrize("span", [MINUTE, HOUR, QUARTER])
async def test_any_replica_shows_the_sum(tmp_path: Path, span: int) -> None:
    """Decisions, comparisons and verdicts of both, by minute, hour and quarter; each alone on
    request, and of an unknown one nothing."""
    board, clock = FakeBoard(), Clock()
    since = int(NOW // span * span)
    async with (
        replica(tmp_path, "a", board, clock) as (a, one, _),
        replica(tmp_path, "b", board, clock) as (b, two, _),
    ):
        hits(one, 3, NOW - 5)
        hits(two, 4, NOW - 5, first=10)
        await two.compared([comparison(10, at=NOW - 4)])
        await two.rule(Verdict(10, NOW - 3, good=False, entry="", note=""))
        for fleet in (a, b):
            await fleet._tell()
        for fleet in (a, b):
            view = await fleet.view(span, since - span, NOW)
            assert count(view) == 7
            assert view is not None
            assert len(view.summary.labels) == 1
            assert sum(view.summary.said.values()) == 1
            assert [member.here for member in view.members] == [True, False]
            assert not view.alone
        assert count(await a.view(span, since - span, NOW, one.name)) == 3
        assert count(await a.view(span, since - span, NOW, two.name)) == 4
        assert await a.view(span, since - span, NOW, "0" * 16) is None


async def test_only_what_changed_is_told_again(tmp_path: Path) -> None:
    """A quiet replica says that it is there; a stretch that changed is replaced, not added to."""
    board, clock = FakeBoard(), Clock()
    async with (
        replica(tmp_path, "a", board, clock) as (a, one, _),
        replica(tmp_path, "b", board, clock) as (b, _, _),
    ):
        hits(one, 2, NOW - 100)
        await a._tell()
        told = dict(board.sheets)
        clock.now += 5
        board.posts = 0
        await a._tell()
        changed = {name for name, sheet in board.sheets.items() if sheet != told[name]}
        assert (changed, board.posts) == ({(one.name, "card")}, 1)
        hits(one, 1, NOW - 100, first=20)
        await a._tell()
        assert count(await b.view(MINUTE, int(NOW) - 3600, clock.now)) == 3


async def test_what_the_store_lost_is_told_again(tmp_path: Path) -> None:
    """A Redis that came back empty has all figures after the next telling."""
    board, clock = FakeBoard(), Clock()
    async with (
        replica(tmp_path, "a", board, clock) as (a, one, _),
        replica(tmp_path, "b", board, clock) as (b, _, _),
    ):
        hits(one, 2, NOW - 300)
        await a._tell()
        board.sheets.clear()
        board.list.clear()
        await a._tell()
        assert count(await b.view(MINUTE, int(NOW) - 3600, NOW)) == 2


async def test_a_store_that_fails_costs_the_others_figures_only(tmp_path: Path) -> None:
    """Own figures are shown and said to be alone; faults are counted, and what was not told is
    told later. Another replica's own figures are then a fault."""
    board, clock = FakeBoard(), Clock()
    async with (
        replica(tmp_path, "a", board, clock) as (a, one, faults),
        replica(tmp_path, "b", board, clock) as (b, two, _),
    ):
        await a._tell()
        board.broken = True
        hits(one, 2, NOW - 5)
        await a._guarded()
        assert faults.fleet == 1
        assert "does not answer" in faults.last["fleet"]
        view = await a.view(MINUTE, int(NOW) - 3600, NOW)
        assert (count(view), view is not None and view.alone) == (2, True)
        assert count(await a.view(MINUTE, int(NOW) - 3600, NOW, one.name)) == 2
        assert [member.here for member in await a.reached()] == [True]
        with pytest.raises(StoreError):
            await a.view(MINUTE, int(NOW) - 3600, NOW, two.name)
        board.broken = False
        await a._guarded()
        assert count(await b.view(MINUTE, int(NOW) - 3600, NOW)) == 2


async def test_a_replica_that_is_gone(tmp_path: Path) -> None:
    """Its past counts, marked as heard of long ago; a window after its end leaves it out."""
    board, clock = FakeBoard(), Clock()
    async with replica(tmp_path, "a", board, clock) as (a, one, _):
        hits(one, 2, NOW - 5)
        await a._tell()
        gone = one.name
    async with replica(tmp_path, "b", board, clock) as (b, _, _):
        clock.now += 3600
        view = await b.view(HOUR, int(NOW) - 86_400, clock.now)
        assert count(view) == 2
        assert view is not None
        assert [(member.id, member.at) for member in view.members[1:]] == [(gone, NOW)]
        later = await b.view(MINUTE, int(NOW) + 60, clock.now)
        assert later is not None
        assert (count(later), len(later.members)) == (0, 1)


async def test_a_process_goes_on_under_its_journals_name(tmp_path: Path) -> None:
    """Started again over the same file, a replica counts once."""
    board, clock = FakeBoard(), Clock()
    for start in (1, 10):
        async with replica(tmp_path, "a", board, clock) as (a, one, _):
            hits(one, 2, NOW - 5, first=start)
            await a._tell()
            assert len(await a.members()) == 1
    async with replica(tmp_path, "b", board, clock) as (b, _, _):
        assert count(await b.view(MINUTE, int(NOW) - 3600, NOW)) == 4


async def test_without_a_board_it_is_alone(tmp_path: Path) -> None:
    """A local store has one replica, whose figures are its journal's."""
    async with replica(tmp_path, "a", None, Clock()) as (a, one, faults):
        hits(one, 2, NOW - 5)
        await a._tell()
        assert count(await a.view(MINUTE, int(NOW) - 3600, NOW)) == 2
        assert (len(await a.members()), faults.fleet) == (1, 0)


async def test_a_card_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """As one of a newer release may be."""
    board, clock = FakeBoard(), Clock()
    board.list = {"0" * 16: NOW, "1" * 16: NOW, "2" * 16: NOW}
    board.sheets = {("0" * 16, "card"): (b"\xff", 60.0), ("1" * 16, "card"): (b'{"name":1}', 60.0)}
    async with replica(tmp_path, "a", board, clock) as (a, _, _):
        assert [member.here for member in await a.members()] == [True]


async def test_sheets_leave_when_nobody_asks_for_them_any_more(tmp_path: Path) -> None:
    """Each stays longer than the longest window that is counted by it, and not for ever."""
    board, clock = FakeBoard(), Clock()
    async with replica(tmp_path, "a", board, clock) as (a, one, _):
        hits(one, 1, NOW - 5)
        await a._tell()
    names = ((name.partition(":"), stays) for (_, name), (_, stays) in board.sheets.items())
    stay = {int(span): stays for (span, colon, _), stays in names if colon}
    assert 6 * 3600 < stay[MINUTE] < 86_400
    assert 7 * 86_400 < stay[HOUR] < 30 * 86_400
    assert 30 * 86_400 < stay[QUARTER] < 60 * 86_400


# --- two real proxies


@contextmanager
def apart(
    folder: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[House, House]]:
    """Two proxies on one Redis, each in a folder of its own, with its journal there."""
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
    monkeypatch.setattr(module, "BEAT", 0.1)
    oracle = OracleUpstream()
    for name in ("a", "b"):
        (folder / name).mkdir()
    with uvicorn_of(oracle) as upstream:
        monkeypatch.chdir(folder / "a")
        with serving(folder / "a", upstream, oracle, store={"url": server.url}) as a:
            monkeypatch.chdir(folder / "b")
            with serving(folder / "b", upstream, oracle, store={"url": server.url}) as b:
                yield a, b


def requests(house: House, replica: str = "") -> int:
    told = house.api(f"/api/overview?replica={replica}")
    return int(told["total"]["requests"])


def page(house: House, path: str) -> str:
    answer = house.client.get(
        house.where.admin + path, headers={"authorization": f"Bearer {house.where.token}"}
    )
    return answer.text


@pytest.mark.redis
def test_two_proxies_show_the_fleet(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either's overview has the traffic of both, one's alone on request; health lists both, and
    tells of the other what the other tells of itself. Pages let one choose."""
    with apart(tmp_path, own_redis, monkeypatch) as (a, b):
        for number in range(3):
            a.chat(f"What is {number} plus {number}?", "sk-1")
        for number in range(5):
            b.chat(f"What is {number} times {number}?", "sk-1")
        for house in (a, b):
            until(lambda house=house: requests(house) == 8)
            own, other = house.api("/api/health")["fleet"]
            assert (own["here"], other["here"], own["live"], other["live"]) == (
                True, False, True, True,
            )  # fmt: skip
            shares = (requests(house, own["id"]), requests(house, other["id"]))
            assert shares == ((3, 5) if house is a else (5, 3))
        ids = [one["id"] for one in a.api("/api/health")["fleet"]]
        assert [one["id"] for one in b.api("/api/health")["fleet"]] == ids[::-1]
        theirs = a.api(f"/api/health?replica={ids[1]}")
        assert theirs["replicas"][0]["name"] == b.api("/api/health")["replicas"][0]["name"]
        for path in ("/", "/health", "/categories/default"):
            assert f'<option value="{ids[1]}"' in page(a, path)
        assert "Each replica keeps a log of its own" in page(a, "/decisions")
        for path in ("/api/overview", "/api/health", "/api/categories/default/similarities"):
            with pytest.raises(httpx.HTTPStatusError, match="404"):
                a.api(f"{path}?replica={'0' * 16}")
        similar = a.api("/api/categories/default/similarities")["requests"]
        assert similar == sum(
            a.api(f"/api/categories/default/similarities?replica={id_}")["requests"] for id_ in ids
        )
        text = a.api("/metrics")
        assert "likewise_fleet_faults_total 0.0" in text


@pytest.mark.redis
def test_a_stopped_proxy_is_marked_and_its_past_counts(
    tmp_path: Path, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it answered last it told as it ended; soon it counts as gone."""
    monkeypatch.setattr("index.stores.redis.READ_SECONDS", 5.0)
    monkeypatch.setattr(module, "BEAT", 0.1)
    monkeypatch.setattr("proxy.console.SILENT", 1.0)
    oracle, store = OracleUpstream(), {"url": own_redis.url}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with uvicorn_of(oracle) as upstream:
        monkeypatch.chdir(tmp_path / "a")
        with serving(tmp_path / "a", upstream, oracle, store=store) as a:
            a.chat("Why is the sky blue?", "sk-1")
        monkeypatch.chdir(tmp_path / "b")
        with serving(tmp_path / "b", upstream, oracle, store=store) as b:
            until(lambda: [one["live"] for one in b.api("/api/health")["fleet"]] == [True, False])
            assert requests(b) == 1
            assert "(gone)" in page(b, "/")


def test_a_local_store_has_no_chooser(tmp_path: Path) -> None:
    """With SQLite nothing asks whose figures are meant."""
    oracle = OracleUpstream()
    with uvicorn_of(oracle) as upstream, serving(tmp_path, upstream, oracle) as house:
        house.chat("Why is the sky blue?", "sk-1")
        assert len(house.api("/api/overview")["replicas"]) == 1
        for path in ("/", "/health", "/categories/default", "/decisions"):
            html = page(house, path)
            assert 'name="replica"' not in html
            assert "Each replica keeps" not in html
