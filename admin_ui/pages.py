"""The pages: each asks the console, and hands plain facts to its template. No JSON, no log-in rule.

What `explain` shows by name: outcome, reason, category, similarity, cut, entry, steps (name, text)
and candidates (entry, text, score, reason, seen); whatever else comes is listed below them.
"""

from dataclasses import replace
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from admin_ui.access import SESSION_SECONDS, Access, safe_next
from admin_ui.api.asking import ENTRY_ID, Asked
from admin_ui.api.explain import answered
from admin_ui.console import Question, Selection
from admin_ui.gate import COOKIE, client, know, slow_down
from admin_ui.render import page

RANGES: Final = {
    "15m": (900, "15 min"),
    "1h": (3600, "1 hour"),
    "24h": (86400, "24 hours"),
    "7d": (7 * 86400, "7 days"),
    "30d": (30 * 86400, "30 days"),
}
AGES: Final = {
    "": "any age",
    "3600": "older than 1 hour",
    "86400": "older than 1 day",
    "604800": "older than 7 days",
    "2592000": "older than 30 days",
}
_DECISIONS: Final = 50
_ENTRIES: Final = 100
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def overview(
    request: Request, console: Asked, chosen: Annotated[str, Query(alias="range")] = "1h"
) -> Response:
    chosen = chosen if chosen in RANGES else "1h"
    seconds, _ = RANGES[chosen]
    facts = await console.overview(seconds)
    busiest = sorted(facts.categories.items(), key=lambda item: -item[1].requests)
    reasons = sorted(facts.reasons.items(), key=lambda item: -item[1])
    return page(
        request,
        "overview.html",
        facts=facts,
        total=facts.total,
        categories=busiest,
        reasons=reasons,
        ranges=RANGES,
        chosen=chosen,
        data_url=request.app.state.data_url,
    )


@router.get("/decisions")
async def decisions(request: Request, console: Asked, before: int | None = None) -> Response:
    found = await console.decisions(_DECISIONS, before)
    older = None if found.next is None else str(found.next)
    return page(request, "decisions.html", rows=found.rows, older=older, paged=before is not None)


class Search(BaseModel):
    """The entries page's filter, as it stands in the address."""

    text: str = ""
    category: str = ""
    model: str = ""
    tag: str = ""
    tenant: str = ""
    older: str = Field("", pattern="^[0-9]{0,9}$")
    removed: int | None = None

    @property
    def address(self) -> str:
        return self.with_notice(None)

    def with_notice(self, removed: int | None) -> str:
        """The query string of this filter, with how many entries were just removed."""
        fields = self.model_dump() | {"removed": removed}
        return urlencode({n: v for n, v in fields.items() if v not in ("", None)})

    @property
    def selection(self) -> Selection:
        return Selection(
            text=self.text.strip() or None,
            category=self.category.strip() or None,
            model=self.model.strip() or None,
            tag=self.tag.strip() or None,
            tenant=self.tenant.strip() or None,
            older_than=float(self.older) if self.older else None,
        )


Searched = Annotated[Search, Query()]


@router.get("/entries")
async def entries(request: Request, console: Asked, search: Searched) -> Response:
    rows = await console.entries(search.selection, _ENTRIES)
    return page(
        request, "entries.html", rows=rows, search=search, ages=AGES, full=len(rows) == _ENTRIES
    )


@router.get("/entries/purge")
async def confirm(request: Request, console: Asked, search: Searched) -> Response:
    affected = await console.purge(search.selection, dry_run=True)
    return page(request, "purge.html", search=search, affected=affected, ages=AGES)


@router.post("/entries/purge")
async def purge(console: Asked, search: Searched) -> Response:
    removed = await console.purge(search.selection, dry_run=False)
    return RedirectResponse(f"/entries?removed={removed}", status_code=303)


@router.post("/entries/{entry}/delete")
async def forget(
    console: Asked, entry: Annotated[str, Path(pattern=ENTRY_ID)], search: Searched
) -> Response:
    removed = await console.purge(Selection(ids=(entry,)), dry_run=False)
    return RedirectResponse(f"/entries?{search.with_notice(removed)}", status_code=303)


@router.get("/explain")
async def ask(request: Request) -> Response:
    return page(request, "explain.html", asked=Question(prompt=""), result=None, problem="")


@router.post("/explain")
async def explain(
    request: Request,
    console: Asked,
    prompt: Annotated[str, Form()] = "",
    model: Annotated[str, Form()] = "",
    system: Annotated[str, Form()] = "",
) -> Response:
    question = Question(prompt=prompt, system=system or None)
    if model.strip():
        question = replace(question, model=model.strip())
    result: dict[str, Any] | None = None
    problem = ""
    if not prompt.strip():
        problem = "Write the prompt to explain."
    else:
        try:
            result = await answered(console, question)
        except HTTPException as error:
            problem = str(error.detail)
    status = 400 if problem else 200
    return page(request, "explain.html", status, asked=question, result=result, problem=problem)


@router.get("/policy")
async def policy(request: Request, console: Asked) -> Response:
    lead = "What Likewise decides by, right now. It is changed in likewise.yaml."
    facts = await console.policy()
    return page(request, "facts.html", title="Policy", lead=lead, facts=facts)


@router.get("/health")
async def health(request: Request, console: Asked) -> Response:
    lead = "The parts behind the cache. A fault in any of them is a miss, never a failed request."
    facts = await console.health()
    return page(request, "facts.html", title="Health", lead=lead, facts=facts)


@router.get("/api")
async def reference(request: Request) -> Response:
    schema = request.app.openapi()
    return page(request, "reference.html", schema=schema, address=str(request.base_url).rstrip("/"))


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
