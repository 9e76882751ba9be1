"""Coming in and going out: the log-in form, its cookie, and log-out."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from admin_ui.access import SESSION_SECONDS, Access, safe_next
from admin_ui.gate import COOKIE, client, know, slow_down
from admin_ui.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/login")
async def show_login(
    request: Request, target: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    return page(request, "login.html", target=safe_next(target), problem="")


@router.post("/login")
async def login(
    request: Request,
    token: Annotated[str, Form()] = "",
    target: Annotated[str, Form(alias="next")] = "/",
) -> Response:
    access: Access = request.app.state.access
    address = client(request.scope)
    if wait := access.logins.wait(address):
        return slow_down(request.scope, wait)
    role = access.role_of(token.strip())
    if role is None:
        access.logins.count(address)
        problem = "That is not the token. It is printed when Likewise starts."
        return page(request, "login.html", 401, target=safe_next(target), problem=problem)
    answer = RedirectResponse(safe_next(target), status_code=303)
    cookie = access.open(role)
    know(request.scope, role, access.session(cookie))
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    session = getattr(request.state, "session", None)
    if session is not None:
        request.app.state.access.close(session)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer
