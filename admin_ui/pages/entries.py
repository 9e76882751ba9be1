"""The entries: what is remembered, found by its facts, and removed."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from admin_ui.api.asking import ENTRY_ID, Asked
from admin_ui.console import Selection
from admin_ui.render import page

AGES: Final = {
    "": "any age",
    "3600": "older than 1 hour",
    "86400": "older than 1 day",
    "604800": "older than 7 days",
    "2592000": "older than 30 days",
}
_ENTRIES: Final = 100
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class Search(BaseModel):
    """The entries page's filter, as it stands in the address."""

    text: str = ""
    category: str = ""
    model: str = ""
    tag: str = ""
    tenant: str = ""
    older: str = Field("", pattern="^[0-9]{0,9}$")
    removed: int | None = None

    @property
    def address(self) -> str:
        return self.with_notice(None)

    def with_notice(self, removed: int | None) -> str:
        """The query string of this filter, with how many entries were just removed."""
        fields = self.model_dump() | {"removed": removed}
        return urlencode({n: v for n, v in fields.items() if v not in ("", None)})

    @property
    def selection(self) -> Selection:
        return Selection(
            text=self.text.strip() or None,
            category=self.category.strip() or None,
            model=self.model.strip() or None,
            tag=self.tag.strip() or None,
            tenant=self.tenant.strip() or None,
            older_than=float(self.older) if self.older else None,
        )


Searched = Annotated[Search, Query()]


@router.get("/entries")
async def entries(request: Request, console: Asked, search: Searched) -> Response:
    rows = await console.entries(search.selection, _ENTRIES)
    return page(
        request, "entries.html", rows=rows, search=search, ages=AGES, full=len(rows) == _ENTRIES
    )


@router.get("/entries/purge")
async def confirm(request: Request, console: Asked, search: Searched) -> Response:
    affected = await console.purge(search.selection, dry_run=True)
    return page(request, "purge.html", search=search, affected=affected, ages=AGES)


@router.post("/entries/purge")
async def purge(console: Asked, search: Searched) -> Response:
    removed = await console.purge(search.selection, dry_run=False)
    return RedirectResponse(f"/entries?removed={removed}", status_code=303)


@router.post("/entries/{entry}/delete")
async def forget(
    console: Asked, entry: Annotated[str, Path(pattern=ENTRY_ID)], search: Searched
) -> Response:
    removed = await console.purge(Selection(ids=(entry,)), dry_run=False)
    return RedirectResponse(f"/entries?{search.with_notice(removed)}", status_code=303)
