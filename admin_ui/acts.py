"""A request that changes something, as the audit log tells it: who, what, on what, how it ended."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from admin_ui.facts import Act

if TYPE_CHECKING:
    from starlette.types import Scope

# Secrets, what belongs to callers or their users, and what is long.
_UNTOLD: Final = frozenset(
    {"csrf", "token", "credential", "text", "pairs", "system", "body", "secret", "prompt", "user"}
)
_HIDDEN: Final = "(hidden)"
_KEPT: Final = 500


def act(scope: Scope, address: str, body: bytes, status: int) -> Act:
    state = scope["state"]
    return Act(
        at=time.time(),
        who=state["who"],
        role=state["role"],
        address=address,
        what=f"{scope['method']} {scope['path']}"[:_KEPT],
        detail=detail(scope["query_string"], body)[:_KEPT],
        outcome=outcome(status),
    )


def outcome(status: int) -> str:
    if not status:
        return "broke off"
    if status < 400:  # noqa: PLR2004 - from here on a refusal
        return "done"
    return f"refused ({status})" if status < 500 else f"failed ({status})"  # noqa: PLR2004


def detail(query: bytes, body: bytes) -> str:
    """What was asked for, without secrets and long texts."""
    told = dict(parse_qsl(query.decode("latin-1"), max_num_fields=100))
    told |= _fields(body)
    if not told:
        return ""
    # Half a character of two is no text that a file takes, and must not keep an act out of the log.
    written = json.dumps(_plain(told), ensure_ascii=False).encode(errors="backslashreplace")
    return written.decode()


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """With a word in place of whatever is not told, and without what was left empty."""
    return {
        name: _HIDDEN if name in _UNTOLD else _plain(value) if isinstance(value, dict) else value
        for name, value in told.items()
        if value not in (None, "") and name != "csrf"
    }


def _fields(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        text = body.decode()
        read = json.loads(text)
    except (ValueError, RecursionError):
        return _form(body)
    return read if isinstance(read, dict) else {"bytes": len(body)}


def _form(body: bytes) -> dict[str, Any]:
    """A form's fields; of anything else the size alone."""
    try:
        return dict(parse_qsl(body.decode(), strict_parsing=True, max_num_fields=100))
    except ValueError:
        return {"bytes": len(body)}
