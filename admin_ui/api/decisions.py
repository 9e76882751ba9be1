"""The log of decisions: filtered, one with its evidence, live, and an operator's verdict on it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, HTTPException, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked, Body, missing, routes
from admin_ui.console import Crowded
from admin_ui.facts import Evidence
from policies.record import Decision, Filter

LAST_ID = (1 << 63) - 1
_ID = "^([0-9]{1,19}|[0-9a-f]{16})$"
router = routes("decisions")


class FilterQuery(Body):
    """Which decisions; every field given narrows it."""

    category: str | None = None
    outcome: Literal["hit", "stale", "miss", "bypass"] | None = None
    reason: str | None = None
    owner: str | None = Field(None, description="The digest of who asked, as rows show it.")
    model: str | None = None
    least: float | None = Field(None, ge=0, le=1, description="Least similarity.")
    most: float | None = Field(None, ge=0, le=1, description="Greatest similarity.")
    text: str | None = Field(None, max_length=500, description="Part of either prompt.")
    entry: str | None = Field(None, pattern=ENTRY_ID)

    def chosen(self) -> Filter | None:
        """The filter; None where nothing narrows it."""
        fields = {name: getattr(self, name) for name in Filter.__dataclass_fields__}
        given = {name: value for name, value in fields.items() if value not in (None, "")}
        return Filter(**given) if given else None


class PageQuery(FilterQuery):
    limit: int = Field(100, ge=1, le=1000)
    before: int | None = Field(None, ge=0, le=LAST_ID, description="Only ids below this one.")


class DecisionRow(BaseModel):
    """One decision. Times in Unix seconds, `ms…` in milliseconds; ids are decimal strings."""

    id: str
    request: str = Field(description="The id as the header x-likewise-request has it.")
    at: float
    outcome: str
    reason: str
    category: str
    dialect: str
    upstream: str
    model: str
    owner: str
    stream: bool
    status: int
    similarity: float | None
    cut: float | None
    propensity: float | None
    entry: str
    neighbour: str
    would: str
    seen: str
    kept: str
    turns: int
    prompt: str
    matched: str
    ms: float
    ms_embed: float
    ms_search: float
    ms_upstream: float
    tokens_in: int
    tokens_out: int
    risk: float | None
    collapsed: bool
    upstream_id: str

    @classmethod
    def of(cls, row: Decision) -> "DecisionRow":
        # 64-bit ids would be rounded by a JavaScript reader.
        fields: dict[str, Any] = row._asdict() | {"id": str(row.id), "request": f"{row.id:016x}"}
        del fields["evidence"]
        return cls(**fields)


class DecisionPage(BaseModel):
    """Newest first; pass `next` as `before` for older ones. With a rare filter a page may be short
    although there is more: `searched` is the time of the oldest decision that was looked at."""

    decisions: list[DecisionRow]
    next: str | None
    searched: float | None = None


class DecisionWhole(BaseModel):
    decision: DecisionRow
    evidence: Evidence


class VerdictBody(Body):
    """`bad` ends service by meaning of what was served by meaning, and removes what was served or
    stored exactly; `good` loosens nothing by itself."""

    verdict: Literal["good", "bad"]
    note: str = Field("", max_length=2000)


class Ruled(BaseModel):
    """What a verdict did: `flagged`, `removed`, `restored` or `none`."""

    effect: str


def number(decision: Annotated[str, Path(pattern=_ID)]) -> int:
    """An id in decimal or in the 16 hex digits of the request header; 404 if it is too large."""
    hexadecimal = len(decision) == 16  # noqa: PLR2004 - so many digits 63 bits have
    read = int(decision, 16 if hexadecimal else 10)
    if read > LAST_ID:
        raise HTTPException(404, f"No decision {decision}. The log keeps a bounded history.")
    return read


Numbered = Annotated[int, Depends(number)]


@router.get("/decisions", summary="Decisions, newest first")
async def decisions(console: Asked, query: Annotated[PageQuery, Query()]) -> DecisionPage:
    found = await console.decisions(query.limit, query.before, query.chosen())
    return DecisionPage(
        decisions=[DecisionRow.of(row) for row in found.rows],
        next=None if found.next is None else str(found.next),
        searched=found.searched,
    )


@router.get(
    "/decisions/stream",
    summary="New decisions as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream(
    console: Asked,
    query: Annotated[FilterQuery, Query()],
    last_event_id: Annotated[str | None, Header(pattern="^[0-9]{1,19}$")] = None,
) -> StreamingResponse:
    """Events `decision` carry a row and its id, which `Last-Event-ID` goes on from; `lost` says how
    many a slow reader missed. The stream ends after ten minutes: connect again."""
    after = None if last_event_id is None else min(int(last_event_id), LAST_ID)
    try:
        told = console.watch(query.chosen(), after)
    except Crowded as fault:
        raise HTTPException(503, str(fault), {"retry-after": "10"}) from fault
    return StreamingResponse(_events(told), media_type="text/event-stream")


async def _events(told: AsyncIterator[Decision | int]) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    async for one in told:
        if isinstance(one, Decision):
            row = DecisionRow.of(one).model_dump_json()
            yield f"id: {one.id}\nevent: decision\ndata: {row}\n\n"
        else:
            yield f"event: lost\ndata: {one}\n\n" if one else ": still here\n\n"


@router.get("/decisions/{decision}", summary="One decision with all its evidence")
async def decision(console: Asked, decision: Numbered) -> DecisionWhole:
    found = await console.evidence(decision)
    if found is None:
        raise missing("decision", decision, "/api/decisions")
    return DecisionWhole(decision=DecisionRow.of(found[0]), evidence=found[1])


@router.post("/decisions/{decision}/verdict", summary="Call an answer good or bad")
async def judge(console: Asked, decision: Numbered, body: VerdictBody) -> Ruled:
    good = body.verdict == "good"
    effect = await console.judge(decision, good=good, note=body.note)
    if effect is None:
        raise missing("decision", decision, "/api/decisions")
    if effect == "stands":
        raise HTTPException(409, "There is another verdict on this request; the first one stands.")
    return Ruled(effect=effect)
