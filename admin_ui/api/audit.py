"""Who changed what."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from admin_ui.api.asking import Asked, routes
from admin_ui.facts import Act

router = routes("audit")


class ActRow(BaseModel):
    """`who` is a role and which log-in of it, or `token` for a program; `detail` what was asked
    for, without secrets and long texts."""

    id: str
    at: float
    who: str
    role: str
    address: str
    what: str
    detail: str
    outcome: str

    @classmethod
    def of(cls, number: int, act: Act) -> "ActRow":
        return cls(
            id=str(number), at=act.at, who=act.who, role=act.role, address=act.address,
            what=act.what, detail=act.detail, outcome=act.outcome,
        )  # fmt: skip


class ActPage(BaseModel):
    """Newest first; pass `next` as `before` for older ones."""

    acts: list[ActRow]
    next: str | None


@router.get("/audit", summary="Who changed what, log-ins included")
async def audit(
    console: Asked,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=0, le=(1 << 63) - 1)] = None,
) -> ActPage:
    rows = await console.acts(limit, before)
    return ActPage(
        acts=[ActRow.of(number, act) for number, act in rows],
        next=str(rows[-1][0]) if len(rows) == limit else None,
    )
