"""The entries: found by words or by meaning, opened, amended, and purged with a minute to undo."""

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from admin_ui.api.asking import Asked, missing
from admin_ui.api.entries import EntryId
from admin_ui.console import Console, Selection
from admin_ui.facts import Aside
from admin_ui.render import page
from policies.amounts import duration

AGES: Final = {
    "": "any age",
    "3600": "older than 1 hour",
    "86400": "older than 1 day",
    "604800": "older than 7 days",
    "2592000": "older than 30 days",
}
SORTS: Final = {
    "stored": "newest first",
    "age": "oldest first",
    "hits": "most hits",
    "saved": "most saved",
    "size": "largest",
}
MARKS: Final = {"": "any", "flagged": "waiting for review", "pinned": "pinned"}
_ENTRIES: Final = 100
_LONGEST: Final = 366 * 86400.0
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


class Search(BaseModel):
    """The page's search, as it stands in the address."""

    text: str = ""
    meaning: str = Field("", max_length=4000)
    category: str = ""
    model: str = ""
    tag: str = ""
    tenant: str = ""
    older: str = Field("", pattern="^[0-9]{0,9}$")
    mark: Literal["", "flagged", "pinned"] = ""
    sort: Literal["stored", "age", "hits", "saved", "size"] = "stored"
    offset: int = Field(0, ge=0, le=100_000)

    @property
    def narrowed(self) -> str:
        """The query string of what narrows the search: all that a purge goes by."""
        fields = self.model_dump(exclude={"meaning", "sort", "offset"})
        return urlencode({name: value for name, value in fields.items() if value.strip()})

    @property
    def address(self) -> str:
        """The query string of the search without its place in the list."""
        fields = self.model_dump(exclude={"offset"})
        if self.sort == "stored":
            del fields["sort"]
        return urlencode({name: value for name, value in fields.items() if value.strip()})

    @property
    def selection(self) -> Selection:
        return Selection(
            text=self.text.strip() or None,
            category=self.category.strip() or None,
            model=self.model.strip() or None,
            tag=self.tag.strip() or None,
            tenant=self.tenant.strip() or None,
            older_than=float(self.older) if self.older else None,
            flagged=True if self.mark == "flagged" else None,
            pinned=True if self.mark == "pinned" else None,
        )


Searched = Annotated[Search, Query()]


@router.get("/entries")
async def entries(
    request: Request,
    console: Asked,
    search: Searched,
    back: Annotated[int | None, Query()] = None,
    gone: Annotated[int | None, Query()] = None,
) -> Response:
    """`back` entries have just been brought back, `gone` ones removed for good."""
    meaning = search.meaning.strip() or None
    rows = await console.entries(
        search.selection, _ENTRIES, sort=search.sort, offset=search.offset, meaning=meaning
    )
    return page(
        request,
        "entries.html",
        rows=rows,
        search=search,
        ages=AGES,
        sorts=SORTS,
        marks=MARKS,
        categories=[one["name"] for one in await console.categories()],
        asides=await console.asides(),
        following=search.offset + _ENTRIES if len(rows) == _ENTRIES and not meaning else None,
        before=max(0, search.offset - _ENTRIES) if search.offset else None,
        back=back,
        gone=gone,
    )


@router.get("/entries/purge")
async def confirm(request: Request, console: Asked, search: Searched) -> Response:
    return await _confirm(request, console, search)


@router.post("/entries/purge")
async def purge(
    request: Request, console: Asked, search: Searched, final: Annotated[bool, Form()] = False
) -> Response:
    """Set aside what the search means; `final` purges it for good."""
    if final:
        removed = await console.purge(search.selection, dry_run=False)
        return RedirectResponse(f"/entries?gone={removed}", status_code=303)
    try:
        await console.set_aside(search.selection)
    except ValueError as error:
        return await _confirm(request, console, search, too_many=str(error))
    return RedirectResponse("/entries", status_code=303)


@router.post("/entries/undo")
async def undo(console: Asked, aside: Annotated[str, Form(pattern="^[0-9a-f]{16}$")]) -> Response:
    told = await console.undo(aside)
    if told is None:
        raise HTTPException(404, "That minute is over: what was purged is gone.")
    return RedirectResponse(f"/entries?back={told.restored}", status_code=303)


@router.get("/entries/{entry}")
async def entry(request: Request, console: Asked, entry: EntryId) -> Response:
    return await _shown(request, console, entry)


@router.post("/entries/{entry}/lifetime")
async def lifetime(
    request: Request, console: Asked, entry: EntryId, ttl: Annotated[str, Form(max_length=20)]
) -> Response:
    """How long the entry lives from now on, as the policy writes durations."""
    try:
        seconds = duration(ttl)
    except ValueError as error:
        return await _shown(request, console, entry, problem=f"The lifetime {error}.")
    if not 0 < seconds <= _LONGEST:
        return await _shown(request, console, entry, problem="At least a second, at most 366d.")
    await console.amend(entry, ttl=seconds)
    return await _shown(request, console, entry, said=f"It lives for {ttl.strip()} from now on.")


@router.post("/entries/{entry}/pin")
async def pin(
    request: Request, console: Asked, entry: EntryId, pinned: Annotated[bool, Form()]
) -> Response:
    await console.amend(entry, pinned=pinned)
    said = "Pinned: it is not evicted." if pinned else "Not pinned any more."
    return await _shown(request, console, entry, said=said)


@router.post("/entries/{entry}/delete")
async def forget(console: Asked, entry: EntryId, search: Searched) -> Response:
    await take_out(console, entry)
    return RedirectResponse(f"/entries?{search.address}", status_code=303)


async def take_out(console: Console, entry: str) -> Aside | None:
    """Set one entry aside; None where it is too large for that and is gone for good."""
    one = Selection(ids=(entry,))
    try:
        return await console.set_aside(one)
    except ValueError:
        await console.purge(one, dry_run=False)
        return None


async def _confirm(
    request: Request, console: Console, search: Search, too_many: str = ""
) -> Response:
    affected = await console.purge(search.selection, dry_run=True)
    facts = {"search": search, "affected": affected, "ages": AGES, "marks": MARKS}
    return page(request, "purge.html", 409 if too_many else 200, too_many=too_many, **facts)


async def _shown(
    request: Request, console: Console, entry: str, *, said: str = "", problem: str = ""
) -> Response:
    found = await console.entry(entry)
    if found is None:
        raise missing("entry", entry, "/entries")
    status = 422 if problem else 200
    return page(request, "entry.html", status, e=found, said=said, problem=problem)
