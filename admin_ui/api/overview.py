"""Counts over time, the state of the parts, and metrics."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import PlainTextResponse

from admin_ui.api.asking import Asked, routes
from admin_ui.facts import Overview

router = routes("overview")
metrics_router = routes("metrics", prefix="")


@router.get("/overview", summary="Counts, latencies, savings and errors over a time window")
async def overview(
    console: Asked, seconds: Annotated[float, Query(ge=1, le=366 * 86400)] = 3600.0
) -> Overview:
    return await console.overview(seconds)


@router.get("/health", summary="State of the embedder, the store and the index")
async def health(console: Asked) -> dict[str, Any]:
    return await console.health()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    schema: dict[str, Any] = request.app.openapi()
    return schema


@metrics_router.get(
    "/metrics", summary="Prometheus metrics, aggregates only", response_class=PlainTextResponse
)
async def metrics(console: Asked) -> PlainTextResponse:
    return PlainTextResponse(
        console.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )
