from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.testclient import TestClient


def test_openapi_lists_the_api(program: TestClient) -> None:
    """The description names each JSON route and the token, and no page."""
    schema = program.get("/api/openapi.json").json()
    assert set(schema["paths"]) == {
        "/api/overview", "/api/categories", "/api/categories/{category}/similarities",
        "/api/categories/{category}/threshold", "/api/policy/text", "/api/policy/check",
        "/api/policy/trial", "/api/policy/editions", "/api/policy/editions/{edition}",
        "/api/policy/editions/{edition}/restore", "/api/review", "/api/review/{decision}",
        "/api/audit", "/api/entries/asides", "/api/entries/asides/{aside}",
        "/api/entries/asides/{aside}/undo", "/api/decisions", "/api/decisions/stream",
        "/api/decisions/{decision}", "/api/decisions/{decision}/verdict", "/api/entries",
        "/api/entries/{entry}", "/api/entries/purge", "/api/entries/export",
        "/api/entries/import", "/api/entries/warm", "/api/explain", "/api/labels", "/api/learned",
        "/api/learned/labels", "/api/learned/forget", "/api/policy", "/api/health", "/metrics",
    }  # fmt: skip
    assert schema["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
