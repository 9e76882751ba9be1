"""The access log: what a line tells, what it never tells, and that no request waits for it."""

from __future__ import annotations

import errno
import json
import os
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from index.errors import SetupError
from proxy.accesslog import AccessLog
from proxy.visits import Visit
from tests.proxy.house import MODEL, body, until, with_oracle

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-canary-of-the-key"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"


def visit(path: str = "/v1/models", status: int = 200) -> Visit:
    made = Visit({"method": "GET", "path": path, "headers": []})
    made.status, made.complete = status, True
    return made


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_a_line_tells_what_became_of_its_request(tmp_path: Path) -> None:
    """A miss, hits of each kind, what is passed on and what is refused; health checks are no
    requests. No word of a prompt or an answer, no key and no query."""
    log = tmp_path / "access.log"
    with with_oracle(tmp_path, server={"access_log": str(log)}) as house:
        answers = [
            house.chat(SKY, KEY),
            house.chat(SKY, KEY),
            house.chat(SKY, KEY),
            house.chat(SKY_AGAIN, KEY, stream=True),
            house.chat(SKY, KEY, {"cache-control": "no-store"}, stream=True),
            house.post(b"{", KEY),
        ]
        where = house.where.data
        headers = {"authorization": f"Bearer {KEY}"}
        house.client.get(f"{where}/readyz")
        house.client.get(f"{where}/v1/models?key=canary-of-the-query", headers=headers)
        written: list[dict[str, Any]] = until(lambda: (w := lines(log)) and len(w) > 6 and w)
        owner = house.decision(answers[0])["owner"]
        assert 'likewise_errors_total{code="invalid_json"} 1.0' in house.api("/metrics")
    told = [(one["outcome"], one.get("match"), one.get("reason")) for one in written]
    assert told == [
        ("miss", None, "empty"),
        ("hit", "exact", "exact"),
        ("hit", "exact", "exact"),
        ("hit", "semantic", "semantic"),
        ("bypass", None, "no-store"),
        ("refused", None, None),
        ("passed", None, None),
    ]
    first = written[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
    expected = {
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "category": "default",
        "api": "chat",
        "model": MODEL,
        "key": owner,
        "stream": False,
        "upstream": "oracle",
        "stored": "stored",
        "complete": True,
    }
    assert {key: first[key] for key in expected} == expected
    for line, answer in zip(written, answers[:5], strict=False):
        assert line["request"] == answer.headers["x-likewise-request"]
        assert line["bytes"] == len(answer.content)
    assert first["ms"] >= first["ms_upstream"] > 0
    assert written[3]["stream"] is True
    assert "upstream" not in written[1]
    assert (written[5]["status"], written[5]["error"]) == (400, "invalid_json")
    assert (written[6]["upstream"], written[6]["key"]) == ("oracle", owner)
    assert written[6]["path"] == "/v1/models"
    text = log.read_text().lower()
    assert all(word not in text for word in ("canary", "sky", "blue", "sk-"))
    assert answers[0].json()["choices"][0]["message"]["content"].lower() not in text


def test_a_client_that_leaves_is_seen(tmp_path: Path) -> None:
    """Without an answer it is a 499, as nginx says it; with half of one it is not complete."""
    log = tmp_path / "access.log"
    with with_oracle(tmp_path, server={"access_log": str(log)}) as house:
        with pytest.raises(httpx.ReadTimeout):
            house.client.post(
                f"{house.where.data}/v1/chat/completions",
                json=body(SKY),
                headers={"authorization": f"Bearer {KEY}", "x-oracle-mode": "slow:1"},
                timeout=0.3,
            )
        written = until(lambda: lines(log))
    assert [(one["status"], one["complete"], one["bytes"]) for one in written] == [(499, False, 0)]


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    """Callers get their answers; the lines are counted where operators see it."""
    with with_oracle(tmp_path, server={"access_log": "/dev/full"}) as house:
        assert [house.chat(SKY, KEY).status_code for _ in range(3)] == [200, 200, 200]
        until(lambda: "likewise_access_log_dropped_total 3.0" in house.api("/metrics"))


def test_without_a_place_there_is_no_log(tmp_path: Path) -> None:
    """Nothing is written, and nothing speaks of it."""
    with with_oracle(tmp_path) as house:
        house.chat(SKY, KEY)
        assert "access_log" not in house.api("/metrics")


def test_a_slow_reader_holds_nobody_up(tmp_path: Path) -> None:
    """What does not fit is dropped and counted, and the end does not wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(pipe), most=50)
    for _ in range(5_000):
        log.end(visit())
    assert log.dropped > 0
    log.close(patience=0.05)
    os.close(reader)


def test_a_pipe_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    """Opening it would wait for a reader, and the start with it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SetupError, match=r"server\.access_log: .*pipe cannot be written"):
        AccessLog(str(tmp_path / "pipe"))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A mistyped folder shows at the start, not at the first request."""
    with pytest.raises(SetupError, match=r"server\.access_log: .*No such file.*name another file"):
        AccessLog(str(tmp_path / "gone" / "access.log"))


def test_a_disk_without_room_is_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is opened once there is room, tried once a second at most."""
    real, now, tries = os.open, [0.0], [0]

    def full(path: str, flags: int, mode: int = 0o777) -> int:
        tries[0] += 1
        if now[0] < 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, flags, mode)

    monkeypatch.setattr("proxy.accesslog.os.open", full)
    file = tmp_path / "access.log"
    log = AccessLog(str(file), monotonic=lambda: now[0])
    for count in range(1, 4):
        log.end(visit())
        until(lambda count=count: log.dropped == count)
    assert tries[0] == 2
    now[0] = 2.0
    log.end(visit("/v1/files"))
    log.close()
    assert [one["path"] for one in lines(file)] == ["/v1/files"]


def test_a_file_that_was_moved_is_let_go(tmp_path: Path) -> None:
    """What was ended before goes to the old one, what comes after to a new one of that name."""
    file, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(file))
    log.end(visit("/one"))
    until(file.read_bytes)
    file.rename(old)
    log.end(visit("/two"))
    log.reopen()
    until(file.exists)
    log.end(visit("/three"))
    log.close()
    assert [one["path"] for one in lines(old)] == ["/one", "/two"]
    assert [one["path"] for one in lines(file)] == ["/three"]
    assert file.stat().st_mode & 0o007 == 0


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Where containers are read; the log of faults stays on standard error."""
    log = AccessLog("-")
    log.end(visit("/v1/models"))
    log.reopen()
    log.end(visit("/v1/files"))
    log.close()
    out, err = capfd.readouterr()
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["/v1/models", "/v1/files"]
    assert err == ""


@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param('/a"b\nc', '/a"b\nc', id="quotes-and-lines"),
        pytest.param("/" + "x" * 5_000, "/" + "x" * 199, id="long"),
        pytest.param("/\ud800", "/?", id="surrogate"),
    ],
)
def test_no_path_can_forge_a_line(tmp_path: Path, path: str, told: str) -> None:
    """Whatever callers ask for, it is one line of valid JSON."""
    log = AccessLog(str(tmp_path / "access.log"))
    log.end(visit(path))
    log.close()
    assert [one["path"] for one in lines(tmp_path / "access.log")] == [told]
