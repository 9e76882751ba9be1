"""What was learned, and the labels that it was learned from."""

from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from admin_ui.api.asking import NAME, Asked, Body, missing, routes

router = routes("learned")


class ComparisonRow(BaseModel):
    """One comparison of a fresh answer with a remembered one. The id is a decimal string.

    `propensity` is the chance that it was made at all; 0 for what callers or operators said.
    """

    id: str
    at: float
    category: str
    entry: str
    neighbour: str
    similarity: float
    risk: float | None
    propensity: float
    would: bool
    vetoed: bool
    same: bool
    judge: str


class ComparisonList(BaseModel):
    """Newest first."""

    labels: list[ComparisonRow]


class CategoryBody(Body):
    category: Annotated[str, Field(max_length=NAME)]


class Forgotten(BaseModel):
    forgotten: str


@router.get("/learned", summary="What was learned, whole: model, bounds, how often it was wrong")
async def learned(console: Asked) -> dict[str, Any]:
    return await console.learned()


@router.get("/learned/labels", summary="What judges said of fresh answers")
async def comparisons(
    console: Asked, limit: Annotated[int, Query(ge=1, le=100_000)] = 1000
) -> ComparisonList:
    rows = await console.comparisons(limit)
    shown = [ComparisonRow(**(row._asdict() | {"id": str(row.id)})) for row in rows]
    return ComparisonList(labels=shown)


@router.post("/learned/forget", summary="Forget what one category taught")
async def unlearn(console: Asked, body: CategoryBody) -> Forgotten:
    if not await console.unlearn(body.category):
        raise missing("category", repr(body.category), "/api/categories")
    return Forgotten(forgotten=body.category)
