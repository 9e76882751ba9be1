from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.admin_ui.reading import Reading

if TYPE_CHECKING:
    from starlette.testclient import TestClient


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/health", ("index.vectors", "sqlite:./likewise.db")),
        ("/api", ("/api/decisions/stream", "Forget one entry")),
    ],
)
def test_facts_are_listed(person: TestClient, path: str, words: tuple[str, ...]) -> None:
    """Whatever the console tells is shown under its own name."""
    text = Reading(person.get(path).text).text
    for word in words:
        assert word in text
