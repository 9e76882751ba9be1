"""The review: what an operator's word helps most, one after the other."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from admin_ui.api.asking import Asked
from admin_ui.api.decisions import LAST_ID
from admin_ui.pages.decisions import EFFECTS
from admin_ui.render import page

_QUEUE: Final = 100
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/review")
async def review(
    request: Request,
    console: Asked,
    at: Annotated[int, Query(ge=0)] = 0,
    effect: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """The doubt at place `at` of the queue; its end where there are no more."""
    queue = await console.doubtful(_QUEUE)
    doubt = queue[at] if at < len(queue) else None
    known = None if doubt is None else await console.evidence(doubt.decision.id)
    return page(
        request,
        "review.html",
        doubt=doubt,
        evidence=known[1] if known else None,
        at=at,
        length=len(queue),
        said=EFFECTS.get(effect, ""),
    )


@router.post("/review/{decision}")
async def settle(
    console: Asked,
    decision: Annotated[int, Path(ge=0, le=LAST_ID)],
    verdict: Annotated[Literal["good", "bad"], Form()],
    at: Annotated[int, Form(ge=0)] = 0,
) -> Response:
    effect = await console.settle(decision, good=verdict == "good")
    if effect is None:
        raise HTTPException(404, f"No decision {decision}. The log keeps a bounded history.")
    return RedirectResponse(f"/review?at={at}&effect={effect}", status_code=303)
