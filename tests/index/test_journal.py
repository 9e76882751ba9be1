"""Decisions are kept in order, counted rightly, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from index import journal as module
from index.errors import NoRoomError, StoreError
from index.journal import Journal, Verdict
from index.rollups import HOUR, MINUTE
from policies.record import Comparison, Decision, Filter, wordless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]


def decision(id_: int, **changes: object) -> Decision:
    plain = Decision(
        id=id_,
        at=1000.0 + id_,
        outcome="miss",
        reason="empty",
        category="default",
        dialect="chat",
        upstream="openai",
        model="m",
        owner="o",
        stream=False,
        status=200,
        similarity=None,
        cut=0.9,
        propensity=None,
        entry="e",
        neighbour="",
        would="",
        seen="",
        kept="stored",
        turns=0,
        prompt="What?",
        matched="",
        ms=float(id_),
        ms_embed=0.0,
        ms_search=0.0,
        ms_upstream=0.0,
        tokens_in=3,
        tokens_out=5,
    )
    return plain._replace(**changes)


def comparison(id_: int, **changes: object) -> Comparison:
    plain = Comparison(
        id=id_, at=1.0, category="faq", entry="e", neighbour="n", similarity=0.9, risk=0.01,
        propensity=1.0, would=False, vetoed=True, same=True, judge="judge: text",
    )  # fmt: skip
    return plain._replace(**changes)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = Journal.open(tmp_path / "journal.db")
    yield journal
    await journal.close()


def rows(journal: Journal) -> list[int]:
    with sqlite3.connect(journal.path) as db:
        found = [row[0] for row in db.execute("SELECT id FROM decisions ORDER BY id")]
    db.close()
    return found


async def test_a_disk_without_room_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions wait in RAM for a file that cannot be made, and can be looked at there; with room
    they are written beside those of an earlier process, and everything can be asked again."""
    earlier = Journal.open(tmp_path / "journal.db")
    earlier.record(decision(1))
    await earlier.close()
    with monkeypatch.context() as full:
        full.setattr("index.database.connect", no_room)
        journal = Journal.open(tmp_path / "journal.db")
        journal.record(decision(2))
        await journal.flush()
        assert "free some space" in journal.missing
        assert journal.faults >= 1
        assert [row.id for row in await journal.recent(10)] == [2]
        for asked in (journal.labels(5), journal.rule(Verdict(2, 1.0, True, "e", ""))):
            with pytest.raises(NoRoomError, match="free some space"):
                await asked
    await journal.flush()
    assert journal.missing == ""
    assert [row.id for row in await journal.recent(10)] == [2, 1]
    assert (await journal.rule(Verdict(2, 1.0, True, "e", ""))).good
    await journal.close()
    assert rows(journal) == [1, 2]


async def test_a_journal_that_never_had_room_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a file there is nothing to close, and no empty one is left behind."""
    monkeypatch.setattr("index.database.connect", no_room)
    journal = Journal.open(tmp_path / "journal.db")
    journal.record(decision(1))
    await journal.close()
    assert not (tmp_path / "journal.db").exists()


def no_room(path: Path, _layout: object) -> sqlite3.Connection:
    raise NoRoomError(f"journal {path}: database or disk is full; free some space")


async def test_every_field_comes_back(journal: Journal) -> None:
    """A decision read from disk equals the one recorded, types included."""
    full = Decision(
        (1 << 62) + 7, 1.5, "hit", "semantic", "faq", "responses", "up", "mödel", "ow", True, 201,
        0.97, 0.9, 0.2, "en", "ne", "wo", "se\x00en", "status", 4, "日本 🙂\n", "ma", 1.25, 2.5,
        3.75, 4.125, 17, 19, 0.01, True, '{"refused":[]}', "req_1",
    )  # fmt: skip
    journal.record(full)
    assert await journal.get(full.id) == full
    back = await journal.get(full.id)
    assert back is not None
    assert [type(value) for value in back] == [type(value) for value in full]
    assert await journal.get(1) is None


async def test_columns_are_the_records_fields(journal: Journal) -> None:
    """A field added to Decision needs a migration here."""
    with sqlite3.connect(journal.path) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(decisions)")]
    db.close()
    assert tuple(names) == module.COLUMNS
    assert module.COLUMNS[: len(Decision._fields)] == Decision._fields


async def test_recent_is_newest_first(journal: Journal) -> None:
    """With a limit, and page by page through `before`, from memory and from disk alike."""
    for number in range(2500):
        journal.record(decision(number))
    assert [d.id for d in await journal.recent(3)] == [2499, 2498, 2497]
    pages, before = [], None
    while page := await journal.recent(400, before):
        pages += [d.id for d in page]
        before = page[-1].id
    assert pages == list(range(2499, -1, -1))
    assert await journal.recent(0) == []


async def test_recent_of_requests_that_ended_out_of_order(journal: Journal) -> None:
    """A long request is recorded after younger ones, and still stands where its id says."""
    for number in range(1, 1501):
        journal.record(decision(number + 10))
    journal.record(decision(5))
    for number in range(1511, 2000):
        journal.record(decision(number))
    expected = [*range(1999, 10, -1), 5]
    pages, before = [], None
    while page := await journal.recent(300, before):
        pages += [d.id for d in page]
        before = page[-1].id
    assert pages == expected


async def test_a_new_process_sees_the_old_decisions(tmp_path: Path) -> None:
    """What was recorded before closing is listed after opening, before and beside newer ones."""
    first = Journal.open(tmp_path / "journal.db")
    for number in range(10):
        first.record(decision(number))
    await first.close()
    second = Journal.open(tmp_path / "journal.db")
    assert [d.id for d in await second.recent(2)] == [9, 8]
    second.record(decision(10))
    assert [d.id for d in await second.recent(3)] == [10, 9, 8]
    await second.close()


async def test_a_repeated_id_keeps_the_first(journal: Journal) -> None:
    """The journal is only ever added to."""
    journal.record(decision(1, prompt="first"))
    journal.record(decision(1, prompt="second"))
    found = await journal.get(1)
    assert found is not None
    assert found.prompt == "first"
    assert journal.dropped == 0


async def test_the_oldest_rows_go(tmp_path: Path) -> None:
    """The file holds the newest `keep` rows, also when it is opened with a smaller number."""
    journal = Journal.open(tmp_path / "journal.db", keep=3000)
    for number in range(5000):
        journal.record(decision(number))
    await journal.flush()
    assert rows(journal) == list(range(2000, 5000))
    await journal.close()
    journal = Journal.open(tmp_path / "journal.db", keep=10)
    journal.record(decision(5000))
    await journal.flush()
    assert rows(journal) == list(range(4991, 5001))
    await journal.close()


async def test_a_queue_that_runs_over_drops_the_oldest(tmp_path: Path) -> None:
    """While the disk is busy the newest stay, and what is lost is counted."""
    journal = Journal.open(tmp_path / "journal.db", queue=50)
    with journal._writing:
        for number in range(80):
            journal.record(decision(number))
    await journal.flush()
    assert journal.dropped == 30
    assert rows(journal) == list(range(30, 80))
    await journal.close()


async def test_a_full_disk_is_counted_and_made_up_for(journal: Journal) -> None:
    """Nothing is raised; with room again what was queued is written."""
    journal.record(decision(1))
    await journal.flush()
    with journal._writing:
        journal._writer.execute("PRAGMA max_page_count = 1")
    for number in range(2, 3000):
        journal.record(decision(number, prompt="x" * 100))
    await journal.flush()
    assert journal.faults >= 1
    assert [d.id for d in await journal.recent(1)] == [2999]
    with journal._writing:
        journal._writer.execute("PRAGMA max_page_count = 1000000")
    await journal.flush()
    assert rows(journal) == list(range(1, 3000))
    assert journal.dropped == 0


async def test_a_full_disk_and_a_full_queue(tmp_path: Path) -> None:
    """Together they lose the oldest, and say how many."""
    journal = Journal.open(tmp_path / "journal.db", queue=1500)
    await journal.flush()
    with journal._writing:
        journal._writer.execute("PRAGMA query_only = ON")
    for number in range(2000):
        journal.record(decision(number))
        if number % 500 == 0:
            await journal.flush()
    await journal.flush()
    with journal._writing:
        journal._writer.execute("PRAGMA query_only = OFF")
    await journal.flush()
    assert journal.dropped == 500
    assert rows(journal) == list(range(500, 2000))
    await journal.close()


@pytest.mark.parametrize(
    "change", [{"prompt": "\ud800"}, {"tokens_in": 1 << 70}, {"ms": float("nan")}], ids=str
)
async def test_a_row_that_no_column_takes(journal: Journal, change: dict[str, object]) -> None:
    """It is dropped and counted; its neighbours are kept."""
    for number in range(5):
        journal.record(decision(number, **(change if number == 2 else {})))
    await journal.flush()
    assert rows(journal) == [0, 1, 3, 4]
    assert (journal.dropped, journal.faults) == (1, 0)


async def test_an_upgrade_keeps_old_decisions(tmp_path: Path) -> None:
    """A file of the first release gains what came since; its rows stay, of unknown risk."""
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as db:
        for statement in module.LAYOUT.steps[0]:
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {module.LAYOUT.mark}")
        db.execute("PRAGMA user_version = 1")
        row = decision(5)[: Decision._fields.index("risk")]
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO decisions VALUES ({marks})", row)  # noqa: S608 - marks
    db.close()
    journal = Journal.open(path)
    assert await journal.get(5) == decision(5)._replace(risk=None)
    journal.record(decision(6))
    assert [r.sums.count for r in await journal.rollups(MINUTE, 0.0)] == [2]
    await journal.rule(Verdict(5, 1.0, good=True, entry="e", note=""))
    await journal.compared([comparison(5)])
    assert await journal.labels(10) == [comparison(5)]
    await journal.close()


async def test_whoever_listens_hears_each_decision(journal: Journal) -> None:
    """At once, in order, several of them, each until it has had enough."""
    heard: list[Decision] = []
    also: list[Decision] = []
    end = journal.listen(heard.append)
    journal.listen(also.append)
    for number in (1, 2):
        journal.record(decision(number))
    end()
    end()
    journal.record(decision(3))
    assert heard == [decision(1), decision(2)]
    assert also == [decision(1), decision(2), decision(3)]


async def test_a_decision_is_found_by_its_id(journal: Journal) -> None:
    """Just recorded, or long on disk only; an unknown one is None."""
    for number in range(1, module.RING + 10):
        journal.record(decision(number))
    assert await journal.get(module.RING + 9) == decision(module.RING + 9)
    assert await journal.get(1) == decision(1)
    assert await journal.get(module.RING + 10) is None


async def test_the_first_verdict_stands(journal: Journal) -> None:
    """A second one on the same request changes nothing and is told what stands."""
    first = Verdict(7, 1.0, good=False, entry="e", note="wrong \x00 ü")
    assert await journal.ruled(7) is None
    assert await journal.rule(first) == first
    assert await journal.rule(first._replace(good=True, note="")) == first
    assert await journal.ruled(7) == first
    later = Verdict(3, 2.0, good=True, entry="", note="")
    await journal.rule(later)
    assert await journal.verdicts(10) == [later, first]
    assert await journal.verdicts(1) == [later]


async def test_verdicts_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requests that are longest ago go first."""
    monkeypatch.setattr(module, "VERDICTS", 3)
    for number in range(1, 6):
        await journal.rule(Verdict(number, float(number), good=True, entry="", note=""))
    assert sorted(v.id for v in await journal.verdicts(10)) == [3, 4, 5]


async def test_a_verdict_that_cannot_be_kept(journal: Journal) -> None:
    """Text that is none, and a closed file, are faults of the store."""
    with pytest.raises(StoreError):
        await journal.rule(Verdict(1, 1.0, good=True, entry="", note="\ud800"))
    await journal.close()
    with pytest.raises(StoreError):
        await journal.rule(Verdict(1, 1.0, good=True, entry="", note=""))


async def test_sums_by_minute_and_hour(journal: Journal) -> None:
    """Counts, milliseconds and tokens of what is alike, from one time on."""
    journal.record(decision(1, at=7200.0, ms=8.0))
    await journal.flush()
    journal.record(decision(2, at=7230.0, ms=4.0, similarity=0.93))
    journal.record(decision(3, at=7290.0, outcome="hit", reason="exact", tokens_out=7))
    minutes = {(r.key.at, r.key.reason): r.sums for r in await journal.rollups(MINUTE, 0.0)}
    assert set(minutes) == {(7200, "empty"), (7260, "exact")}
    alike = minutes[7200, "empty"]
    assert (alike.count, alike.ms, alike.tokens_in, alike.tokens_out) == (2, 12.0, 6, 10)
    assert alike.near == {186: 1}
    hours = {(r.key.at, r.key.reason): r.sums for r in await journal.rollups(HOUR, 0.0)}
    assert {key: sums.count for key, sums in hours.items()} == {
        (7200, "empty"): 2,
        (7200, "exact"): 1,
    }
    assert [r.key.at for r in await journal.rollups(MINUTE, 7201.0)] == [7260]


async def test_sums_outlive_the_process(tmp_path: Path) -> None:
    """And go on where they were."""
    for number in (1, 2):
        journal = Journal.open(tmp_path / "journal.db")
        journal.record(decision(number, at=60.0))
        await journal.close()
    journal = Journal.open(tmp_path / "journal.db")
    assert [r.sums.count for r in await journal.rollups(MINUTE, 0.0)] == [2]
    await journal.close()


async def test_sums_outlive_their_decisions(tmp_path: Path) -> None:
    """Rows are trimmed, what they add up to is not."""
    journal = Journal.open(tmp_path / "journal.db", keep=10)
    for number in range(50):
        journal.record(decision(number, at=60.0))
    await journal.flush()
    assert len(rows(journal)) == 10
    assert [r.sums.count for r in await journal.rollups(MINUTE, 0.0)] == [50]
    await journal.close()


async def test_sums_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(module.rollups, "KEPT", {MINUTE: 3})
    monkeypatch.setattr(module, "SUMS", 1)
    for number in range(5):
        journal.record(decision(number, at=number * 60.0))
        await journal.flush()
    assert [r.key.at for r in await journal.rollups(MINUTE, 0.0)] == [120, 180, 240]


async def test_a_batch_that_the_disk_refuses_is_not_summed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums and rows are one transaction: tried again, they count once."""
    journal.record(decision(1, at=60.0))
    with monkeypatch.context() as patch:
        patch.setattr(module.rollups, "add", _refuse)
        await journal.flush()
    assert rows(journal) == []
    assert [r.sums.count for r in await journal.rollups(MINUTE, 0.0)] == [1]
    assert (rows(journal), journal.faults) == ([1], 1)


def _refuse(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


async def test_what_was_recorded_since(journal: Journal) -> None:
    """In the order of recording, which is not that of ids; None where it is too long ago."""
    for number in (3, 1, 2):
        journal.record(decision(number))
    assert [row.id for row in journal.since(3) or ()] == [1, 2]
    assert journal.since(2) == []
    assert journal.since(9) is None
    for number in range(10, 10 + module.RING):
        journal.record(decision(number))
    assert journal.since(3) is None


async def test_verdicts_are_counted(journal: Journal) -> None:
    """Good and bad, from one time on."""
    for number, good in ((1, True), (2, False), (3, False)):
        await journal.rule(Verdict(number, float(number), good=good, entry="", note=""))
    await journal.rule(Verdict(4, 61.0, good=False, entry="", note=""))
    assert dict(await journal.said(MINUTE, 2.0)) == {(0, False): 2, (60, False): 1}
    assert dict(await journal.said(HOUR, 0.0)) == {(0, True): 1, (0, False): 3}


async def test_what_changed_since_it_was_asked(journal: Journal) -> None:
    """The minutes of new decisions, comparisons and verdicts, each once."""
    assert await journal.changed() == set()
    journal.record(decision(1, at=125.0))
    await journal.compared([comparison(1, at=61.0)])
    await journal.rule(Verdict(2, 3.0, good=True, entry="", note=""))
    assert await journal.changed() == {0, 60, 120}
    assert await journal.changed() == set()


async def test_a_summary_is_all_that_adds_up(journal: Journal) -> None:
    """Sums, comparisons and verdicts from one time on."""
    for at in (30.0, 70.0):
        journal.record(decision(int(at), at=at))
        await journal.compared([comparison(int(at), at=at)])
        await journal.rule(Verdict(int(at), at, good=True, entry="", note=""))
    summary = await journal.summary(MINUTE, 60.0)
    assert [(key.at, sums.count) for key, sums in summary.rollups] == [(60, 1)]
    assert [label.id for label in summary.labels] == [70]
    assert dict(summary.said) == {(60, True): 1}


async def test_a_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    """The same whenever it is opened, and another file has another."""
    names = []
    for file in ("a.db", "b.db", "a.db"):
        journal = Journal.open(tmp_path / file)
        names.append(journal.name)
        await journal.close()
    assert names[0] == names[2] != names[1]
    assert all(len(name) == 16 for name in names)


async def test_labels_of_a_time_and_of_a_request(journal: Journal) -> None:
    """Those at or after a time, and all of one request."""
    made = [comparison(1, at=1.0), comparison(2, at=2.0), comparison(1, at=3.0, entry="f")]
    await journal.compared(made)
    assert await journal.labels(10, since=2.0) == [made[2], made[1]]
    assert await journal.labelled(1) == [made[0], made[2]]
    assert await journal.labelled(7) == []


async def test_a_question_that_takes_too_long(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ended with advice, and the next one is answered."""
    for number in range(20_000):
        journal.record(decision(number))
    await journal.flush()
    monkeypatch.setattr(module, "QUERY_SECONDS", -1.0)
    with pytest.raises(StoreError, match="ask about a shorter time"):
        await journal.recent(20_000, before=19_000)
    monkeypatch.setattr(module, "QUERY_SECONDS", 60.0)
    assert len(await journal.recent(20_000, before=19_000)) == 19_000


async def test_questions_and_records_at_once(journal: Journal) -> None:
    """Many questions while decisions arrive: nothing is lost and nothing is raised."""

    async def ask() -> None:
        for _ in range(20):
            await journal.recent(5, before=3)
            await journal.rollups(MINUTE, 0.0)

    async def tell() -> None:
        for number in range(2000):
            journal.record(decision(number))
            if number % 50 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(ask(), ask(), ask(), tell())
    await journal.flush()
    assert rows(journal) == list(range(2000))


async def test_after_close(tmp_path: Path) -> None:
    """Recording late and closing twice are harmless."""
    journal = Journal.open(tmp_path / "journal.db")
    journal.record(decision(1))
    await journal.close()
    await journal.close()
    journal.record(decision(2))
    assert rows(journal) == [1]


def test_a_place_that_cannot_be_had(tmp_path: Path) -> None:
    """Said when opening, with the next step."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"journal .*; make the directory writable"):
        Journal.open(tmp_path / "file" / "journal.db")


async def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    """What was flushed before SIGKILL is there afterwards."""
    path = tmp_path / "journal.db"
    child = textwrap.dedent("""
        import asyncio, sys, time
        from pathlib import Path
        from index.journal import Journal
        from tests.index.test_journal import decision

        async def main():
            journal = Journal.open(Path(sys.argv[1]))
            for number in range(1234):
                journal.record(decision(number))
            await journal.flush()
            print("flushed", flush=True)
            for number in range(1234, 1000000):
                journal.record(decision(number))

        asyncio.run(main())
    """)
    process = subprocess.Popen(  # noqa: ASYNC220 - this loop has nothing else to do
        [sys.executable, "-c", child, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    journal = Journal.open(path)
    assert rows(journal)[:1234] == list(range(1234))
    await journal.close()


async def test_labels_come_back_newest_first(journal: Journal) -> None:
    """Every field as it was, types included; one request may have several."""
    first, second = comparison(7, risk=None, same=False), comparison(7, would=True, vetoed=False)
    await journal.compared([first])
    await journal.compared([second])
    read = await journal.labels(10)
    assert read == [second, first]
    assert [type(value) for value in read[0]] == [type(value) for value in second]
    assert await journal.labels(1) == [second]


async def test_labels_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go."""
    monkeypatch.setattr(module, "VERDICTS", 3)
    await journal.compared([comparison(number) for number in range(5)])
    assert [row.id for row in await journal.labels(10)] == [4, 3, 2]


async def test_a_label_that_no_column_takes(journal: Journal) -> None:
    """All of its batch are refused together, and the journal goes on."""
    with pytest.raises(StoreError):
        await journal.compared([comparison(1), comparison(2, judge="\ud800")])
    assert await journal.labels(10) == []
    await journal.compared([comparison(3)])
    assert await journal.labels(10) == [comparison(3)]


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_journal_without_texts(tmp_path: Path) -> None:
    """What callers said is at hand for the newest, and in no file; counts and all else stay."""
    journal = Journal.open(tmp_path / "journal.db", texts=False)
    said = decision(1, prompt="zqprompt", matched="zqmatched", seen="zqseen", evidence='["zqev"]')
    journal.record(said)
    await journal.rule(Verdict(1, 5.0, good=False, entry="e", note="zqnote"))
    assert (await journal.sift(Filter(), 10)).rows == [said]
    assert await journal.recent(10) == [said]
    await journal.close()
    assert b"zq" not in written(tmp_path)
    again = Journal.open(tmp_path / "journal.db", texts=False)
    assert await again.get(1) == wordless(said)
    ruled = await again.ruled(1)
    assert ruled is not None
    assert (ruled.good, ruled.note) == (False, "")
    await again.close()
