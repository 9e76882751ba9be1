"""Puts the face together: routers, static files, error answers, and the gate around them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from admin_ui.access import Access
from admin_ui.api import (
    audit,
    categories,
    decisions,
    entries,
    explain,
    learned,
    overview,
    policy,
    review,
)
from admin_ui.gate import Gate
from admin_ui.pages import listing
from admin_ui.render import HERE, refusal

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from admin_ui.console import Console

ROUTERS: Final = (
    overview.router,
    categories.router,
    decisions.router,
    entries.router,
    explain.router,
    policy.router,
    review.router,
    learned.router,
    audit.router,
    overview.metrics_router,
    *listing.ROUTERS,
)


def create_admin(
    console: Console,
    *,
    token: str,
    hosts: frozenset[str] | None,
    viewer: str | None = None,
    data_url: str = "http://127.0.0.1:8080/v1",
    failing: type[Exception] = ConnectionError,
) -> FastAPI:
    """The admin port's application.

    `hosts` are the names it may be reached by besides loopback names and plain addresses; None
    takes any name. `viewer` is the token of those who only look. `data_url` is the base URL that
    the empty dashboard tells people to set. What the console raises as `failing` is told as it is,
    as a 503.
    Raises ValueError for an empty token.
    """
    access = Access(token, hosts, viewer=viewer)
    app = FastAPI(
        title="Likewise admin",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.console = console
    app.state.access = access
    app.state.data_url = data_url
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/healthz", _alive, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(failing, _unavailable)
    app.add_middleware(Gate, access=access, acted=console.acted)
    return app


async def _alive() -> JSONResponse:
    return JSONResponse({"status": "ok"})


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    message = error.detail
    if message == "Not Found":
        message = f"There is nothing at {request.url.path}."
    return refusal(request.scope, error.status_code, message, dict(error.headers or {}))


async def _unavailable(request: Request, error: Exception) -> Response:
    return refusal(request.scope, 503, str(error))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    problems = [f"{'.'.join(str(part) for part in p['loc'])}: {p['msg']}" for p in error.errors()]
    return refusal(request.scope, 422, "; ".join(problems))
