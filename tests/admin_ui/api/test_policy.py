from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_policy(program: TestClient, console: FakeConsole) -> None:
    """The policy in force passes as the console gives it."""
    assert program.get("/api/policy").json() == console.rules
