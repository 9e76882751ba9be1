"""Turns facts into answers: the one Jinja environment, whole pages, and refusals in either form."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, JSONResponse, Response

from admin_ui import charts, figures, words

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

HERE: Final = Path(__file__).parent
_QUESTION_MARK: Final = (
    "M7.5 7.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M10 14.2v.1"
    "M2.5 10a7.5 7.5 0 1 1 15 0 7.5 7.5 0 0 1-15 0"
)
# Address, name, and the strokes of its sign on a field of 20 by 20.
NAV: Final = (
    ("/", "Overview", "M3 14.5a7 7 0 1 1 14 0M10 14.5l3.5-5"),
    ("/categories", "Categories", "M3 16V11M7 16V6M11 16v-7M15 16V4M2 16.5h16M13 2.5v15"),
    ("/decisions", "Decisions", "M3 5h14M3 10h14M3 15h8M14 15l1.5 1.5L18 13.5"),
    ("/entries", "Entries", "M4 4.5h12v4H4zM4 11.5h12v4H4zM7 6.5h2M7 13.5h2"),
    ("/explain", "Explain", _QUESTION_MARK),
    ("/policy", "Policy", "M3 6h6M13 6h4M11 4v4M3 14h2M9 14h8M7 12v4M3 10h9M16 10h1M14 8v4"),
    ("/review", "Review", "M3 10.5l4 4L17 5"),
    ("/health", "Health", "M2 10.5h4l2-5 4 9 2-4h4"),
    ("/api", "API", "M7 5l-4 5 4 5M13 5l4 5-4 5"),
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
        "iso": figures.iso,
        "clipped": figures.clipped,
        "named": figures.named,
        "sentence": words.sentence,
        "kind": words.kind,
    }
    env.globals |= {
        "share": figures.share,
        "ago": lambda at: figures.ago(time.time() - at),
        "in_time": lambda at: figures.span(max(0.0, at - time.time())),
        "served": figures.served,
        "segments": figures.segments,
        "timing": figures.timing,
        "faster": figures.faster,
        "compared": figures.compared,
        "flattened": figures.flattened,
        "curve": charts.curve,
        "bars": charts.bars,
        "whiskers": charts.whiskers,
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
        may=state.get("role") != "viewer",
        csrf=session.csrf if session else "",
        **facts,
    )
    return HTMLResponse(html, status_code=status)
