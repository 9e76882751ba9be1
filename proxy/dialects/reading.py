"""What several APIs read alike: a conversation's digest, token counts, JSON in an answer's text.

Pure. What only one API does stands in that API's own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from policies.context import ASSISTANT, USER, answered
from policies.values import Turn
from proxy.dialects.canonical import digest, encode

if TYPE_CHECKING:
    from proxy.dialects.ports import Frame

SESSION = "session"
"""Who speaks in the one turn that stands for all those that a session's client does not send."""

_MOST_TOKENS = 2**40
_PIECE = 24
_WORDS = ("text", "input_text", "output_text")
# Of a message and of its parts: what says nothing more than who says what.
_FRAME = frozenset({"role", "content", "type", "id", "status"})
_PART = frozenset({"type", "text", "cache_control"})


def chain(turns: list[dict[str, Any]], around: Frame) -> str:
    """The digest of what came before; a session whose turns are not sent stands for them."""
    session = around.directives.session
    if not turns and session is None:
        return ""
    said = encode(turns, floats=around.floats)
    return digest(said, b"" if session is None else session.encode()).hex()[:32]


def before(turns: list[dict[str, Any]], around: Frame) -> tuple[Turn, ...]:
    """The earlier turns, for comparing by meaning.

    None where a session's client sends some: whether those are all cannot be told.
    """
    session = around.directives.session
    if session is None:
        return tuple(_turn(message, floats=around.floats) for message in turns)
    return () if turns else (Turn(SESSION, digest(session.encode()).hex()[:32]),)


def said(content: Any) -> Turn | None:
    """The turn in which clients send an answer of this content back; None if more than text."""
    texts = _texts(content)
    return answered("".join(texts)) if texts else None


def worded(content: Any) -> str | None:
    """The text that an answer's content consists of; None for none, or for anything else."""
    if isinstance(content, list):
        fit = all(isinstance(part, dict) and part.get("type") in _WORDS for part in content)
        content = "".join(str(part["text"]) for part in content) if fit else None
    return content if isinstance(content, str) and content else None


def _turn(message: dict[str, Any], *, floats: bool) -> Turn:
    role, texts = message.get("role"), None
    if role in (USER, ASSISTANT) and _says_no_more(message, _FRAME):
        texts = _texts(message.get("content"))
    if texts and role == ASSISTANT:
        return answered("".join(texts))
    if texts and len(texts) == 1:
        return Turn(USER, text=texts[0])
    return Turn(role if role in (USER, ASSISTANT) else "other", _digest(message, floats=floats))


def _texts(content: Any) -> list[str] | None:
    """The texts that a message's content consists of; None where it holds anything else."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list) or not all(map(_is_text, content)):
        return None
    return [part["text"] for part in content]


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type") in _WORDS
        and isinstance(part.get("text"), str)
        and _says_no_more(part, _PART)
    )


def _says_no_more(message: dict[str, Any], known: frozenset[str]) -> bool:
    return all(key in known or value in (None, [], {}, "") for key, value in message.items())


def _digest(message: dict[str, Any], *, floats: bool) -> str:
    return digest(encode(message, floats=floats)).hex()[:32]


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
