"""Errors that Likewise makes itself, in each vendor's envelope."""

from __future__ import annotations

import orjson


def openai_kind(status: int) -> str:
    """The `type` that goes with a status."""
    if status == 429:  # noqa: PLR2004 - Too Many Requests
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004


def openai_error(message: str, *, kind: str, code: str, param: str | None = None) -> bytes:
    """All four members are required by OpenAI's `Error` schema."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def anthropic_error(message: str, *, kind: str) -> bytes:
    """Anthropic's `ErrorResponse`; `kind` is one of its error types."""
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})
