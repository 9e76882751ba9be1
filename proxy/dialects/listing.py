"""The APIs of the data port, one line each, and which of them a path belongs to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.dialects.chat import Chat
from proxy.dialects.completions import Completions
from proxy.dialects.embeddings import Embeddings
from proxy.dialects.messages import Messages
from proxy.dialects.responses import Responses

if TYPE_CHECKING:
    from proxy.dialects.ports import Dialect

DIALECTS: tuple[Dialect, ...] = (
    Chat(),
    Completions(),
    Responses(),
    Embeddings(),
    Messages(),
)
BY_PATH: dict[str, Dialect] = {path: dialect for dialect in DIALECTS for path in dialect.paths}
# Azure names the model in the path, or (its v1 API) puts OpenAI's own paths under /openai.
_AZURE = re.compile(r"/openai(?:/deployments/([^/]+)|/v1)?(/[a-z/]+)")


def route(path: str) -> tuple[Dialect, str] | None:
    """The API that a path belongs to, and the model that the path names (empty where it does not).

    None for a path whose answers are never remembered.
    """
    dialect = BY_PATH.get(path)
    if dialect is not None:
        return dialect, ""
    azure = _AZURE.fullmatch(path) if path.startswith("/openai/") else None
    if azure is None:
        return None
    dialect = BY_PATH.get("/v1" + azure[2])
    if dialect is None or "azure" not in dialect.apis:
        return None
    return dialect, azure[1] or ""
