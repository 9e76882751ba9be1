"""What people said of answers, and an operator's word on it."""

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked, Body, missing, routes

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
    """`good`: the entry is served by meaning again. `bad`: it is removed."""

    entry: str = Field(pattern=ENTRY_ID)
    verdict: Literal["good", "bad"]


class Reviewed(BaseModel):
    reviewed: bool


@router.get("/labels", summary="What callers and operators said of answers")
async def labels(console: Asked, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> VerdictList:
    rows = await console.verdicts(limit)
    return VerdictList(verdicts=[Verdict(**(row | {"id": str(row["id"])})) for row in rows])


@router.post("/labels", summary="Review an entry that was marked bad")
async def review(console: Asked, body: ReviewBody) -> Reviewed:
    if not await console.review(body.entry, good=body.verdict == "good"):
        raise missing("entry", body.entry, "/api/entries")
    return Reviewed(reviewed=True)
