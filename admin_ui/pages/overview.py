"""The first page: how much was answered from memory, what it saved, how often it was wrong."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin_ui.api.asking import Asked, Whose, missing
from admin_ui.charts import over_time
from admin_ui.render import page

RANGES: Final = {
    "15m": (900, "15 min"),
    "1h": (3600, "1 hour"),
    "24h": (86400, "24 hours"),
    "7d": (7 * 86400, "7 days"),
    "30d": (30 * 86400, "30 days"),
}
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/")
async def overview(
    request: Request,
    console: Asked,
    chosen: Annotated[str, Query(alias="range")] = "1h",
    replica: Whose = "",
) -> Response:
    chosen = chosen if chosen in RANGES else "1h"
    seconds, _ = RANGES[chosen]
    facts = await console.overview(seconds, replica)
    if facts is None:
        raise missing("replica", replica, "/health")
    return page(
        request,
        "overview.html",
        facts=facts,
        total=facts.total,
        series=over_time(facts),
        categories=sorted(facts.categories.items(), key=lambda item: -item[1].requests),
        reasons=sorted(facts.reasons.items(), key=lambda item: -item[1]),
        ranges=RANGES,
        chosen=chosen,
        data_url=request.app.state.data_url,
    )
