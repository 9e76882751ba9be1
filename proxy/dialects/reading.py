"""What several APIs read alike: a conversation's digest, token counts, JSON in an answer's text.

Pure. What only one API does stands in that API's own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from proxy.dialects.canonical import digest, encode

if TYPE_CHECKING:
    from proxy.dialects.ports import Frame

_MOST_TOKENS = 2**40
_PIECE = 24


def chain(turns: list[dict[str, Any]], around: Frame) -> str:
    """The digest of what came before; a session whose turns are not sent stands for them."""
    session = around.directives.session
    if not turns and session is None:
        return ""
    said = encode(turns, floats=around.floats)
    return digest(said, b"" if session is None else session.encode()).hex()[:32]


def count(usage: Any, key: str) -> int:
    """A token count, 0 where there is none that makes sense."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and 0 <= value < _MOST_TOKENS else 0


def named_user(body: dict[str, Any], *names: str) -> str | None:
    """The end user under the first of these fields that has one."""
    values = (body.get(name) for name in names)
    return next((v for v in values if isinstance(v, str) and v), None)


def is_json(content: Any) -> bool:
    try:
        orjson.loads(content)
    except (orjson.JSONDecodeError, TypeError):
        return False
    return True


def pieces(content: str) -> list[str]:
    """Content cut near word ends, so that clients see it arrive in parts."""
    made, start = [], 0
    while start < len(content):
        end = content.find(" ", start + _PIECE)
        end = len(content) if end < 0 else end
        made.append(content[start:end])
        start = end
    return made
