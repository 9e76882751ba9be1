"""A client's process: one job a line in, one outcome a line out, until the input ends.

A job is `{url, key, api, stream, usage, request, prompt, headers, query}`; an outcome is
`{"answer": …}` as the client shows it, `{"fault": …}` as the client raises it, or `{"skip": why}`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Job: TypeAlias = dict[str, Any]
    Ask: TypeAlias = Callable[[Job], Any]

PATIENCE = 30.0


class Skip(Exception):
    """This client has no way to ask that."""


def serve(apis: dict[str, Ask]) -> None:
    """Carry out every job. Whatever a client prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(outcome(apis, json.loads(line))), file=answers, flush=True)


def outcome(apis: dict[str, Ask], job: Job) -> dict[str, Any]:
    try:
        return {"answer": apis[job["api"]](job)}
    except Skip as skip:
        return {"skip": str(skip)}
    except Exception as fault:  # noqa: BLE001 - told as it is
        return {"fault": told(fault)}


def told(fault: Exception) -> dict[str, Any]:
    """What an application can see of an error, less what differs by chance."""
    body = getattr(fault, "body", None)
    said = body if isinstance(body, str | dict | list) else str(fault).partition("\n")[0]
    return {
        "kind": type(fault).__name__,
        "status": getattr(fault, "status_code", None),
        "said": said,
    }


def rest(job: Job, *named: str) -> dict[str, Any]:
    """The fields of a request beside those that are `named`, and the counting of tokens."""
    fields = {key: value for key, value in job["request"].items() if key not in named}
    if job["stream"] and job["usage"]:
        fields["stream_options"] = {"include_usage": True}
    return fields
