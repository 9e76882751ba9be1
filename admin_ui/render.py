"""Turns facts into answers: the one Jinja environment, whole pages, and refusals in either form."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

from admin_ui import figures, words

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

HERE: Final = Path(__file__).parent
NAV: Final = (
    ("/", "Overview"),
    ("/decisions", "Decisions"),
    ("/entries", "Entries"),
    ("/explain", "Explain"),
    ("/policy", "Policy"),
    ("/health", "Health"),
    ("/api", "API"),
)
_TITLES: Final = {
    400: "That did not make sense",
    401: "Not signed in",
    403: "Refused",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    421: "Wrong address",
    422: "That did not make sense",
    429: "Slow down",
    500: "Something broke",
}


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "count": figures.count,
        "ms": figures.milliseconds,
        "span": figures.span,
        "dollars": figures.dollars,
        "size": figures.size,
        "score": figures.score,
        "utc": figures.utc,
        "clipped": figures.clipped,
        "sentence": words.sentence,
        "kind": words.kind,
    }
    env.globals |= {
        "share": figures.share,
        "ago": lambda at: figures.ago(time.time() - at),
        "in_time": lambda at: figures.span(max(0.0, at - time.time())),
        "served": figures.served,
        "segments": figures.segments,
        "faster": figures.faster,
        "compared": figures.compared,
        "flattened": figures.flattened,
        "nav": NAV,
    }
    return env


_ENVIRONMENT: Final = _environment()


def page(request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    return _page(request.scope, template, status, facts)


def refusal(
    scope: Scope, status: int, message: str, headers: dict[str, str] | None = None
) -> Response:
    """An error as JSON to programs and as a page to people."""
    if is_api(scope):
        body = {"error": {"message": message, "code": status}}
        return JSONResponse(body, status_code=status, headers=headers)
    title = _TITLES.get(status, "That did not work")
    answer = _page(scope, "error.html", status, {"title": title, "message": message})
    answer.headers.update(headers or {})
    return answer


def is_api(scope: Scope) -> bool:
    """Whether a program asks, by the path alone."""
    path: str = scope["path"]
    return path.startswith("/api/") or path in {"/metrics", "/healthz"}


def _page(scope: Scope, template: str, status: int, facts: dict[str, Any]) -> HTMLResponse:
    state = scope.get("state", {})
    session = state.get("session")
    html = _ENVIRONMENT.get_template(template).render(
        path=scope["path"],
        inside="session" in state,
        csrf=session.csrf if session else "",
        **facts,
    )
    return HTMLResponse(html, status_code=status)
