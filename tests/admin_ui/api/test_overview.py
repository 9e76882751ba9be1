from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from admin_ui.facts import Overview, Replica, Tally

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_overview(program: TestClient, console: FakeConsole) -> None:
    """The figures come as the console gave them, for the asked window."""
    total = Tally(requests=4, exact=1, missed=3, hit_p50_ms=2.5)
    console.facts = Overview(900.0, total, {"code": total}, {"exact": 1}, entries=7)
    answer = program.get("/api/overview?seconds=900").json()
    assert console.asked == [900.0]
    assert answer["total"]["requests"] == 4
    assert answer["total"]["hit_p50_ms"] == 2.5
    assert answer["total"]["miss_p50_ms"] is None
    assert answer["categories"]["code"]["exact"] == 1
    assert answer["reasons"] == {"exact": 1}
    assert answer["entries"] == 7


@pytest.mark.parametrize("path", ["overview", "health", "categories/code/similarities"])
def test_one_replica(program: TestClient, console: FakeConsole, path: str) -> None:
    """By its id; an unknown one is not found, and what is no id is refused."""
    console.fleet = [Replica("1" * 16, "web-1", True, 5.0, True)]
    assert program.get(f"/api/{path}?replica={'1' * 16}").status_code == 200
    assert program.get(f"/api/{path}?replica={'2' * 16}").status_code == 404
    assert program.get(f"/api/{path}?replica=web-1").status_code == 422


@pytest.mark.parametrize("seconds", ["0", "-5", "x", "nan", "1e12", "inf"])
def test_overview_refuses_windows(program: TestClient, seconds: str) -> None:
    """A window that makes no sense is the caller's error, said in one line with its place."""
    answer = program.get(f"/api/overview?seconds={seconds}")
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message.startswith("query.seconds: ")
    assert "\n" not in message


def test_metrics(program: TestClient, console: FakeConsole) -> None:
    """Prometheus gets its text, byte for byte, under its content type."""
    answer = program.get("/metrics")
    assert answer.content == console.metrics()
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_health(program: TestClient) -> None:
    """The state of the parts, as the console gives it."""
    told = program.get("/api/health").json()
    assert (told["store"], told["index"]["vectors"]) == ("sqlite:./likewise.db", 7)
