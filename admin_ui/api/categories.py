"""Each category's policy, what would-be hits looked like, and another threshold."""

from typing import Annotated

from fastapi import Path, Query, Response
from pydantic import BaseModel, Field

from admin_ui.api.asking import NAME, Asked, Body, Who, Whose, missing, routes
from admin_ui.api.policy import settled
from admin_ui.facts import Applied, Estimate, Similarities

router = routes("categories")
Named = Annotated[str, Path(max_length=NAME)]


class Standing(BaseModel):
    """What labels allow under a bound: risks up to `highest_risk` are served, `certified` once
    enough labels show that it holds; `audits` is the share that is asked upstream all the same."""

    bound: float
    certified: bool
    highest_risk: float
    upper: float | None
    labels: int
    wrong: int
    audits: float


class Category(BaseModel):
    """The policy in force for one category, what was learned, and usage against its quota.

    `threshold` is the cut of a fixed policy, or what rules until labels certify more. `quota` is a
    share of all entries, `quota_entries` what that comes to; None where there is no quota.
    """

    name: str
    cache: bool
    threshold: float
    max_false_hits: float | None
    vcache: float | None
    floor: float | None
    ttl: float
    quota: float | None
    quota_entries: int | None
    share: str
    strict: bool
    guards: list[str]
    max_temperature: float
    entries: int
    learned: Standing | None
    false_hits: Estimate


class ThresholdBody(Body):
    """`revision` is that of the text it was judged by, from GET /api/policy/text."""

    threshold: float = Field(ge=0, le=1)
    revision: str = Field(max_length=64)


@router.get("/categories", summary="Each category's policy in force, learned state and usage")
async def categories(console: Asked) -> list[Category]:
    return [Category(**one) for one in await console.categories()]


@router.get(
    "/categories/{category}/similarities",
    summary="How similar would-be hits were, and what each cut would do",
)
async def similarities(
    console: Asked,
    category: Named,
    seconds: Annotated[float, Query(ge=1, le=366 * 86400)] = 7 * 86400.0,
    replica: Whose = "",
) -> Similarities:
    found = await console.similarities(category, seconds, replica)
    if found is None:
        raise missing("category", repr(category), "/api/categories")
    return found


@router.put(
    "/categories/{category}/threshold",
    summary="Write another threshold into the configuration, and put it in force",
)
async def retune(
    console: Asked, category: Named, body: ThresholdBody, who: Who, response: Response
) -> Applied:
    return settled(await console.retune(category, body.threshold, body.revision, who), response)
