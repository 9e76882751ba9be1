"""What people said of answers, and an operator's word on it."""

from typing import Annotated, Literal

from fastapi import HTTPException, Path, Query
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked, Body, missing, routes
from admin_ui.api.decisions import LAST_ID, DecisionRow, Ruled, VerdictBody

router = routes("review")


class Verdict(BaseModel):
    """What somebody said of an answer; `id` is its request's, a decimal string."""

    id: str
    at: float
    good: bool
    entry: str
    note: str


class VerdictList(BaseModel):
    """Newest first."""

    verdicts: list[Verdict]


class ReviewBody(Body):
    """`good`: the entry and its group are served by meaning again. `bad`: it is removed."""

    entry: str = Field(pattern=ENTRY_ID)
    verdict: Literal["good", "bad"]


class Reviewed(BaseModel):
    reviewed: bool


class DoubtRow(BaseModel):
    """`bad`: somebody called it wrong, `note` in their words. `uncertain`: served by meaning, and
    close to not being so."""

    kind: str
    note: str
    decision: DecisionRow


class Queue(BaseModel):
    """Bad verdicts first, then the least certain hits; what was looked at is not there again."""

    doubts: list[DoubtRow]


@router.get("/labels", summary="What callers and operators said of answers")
async def labels(console: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> VerdictList:
    rows = await console.verdicts(limit)
    return VerdictList(verdicts=[Verdict(**(row | {"id": str(row["id"])})) for row in rows])


@router.post("/labels", summary="Review an entry that was marked bad")
async def review(console: Asked, body: ReviewBody) -> Reviewed:
    if not await console.review(body.entry, good=body.verdict == "good"):
        raise missing("entry", body.entry, "/api/entries")
    return Reviewed(reviewed=True)


@router.get("/review", summary="Answers on which an operator's word helps most")
async def queue(console: Asked, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Queue:
    rows = await console.doubtful(limit)
    return Queue(
        doubts=[
            DoubtRow(kind=one.kind, note=one.note, decision=DecisionRow.of(one.decision))
            for one in rows
        ]
    )


@router.post("/review/{decision}", summary="Say good or bad of one of them")
async def settle(
    console: Asked, decision: Annotated[int, Path(ge=0, le=LAST_ID)], body: VerdictBody
) -> Ruled:
    """Where somebody had called it bad, `good` serves the entry and its group again, and `bad`
    removes it; elsewhere it is a verdict like any other."""
    effect = await console.settle(decision, good=body.verdict == "good", note=body.note)
    if effect is None:
        raise missing("decision", decision, "/api/review")
    if effect == "stands":
        raise HTTPException(409, "There is another verdict on this request; the first one stands.")
    return Ruled(effect=effect)
