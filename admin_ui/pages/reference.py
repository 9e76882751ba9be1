"""The API's shapes, for whoever wants the same facts as JSON."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/api")
async def reference(request: Request) -> Response:
    schema = request.app.openapi()
    return page(request, "reference.html", schema=schema, address=str(request.base_url).rstrip("/"))
