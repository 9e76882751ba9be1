"""The categories: a card each, what would-be hits looked like, and a threshold to try and apply."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui import charts
from admin_ui.api.asking import NAME, Asked, Who, Whose, missing
from admin_ui.console import Console
from admin_ui.facts import Applied
from admin_ui.render import page

# Long enough for labels to gather.
SECONDS: Final = 7 * 86400.0
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Named = Annotated[str, Path(max_length=NAME)]


@router.get("/categories")
async def categories(request: Request, console: Asked) -> Response:
    return page(request, "categories.html", categories=await console.categories())


@router.get("/categories/{category}")
async def category(
    request: Request, console: Asked, category: Named, replica: Whose = ""
) -> Response:
    return await _shown(request, console, category, replica=replica)


@router.post("/categories/{category}/threshold")
async def retune(
    request: Request,
    console: Asked,
    who: Who,
    category: Named,
    threshold: Annotated[float, Form(ge=0, le=1)],
    revision: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    told = await console.retune(category, threshold, revision, who)
    return await _shown(request, console, category, told)


async def _shown(
    request: Request,
    console: Console,
    name: str,
    told: Applied | None = None,
    replica: str = "",
) -> Response:
    one = await _category(console, name)
    similar = await console.similarities(name, SECONDS, replica)
    if one is None or similar is None:
        raise missing("category", repr(name), "/categories")
    return page(
        request,
        "category.html",
        c=one,
        similar=similar,
        drawn=charts.histogram(similar),
        revision=(await console.written()).revision,
        told=told,
        replica=replica,
        replicas=await console.replicas(),
    )


async def _category(console: Console, name: str) -> dict[str, Any] | None:
    return next((one for one in await console.categories() if one["name"] == name), None)
