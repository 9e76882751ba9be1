"""Pages that list facts as they come: the health of the parts, the API's shapes."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui.api.asking import Asked
from admin_ui.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/health")
async def health(request: Request, console: Asked) -> Response:
    lead = "The parts behind the cache. A fault in any of them is a miss, never a failed request."
    facts = await console.health()
    return page(request, "facts.html", title="Health", lead=lead, facts=facts)


@router.get("/api")
async def reference(request: Request) -> Response:
    schema = request.app.openapi()
    return page(request, "reference.html", schema=schema, address=str(request.base_url).rstrip("/"))
