from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.admin_ui.fake import FakeConsole


def test_categories(program: TestClient, console: FakeConsole) -> None:
    """Each with its policy, as the console gives them."""
    assert program.get("/api/categories").json() == [{"name": "code", "threshold": 0.93}]
