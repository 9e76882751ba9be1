"""Counts over time, the state of the parts, and metrics."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from admin_ui.api.asking import Asked, Whose, missing, routes
from admin_ui.facts import Overview

router = routes("overview")
metrics_router = routes("metrics", prefix="")


@router.get("/overview", summary="Counts, latencies, savings and errors over a time window")
async def overview(
    console: Asked,
    seconds: Annotated[float, Query(ge=1, le=366 * 86400)] = 3600.0,
    replica: Whose = "",
) -> Overview:
    found = await console.overview(seconds, replica)
    if found is None:
        raise missing("replica", replica, "/api/health")
    return found


class StoreFaults(BaseModel):
    read: int
    write: int


class EmbedderFaults(BaseModel):
    failed: int
    late: int


class IndexState(BaseModel):
    """`dead` are rows of removed entries that wait for their space to be built anew; `bytes` is
    what vectors take, `reserved` what there is room for before that grows: the system provides it
    as it is written to."""

    vectors: int
    spaces: int
    dead: int
    bytes: int
    reserved: int


class JournalState(BaseModel):
    """Decisions that were lost, and writes that failed and were tried again; `missing` says why
    there is no file."""

    dropped: int
    faults: int
    missing: str


class Disk(BaseModel):
    free: int
    total: int


class Replica(BaseModel):
    """A process on the same Redis, this one first: seconds since it was known to be up to date, and
    how many changes it did not know of then."""

    name: str
    lag: float | None
    behind: int


class Told(BaseModel):
    """A replica as it last told of itself, gone ones too: `id` asks for it, `heard` is when."""

    id: str
    name: str
    here: bool
    heard: float
    live: bool
    version: str
    uptime: float
    ready: bool
    state: str
    policy: str


class Health(BaseModel):
    """`state` says what `ready` lacks. `policy` is a digest of the policy in force. `embedder_ms`
    is a typical embedding of late, `last_faults` what each part said last. Bytes, and seconds of
    `uptime`."""

    version: str
    uptime: float
    ready: bool
    state: str
    policy: str
    entries: int
    entry_bytes: int
    entries_to_renew: int = Field(description="Read by another model, and to be embedded anew.")
    store: str
    store_missing: str = Field(description="Why there is no store as yet; empty where there is.")
    store_faults: StoreFaults
    index: IndexState
    embedder: str
    embedder_faults: EmbedderFaults
    embedder_queue: int
    embedder_stalled: bool
    embedder_ms: float | None
    last_faults: dict[str, str]
    journal: JournalState
    upstreams: list[str]
    upstreams_failing: list[str]
    disk: Disk | None
    replicas: list[Replica]
    fleet: list[Told] = Field(description="All that wrote figures of late, this one first.")


@router.get("/health", summary="State of the store, the index, the embedder and upstreams")
async def health(console: Asked, replica: Whose = "") -> Health:
    found = await console.health(replica)
    if found is None:
        raise missing("replica", replica, "/api/health")
    return Health(**found)


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
