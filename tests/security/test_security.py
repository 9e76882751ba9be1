"""A short version of every attack, and proof that each would see what it looks for.

The timing test compares two samples that were drawn side by side, so what else the machine does
tells nothing; under the null it fails once in a thousand runs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson
import pytest

from proxy.demo.oracle import prove, tenant
from tests.chaos.parties import Absent
from tests.proxy.house import body
from tests.security import canaries, smuggling, tenants, timing
from tests.security.__main__ import CHECKS, play
from tests.security.finding import Finding, Scale

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Scale(runs=1, samples=40, tenants=6, prompts=24, kills=1, canaries=210, inputs=120, fuzz=1)


@pytest.mark.parametrize("name", CHECKS)
def test_every_wall_holds(name: str) -> None:
    """No answer, no time, no word and no request gets where it should not."""
    try:
        found = play(CHECKS[name], SHORT)
    except Absent as absent:
        pytest.skip(str(absent))
    assert [finding for finding in found if not finding.holds] == []


# -- each attack sees what it looks for ----------------------------------------------------------


def test_a_count_of_nothing_holds_nothing() -> None:
    """A check that came to no sample at all has not shown anything."""
    assert not Finding.none_of("x", 0, 0).holds
    assert not Finding.none_of("x", 10, 1).holds
    assert Finding.none_of("x", 10, 0).holds


@pytest.mark.parametrize(
    ("key", "prompt", "foreign", "wrong"),
    [("sk-a", "one", 0, 0), ("sk-c", "one", 0, 0), ("sk-b", "one", 1, 0), ("sk-a", "two", 0, 1)],
    ids=["own", "peer", "foreign", "other question"],
)
def test_a_foreign_answer_is_seen(key: str, prompt: str, foreign: int, wrong: int) -> None:
    """Keys of the same tenant may share; another tenant's answer and another question's may not."""
    asked = tenants.Question("sk-a", ["sk-a", "sk-c"], "one", ["one", "uno"], stream=False)
    tally = tenants.Tally()
    tenants._judge(asked, prove(tenant(key), body(prompt), 1), "hit", tally)
    assert (len(tally.foreign), len(tally.wrong)) == (foreign, wrong)


def test_a_stream_that_is_not_complete_is_no_answer() -> None:
    """It is asked for again instead of being judged."""
    chunk = orjson.dumps({"choices": [{"delta": {"content": "a"}}]})
    assert tenants.said(b"data: %b\n\ndata: [DONE]\n\n" % chunk, stream=True) == "a"
    with pytest.raises(ValueError, match="complete"):
        tenants.said(b"data: %b\n\n" % chunk, stream=True)


def test_questions_repeat_within_and_across_tenants() -> None:
    """As many as were ordered, each tenant the same ones, some twice."""
    every = tenants.questions(SHORT, shared=True)
    assert len(every) == SHORT.tenants * SHORT.prompts
    by_tenant: dict[tuple[str, ...], list[str]] = {}
    for one in every:
        by_tenant.setdefault(tuple(one.keys), []).append(one.prompt)
    assert len({tuple(sorted(prompts)) for prompts in by_tenant.values()}) == 1
    assert len(set(next(iter(by_tenant.values())))) == SHORT.prompts // tenants.REPEATS


def test_times_that_differ_are_told_apart() -> None:
    """Three tenths of a millisecond among a millisecond of noise show in 2,500 samples."""
    dice = random.Random(1)  # noqa: S311 - repeatable
    noise = [dice.gauss(5, 1) for _ in range(5_000)]
    half = noise[:2_500], noise[2_500:]
    assert timing.p_value(half) > timing.UNSEEN
    assert timing.p_value((half[0], [t + 0.3 for t in half[1]])) < timing.SEEN


@pytest.mark.parametrize(
    "written",
    [
        b"..." + canaries.KEY.encode() + b"7",
        b"aWY" + b"=",
        canaries.KEY.encode().hex().encode(),
        canaries.KEY.encode("utf-16-le"),
    ],
    ids=["plain", "nothing", "hex", "utf-16"],
)
def test_a_word_is_found_in_any_file(tmp_path: Path, written: bytes) -> None:
    """As it is or coded, in a file of any name but those that may hold it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "some.log").write_bytes(written)
    (tmp_path / "likewise.db-wal").write_bytes(canaries.KEY.encode())
    found = canaries.written(tmp_path, {canaries.KEY: ("likewise.db",)})
    assert found == ([] if written == b"aWY=" else [f"{canaries.KEY} in some.log"])
    everywhere = canaries.written(tmp_path, {canaries.KEY: ()})
    assert f"{canaries.KEY} in likewise.db-wal" in everywhere


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_word_is_found_inside_base64(tmp_path: Path, shift: int) -> None:
    """Wherever in a coded text it begins."""
    coded = canaries.base64.b64encode(b"y" * shift + canaries.KEY.encode() + b"123456")
    (tmp_path / "f").write_bytes(coded)
    assert canaries.written(tmp_path, {canaries.KEY: ()}) == [f"{canaries.KEY} in f"]


@pytest.mark.parametrize(
    ("received", "seen", "bad"),
    [
        (b"HTTP/1.1 200 OK\r\nx-number: 4\r\n\r\nok", [b"POST /v1/files HTTP/1.1"], False),
        (b"HTTP/1.1 400 Bad\r\n\r\n", [], False),
        (b"HTTP/1.1 200 OK\r\n\r\n", [b"POST /v1/files HTTP/1.1"], True),
        (b"x-number: 5\r\nx-number: 4\r\n", [b"POST / HTTP/1.1"] * 2, True),
        (b"x-number: 4\r\n", [b"GET /v1/hidden HTTP/1.1\nhost: a"], True),
    ],
    ids=["answered", "refused", "unanswered", "out of order", "hidden"],
)
def test_a_difference_is_seen(received: bytes, seen: list[bytes], *, bad: bool) -> None:
    """More or fewer answers than requests, another order, or the path nobody asks for."""
    assert smuggling.desynchronised(received, seen, before=3) is bad


@pytest.mark.parametrize(
    ("held", "rest"),
    [
        (b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET", b"GET"),
        (b"GET /a HTTP/1.1\nHost: a\n\nGET", b"GET"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET", b"GET"),
        (b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET", b"GET"),
        (b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", None),
        (b"POST /a HTTP/1.1\r\n", None),
    ],
    ids=["none", "line feeds", "length", "chunks", "too short", "no end"],
)
def test_the_lenient_upstream_reads_requests(held: bytes, rest: bytes | None) -> None:
    """Each with its body, and no more."""
    taken = smuggling._request(held)
    assert (taken and taken[1]) == rest
