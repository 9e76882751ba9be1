"""The policy: its text checked while it is edited, tried on past requests, applied, rolled back."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from admin_ui.api.asking import Asked, Who, missing
from admin_ui.api.policy import LAST, MOST
from admin_ui.console import Console
from admin_ui.facts import Trial
from admin_ui.render import page

LENGTHS: Final = (100, 500, 2000)
_EDITIONS: Final = 20
_LONGEST: Final = 1_000_000
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Text = Annotated[str, Form(max_length=_LONGEST)]
Revision = Annotated[str, Form(max_length=64)]
Numbered = Annotated[int, Path(ge=1, le=LAST)]


@router.get("/policy")
async def policy(
    request: Request, console: Asked, applied: Annotated[bool, Query()] = False
) -> Response:
    return await _shown(request, console, applied=applied)


@router.post("/policy/check")
async def check(request: Request, console: Asked, text: Text = "") -> Response:
    text = _lines(text)
    return await _shown(request, console, text=text, checked=await console.check(text))


@router.post("/policy/trial")
async def trial(
    request: Request,
    console: Asked,
    text: Text = "",
    requests: Annotated[int, Form(ge=1, le=MOST)] = 500,
) -> Response:
    text = _lines(text)
    told = await console.trial(text, requests)
    if isinstance(told, Trial):
        return await _shown(request, console, text=text, trial=told)
    return await _shown(request, console, text=text, checked=told)


@router.post("/policy")
async def apply(
    request: Request, console: Asked, who: Who, text: Text = "", revision: Revision = ""
) -> Response:
    text = _lines(text)
    told = await console.apply(text, revision, who)
    if told.applied:
        return RedirectResponse("/policy?applied=1", status_code=303)
    return await _shown(request, console, 409 if told.conflict else 422, text=text, told=told)


@router.get("/policy/editions/{edition}")
async def edition(request: Request, console: Asked, edition: Numbered) -> Response:
    text = await console.edition(edition)
    if text is None:
        raise missing("edition", edition, "/policy")
    written = await console.written()
    diff = await console.diff(text)
    return page(request, "edition.html", number=edition, text=text, diff=diff, written=written)


@router.post("/policy/editions/{edition}/restore")
async def restore(
    request: Request, console: Asked, who: Who, edition: Numbered, revision: Revision = ""
) -> Response:
    told = await console.roll_back(edition, revision, who)
    if told is None:
        raise missing("edition", edition, "/policy")
    if told.applied:
        return RedirectResponse("/policy?applied=1", status_code=303)
    return await _shown(request, console, 409 if told.conflict else 422, told=told)


async def _shown(
    request: Request, console: Console, status: int = 200, *, text: str | None = None, **told: Any
) -> Response:
    """The page around `text`, or around what is written; `told` is what was just found out."""
    written = await console.written()
    draft = written.text if text is None else text
    facts: dict[str, Any] = {"applied": False, "checked": None, "trial": None, "told": None}
    return page(
        request,
        "policy.html",
        status,
        written=written,
        draft=draft,
        diff=await console.diff(draft),
        editions=await console.editions(_EDITIONS),
        standing=await console.policy(),
        lengths=LENGTHS,
        **(facts | told),
    )


def _lines(text: str) -> str:
    """Forms send every line's end as two characters."""
    return text.replace("\r\n", "\n")
